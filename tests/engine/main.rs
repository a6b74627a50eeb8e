//! The engine over the demo model and the real plugin, without HTTP.

mod isolation;
mod pressure;
mod support;
