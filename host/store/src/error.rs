//! What can go wrong with the store.

/// Why the store did not do what it was asked for. `database` is the file, or the URL without its password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another host has the database. One database serves one host.
    #[error(
        "{database} is in use by another millm host; stop that one, or give this one another data folder or database"
    )]
    InUse {
        /// Which database.
        database: String,
    },
    /// A later version of this program has changed the tables.
    #[error(
        "{database} was written by a newer millm: it has migration {found}, this one knows them up to {known}; run the \
         newer millm, or restore a backup from before it"
    )]
    Newer {
        /// Which database.
        database: String,
        /// The first migration that this program does not know.
        found: i64,
        /// The last one it knows.
        known: i64,
    },
    /// The file holds something else.
    #[error("{database} is not an SQLite database; move it away, or name another data folder")]
    NotADatabase {
        /// Which file.
        database: String,
    },
    /// The database has tables of somebody else's.
    #[error("{database} holds tables that are not millm's ({reason}); give millm a database of its own")]
    Foreign {
        /// Which database.
        database: String,
        /// One of them, or what the database said.
        reason: String,
    },
    /// What is stored contradicts itself, or is not what this program writes.
    #[error("{database} is damaged: {reason}; restore a backup")]
    Damaged {
        /// Which database.
        database: String,
        /// What was found.
        reason: String,
    },
    /// The database, its file or its folder may be read only.
    #[error("{database} cannot be written: {reason}; let millm write it, or name another data folder or database")]
    ReadOnly {
        /// Which database.
        database: String,
        /// What the system or the database said.
        reason: String,
    },
    /// No room is left where the database is.
    #[error("no space is left for {database}: {reason}; free some and try again")]
    Full {
        /// Which database.
        database: String,
        /// What the system or the database said.
        reason: String,
    },
    /// Somebody else holds the database longer than the store waits.
    #[error("{database} is locked: {reason}; try again, and look for a program that keeps it locked")]
    Locked {
        /// Which database.
        database: String,
        /// What was waited for.
        reason: String,
    },
    /// The database cannot be reached, refused us, or is gone.
    #[error("{database} is not available: {reason}")]
    Unavailable {
        /// Which database.
        database: String,
        /// What the system or the database said.
        reason: String,
    },
    /// PostgreSQL before version 14.
    #[error("{database} is PostgreSQL {found}; millm needs version 14 or later")]
    TooOld {
        /// Which database.
        database: String,
        /// Its version.
        found: String,
    },
    /// No URL of a database. The text itself is not repeated: it may hold a password.
    #[error("the database URL {reason}; it should be postgres://user:password@host:port/database")]
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// A value that cannot be stored.
    #[error("{what} {reason}")]
    Invalid {
        /// Which value, such as `the id of the model`.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Something that exists is in the way.
    #[error("{what}")]
    Conflict {
        /// What it is.
        what: Conflict,
    },
    /// Anything else. Worth a bug report.
    #[error("{database}: {reason}")]
    Other {
        /// Which database.
        database: String,
        /// What the database said.
        reason: String,
    },
}

/// What is in the way of a change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// A model has the id.
    #[error("a model with the id {id:?} is registered already, at {local_path}")]
    ModelId {
        /// The id of both.
        id: String,
        /// Where the model is that has it.
        local_path: String,
    },
    /// A model has the path.
    #[error("{local_path} is registered already, as {id:?}")]
    ModelPath {
        /// The id of the model that has it.
        id: String,
        /// The path of both.
        local_path: String,
    },
    /// An SAE has the id.
    #[error("an SAE with the id {id:?} is registered already")]
    SaeId {
        /// The id of both.
        id: String,
    },
    /// An operation on the same target has not finished.
    #[error("{target_type} {target_id:?} is busy: operation {id} ({kind}) has not finished")]
    Busy {
        /// The operation that is on.
        id: String,
        /// What it does.
        kind: String,
        /// What kind of thing both work on.
        target_type: String,
        /// Which one.
        target_id: String,
    },
    /// An operation has the id.
    #[error("there is an operation {id} already")]
    OperationId {
        /// The id of both.
        id: String,
    },
}
