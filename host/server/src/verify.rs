//! `millm verify`: a model against a golden file, without serving it.

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, ensure};
use millm_engine::{Threads, read_alone};
use millm_plugin_api::{Host, LoadOptions};
use tokio::runtime::Builder;
use tracing::level_filters::LevelFilter;

use crate::{
    certificate::{Golden, Reading, Status, examine, table},
    cli::Verify,
    logging, models,
    plugins::{self, Trusted},
    services::PluginServices,
    settings::{Options, Settings},
};

/// Prints how the model agrees with the golden file.
///
/// # Errors
///
/// Whatever keeps the two from being compared; and that they differ.
pub(crate) fn run(arguments: Verify) -> anyhow::Result<()> {
    let Verify { model, golden, json, config, plugin_dir, data_dir, database_url, threads } = arguments;
    let options = Options { plugin_dir, data_dir, database_url, threads, ..Options::default() };
    let settings = Settings::resolve(config, options)?;
    // What counts is on stdout.
    logging::init(settings.log_format, LevelFilter::WARN);
    let folder = models::locate(&model)?.folder;
    let path = golden.unwrap_or_else(|| folder.join(models::GOLDEN));
    let threads = Threads::new(settings.threads).context("cannot start threads")?;
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let trusted = Arc::new(runtime.block_on(Trusted::of(&settings.database))?);
    let registry = plugins::open(&settings, &threads, trusted, Vec::new())?;
    let services = |name: &str| Host::new(PluginServices::new(name, threads.clone()));
    let (model, _) = registry.load_model(&folder, &LoadOptions { kv_bytes: settings.kv_bytes }, services)?;
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
