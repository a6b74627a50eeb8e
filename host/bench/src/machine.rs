//! What the machine can do.

use millm_engine::Threads;
use millm_kernels::{
    instruction_set,
    limits::{Limits, READ_BYTES},
};
use serde::Serialize;

use crate::error::BenchError;

/// What this machine can do with these threads, as measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// Threads that compute.
    pub threads: usize,
    /// What the kernels are compiled for: `avx2` or `portable`.
    pub instruction_set: &'static str,
    /// Most bytes per second that they read from memory together.
    pub read_bytes_per_second: f64,
    /// Most operations on f32 per second that they make together in registers, two to a multiply-add.
    pub flops_per_second: f64,
}

impl Machine {
    /// Measures it, which takes a second or two.
    ///
    /// # Errors
    ///
    /// [`BenchError::Memory`].
    pub fn measure(threads: &Threads) -> Result<Self, BenchError> {
        let limits = Limits::measure(threads);
        let Limits { read_bytes_per_second, flops_per_second } =
            limits.map_err(|source| BenchError::Memory { bytes: READ_BYTES, source })?;
        let (threads, instruction_set) = (threads.width(), instruction_set());
        Ok(Self { threads, instruction_set, read_bytes_per_second, flops_per_second })
    }
}
