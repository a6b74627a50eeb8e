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
}

#[derive(Args, Default)]
pub(crate) struct Serve {
    /// File with settings [default: millm.toml in the data folder, else in the current folder]
    #[arg(long, env = "MILLM_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) options: Options,
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
            let expected = format!("MILLM_{}", flag.get_id().as_str().to_uppercase());
            assert_eq!(flag.get_env().and_then(|name| name.to_str()), Some(expected.as_str()));
        }
    }
}
