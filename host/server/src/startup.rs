//! The life of the process, from the command line to the last request.

use std::{
    fs,
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, anyhow, ensure};
use clap::Parser;
use millm_engine::{EngineConfig, Threads};
use millm_plugin_api::LoadOptions;
use millm_store::Store;
use tokio::{
    runtime::{Builder, Runtime},
    task::spawn_blocking,
};
use tracing::level_filters::LevelFilter;

use crate::{
    allocator,
    api::Budget,
    app::App,
    bench,
    cli::{Cli, Command, Serve},
    error::ApiError,
    http::{self, RequestTimeout},
    live::Live,
    logging,
    models::{self, KvLimits, Limits, Loading, Located, Models},
    openapi, opening,
    operations::Operations,
    plugins::{self, Plugins, Trusted},
    readiness::Readiness,
    routes,
    saes::Saes,
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
    allocator::share_heaps();
    match Cli::parse().command {
        Command::Serve(arguments) => serve_models(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Plugins(command) => plugins::run(command),
        Command::Openapi => openapi::print(),
    }
}

fn serve_models(arguments: Serve) -> anyhow::Result<()> {
    let Serve { config, options } = arguments;
    let settings = Settings::resolve(config, options)?;
    logging::init(settings.log_format, LevelFilter::INFO);
    http::allow_many();
    if let Some(file) = &settings.file {
        tracing::info!(file = %file.display(), "settings read");
    }
    // First, because a taken port should not cost the minutes that a model takes to load.
    let listener = TcpListener::bind(settings.addresses.as_slice())
        .with_context(|| format!("cannot listen on {}", join(&settings.addresses)))?;
    let named = named(&settings)?;
    let runtime = runtime()?;
    let ending = runtime.block_on(serve(listener, settings, named))?;
    // Connections of clients that do not read would keep it alive.
    runtime.shutdown_background();
    ensure!(ending == Ending::Orderly, "stopped with requests running");
    tracing::info!("stopped");
    Ok(())
}

/// The models that the settings name, each once.
fn named(settings: &Settings) -> anyhow::Result<Vec<Located>> {
    let located: Vec<Located> = settings.models.iter().map(|model| models::locate(model)).collect::<Result<_, _>>()?;
    for (index, Located { id, folder }) in located.iter().enumerate() {
        let same = located[..index].iter().find(|other| other.id == *id);
        let first = same.map_or(Path::new(""), |other| &other.folder);
        ensure!(same.is_none(), "two models are called {id:?}: {} and {}", first.display(), folder.display());
    }
    Ok(located)
}

/// Connections need little: the computing happens on the engines' threads.
fn runtime() -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    // Blocking threads tokenize prompts, which takes memory in proportion to the prompt.
    builder.worker_threads(2).max_blocking_threads(16).thread_name("http").enable_all();
    builder.build().context("cannot start the threads that serve connections")
}

async fn serve(listener: TcpListener, settings: Settings, named: Vec<Located>) -> anyhow::Result<Ending> {
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let grace = settings.shutdown_grace;
    let app = open(settings).await?;
    let (models, readiness) = (app.models.clone(), app.readiness.clone());
    let begin = async {
        opening::load(&models, named).await?;
        // First, because whoever reads the line may ask at once.
        readiness.set(true);
        // Nobody may be reading, which is no reason not to serve.
        let _ = writeln!(io::stdout(), "millm is ready at http://{address}/v1 (models: {})", models.loaded());
        Ok(())
    };
    let store = app.store.clone();
    let ending = shutdown::serve(listener, routes::router(app.clone()), &app, grace, begin).await?;
    store.close().await;
    Ok(ending)
}

/// Opens everything that the host remembers and needs. No model is loaded yet.
async fn open(settings: Settings) -> anyhow::Result<App> {
    let readiness = Readiness::begin();
    let data_dir = settings.data_dir.clone();
    fs::create_dir_all(&data_dir).with_context(|| format!("cannot make the data folder {}", data_dir.display()))?;
    let store = Store::open(&settings.database).await?;
    let live = Live::new(settings.api_key.clone());
    let operations = Operations::open(store.clone(), live.clone()).await?;
    let threads = Threads::new(settings.threads).context("cannot start threads")?;
    let limits = Limits {
        kv: KvLimits { bytes: settings.kv_bytes, sequences: settings.max_sequences },
        memory: settings.memory_limit,
        grace: settings.shutdown_grace,
        auto_load: settings.auto_load,
    };
    let config = EngineConfig {
        max_sequences: settings.max_sequences,
        max_waiting: MAX_WAITING,
        step_target: settings.step_target,
        cache_prompts: settings.cache_prompts,
        ..EngineConfig::default()
    };
    let request_timeout = RequestTimeout(settings.request_timeout);
    let options = LoadOptions { kv_bytes: settings.kv_bytes };
    let captures = Budget::new(settings.capture_bytes);
    let api_key = settings.api_key.clone();
    let trusted = Arc::new(Trusted::default());
    trusted.read(&store).await?;
    let disabled =
        store.plugins().await?.into_iter().filter(|plugin| !plugin.enabled).map(|plugin| plugin.name).collect();
    // Opening plugins reads files and runs their code.
    let registry = {
        let (threads, trusted) = (threads.clone(), Arc::clone(&trusted));
        spawn_blocking(move || plugins::open(&settings, &threads, trusted, disabled)).await??
    };
    let registry = Arc::new(registry);
    let plugins = Plugins::new(Arc::clone(&registry), trusted, store.clone(), live.clone());
    let said = |ApiError { message, .. }: ApiError| anyhow!(message);
    let saes = Saes::open(store.clone(), Arc::clone(&registry), threads.clone()).await.map_err(said)?;
    let loading = Loading { registry, threads, options, config, data_dir };
    let models = Models::open(store.clone(), operations.clone(), live.clone(), saes.clone(), loading, limits).await;
    let models = models.map_err(said)?;
    Ok(App { store, models, saes, plugins, operations, live, captures, api_key, request_timeout, readiness })
}

fn join(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}
