//! The `millm` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    match millm_server::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
