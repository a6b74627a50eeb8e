//! The commands of this repository. `cargo xtask` lists them.
//!
//! Cargo builds no plugin for a binary that opens it at run time, so `build` builds both and puts the plugins, with the
//! list of their hashes, where the binary looks for them.

mod bundle;
mod cargo;
mod postgres;

use std::{
    env,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask build            builds millm with its plugins and the demo model into target/release
cargo xtask serve [OPTIONS]  builds, then runs `millm serve` with the options
cargo xtask test [FILTER]    checks formatting and lints, builds, and runs every test";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut arguments = env::args().skip(1);
    match arguments.next().as_deref() {
        Some("build") => bundle::build().map(|folder| println!("{}", folder.join("millm").display())),
        Some("serve") => {
            let millm = bundle::build()?.join("millm");
            // Replaces this process, so that signals reach the server.
            bail!("cannot run {}: {}", millm.display(), Command::new(&millm).arg("serve").args(arguments).exec())
        }
        Some("test") => test(&arguments.collect::<Vec<_>>()),
        _ => bail!("unknown command\n\n{USAGE}"),
    }
}

fn test(filter: &[String]) -> Result<()> {
    // First, because where there is none, nobody should have to wait for a build to be told.
    let postgres = postgres::Server::start()?;
    cargo::run(&["fmt", "--all", "--check"])?;
    cargo::run(&["clippy", "--release", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    let folder = bundle::build()?;
    bundle::fixtures(&folder)?;
    let mut arguments = vec!["test", "--release", "--workspace"];
    arguments.extend(filter.iter().map(String::as_str));
    let url = postgres.url();
    cargo::run_with(&arguments, &[("MILLM_BUNDLE", folder.as_os_str()), ("MILLM_TEST_POSTGRES", url.as_ref())])
}
