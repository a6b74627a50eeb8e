//! The boundary itself: everything abi_stable. Authors and the host see none of it.
//!
//! * `types`, `spec`, `sae`, `raw_tensor`: the plain data that crosses
//! * `objects`: the trait objects that cross, and the adapters between them and the authors' traits
//! * `guard`: panics become errors
//! * `module`: the root module that `export_plugin!` exports and the host looks for
//! * `services`: the host's services, seen from a plugin
//! * `export`: what the macro needs

// The derives of abi_stable expand to code that breaks these lints; nothing else in here does.
#![allow(missing_debug_implementations, missing_docs, unreachable_pub, non_local_definitions, unsafe_code)]
#![allow(clippy::undocumented_unsafe_blocks)]

pub mod export;
pub(crate) mod guard;
pub(crate) mod module;
pub(crate) mod objects;
pub(crate) mod raw_tensor;
pub(crate) mod sae;
pub(crate) mod services;
pub(crate) mod spec;
pub(crate) mod types;
