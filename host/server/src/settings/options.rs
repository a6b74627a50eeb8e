//! The settings as one source gives them.

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use crate::{http::ApiKey, logging::LogFormat};

/// What one source says; nothing where it says nothing. clap merges flags and environment, so this is both the command line and the
/// file, and a setting is declared once.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Options {
    /// Address to listen on; any that is not loopback needs an API key [default: 127.0.0.1]
    #[arg(long, env = "MILLM_HOST", value_name = "ADDRESS")]
    pub(crate) host: Option<String>,

    /// Port to listen on; 0 takes a free one [default: 8080]
    #[arg(long, env = "MILLM_PORT")]
    pub(crate) port: Option<u16>,

    /// Folder of this host's own files: plugins/, vectors/, millm.toml [default: ~/.local/share/millm]
    #[arg(long, env = "MILLM_DATA_DIR", value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,

    /// PostgreSQL database to keep this host's state in, as postgres://user:password@host/name [default: the SQLite file
    /// millm.db in the data folder]
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) database_url: Option<String>,

    /// Model to serve: a folder, or an id in the Hugging Face cache; repeatable, comma-separated in the environment
    /// [default: those that were loaded when it last ran, else the demo beside this program]
    #[arg(long, env = "MILLM_MODEL", value_name = "FOLDER|ID", value_delimiter = ',')]
    pub(crate) model: Vec<String>,

    /// Folder with plugins, searched before those of the data folder and of this program; repeatable, colon-separated
    /// in the environment
    #[arg(long, env = "MILLM_PLUGIN_DIR", value_name = "FOLDER", value_delimiter = ':')]
    pub(crate) plugin_dir: Vec<PathBuf>,

    /// Key that clients must send as `Authorization: Bearer KEY` [default: none]
    #[arg(long, env = "MILLM_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub(crate) api_key: Option<ApiKey>,

    /// Threads that compute [default: one per core]
    #[arg(long, env = "MILLM_THREADS", value_name = "COUNT")]
    pub(crate) threads: Option<usize>,

    /// Memory for the keys and values of running requests, per model, in MiB [default: 1024]
    #[arg(long, env = "MILLM_KV_CACHE_MIB", value_name = "MIB")]
    pub(crate) kv_cache_mib: Option<u64>,

    /// Memory that all loaded models together may take, by their estimates, in MiB [default: what the system has]
    #[arg(long, env = "MILLM_MEMORY_LIMIT_MIB", value_name = "MIB")]
    pub(crate) memory_limit_mib: Option<u64>,

    /// Whether a request for a model that is known and not loaded loads it [default: true]
    #[arg(long, env = "MILLM_AUTO_LOAD", value_name = "BOOL")]
    pub(crate) auto_load: Option<bool>,

    /// Sequences that one model computes at once; more wait [default: 64]
    #[arg(long, env = "MILLM_MAX_SEQUENCES", value_name = "COUNT")]
    pub(crate) max_sequences: Option<usize>,

    /// Milliseconds that running texts may wait for their next token while prompts are computed; prompts are cut into
    /// pieces that take about as long [default: 200]
    #[arg(long, env = "MILLM_STEP_TARGET_MS", value_name = "MILLISECONDS")]
    pub(crate) step_target_ms: Option<u32>,

    /// Whether what was computed is kept for requests that begin alike, as long as nobody needs the memory; no answer
    /// changes by it [default: true]
    #[arg(long, env = "MILLM_CACHE_PROMPTS", value_name = "BOOL")]
    pub(crate) cache_prompts: Option<bool>,

    /// Seconds after which a request to a model fails, finished or not [default: none]
    #[arg(long, env = "MILLM_REQUEST_TIMEOUT", value_name = "SECONDS")]
    pub(crate) request_timeout: Option<u64>,

    /// Memory that the activations of one capture, or what one call is told of its prompts, may take, in MiB; all at once
    /// may take four times as much [default: 256]
    #[arg(long, env = "MILLM_CAPTURE_LIMIT_MIB", value_name = "MIB")]
    pub(crate) capture_limit_mib: Option<u64>,

    /// Seconds that running requests get to finish at shutdown [default: 30]
    #[arg(long, env = "MILLM_SHUTDOWN_GRACE", value_name = "SECONDS")]
    pub(crate) shutdown_grace: Option<u64>,

    /// Form of the log lines on stderr, `human` or `json`; RUST_LOG chooses the lines [default: human]
    #[arg(long, env = "MILLM_LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
}

impl Options {
    /// `self` where it says something, else `lower`. A list is taken whole from one source.
    pub(super) fn or(self, lower: Self) -> Self {
        Self {
            host: self.host.or(lower.host),
            port: self.port.or(lower.port),
            data_dir: self.data_dir.or(lower.data_dir),
            database_url: self.database_url.or(lower.database_url),
            model: if self.model.is_empty() { lower.model } else { self.model },
            plugin_dir: if self.plugin_dir.is_empty() { lower.plugin_dir } else { self.plugin_dir },
            api_key: self.api_key.or(lower.api_key),
            threads: self.threads.or(lower.threads),
            kv_cache_mib: self.kv_cache_mib.or(lower.kv_cache_mib),
            memory_limit_mib: self.memory_limit_mib.or(lower.memory_limit_mib),
            auto_load: self.auto_load.or(lower.auto_load),
            max_sequences: self.max_sequences.or(lower.max_sequences),
            step_target_ms: self.step_target_ms.or(lower.step_target_ms),
            cache_prompts: self.cache_prompts.or(lower.cache_prompts),
            request_timeout: self.request_timeout.or(lower.request_timeout),
            capture_limit_mib: self.capture_limit_mib.or(lower.capture_limit_mib),
            shutdown_grace: self.shutdown_grace.or(lower.shutdown_grace),
            log_format: self.log_format.or(lower.log_format),
        }
    }
}
