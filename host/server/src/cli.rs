//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Measure how fast models run, and how close that comes to what this machine can do.
    #[command(after_help = BENCH_HELP)]
    Bench(Bench),
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

const BENCH_HELP: &str = "\
A prompt is timed alone up to its first token. Decoding is timed once all sequences have their first token, with 32 \
tokens before them. Both go through the engine as requests do, with the step target of the settings. What is told are \
medians and quartiles, after a run to warm up.

GB/s: weights that a step reads, and the keys and values of all sequences, times steps per second. Tables of which only \
rows are looked up do not count; a head that is the embedding does. GFLOP/s: two operations for every weight of a matrix \
and every token, and those of attention; of a prompt only the last token meets the head. Percentages are of what all \
threads read from memory, or multiply and add in registers, at their fastest of several tries at the start. A model that \
fits into the caches may exceed 100 % of the memory's speed. Other programs that run at the same time slow this down.

--json names every number with its unit.";

#[derive(Args)]
pub(crate) struct Bench {
    /// Models to measure: folders, or ids in the Hugging Face cache [default: the shape of GPT-2 with 124 M random weights,
    /// in all dtypes]
    #[arg(value_name = "FOLDER|ID")]
    pub(crate) models: Vec<String>,

    /// Dtypes of the weights to measure in [default: that of the files]. Others are converted into temporary folders
    /// (TMPDIR), which takes room there
    #[arg(long, value_name = "DTYPE", value_delimiter = ',')]
    pub(crate) dtype: Vec<BenchDtype>,

    /// Tokens of the prompt [default: 512, or what the context has room for]
    #[arg(long, value_name = "COUNT")]
    pub(crate) prompt_tokens: Option<usize>,

    /// Tokens that each sequence decodes
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    pub(crate) generate_tokens: usize,

    /// Numbers of sequences that decode at once
    #[arg(long, value_name = "COUNT", value_delimiter = ',', default_value = "1,2,4,8,16")]
    pub(crate) sequences: Vec<u32>,

    /// How often everything is measured
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub(crate) repeats: usize,

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

/// Dtypes of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchDtype {
    F32,
    Bf16,
    F16,
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
