//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::settings::Options;

/// Serves language models over the OpenAI API, with interventions per request.
#[derive(Parser)]
#[command(name = "millm", version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Load models and serve them until interrupted.
    #[command(after_help = "Every option can also be set in millm.toml, under its name without the dashes. A flag \
                            wins over the environment, which wins over the file.")]
    Serve(Serve),
    /// Compare a model with a golden file, hook point by hook point.
    #[command(after_help = "examples/verify/make_golden.py makes golden files with transformers.")]
    Verify(Verify),
    /// Look at plugins without running them, and allow them to run.
    #[command(
        after_help = "Native plugins have all the rights of millm, so each is trusted by the SHA-256 of its library. \
                            Those that came with millm are; the administrator trusts others."
    )]
    Plugins(PluginsCommand),
    /// Print the OpenAPI document of the HTTP API, which serve has at /api/openapi.json.
    Openapi,
}

#[derive(Args, Default)]
pub(crate) struct Serve {
    /// File with settings [default: millm.toml in the data folder, else in the current folder]
    #[arg(long, env = "MILLM_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Args)]
pub(crate) struct Verify {
    /// Model to verify: a folder, or an id in the Hugging Face cache
    #[arg(value_name = "FOLDER|ID")]
    pub(crate) model: String,

    /// What transformers computed for it [default: golden.safetensors in its folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) golden: Option<PathBuf>,

    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,

    /// File with settings [default: millm.toml in the data folder, else in the current folder]
    #[arg(long, env = "MILLM_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Folder with plugins, as for serve
    #[arg(long, env = "MILLM_PLUGIN_DIR", value_name = "FOLDER", value_delimiter = ':')]
    pub(crate) plugin_dir: Vec<PathBuf>,

    /// Folder of this host's own files, as for serve
    #[arg(long, env = "MILLM_DATA_DIR", value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Database of this host's state, as for serve
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) database_url: Option<String>,

    /// Threads that compute [default: one per core]
    #[arg(long, env = "MILLM_THREADS", value_name = "COUNT")]
    pub(crate) threads: Option<usize>,
}

#[derive(Args)]
pub(crate) struct PluginsCommand {
    #[command(subcommand)]
    pub(crate) action: PluginsAction,

    /// File with settings [default: millm.toml in the data folder, else in the current folder]
    #[arg(long, env = "MILLM_CONFIG", value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

    /// Folder with plugins, as for serve
    #[arg(long, env = "MILLM_PLUGIN_DIR", value_name = "FOLDER", value_delimiter = ':', global = true)]
    pub(crate) plugin_dir: Vec<PathBuf>,

    /// Folder of this host's own files, as for serve
    #[arg(long, env = "MILLM_DATA_DIR", value_name = "FOLDER", global = true)]
    pub(crate) data_dir: Option<PathBuf>,

    /// Database of this host's state, as for serve
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true, global = true)]
    pub(crate) database_url: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum PluginsAction {
    /// List all plugins, and whether each could run.
    List {
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Make every check of one plugin; nothing of it runs.
    Inspect {
        /// Its folder
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,

        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Allow the library in a plugin's folder, as it is now, to run with all rights of millm.
    Trust {
        /// Its folder
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
    /// Take back every trust in libraries of a plugin. A running host goes on with what it has opened.
    Distrust {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_an_environment_variable_of_its_name() {
        let command = Cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        for flag in serve.get_arguments() {
            let name = flag.get_id().as_str().to_uppercase();
            // As every program calls it that keeps its state in a database.
            let expected = if name == "DATABASE_URL" { name } else { format!("MILLM_{name}") };
            assert_eq!(flag.get_env().and_then(|name| name.to_str()), Some(expected.as_str()));
        }
    }
}
