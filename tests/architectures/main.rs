//! Every architecture plugin, loaded as users load it: what its models compute, against transformers
//! and against themselves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod altered;
mod golden;
mod invariants;
mod mlp;
mod neutral;
mod probe;
mod refusals;
mod support;
mod traps;
