//! Hands the compiler's version and target to `note.rs`, which records them in every plugin.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc)
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=MILLM_RUSTC={}", version.trim());
    println!("cargo::rustc-env=MILLM_TARGET={}", env::var("TARGET").unwrap_or_else(|_| "unknown".into()));
}
