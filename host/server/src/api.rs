//! The management API: models, plugins, operations and health, and reading a model from within.
//!
//! Answers and errors come in one [`envelope`]; who begins an operation may [`wait`] for its end. A request to read
//! activations goes this way: `source` says which prompts, `selector` at which positions, and both make a `reading`, which
//! the engine computes; `capture`, `logit_lens` and `encode` say what is read there. What comes back can be large: `budget` bounds
//! how much of it there is at once, and `pieces` sends it without a second copy.

mod answer;
mod budget;
pub(crate) mod capabilities;
pub(crate) mod capture;
mod capture_file;
pub(crate) mod certificate;
mod created;
pub(crate) mod dtype;
pub(crate) mod encode;
pub(crate) mod envelope;
pub(crate) mod format;
pub(crate) mod health;
pub(crate) mod hook_points;
mod layers;
mod loaded;
pub(crate) mod logit_lens;
pub(crate) mod models;
pub(crate) mod operations;
mod pieces;
pub(crate) mod place;
pub(crate) mod plugins;
mod query;
mod reading;
pub(crate) mod replay;
pub(crate) mod requests;
pub(crate) mod saes;
mod source;
mod wait;

pub(crate) use self::{
    budget::{Budget, Reservation},
    pieces::{Piece, body},
    query::parameters,
    reading::captured,
};
