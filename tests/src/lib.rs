//! Runs the `millm` binary as a user would, and talks to it over HTTP.
//!
//! * [`server`]: a running server, and one that refuses to start
//! * [`client`]: requests, replies and streams
//! * [`folders`]: where the binary, its plugins and the demo model are
//! * [`host`]: what plugins see of a host, where there is none
//! * [`demo`]: what the demo model is about

pub mod client;
pub mod demo;
pub mod folders;
pub mod host;
pub mod server;

pub use self::{
    client::{Client, Reply},
    server::Server,
};
