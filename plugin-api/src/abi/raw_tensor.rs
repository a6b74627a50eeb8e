//! A tensor's memory and shape as they cross the boundary.

use std::ffi::c_void;

use abi_stable::StableAbi;

/// See [`TensorMut`](crate::TensorMut).
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct RawTensor {
    pub data: *mut c_void,
    /// The device's stream that the data is ordered on; null on the CPU.
    pub stream: *mut c_void,
    pub shape: [u64; 4],
    /// In elements, not bytes.
    pub strides: [i64; 4],
    pub rank: u32,
    pub dtype: u16,
    pub device_kind: u16,
    pub device_index: u16,
    pub reserved: u16,
}
