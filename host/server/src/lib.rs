//! Serves models to OpenAI clients, with interventions per request: all of the `millm` command but its `main`.
//!
//! A request becomes data in `openai` (JSON → [`millm_engine::Request`]) and an answer in the same place; between the
//! two it belongs to the engine. Nothing here waits for a step of a model, and nothing computes on the threads that
//! serve connections.
//!
//! # Layout
//!
//! * `cli`, `settings`, `settings/file`: what the user asked for, from flags, environment and `millm.toml`
//! * `startup`, `shutdown`: the life of the process; `allocator`: how it gives memory back
//! * `logging`, `services`: where log lines go, and what plugins may ask of this host
//! * `plugins`: the plugins that there are, and which of them may run
//! * `models`: the models being served, where they lie and their steering vectors
//! * `selector`: which positions of a request are meant
//! * `saes`: the SAEs that there are, and what they are attached to
//! * `local_folder`, `names`: folders that users name, and what they may call things; `free_memory`: how much memory is free
//! * `routes`, `app`: all URLs, and what their handlers see of the host
//! * `blocking`, `whole`: work that must not hold up connections, and changes that end although their client leaves
//! * `http`: what all URLs have in common: authentication, request ids, bodies, panics
//! * `openai`: the endpoints under `/v1`
//! * `api`: the endpoints under `/api`, which read activations and manage the host
//! * `openapi`: the description of all URLs for programs, and a page to read it
//! * `certificate`, `verify`: how a model's numbers compare with a reference
//! * `bench`: how fast models run; `workbench`: what that and `verify` need of a host
//! * `operations`, `live`: work that takes long, and telling what changes over Socket.IO
//! * `readiness`, `opening`: what the host does at its start
//! * `fields`: taking JSON objects apart
//! * `error`: how a request fails, and the one table of error codes

mod allocator;
mod api;
mod app;
mod bench;
mod blocking;
mod certificate;
mod cli;
mod error;
mod fields;
mod free_memory;
mod http;
mod live;
mod local_folder;
mod logging;
mod models;
mod names;
mod openai;
mod openapi;
mod opening;
mod operations;
mod plugins;
mod readiness;
mod routes;
mod saes;
mod selector;
mod services;
mod settings;
mod shutdown;
mod startup;
#[cfg(test)]
mod testing;
mod verify;
mod whole;
mod workbench;

pub use startup::run;
