//! How a plugin, or the host under a plugin's call, fails.

use std::fmt;

/// A result whose error can cross the plugin boundary.
pub type Result<T, E = PluginError> = std::result::Result<T, E>;

/// What went wrong, as far as a caller may want to branch on it.
///
/// A number rather than an enum, so that a newer side can add kinds: an unknown one is treated as [`INTERNAL`].
///
/// [`INTERNAL`]: Self::INTERNAL
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorKind(pub u16);

impl ErrorKind {
    /// A bug, or a failure that has no kind of its own.
    pub const INTERNAL: Self = Self(0);
    /// The plugin understands the request and cannot do it (an unknown rope type, say).
    pub const UNSUPPORTED: Self = Self(1);
    /// A field of `config.json` is missing, of the wrong type, or contradicts another.
    pub const INVALID_CONFIG: Self = Self(2);
    /// A tensor is missing, or has another shape or dtype than the config promises.
    pub const INVALID_WEIGHTS: Self = Self(3);
    /// A file could not be opened or read.
    pub const IO: Self = Self(4);
    /// The host asked the plugin to stop ([`Host::cancelled`](crate::Host::cancelled)).
    pub const CANCELLED: Self = Self(5);
    /// No free KV page is left for what was asked.
    pub const OUT_OF_PAGES: Self = Self(6);
    /// The arguments of a call break its documented contract.
    pub const INVALID_ARGUMENT: Self = Self(7);
    /// The code panicked; the message holds the panic's own message and place.
    pub const PANICKED: Self = Self(8);
    /// An earlier panic left this object in an unknown state.
    pub const POISONED: Self = Self(9);

    /// A stable word for logs and error bodies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UNSUPPORTED => "unsupported",
            Self::INVALID_CONFIG => "invalid_config",
            Self::INVALID_WEIGHTS => "invalid_weights",
            Self::IO => "io",
            Self::CANCELLED => "cancelled",
            Self::OUT_OF_PAGES => "out_of_pages",
            Self::INVALID_ARGUMENT => "invalid_argument",
            Self::PANICKED => "panicked",
            Self::POISONED => "poisoned",
            _ => "internal",
        }
    }
}

/// An error on its way across the plugin boundary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginError {
    /// What a caller branches on.
    pub kind: ErrorKind,
    /// One line that names the field, tensor or file, with what was expected and what was found.
    pub message: String,
    /// The errors below this one, outermost first.
    pub causes: Vec<String>,
}

impl PluginError {
    /// An error without causes.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new() }
    }

    /// Keeps `cause` and everything below it as text, since error types do not cross the boundary.
    #[must_use]
    pub fn caused_by(mut self, cause: &dyn std::error::Error) -> Self {
        let mut next = Some(cause);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PluginError {}
