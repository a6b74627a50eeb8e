//! What unit tests need of a host.

use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};

use millm_engine::{EngineConfig, Threads};
use millm_loader::{Registry, RegistryOptions, Trust};
use millm_plugin_api::LoadOptions;
use millm_store::{Location, Store};

use crate::{
    api::Budget,
    app::App,
    http::{ApiKey, RequestTimeout},
    live::Live,
    models::{KvLimits, Limits, Loading, Models},
    operations::Operations,
    plugins::{Plugins, Trusted},
    readiness::Readiness,
    saes::Saes,
};

/// A host without plugins and models whose data folder is `folder`.
pub(crate) async fn app(folder: &Path, api_key: Option<&str>) -> App {
    let store = Store::open(&Location::Sqlite(folder.join("millm.db"))).await.unwrap();
    let api_key: Option<ApiKey> = api_key.map(|key| key.parse().unwrap());
    let live = Live::new(api_key.clone());
    let operations = Operations::open(store.clone(), live.clone()).await.unwrap();
    let trusted = Arc::new(Trusted::default());
    let options = RegistryOptions {
        folders: Vec::new(),
        copies: folder.join("state/plugins"),
        trust: Arc::clone(&trusted) as Arc<dyn Trust>,
        disabled: HashSet::new(),
        host: Arc::new(|_| unreachable!("there are no plugins")),
    };
    let registry = Arc::new(Registry::open(options).unwrap());
    let plugins = Plugins::new(Arc::clone(&registry), trusted, store.clone(), live.clone());
    let loading = Loading {
        registry,
        threads: Threads::new(1).unwrap(),
        options: LoadOptions { kv_bytes: 1 << 20 },
        config: EngineConfig::default(),
        data_dir: folder.to_owned(),
    };
    let limits =
        Limits { kv: KvLimits { bytes: 1 << 20, sequences: 1 }, memory: None, grace: Duration::ZERO, auto_load: true };
    let saes = Saes::open(store.clone(), Arc::clone(&loading.registry), loading.threads.clone()).await.unwrap();
    let models = Models::open(store.clone(), operations.clone(), live.clone(), saes.clone(), loading, limits).await;
    let models = models.unwrap();
    App {
        store,
        models,
        saes,
        plugins,
        operations,
        live,
        captures: Budget::new(1 << 20),
        api_key,
        request_timeout: RequestTimeout(None),
        readiness: Readiness::begin(),
    }
}
