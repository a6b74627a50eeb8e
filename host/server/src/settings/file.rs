//! `millm.toml`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};

use super::Options;

const FILE_NAME: &str = "millm.toml";

/// The settings file: `asked`, else the one in `data_dir`, else the one in the current folder. `None` if there is none.
pub(super) fn find(asked: Option<PathBuf>, data_dir: &Path) -> anyhow::Result<Option<(PathBuf, Options)>> {
    let candidates = match asked {
        Some(path) => {
            // Without this, a misspelt path would silently mean defaults.
            let options = read(&path)?.with_context(|| format!("{} does not exist", path.display()))?;
            return Ok(Some((path, options)));
        }
        None => [data_dir.join(FILE_NAME), PathBuf::from(FILE_NAME)],
    };
    for path in candidates {
        if let Some(options) = read(&path)? {
            return Ok(Some((path, options)));
        }
    }
    Ok(None)
}

fn read(path: &Path) -> anyhow::Result<Option<Options>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let options: Options = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        anyhow!("{}:{line}: {}", path.display(), error.message().replace('\n', ", "))
    })?;
    Ok(Some(relative_to(options, path.parent().unwrap_or(Path::new("")))))
}

/// Reads paths as seen from the file, so that it means the same wherever the command is run.
fn relative_to(options: Options, folder: &Path) -> Options {
    let model = |model: String| match folder.join(&model) {
        path if path.is_dir() => path.to_string_lossy().into_owned(),
        _ => model,
    };
    Options {
        data_dir: options.data_dir.map(|path| folder.join(path)),
        plugin_dir: options.plugin_dir.iter().map(|path| folder.join(path)).collect(),
        model: options.model.into_iter().map(model).collect(),
        ..options
    }
}
