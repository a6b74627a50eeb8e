//! Where the host keeps its state.

use std::process::Command;

/// A database for one run.
pub(crate) enum Database {
    /// In the data folder.
    Sqlite,
    /// Its own on a server; gone when dropped.
    Postgres { server: String, name: String },
}

impl Database {
    /// A new one on the PostgreSQL server that this URL names with some database of it.
    pub(crate) fn create(server: &str) -> Self {
        let name = format!("millm_durability_{}", std::process::id());
        sql(server, &format!("CREATE DATABASE {name}"));
        Self::Postgres { server: server.into(), name }
    }

    pub(crate) fn configure<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        match self {
            Self::Sqlite => command,
            Self::Postgres { server, name } => {
                let (server, _) = server.rsplit_once('/').expect("a URL with a database");
                command.env("DATABASE_URL", format!("{server}/{name}"))
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Self::Postgres { server, name } = self {
            sql(server, &format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

fn sql(server: &str, statement: &str) {
    let status = Command::new("psql").args(["--quiet", server, "--command", statement]).status();
    assert!(status.expect("psql is installed").success(), "{statement}");
}
