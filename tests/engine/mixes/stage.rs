use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    path::Path,
    thread,
    time::Duration,
};

use millm_engine::{Engine, EngineConfig, EngineStats, Request, Threads, sae::Attached};
use millm_llama::Llama;
use millm_plugin_api::{
    LoadOptions, ModelFiles, ModelSpec,
    loaded::{LoadedArchitecture, LoadedModel},
    sae::Activation,
};
use millm_tests::{folders::demo_model, host::host};
use millm_text::{Grammar, ModelText, Tokenizer};

use super::{
    Setup,
    asked::{self, Asked, Wish},
};
use crate::{news::News, saes};

/// Weights of each dtype, a window, and two contexts.
pub(crate) const MODELS: [&str; 4] = ["mistral-window", "linear-rope-bf16", "f16", "phi3-longrope"];

/// Sizes of the KV memory, in pages. The least holds hardly more than one sequence.
pub(crate) const PAGES: [u64; 4] = [4, 6, 10, 40];

/// Pages of the engine that a request has for itself.
const PLENTY: u64 = 64;

/// Models to play mixes on, and what requests get alone.
pub(crate) struct Stage {
    tokenizer: Tokenizer,
    grammars: Vec<Grammar>,
    models: RefCell<HashMap<(usize, u64), LoadedModel>>,
    /// Of each model: the same for all, so that they may share what it has changed.
    saes: RefCell<HashMap<usize, Attached>>,
    alone: RefCell<HashMap<(usize, Wish), News>>,
    seen: Cell<EngineStats>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let ModelText { tokenizer, grammars, .. } = ModelText::load(&demo_model()).unwrap();
        let grammars = asked::grammars(&grammars);
        let (models, saes, alone) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { tokenizer, grammars, models, saes, alone, seen: Cell::default() }
    }

    /// What has happened in all mixes.
    pub(crate) fn seen(&self) -> EngineStats {
        self.seen.get()
    }

    fn model(&self, index: usize, pages: u64) -> LoadedModel {
        let load = || {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/llama").join(MODELS[index]);
            let architecture = LoadedArchitecture::in_process(Llama).unwrap();
            let load = |kv_bytes| {
                let host = host(&Threads::new(1).unwrap());
                architecture.load(&ModelFiles { folder: folder.clone() }, &LoadOptions { kv_bytes }, host).unwrap()
            };
            let spec = load(0).spec().clone();
            let per_token = 2 * u64::from(spec.n_layers * spec.n_key_value_heads * spec.d_head) * 4;
            load(pages * 16 * per_token)
        };
        self.models.borrow_mut().entry((index, pages)).or_insert_with(load).clone()
    }

    /// A wish as the engine takes it. Features of every other model's SAE compete.
    fn request(&self, model: usize, spec: &ModelSpec, wish: &Wish) -> Request {
        let activation = if model.is_multiple_of(2) { Activation::Relu } else { Activation::TopK { k: 6, relu: true } };
        let open = || saes::attached(spec.d_model, saes::spec(activation), 0);
        let sae = self.saes.borrow_mut().entry(model).or_insert_with(open).clone();
        wish.request(spec, &self.grammars, &sae)
    }

    /// What a request gets that has an engine for itself, which remembers nothing and computes prompts in one piece.
    fn alone(&self, model: usize, wish: &Wish) -> News {
        let key = (model, wish.clone());
        if let Some(news) = self.alone.borrow().get(&key) {
            return news.clone();
        }
        let loaded = self.model(model, PLENTY);
        let config = EngineConfig { cache_prompts: false, ..EngineConfig::default() };
        let (engine, thread) = Engine::start(loaded.clone(), self.tokenizer.clone(), config).unwrap();
        let news = News::read(engine.submit(self.request(model, loaded.spec(), wish)).unwrap(), None);
        drop(engine);
        thread.join().unwrap();
        self.alone.borrow_mut().insert(key, news.clone());
        news
    }

    /// Runs a mix, and holds what each request got against what it gets alone.
    pub(crate) fn play(&self, setup: &Setup, asked: &[Asked]) {
        let model = self.model(setup.model, setup.pages);
        let config = EngineConfig {
            step_tokens: setup.step_tokens,
            max_sequences: setup.max_sequences,
            cache_prompts: setup.cache_prompts,
            ..EngineConfig::default()
        };
        let (engine, thread) = Engine::start(model.clone(), self.tokenizer.clone(), config).unwrap();
        let submit = |asked: &Asked| {
            thread::sleep(asked.delay);
            let client = format!("client {}", asked.client).into();
            let request = Request {
                client,
                cache_prompt: asked.cache_prompt,
                ..self.request(setup.model, model.spec(), &asked.wish)
            };
            let (fits, leaves) = (request.prompt.len() + request.max_tokens <= engine.n_ctx(), asked.leaves);
            match engine.submit(request) {
                Ok(events) => Some(thread::spawn(move || News::read(events, leaves))),
                Err(error) => {
                    assert!(!fits, "{error}");
                    None
                }
            }
        };
        let readers: Vec<_> = asked.iter().map(submit).collect();
        for (asked, reader) in asked.iter().zip(readers) {
            let Some(found) = reader.map(|reader| reader.join().unwrap()) else { continue };
            let alone = self.alone(setup.model, &asked.wish);
            match asked.leaves {
                None => assert_eq!(found, alone, "{asked:?}"),
                Some(_) => assert!(found.begins(&alone), "{asked:?}: {found:?} is no beginning of {alone:?}"),
            }
        }
        let seen = self.seen.get();
        let stats = engine.stats();
        self.seen.set(EngineStats {
            steps: seen.steps + stats.steps,
            cached_tokens: seen.cached_tokens + stats.cached_tokens,
            preemptions: seen.preemptions + stats.preemptions,
            ..seen
        });
        engine.shutdown(Duration::from_secs(20));
        thread.join().unwrap();
        let pages = model.pages().unwrap();
        assert_eq!(pages.pages_free, pages.pages_total, "pages are lost");
    }
}
