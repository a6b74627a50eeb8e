//! Which models the host loads when it starts.

use std::{path::Path, time::Duration};

use anyhow::anyhow;

use crate::{
    error::ApiError,
    models::{self, Loads, Located, Models},
    operations::Status,
    plugins::program_folder,
};

/// The id of the model that comes with the program.
const DEMO: &str = "demo";
/// No load takes longer; who wants it to end earlier stops the host.
const FOREVER: Duration = Duration::from_secs(1 << 30);

/// Loads the models that the settings name, and those that were loaded when the host last ran. Where that would be none,
/// it takes the demo, unless somebody has put that aside.
///
/// # Errors
///
/// If one cannot be loaded that the settings name, or the demo. What was loaded before and cannot be now is only logged:
/// the host is needed to mend it. A load that a client cancels is meant to end without a model.
pub(crate) async fn load(models: &Models, named: Vec<Located>) -> anyhow::Result<()> {
    if named.is_empty() && needs_demo(models) {
        let demo = models::locate(&models::demo(&program_folder()?)?.to_string_lossy())?;
        let id = models.name(demo).map_err(told)?;
        load_one(models, &id, true).await.map_err(told)?;
    }
    for located in named {
        let id = models.name(located).map_err(told)?;
        load_one(models, &id, true).await.map_err(told)?;
    }
    for id in models.wanted() {
        match load_one(models, &id, false).await {
            Ok(()) => {}
            Err(error) => tracing::error!(model = id, "a model that was loaded before is not: {}", error.message),
        }
    }
    Ok(())
}

/// Whether nothing was loaded and nothing was decided about the demo; or it was loaded, and its folder has gone with the
/// build that it came with.
fn needs_demo(models: &Models) -> bool {
    match models.view(DEMO) {
        Ok(demo) => demo.load_at_start && !Path::new(&demo.local_path).exists(),
        Err(_) => models.wanted().is_empty(),
    }
}

async fn load_one(models: &Models, id: &str, force: bool) -> Result<(), ApiError> {
    if models.get(id).is_ok() {
        return Ok(());
    }
    let operation = models.load(id, Loads { force, remember: None }).await?;
    let ended = models.operations().wait(&operation.id, FOREVER).await?;
    match ended.status {
        Status::Succeeded => Ok(()),
        Status::Cancelled => {
            tracing::warn!(model = id, "the model is not loaded: somebody cancelled that");
            Ok(())
        }
        _ => Err(models.get(id).err().unwrap_or_else(ApiError::internal)),
    }
}

fn told(error: ApiError) -> anyhow::Error {
    anyhow!(error.message)
}
