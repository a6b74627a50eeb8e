//! The engine over the demo model and the real plugin, or over a toy with more hook points; without HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod captures;
mod company;
mod edits;
mod grammars;
mod inside;
mod isolation;
mod means;
mod mixes;
mod news;
mod prefixes;
mod pressure;
mod regimes;
mod saes;
mod support;
mod toy;
mod turns;
