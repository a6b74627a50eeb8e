//! Decoder-only transformers, described by data.
//!
//! An architecture plugin reads `config.json`, states a [`Decoder`] and gets a
//! [`Model`](millm_plugin_api::Model) with every hook point in place. The blocks live here, once.
//!
//! # Layout
//!
//! * [`config`]: typed access to `config.json`
//! * [`decoder`]: what a plugin states
//! * [`rope`]: rotary frequencies and their scalings
//! * [`checkpoint`]: safetensors files, mapped into memory
//! * `weights`: the checkpoint's tensors in the places the decoder gives them
//! * `pages`: KV memory, and the sequences that hold it
//! * [`model`]: the hooked forward pass

pub mod checkpoint;
pub mod config;
pub mod decoder;
pub mod model;
mod pages;
pub mod rope;
mod weights;

pub use self::{
    config::Config,
    decoder::{BlockTensors, Decoder, Linear, Tensors},
    model::Transformer,
    rope::{Rope, RopeScaling},
};
