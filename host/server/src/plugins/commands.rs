//! `millm plugins`: looking at plugins, and trusting them, without running any.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, bail, ensure};
use millm_loader::{Check, Inspection, Origin, Outcome, PluginFolder, inspect};
use millm_store::{Actor, Location, Store};
use tokio::runtime::Builder;
use tracing::level_filters::LevelFilter;

use super::{
    Trusted, folders,
    verdict::{failures, trusting},
};
use crate::{
    cli::{PluginsAction, PluginsCommand},
    logging,
    settings::{Options, Settings},
};

/// Runs `millm plugins …`.
///
/// # Errors
///
/// Whatever keeps it from doing so; for `inspect`, that the plugin would not run.
pub(crate) fn run(command: PluginsCommand) -> anyhow::Result<()> {
    let PluginsCommand { action, config, plugin_dir, data_dir, database_url } = command;
    let options = Options { plugin_dir, data_dir, database_url, ..Options::default() };
    let settings = Settings::resolve(config, options)?;
    logging::init(settings.log_format, LevelFilter::WARN);
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        let trusted = Trusted::of(&settings.database).await?;
        match action {
            PluginsAction::List { json } => list(&settings, &trusted, json),
            PluginsAction::Inspect { folder, json } => show(&look(&settings, &folder, &trusted)?.0, json),
            PluginsAction::Trust { folder } => trust(&settings, &folder, &trusted).await,
            PluginsAction::Distrust { name } => distrust(&settings, &name).await,
        }
    })
}

fn list(settings: &Settings, trusted: &Trusted, json: bool) -> anyhow::Result<()> {
    let mut found: Vec<Inspection> = Vec::new();
    for folder in folders::of(settings)? {
        let inspections = folder.inspections(trusted);
        found.extend(inspections.with_context(|| format!("cannot list {}", folder.path.display()))?);
    }
    if json {
        return print(&(serde_json::to_string_pretty(&found)? + "\n"));
    }
    let mut text = String::new();
    for inspection in &found {
        let name = inspection.manifest.as_ref().map_or("?", |manifest| &manifest.name);
        let version = inspection.manifest.as_ref().map_or("?", |manifest| &manifest.version);
        let state = if inspection.passed() {
            "can run".to_owned()
        } else if inspection.only_untrusted() {
            "untrusted".to_owned()
        } else {
            format!("refused: {}", failures(inspection))
        };
        text += &format!("{name:16} {version:10} {}\n{:16} {state}\n", inspection.folder.display(), "");
    }
    print(&text)
}

fn show(inspection: &Inspection, json: bool) -> anyhow::Result<()> {
    if json {
        print(&(serde_json::to_string_pretty(inspection)? + "\n"))?;
    } else {
        print(&describe(inspection))?;
    }
    ensure!(inspection.passed(), "this plugin would not run");
    Ok(())
}

/// Makes every check of the plugin in `folder`, as the host would make them there.
fn look(settings: &Settings, folder: &Path, trusted: &Trusted) -> anyhow::Result<(Inspection, Origin)> {
    let real = folder.canonicalize().with_context(|| format!("cannot look into {}", folder.display()))?;
    let searched = |known: &PluginFolder| known.path.canonicalize().is_ok_and(|path| Some(&*path) == real.parent());
    let known = folders::of(settings)?.into_iter().find(searched);
    Ok(match known {
        Some(known) => (known.inspect(&real, trusted), known.origin),
        None => (inspect(&real, trusted), Origin::Given),
    })
}

async fn trust(settings: &Settings, folder: &Path, trusted: &Trusted) -> anyhow::Result<()> {
    let (inspection, origin) = look(settings, folder, trusted)?;
    let new = match trusting(&inspection, origin) {
        Ok(new) => new,
        Err(why) => {
            print(&describe(&inspection))?;
            bail!("it would be refused even if it were trusted: {why}");
        }
    };
    fs::create_dir_all(&settings.data_dir)
        .with_context(|| format!("cannot make the data folder {}", settings.data_dir.display()))?;
    let store = Store::open_shared(&settings.database).await?;
    let actor = actor();
    let mut change = store.change(&actor).await?;
    change.trust(&new).await?;
    change.commit().await?;
    trusted.read(&store).await?;
    store.close().await;
    let reload = format!("POST /api/plugins/{}/reload", new.name);
    let now = describe(&look(settings, folder, trusted)?.0);
    print(&format!("{now}trusted: it runs with all rights of millm from the next start, or after {reload}\n"))
}

async fn distrust(settings: &Settings, name: &str) -> anyhow::Result<()> {
    let none = || format!("no library of a plugin {name:?} was trusted; those that came with millm need not be");
    ensure!(!matches!(&settings.database, Location::Sqlite(path) if !path.exists()), none());
    let store = Store::open_shared(&settings.database).await?;
    let actor = actor();
    let mut change = store.change(&actor).await?;
    let mut text = String::new();
    for library in store.trusted().await?.into_iter().filter(|library| library.name == name) {
        change.distrust(&library.sha256).await?;
        text += &format!("sha256   {}\npath     {}\n", library.sha256, library.path);
    }
    ensure!(!text.is_empty(), none());
    change.commit().await?;
    store.close().await;
    let disable = format!("POST /api/plugins/{name}/disable");
    print(&format!(
        "{text}no longer trusted: a running host uses what it has opened until it ends, or until {disable}\n"
    ))
}

fn actor() -> Actor {
    Actor { name: "command line".into(), request_id: None }
}

fn describe(inspection: &Inspection) -> String {
    let mut text = format!("folder   {}\n", inspection.folder.display());
    if let Some(manifest) = &inspection.manifest {
        text += &format!("name     {}\nversion  {}\n", manifest.name, manifest.version);
        if !manifest.description.is_empty() {
            text += &format!("about    {}\n", manifest.description);
        }
    }
    if let Some(sha256) = &inspection.sha256 {
        text += &format!("sha256   {sha256}\n");
    }
    if let Some(note) = &inspection.note {
        text += &format!("built    for plugin API {} by {} for {}\n", note.api, note.rustc, note.target);
    }
    for (check, outcome) in &inspection.checks {
        let check = question(*check);
        text += &match outcome {
            Outcome::Passed => format!("  ok       {check}\n"),
            Outcome::Skipped => format!("  skipped  {check}\n"),
            Outcome::Failed(why) => format!("  FAILED   {check}: {why}\n"),
        };
    }
    text
}

/// What a check finds out.
fn question(check: Check) -> &'static str {
    match check {
        Check::Folder => "the folder is where it seems to be",
        Check::Manifest => "plugin.toml can be read",
        Check::File => "the library is a file of this folder",
        Check::Ownership => "nobody else can change its files",
        Check::Trust => "its SHA-256 is trusted",
        Check::Library => "it is a plugin for this machine",
        Check::ApiVersion => "it speaks this plugin API",
        Check::Agreement => "plugin.toml and library agree",
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    // Whoever stopped reading has seen enough.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(())
}
