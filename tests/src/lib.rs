//! Runs the `millm` binary as a user would, and talks to it over HTTP.
//!
//! * [`server`]: a running server, and one that refuses to start
//! * [`process`]: what a server is before it is ready
//! * [`management`]: the management API; [`copies`]: models for it
//! * [`client`]: requests and streams; [`reply`]: whole answers
//! * [`command`]: commands besides `serve`; [`installation`]: the program in another place
//! * [`folders`]: where the binary, its plugins and the demo model are
//! * [`host`]: what plugins see of a host, where there is none
//! * [`plugins`]: the bundled plugins, where there is no host
//! * [`outside`]: cargo, where there is no workspace
//! * [`saes`]: SAEs that tests make
//! * [`demo`]: what the demo model is about; [`random_gpt2`]: one that is larger and about nothing

pub mod client;
pub mod command;
pub mod copies;
pub mod demo;
pub mod folders;
pub mod host;
pub mod installation;
pub mod management;
pub mod outside;
pub mod plugins;
pub mod process;
pub mod reply;
pub mod saes;
pub mod server;

pub use millm_bench::random_gpt2;

pub use self::{client::Client, reply::Reply, server::Server};
