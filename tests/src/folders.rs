//! Where the binary, its plugins and the demo model are.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// What `cargo xtask build` made: the binary with `plugins` and `demo` beside it.
///
/// # Panics
///
/// If it was not made.
pub fn bundle() -> PathBuf {
    // Set by `cargo xtask test`, which knows where builds end up.
    let folder = env::var_os("MILLM_BUNDLE").map_or_else(|| workspace().join("target/release"), PathBuf::from);
    let complete = folder.join("millm").exists() && folder.join("plugins").exists();
    assert!(complete, "{} is not complete; `cargo xtask build` makes it", folder.display());
    folder
}

/// The plugins that only tests load.
///
/// # Panics
///
/// If they were not made.
pub fn fixtures() -> PathBuf {
    let folder = bundle().join("fixtures/plugins");
    assert!(folder.exists(), "{} is not there; run the tests by `cargo xtask test`", folder.display());
    folder
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/")).to_owned()
}

/// The demo model's folder in the repository.
pub fn demo_model() -> PathBuf {
    workspace().join("examples/demo/model")
}

/// Copies the files (not the folders) of `from` into the new folder `to`.
///
/// # Panics
///
/// If the system does not let it.
pub fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
    let entries = fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_file()) {
        let target = to.join(path.file_name().unwrap_or_default());
        fs::copy(&path, target).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}
