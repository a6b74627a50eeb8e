//! The Llama plugin over the ABI, without a library around it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod golden;
mod neutral;
mod support;
