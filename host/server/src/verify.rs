//! `millm verify`: a model against a golden file, without serving it.

use std::{
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, ensure};
use millm_engine::read_alone;

use crate::{
    certificate::{Golden, Reading, Status, examine, table},
    cli::Verify,
    models,
    settings::Options,
    workbench::Workbench,
};

/// Prints how the model agrees with the golden file.
///
/// # Errors
///
/// Whatever keeps the two from being compared; and that they differ.
pub(crate) fn run(arguments: Verify) -> anyhow::Result<()> {
    let Verify { model, golden, json, config, plugin_dir, data_dir, database_url, threads } = arguments;
    let options = Options { plugin_dir, data_dir, database_url, threads, ..Options::default() };
    let folder = models::locate(&model)?.folder;
    let path = golden.unwrap_or_else(|| folder.join(models::GOLDEN));
    let workbench = Workbench::open(config, options)?;
    let model = workbench.load(&folder)?;
    let golden =
        Golden::read(&path, model.spec()).with_context(|| format!("cannot compare with {}", path.display()))?;
    let read = |reading: &Reading| read_alone(&model, &reading.tokens, &reading.captures);
    let certificate = examine(&golden, model.spec(), read).context("the model failed")?;
    let text = if json { serde_json::to_string_pretty(&certificate)? + "\n" } else { table(&certificate) };
    // Whoever stopped reading has seen enough.
    let _ = io::stdout().write_all(text.as_bytes());
    ensure!(certificate.status != Status::Failed, "the model and {} differ", file_name(&path));
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
