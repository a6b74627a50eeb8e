//! The management API: models, plugins, operations and health, and reading a model from within.
//!
//! Answers and errors come in one [`envelope`]. A request to read activations goes this way: `source` says which prompts,
//! `selector` at which positions, and both make a `reading`, which the engine computes; `capture` and `logit_lens` say
//! what is read there. What comes back can be large: `budget` bounds how much of it there is at once, and `pieces` sends
//! it without a second copy.

mod answer;
mod budget;
pub(crate) mod capture;
mod capture_file;
pub(crate) mod certificate;
mod dtype;
pub(crate) mod envelope;
mod format;
pub(crate) mod health;
pub(crate) mod hook_points;
mod layers;
mod loaded;
pub(crate) mod logit_lens;
pub(crate) mod models;
pub(crate) mod operations;
mod pieces;
pub(crate) mod plugins;
mod query;
mod reading;
mod selector;
mod source;

pub(crate) use self::budget::Budget;
