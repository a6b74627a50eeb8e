//! Measures how fast a model runs through the engine, and how close that comes to what the machine can do.
//!
//! Decoding reads every weight once per step, so memory bounds it; a prompt multiplies every weight with many rows, so
//! arithmetic does. Both bounds are measured here, in the same run and on the same threads. What a step reads and
//! multiplies is counted from the model's shape and the tensors in its files.
//!
//! # Layout
//!
//! * [`plan`]: what is to be measured
//! * [`machine`]: what the machine can do
//! * [`checkpoint`]: a model's files of weights, and copies of them in another dtype
//! * [`costs`]: what steps of a model read and multiply
//! * `measure`, `spread`: runs through the engine, and the middle of many
//! * [`measurement`], [`report`], [`table`]: what was found, for programs and for people
//! * [`random_gpt2`]: a model of a common shape, about nothing
//! * [`error`]: why something cannot be measured

pub mod checkpoint;
pub mod costs;
pub mod error;
pub mod machine;
mod measure;
pub mod measurement;
pub mod plan;
pub mod random_gpt2;
pub mod report;
mod spread;
pub mod table;

pub use self::{
    checkpoint::Checkpoint,
    costs::{CostError, Costs},
    error::BenchError,
    machine::Machine,
    measure::measure,
    measurement::{Decode, FirstToken, Measurement, Prompt},
    plan::Plan,
    random_gpt2::write_random_gpt2,
    report::{ModelReport, Report},
    spread::Spread,
};
