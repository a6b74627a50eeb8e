//! Runs many requests through one model at once: continuous batching, sampling, interventions and captures.
//!
//! One OS thread per model packs rows of many sequences into each step and calls the model's plugin; requests come in
//! by [`Engine::submit`] and their text goes out through bounded channels. The crate knows no HTTP, no database and no
//! async runtime.
//!
//! # Layout
//!
//! * [`engine`], [`config`]: the handle to a running engine, and its settings
//! * [`request`], [`event`], [`error`]: what goes in and what comes out
//! * [`requests`], [`stats`]: how those who wait and run are doing, and what has been done so far
//! * [`hook_points`]: names of hook points
//! * [`interventions`]: what a request does to activations
//! * [`sae`]: from activations to features and back
//! * [`captures`]: what a request reads of them
//! * [`sampling`]: from logits to a token
//! * [`threads`]: the host's one thread pool
//! * `shared`: what the handle and the thread both look at
//! * `worker`: the engine thread, its scheduler and its sequences

pub mod captures;
pub mod config;
pub mod engine;
pub mod error;
pub mod event;
pub mod hook_points;
pub mod interventions;
pub mod request;
pub mod requests;
pub mod sae;
pub mod sampling;
mod shared;
pub mod stats;
pub mod threads;
mod worker;

pub use self::{
    captures::{Activation, Captured, Captures, LensRow, LensToken, LogitLens},
    config::EngineConfig,
    engine::Engine,
    error::{RequestError, SubmitError},
    event::{Event, FinishReason, Times},
    hook_points::HookPointError,
    interventions::{
        Action, Bound, Chosen, Condition, Effects, InterventionError, Interventions, Rules, Scope, Selection, Tally,
        Target,
    },
    request::Request,
    requests::RequestStatus,
    sae::{Sae, SaeError},
    sampling::{Sampling, TokenLogprob},
    stats::EngineStats,
    threads::Threads,
    worker::read_alone,
};
