//! The life of the process, from the command line to the last request.

use std::{
    env,
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use anyhow::{Context, ensure};
use clap::Parser;
use millm_engine::{EngineConfig, Threads};
use millm_loader::Registry;
use millm_plugin_api::{Host, LoadOptions};
use tokio::runtime::{Builder, Runtime};
use tracing::level_filters::LevelFilter;

use crate::{
    api::Budget,
    cli::{Cli, Command, Serve},
    http::{self, App},
    logging,
    models::{self, Loading, Models},
    services::PluginServices,
    settings::Settings,
    shutdown::{self, Ending},
    verify,
};

/// Requests that wait at once, per model. One call may bring as many prompts as half of this.
const MAX_WAITING: usize = 4096;

/// Runs the command line of this process.
///
/// # Errors
///
/// Whatever keeps the host from doing it, with its causes: a setting, a plugin, a model, the address.
pub fn run() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Serve(arguments) => serve_models(arguments),
        Command::Verify(arguments) => verify::run(arguments),
    }
}

fn serve_models(arguments: Serve) -> anyhow::Result<()> {
    let settings = Settings::resolve(arguments)?;
    logging::init(settings.log_format, LevelFilter::INFO);
    if let Some(file) = &settings.file {
        tracing::info!(file = %file.display(), "settings read");
    }
    // First, because a taken port should not cost the minutes that a model takes to load.
    let listener = TcpListener::bind(settings.addresses.as_slice())
        .with_context(|| format!("cannot listen on {}", join(&settings.addresses)))?;
    let (models, engine_threads) = load(&settings)?;
    let models = Arc::new(models);
    let runtime = runtime()?;
    let ending = runtime.block_on(serve(listener, &settings, models))?;
    // Connections of clients that do not read would keep it alive.
    runtime.shutdown_background();
    ensure!(ending == Ending::Orderly, "stopped with requests running");
    for thread in engine_threads {
        // A panic in there was logged, and there is nothing left to save.
        let _ = thread.join();
    }
    tracing::info!("stopped");
    Ok(())
}

fn load(settings: &Settings) -> anyhow::Result<(Models, Vec<JoinHandle<()>>)> {
    let located = match settings.models.as_slice() {
        [] => vec![models::locate(&models::demo(&program_folder()?)?.to_string_lossy())?],
        asked => asked.iter().map(|model| models::locate(model)).collect::<Result<_, _>>()?,
    };
    let threads = Threads::new(settings.threads).context("cannot start threads")?;
    let registry = plugins(settings, &threads)?;
    let config =
        EngineConfig { max_sequences: settings.max_sequences, max_waiting: MAX_WAITING, ..EngineConfig::default() };
    let loading = Loading {
        registry: &registry,
        threads: &threads,
        options: LoadOptions { kv_bytes: settings.kv_bytes },
        config,
        data_dir: &settings.data_dir,
    };
    Models::load(located, &loading)
}

fn program_folder() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("cannot find the folder of this program")?;
    Ok(program.parent().unwrap_or(Path::new("/")).to_owned())
}

/// Opens the plugins that the settings name and those beside this program.
pub(crate) fn plugins(settings: &Settings, threads: &Threads) -> anyhow::Result<Registry> {
    let services = |name: &str| Host::new(PluginServices::new(name, threads.clone()));
    Ok(Registry::open(&plugin_folders(settings, &program_folder()?), services)?)
}

/// Where plugins are looked for, the user's own first. Only the folders they name must exist.
fn plugin_folders(settings: &Settings, program_folder: &Path) -> Vec<PathBuf> {
    let found = [settings.data_dir.join("plugins"), program_folder.join("plugins")];
    settings.plugin_dirs.iter().cloned().chain(found.into_iter().filter(|folder| folder.is_dir())).collect()
}

/// Connections need little: the computing happens on the engines' threads.
fn runtime() -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    // Blocking threads tokenize prompts, which takes memory in proportion to the prompt.
    builder.worker_threads(2).max_blocking_threads(16).thread_name("http").enable_all();
    builder.build().context("cannot start the threads that serve connections")
}

async fn serve(listener: TcpListener, settings: &Settings, models: Arc<Models>) -> anyhow::Result<Ending> {
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let ids = models.ids();
    let ready = || {
        // Nobody may be reading, which is no reason not to serve.
        let _ = writeln!(io::stdout(), "millm is ready at http://{address}/v1 (models: {ids})");
    };
    let captures = Budget::new(settings.capture_bytes);
    let router = http::router(App { models: Arc::clone(&models), captures, api_key: settings.api_key.clone() });
    Ok(shutdown::serve(listener, router, models, settings.shutdown_grace, ready).await?)
}

fn join(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}
