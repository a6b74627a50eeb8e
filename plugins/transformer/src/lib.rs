//! Decoder-only transformers, described by data.
//!
//! An architecture plugin reads `config.json`, states a [`Decoder`] and gets a
//! [`Model`](millm_plugin_api::Model) with every hook point in place. The blocks live here, once.
//!
//! # Layout
//!
//! * [`config`]: typed access to `config.json`
//! * [`decoder`], [`tensors`]: what a plugin states
//! * [`rope`]: rotary frequencies and their scalings
//! * [`checkpoint`]: safetensors files, mapped into memory
//! * `weights`: the checkpoint's tensors in the places the decoder gives them
//! * `pages`: KV memory, and the sequences that hold it
//! * `sites`: the hook points of a decoder
//! * `network`, `scratch`: what a step reads, and what it writes
//! * `block`: one block, hooked
//! * [`model`]: the forward pass

mod block;
pub mod checkpoint;
pub mod config;
pub mod decoder;
pub mod model;
mod network;
mod pages;
pub mod rope;
mod scratch;
mod sites;
pub mod tensors;
mod weights;

pub use millm_kernels::{Activation, NormKind};

pub use self::{
    checkpoint::Checkpoint,
    config::{Config, HeadDefaults},
    decoder::{Block, Decoder, Heads, Norm},
    model::Transformer,
    rope::{Rope, RopeFields, RopeScaling},
    tensors::{BlockTensors, Gain, Head, Ignored, Layout, Linear, Tensors},
};
