//! The engine over the demo model and the real plugin, without HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod isolation;
mod pressure;
mod support;
