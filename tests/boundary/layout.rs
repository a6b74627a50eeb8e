//! A plugin of the same API version whose types are laid out otherwise.

use std::{fs, path::Path, process::Command};

use millm_loader::State;
use millm_tests::{folders::workspace, outside};

use crate::{library::Library, scene::Scene};

/// Exports nothing, so that what differs is the API alone.
const PLUGIN: &str = "millm_plugin_api::export_plugin! { name: \"faulty\", architectures: [] }\n";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Builds a plugin against a copy of the plugin API in which two fields of the given file have changed places.
fn built_against(file: &str, fields: [&str; 2]) -> Library {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    copy(&workspace().join("plugin-api/src"), &at("plugin-api/src"));
    fs::copy(workspace().join("plugin-api/build.rs"), at("plugin-api/build.rs")).unwrap();
    let source = fs::read_to_string(at("plugin-api/src").join(file)).unwrap();
    let [first, second] = fields;
    let swapped = source.replacen(first, "\0", 1).replacen(second, first, 1).replacen('\0', second, 1);
    assert!(fields.iter().all(|field| source.contains(field)), "{file} has these fields");
    fs::write(at("plugin-api/src").join(file), swapped).unwrap();
    let toml = fs::read_to_string(workspace().join("plugin-api/Cargo.toml")).unwrap();
    fs::write(at("plugin-api/Cargo.toml"), toml).unwrap();
    // The versions, and whatever else is inherited, are the workspace's.
    let toml = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let (before, rest) = toml.split_once("members = [").unwrap();
    let (_, after) = rest.split_once(']').unwrap();
    let toml = format!("{before}members = [\"plugin-api\", \"plugin\"]{after}");
    fs::write(at("Cargo.toml"), toml).unwrap();
    fs::copy(workspace().join("Cargo.lock"), at("Cargo.lock")).unwrap();
    fs::create_dir_all(at("plugin/src")).unwrap();
    fs::write(at("plugin/src/lib.rs"), PLUGIN).unwrap();
    let manifest = "[package]\nname = \"changed-layout\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
                    [lib]\ncrate-type = [\"cdylib\"]\n[dependencies]\nmillm-plugin-api.workspace = true\n";
    fs::write(at("plugin/Cargo.toml"), manifest).unwrap();
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--package", "changed-layout"]).current_dir(folder.path());
    outside::configure(&mut command, env!("CARGO_TARGET_TMPDIR"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = fs::read(at("target/release/libchanged_layout.so")).unwrap();
    Library { name: "faulty".into(), bytes }
}

#[test]
fn a_plugin_built_from_modified_sources_of_the_api_is_refused() {
    let changed = built_against("abi/types.rs", ["pages_total: u32", "pages_free: u32"]);
    Scene::of(&[&changed]).assert_refused(State::Rejected, &["the layout of its types differs", "modified sources"]);
    // The control: built from the same sources in the same way, it is a plugin.
    let same = built_against("abi/types.rs", ["pages_total: u32", "pages_total: u32"]);
    assert_eq!(Scene::of(&[&same]).status().state, State::Enabled);
}
