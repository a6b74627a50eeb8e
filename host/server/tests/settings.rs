//! Where settings come from, seen from outside: environment variables belong to a process.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    fs,
    process::{Command, Output},
};

/// Runs `millm serve`, which ends at once: the model does not exist.
fn serve(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("millm.toml"), file).unwrap();
    Command::new(env!("CARGO_BIN_EXE_millm"))
        .args(["serve", "--port", "0", "--model", "/nonexistent"])
        .args(flags)
        .env_clear()
        .env("MILLM_DATA_DIR", folder.path())
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    text.lines().find(|line| line.starts_with("error: ")).unwrap().to_owned()
}

const OPEN: &str = "host 0.0.0.0 can be reached";
const LOOPBACK: &str = "model \"/nonexistent\" is neither";

#[test]
fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    for (file, environment, flags, expected) in [
        ("", &[][..], &[][..], LOOPBACK),
        ("host = '0.0.0.0'", &[], &[], OPEN),
        ("host = '0.0.0.0'", &[("MILLM_HOST", "127.0.0.1")], &[], LOOPBACK),
        ("host = '127.0.0.1'", &[("MILLM_HOST", "0.0.0.0")], &[], OPEN),
        ("host = '0.0.0.0'", &[("MILLM_HOST", "0.0.0.0")], &["--host", "127.0.0.1"], LOOPBACK),
        ("host = '127.0.0.1'", &[("MILLM_HOST", "127.0.0.1")], &["--host", "0.0.0.0"], OPEN),
    ] {
        let error = error(&serve(file, environment, flags));
        assert!(error.contains(expected), "{file} {environment:?} {flags:?}: {error}");
    }
}

#[test]
fn a_failed_start_is_one_line() {
    let output = serve("prot = 1", &[], &[]);
    assert!(error(&output).contains("millm.toml:1: unknown field `prot`"));
    assert_eq!(output.stderr.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert!(output.stdout.is_empty());
}
