//! The boundary between host and plugins: what is let in, what is contained, and what can be managed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod callbacks;
mod copies;
mod files;
mod inspection;
mod layout;
mod library;
mod management;
mod names;
mod ownership;
mod panics;
mod recorder;
mod reload;
mod saes;
mod scene;
mod trust;
mod versions;
