//! The host's side: safe handles to what a plugin made.
//!
//! A [`LoadedPlugin`] yields [`LoadedArchitecture`]s, those yield [`LoadedModel`]s, those yield [`SequenceHandle`]s.
//! SAEs are [`LoadedSaeFormat`]s and [`LoadedSae`]s. Each keeps alive what it needs. The same handles can be made from plain Rust values with `in_process`, which is how
//! plugins and the engine are tested without a shared library; calls then still take the way over the boundary.

mod architecture;
mod model;
mod plugin;
mod sae;

pub use self::{
    architecture::LoadedArchitecture,
    model::{LoadedModel, SequenceHandle, Step},
    plugin::{LoadedPlugin, OpenError},
    sae::{LoadedSae, LoadedSaeFormat},
};
