//! The native plugin ABI of millm: what a plugin author implements and what the host calls.
//!
//! # Life cycle
//!
//! 1. The host reads the plugin's [`note`] from its file, without running it, and checks the API version.
//! 2. It opens the library and calls `connect` once. From then on a panic of the plugin is logged by the host.
//! 3. [`Architecture::load`] turns a model folder into a [`Model`]. It may take minutes and may use all threads.
//! 4. [`Model::new_sequence`] makes one [`Sequence`] (a KV cache) per running request.
//! 5. [`Model::forward`] runs one step over a ragged [`Batch`] of sequences, again and again, always from the
//!    model's engine thread. At each [`HookPoint`] that somebody wants it calls back through [`Hooks`].
//! 6. Sequences, then the model, are dropped. The library itself stays in memory for good.
//!
//! # Layout
//!
//! * [`architecture`]: the traits that an author implements
//! * [`spec`]: what a model says about itself, and what it is loaded from
//! * [`sae`]: the traits and facts of SAE formats
//! * [`batch`], [`tensor`], [`hook`]: the arguments of a step
//! * [`host`]: what a plugin may ask of the host
//! * [`error`]: how either side fails
//! * [`note`]: the facts about a plugin that can be read without running it
//! * [`loaded`]: the host's side: safe handles to what a plugin made
//! * `abi`: everything abi_stable. No type of that crate is public.
//! * [`export_plugin!`]: makes a `cdylib` a plugin

mod abi;
pub mod architecture;
pub mod batch;
pub mod error;
mod export;
pub mod hook;
pub mod host;
pub mod loaded;
pub mod note;
pub mod sae;
pub mod spec;
pub mod tensor;

pub use self::{
    architecture::{Architecture, Model, Sequence},
    batch::{Batch, Span},
    error::{ErrorKind, PluginError, Result},
    hook::{HookId, HookPattern, HookPoint, HookSet, HookSite, Hooks},
    host::{Host, Level},
    sae::{SaeFormat, SaeSource, SaeSpec, SaeTensor},
    spec::{AbsentHookPoint, HookPointSpec, LoadOptions, ModelFiles, ModelSpec, PageUsage, RowSet, RowShape},
    tensor::{DType, Device, TensorMut, TensorRef},
};

/// What [`export_plugin!`] expands to. Not part of the API.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        abi::{
            export::*,
            objects::{erase_architecture, sae::erase_sae_format},
        },
        note::{note_bytes, note_len},
    };
}
