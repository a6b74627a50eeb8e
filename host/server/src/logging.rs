//! Where log lines go: to stderr, for people or for machines.

use std::{
    io::{self, IsTerminal},
    panic, thread,
};

use clap::ValueEnum;
use serde::Deserialize;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// A line of text, coloured on a terminal.
    #[default]
    Human,
    /// A JSON object per line.
    Json,
}

/// Sends `tracing` and panics to stderr: lines of `level` and above, unless `RUST_LOG` chooses others. Call it once.
pub(crate) fn init(format: LogFormat, level: LevelFilter) {
    let filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Human => lines.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    // The standard hook would put text between JSON lines.
    panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        let message = panic.to_string().replace('\n', " ");
        tracing::error!(target: "panic", thread = thread.name().unwrap_or("unnamed"), "{message}");
    }));
}
