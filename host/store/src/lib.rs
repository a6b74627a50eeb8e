//! What the host remembers: models, plugins, settings, operations, and who changed what.
//!
//! One SQLite file in the data folder, or a PostgreSQL database. Both have the same tables (`migrations/` at the root of
//! the repository), are asked by the same SQL, and pass the same tests. What people change goes through a [`Change`], a
//! transaction that writes a row of the audit log with each of its steps. Nothing else writes, except operations, which
//! the host keeps for itself.
//!
//! # Layout
//!
//! * `location`: which database; `file` prepares and watches SQLite's
//! * `store`: opening it, and what it is made of: `readers` and one `writer`, whose transactions are `writing`
//! * `connection`, `host_lock`, `migrations`: what happens to a connection before it is used
//! * `change`: a transaction on behalf of somebody
//! * `model`, `sae`, `plugin`, `trust`, `setting`, `operation`, `audit`: a table each, with its reads and writes; `prepend_bos` is a word in
//!   one of them
//! * `record`, `input`: values on their way out and in
//! * `error`: what can go wrong; `answer` tells which of it a database meant

mod answer;
mod audit;
mod change;
mod clock;
mod connection;
mod error;
mod file;
mod host_lock;
mod input;
mod location;
mod migrations;
mod model;
mod operation;
mod plugin;
mod prepend_bos;
mod readers;
mod record;
mod sae;
mod setting;
mod store;
mod trust;
mod writer;
mod writing;

pub use self::{
    audit::{AuditFilter, AuditRow},
    change::{Actor, Change},
    error::{Conflict, StoreError},
    location::Location,
    model::{ModelRow, ModelSource, NewModel},
    operation::{NewOperation, OperationFilter, OperationRow, OperationStatus, Outcome},
    plugin::PluginRow,
    prepend_bos::PrependBos,
    sae::{NewSae, SaeAttachment, SaeRow},
    store::Store,
    trust::{NewTrust, TrustRow},
};
