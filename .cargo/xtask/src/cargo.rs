//! Running cargo, and asking it where things are.

use std::{
    env,
    ffi::OsStr,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// Runs cargo with its output going where ours goes.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    run_with(arguments, &[])
}

/// [`run`] with environment variables.
pub(crate) fn run_with(arguments: &[&str], variables: &[(&str, &OsStr)]) -> Result<()> {
    let status = command(arguments).envs(variables.iter().copied()).status().context("cannot run cargo")?;
    ensure!(status.success(), "`cargo {}` failed", arguments.join(" "));
    Ok(())
}

/// The root of the workspace, and the folder that builds end up in.
pub(crate) struct Folders {
    pub(crate) workspace: PathBuf,
    pub(crate) target: PathBuf,
}

impl Folders {
    pub(crate) fn find() -> Result<Self> {
        let metadata =
            command(&["metadata", "--format-version", "1", "--no-deps"]).stderr(Stdio::inherit()).output()?;
        ensure!(metadata.status.success(), "`cargo metadata` failed");
        let metadata: Value = serde_json::from_slice(&metadata.stdout)?;
        let folder = |field: &str| metadata[field].as_str().map(PathBuf::from).context("cargo named no folder");
        Ok(Self { workspace: folder("workspace_root")?, target: folder("target_directory")? })
    }
}
