//! Serves models to OpenAI clients, with interventions per request: all of the `millm` command but its `main`.
//!
//! A request becomes data in `openai` (JSON → [`millm_engine::Request`]) and an answer in the same place; between the
//! two it belongs to the engine. Nothing here waits for a step of a model, and nothing computes on the threads that
//! serve connections.
//!
//! # Layout
//!
//! * `cli`, `settings`, `settings/file`: what the user asked for, from flags, environment and `millm.toml`
//! * `startup`, `shutdown`: the life of the process
//! * `logging`, `services`: where log lines go, and what plugins may ask of this host
//! * `plugins`: where plugins are looked for
//! * `models`: the models being served, where they lie and their steering vectors
//! * `routes`, `app`: all URLs, and what their handlers see of the host
//! * `blocking`: work that must not hold up connections
//! * `http`: what all URLs have in common: authentication, request ids, bodies, panics
//! * `openai`: the endpoints under `/v1`
//! * `api`: the endpoints under `/api`, which read activations
//! * `certificate`, `verify`: how a model's numbers compare with a reference
//! * `error`: how a request fails, and the one table of error codes

mod api;
mod app;
mod blocking;
mod certificate;
mod cli;
mod error;
mod http;
mod logging;
mod models;
mod openai;
mod plugins;
mod routes;
mod services;
mod settings;
mod shutdown;
mod startup;
mod verify;

pub use startup::run;
