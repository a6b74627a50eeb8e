//! The rules of [`Sampling`](super::Sampling) as a whole.
//!
//! * `reference`: against the same rules, computed another way
//! * `golden`: against transformers
//! * `draws`: what is drawn, how often, and at the ends of the ranges

mod draws;
mod golden;
mod reference;
