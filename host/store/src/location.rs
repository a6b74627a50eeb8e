//! Which database.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use sqlx::any::AnyConnectOptions;

use crate::{answer::translate, error::StoreError};

/// Where the host remembers. Shown without the password.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A file. SQLite puts more beside it, with `-wal` and `-shm` after its name, and the store one with `.lock`.
    Sqlite(PathBuf),
    /// A URL, `postgres://user:password@host:port/database`.
    Postgres(String),
}

impl Location {
    /// The location that a `DATABASE_URL` means.
    ///
    /// # Errors
    ///
    /// [`StoreError::Url`] for everything but PostgreSQL's URLs.
    pub fn parse_url(text: &str) -> Result<Self, StoreError> {
        let refuse = |reason: String| Err(StoreError::Url { reason });
        let url = match text.parse::<AnyConnectOptions>() {
            Ok(options) => options.database_url,
            Err(error) => return refuse(format!("cannot be read ({error})")),
        };
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return refuse("does not begin with postgres://".into());
        }
        // Most likely from a password, whose other half would be taken for the host.
        if url.fragment().is_some() {
            return refuse("has a #, which is written %23 in a password".into());
        }
        Ok(Self::Postgres(text.into()))
    }

    /// What the driver needs to connect.
    pub(crate) fn options(&self) -> Result<AnyConnectOptions, StoreError> {
        let url = match self {
            Self::Sqlite(path) => sqlite_url(path)?,
            Self::Postgres(url) => url.clone(),
        };
        let mut options: AnyConnectOptions = url.parse().map_err(|error| translate(&self.to_string(), error))?;
        let named = options.database_url.query_pairs().any(|(key, _)| key == "application_name");
        if matches!(self, Self::Postgres(_)) && !named {
            options.database_url.query_pairs_mut().append_pair("application_name", "millm");
        }
        Ok(options)
    }
}

/// A URL that the driver takes apart into `path` again. Its own way to make one leaves `%` as it is.
fn sqlite_url(path: &Path) -> Result<String, StoreError> {
    let Some(text) = path.to_str() else {
        let reason = "the path is not UTF-8, which SQLite needs".into();
        return Err(StoreError::Unavailable { database: path.display().to_string(), reason });
    };
    let mut url = String::from("sqlite://");
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            url.push(byte.into());
        } else {
            url += &format!("%{byte:02X}");
        }
    }
    Ok(url + "?mode=rw")
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(formatter),
            Self::Postgres(url) => {
                let Ok(AnyConnectOptions { database_url: mut url, .. }) = url.parse() else {
                    return formatter.write_str("a PostgreSQL database");
                };
                // Parameters may be passwords too.
                url.set_query(None);
                url.set_fragment(None);
                // A URL without a host has no password either.
                let _ = url.set_password(None);
                formatter.write_str(url.as_str())
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Sqlite(_) => "Sqlite",
            Self::Postgres(_) => "Postgres",
        };
        write!(formatter, "{kind}({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for url in [
            "postgres://ann:s3cret@db.example:5433/millm",
            "postgresql://ann:s3cret@db.example:5433/millm?sslmode=disable",
            "postgres://ann@db.example:5433/millm?password=s3cret",
        ] {
            let location = Location::parse_url(url).unwrap();
            for shown in [location.to_string(), format!("{location:?}")] {
                assert!(shown.contains("ann@db.example:5433/millm") && !shown.contains("s3cret"), "{shown}");
            }
        }
        assert_eq!(Location::Postgres("s3cret".into()).to_string(), "a PostgreSQL database");
    }

    #[test]
    fn other_urls_are_refused_without_repeating_them() {
        for (url, expected) in [
            ("mysql://ann:s3cret@host/db", "does not begin with postgres://"),
            ("sqlite://s3cret.db", "does not begin with postgres://"),
            ("/var/lib/s3cret.db", "cannot be read"),
            ("", "cannot be read"),
            ("postgres://ann:s3/cret@host/db", "cannot be read"),
            ("postgres://ann:12#s3cret@host/db", "has a #"),
        ] {
            let error = Location::parse_url(url).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(expected) && shown.contains("postgres://user:password"), "{shown}");
            assert!(!shown.contains("s3"), "{shown}");
        }
    }
}
