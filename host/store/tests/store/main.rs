//! The store as the host uses it: one suite, run on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "clippy's exemption for tests does not reach their helpers")]

mod audit;
mod changes;
mod child;
mod database;
mod hosts;
mod killed;
mod models;
mod network;
mod operations;
mod plugins;
mod postgres_servers;
mod saes;
mod settings;
mod sqlite_files;
