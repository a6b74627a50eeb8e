//! The Llama plugin over the ABI, without a library around it.

mod golden;
mod neutral;
mod support;
