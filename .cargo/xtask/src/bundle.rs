//! What users run: the binary, the plugins and the demo model side by side.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use millm_loader::{hashes, manifest::Manifest};

use crate::cargo::{self, Folders};

/// Builds the binary and its plugins; the folder they are in.
pub(crate) fn build() -> Result<PathBuf> {
    let folders = Folders::find()?;
    let release = folders.target.join("release");
    let mut plugins = plugins_in(&folders.workspace.join("plugins"))?;
    plugins.extend(plugins_in(&folders.workspace.join("sae-formats"))?);
    let packages: Vec<String> = plugins.iter().map(|(name, _)| format!("millm-{name}")).collect();
    let mut arguments = vec!["build", "--release", "--package", "millm-server"];
    packages.iter().for_each(|package| arguments.extend(["--package", package]));
    cargo::run(&arguments)?;
    install(&plugins, &release, &release.join("plugins"))?;
    copy(&folders.workspace.join("examples/demo/model"), &release.join("demo"))?;
    Ok(release)
}

/// Builds the plugins that only tests load, into `fixtures/plugins` beside the binary.
pub(crate) fn fixtures(release: &Path) -> Result<()> {
    let folders = Folders::find()?;
    let fixtures = plugins_in(&folders.workspace.join("tests/fixtures"))?;
    let packages: Vec<String> = fixtures.iter().map(|(name, _)| format!("millm-fixture-{name}")).collect();
    let mut arguments = vec!["build", "--release"];
    packages.iter().for_each(|package| arguments.extend(["--package", package]));
    cargo::run(&arguments)?;
    install(&fixtures, release, &release.join("fixtures/plugins"))
}

/// The sub-folders of `folder` that are plugins, by their manifest's name.
fn plugins_in(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut plugins = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.join("plugin.toml").exists() {
            plugins.push((Manifest::read(&path)?.name, path));
        }
    }
    plugins.sort();
    Ok(plugins)
}

/// Puts each plugin's manifest and library into a folder of its own, and the list of their hashes beside them.
fn install(plugins: &[(String, PathBuf)], libraries: &Path, into: &Path) -> Result<()> {
    // From scratch, so that a plugin that was renamed or removed is not found any more.
    if into.exists() {
        fs::remove_dir_all(into)?;
    }
    make_folder(into)?;
    let mut sums = String::new();
    for (name, source) in plugins {
        let entry = Manifest::read(source)?.entry;
        let folder = into.join(name);
        make_folder(&folder)?;
        let library = libraries.join(&entry);
        let bytes = fs::read(&library).with_context(|| format!("cannot read {}", library.display()))?;
        write(&folder.join("plugin.toml"), &fs::read(source.join("plugin.toml"))?)?;
        write(&folder.join(&entry), &bytes)?;
        sums += &format!("{}  {name}/{entry}\n", hashes::sha256(&bytes));
    }
    write(&into.join(hashes::FILE_NAME), sums.as_bytes())
}

/// Makes a folder that only we can change, whatever the umask allows: plugins that others could change are refused.
fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path)?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o755))?)
}

/// Writes a file that only we can change.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes)?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o644))?)
}

/// Copies a folder with everything in it, in place of what was there.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
