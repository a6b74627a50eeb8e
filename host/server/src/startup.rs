//! The life of the process, from the command line to the last request.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
};

use anyhow::{Context, ensure};
use clap::Parser;
use millm_engine::{EngineConfig, Threads};
use millm_plugin_api::LoadOptions;
use tokio::runtime::{Builder, Runtime};
use tracing::level_filters::LevelFilter;

use crate::{
    api::Budget,
    app::App,
    cli::{Cli, Command, Serve},
    logging,
    models::{self, Loading, Models},
    plugins, routes,
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
    let Serve { config, options } = arguments;
    let settings = Settings::resolve(config, options)?;
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
        [] => vec![models::locate(&models::demo(&plugins::program_folder()?)?.to_string_lossy())?],
        asked => asked.iter().map(|model| models::locate(model)).collect::<Result<_, _>>()?,
    };
    let threads = Threads::new(settings.threads).context("cannot start threads")?;
    let registry = plugins::open(settings, &threads)?;
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
    let router = routes::router(App { models: Arc::clone(&models), captures, api_key: settings.api_key.clone() });
    Ok(shutdown::serve(listener, router, models, settings.shutdown_grace, ready).await?)
}

fn join(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}
