use std::{io, path::PathBuf};

/// Why a file, or a tensor of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// The system said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// It is none of the kinds that are known, or breaks the rules of its own.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There is no tensor of that name.
    #[error("{}: there is no tensor '{name}'; there are: {}", path.display(), names.join(", "))]
    Missing {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        name: String,
        /// Those that there are, or the first of them.
        names: Vec<String>,
    },
}

/// A reason without the file, which is added where it is known.
pub(crate) type Reason<T> = Result<T, String>;
