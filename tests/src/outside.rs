//! Cargo outside of this workspace, as an author of plugins has it, but offline.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

/// Lets `command` find the cargo that runs this test, with its rustc beside it. What it compiles is kept beside the workspace's
/// own; `tmpdir` is the `CARGO_TARGET_TMPDIR` of the test.
///
/// # Panics
///
/// If `PATH` is none.
pub fn configure(command: &mut Command, tmpdir: &str) {
    let cargo = env::var_os("CARGO").map(PathBuf::from).unwrap_or_default();
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = cargo.parent().map(Path::to_owned).into_iter().chain(env::split_paths(&path));
    let path: OsString = env::join_paths(folders).expect("it was a list of folders");
    command.env("PATH", path).env("CARGO_NET_OFFLINE", "true").env_remove("CARGO_TARGET_DIR");
    // Not among the workspace's: cargo takes `plugin-api` there for the same package, compiles it anew, and with it everything
    // the next time that the workspace is built.
    command.env("CARGO_BUILD_BUILD_DIR", Path::new(tmpdir).with_file_name("outside"));
}
