//! Commands besides `serve`.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Output},
};

use crate::folders::bundle;

/// Runs `millm plugins` with further arguments, for the host of a data folder.
///
/// # Panics
///
/// If it does not run.
pub fn plugins<A: AsRef<OsStr>>(data: &Path, arguments: &[A]) -> Output {
    let mut command = Command::new(bundle().join("millm"));
    command.arg("plugins").args(arguments).arg("--data-dir").arg(data).env_remove("DATABASE_URL");
    command.output().expect("millm runs")
}

/// `command` with another program, and further arguments before its own.
pub fn with_program(command: &Command, program: impl AsRef<OsStr>, arguments: &[&OsStr]) -> Command {
    let mut other = Command::new(program);
    other.args(arguments).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        other.current_dir(folder);
    }
    other
}

/// Allows the plugin in `folder` to run, for the host of a data folder.
///
/// # Panics
///
/// If it is refused.
pub fn trust(data: &Path, folder: &Path) {
    let output = plugins(data, &[OsStr::new("trust"), folder.as_os_str()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
