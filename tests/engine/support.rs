use std::{
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use millm_engine::{Captured, Engine, EngineConfig, Event, FinishReason, Request, RequestError, Sampling, Threads};
use millm_llama::Llama;
use millm_plugin_api::{
    LoadOptions, ModelFiles,
    loaded::{LoadedArchitecture, LoadedModel},
};
use millm_tests::{folders::demo_model, host::host};
use millm_text::ModelText;
use tokio::sync::mpsc::Receiver;

/// The demo model in an engine.
pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) model: LoadedModel,
    pub(crate) text: ModelText,
    thread: Option<JoinHandle<()>>,
}

/// What a choice came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) text: String,
    pub(crate) reason: FinishReason,
    pub(crate) tokens: usize,
}

impl Rig {
    /// With room for that many KV pages.
    pub(crate) fn new(pages: u64, config: EngineConfig) -> Self {
        let folder = demo_model();
        let architecture = LoadedArchitecture::in_process(Llama).unwrap();
        let load = |kv_bytes| {
            let host = host(&Threads::new(2).unwrap());
            architecture.load(&ModelFiles { folder: folder.clone() }, &LoadOptions { kv_bytes }, host).unwrap()
        };
        let spec = load(0).spec().clone();
        let per_token = 2 * u64::from(spec.n_layers * spec.n_key_value_heads * spec.d_head) * 4;
        let model = load(pages * 16 * per_token);
        assert_eq!(u64::from(model.pages().unwrap().pages_total), pages);
        let text = ModelText::load(&folder).unwrap();
        let (engine, thread) = Engine::start(model.clone(), text.tokenizer.clone(), config).unwrap();
        Self { engine, model, text, thread: Some(thread) }
    }

    /// A greedy request for a story.
    pub(crate) fn request(&self, prompt: &str, max_tokens: usize) -> Request {
        Request {
            prompt: self.text.tokenizer.encode(prompt, true).unwrap(),
            max_tokens,
            sampling: Sampling { temperature: 0.0, ..Sampling::default() },
            stop_token_ids: self.text.eos_token_ids.clone(),
            ..Request::default()
        }
    }

    /// [`request`](Self::request), sampled at temperature 1.
    pub(crate) fn sampled(&self, prompt: &str, max_tokens: usize, seed: u64) -> Request {
        Request { sampling: Sampling { seed, ..Sampling::default() }, ..self.request(prompt, max_tokens) }
    }

    /// Adds a vector that changes much.
    pub(crate) fn steer(&self, request: &mut Request, point: &str, strength: f32) {
        let spec = self.engine.spec();
        let vector: Vec<f32> = (0..spec.d_model).map(|i| (i as f32 * 1.7).sin()).collect();
        request.interventions.add_vector(spec, point, vector.into(), strength).unwrap();
    }

    pub(crate) fn run(&self, request: Request) -> Vec<Outcome> {
        collect(self.engine.submit(request).unwrap())
    }

    /// Pages that requests hold, and not those that are only kept for others.
    pub(crate) fn pages_in_use(&self) -> u32 {
        self.engine.forget_prefixes();
        let usage = self.model.pages().unwrap();
        usage.pages_total - usage.pages_free
    }
}

impl Rig {
    /// Waits for what the engine thread does in its own time.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(20), "{what} does not happen");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.engine.shutdown(Duration::ZERO);
        self.thread.take().map(JoinHandle::join);
    }
}

/// What a request captures, and what its choices come to.
pub(crate) fn read(mut events: Receiver<Event>) -> (Captured, Vec<Outcome>) {
    match events.blocking_recv() {
        Some(Event::Captured(captured)) => (captured, collect(events)),
        other => panic!("{other:?} instead of what is captured"),
    }
}

/// How a request fails that ought to.
pub(crate) fn failure(mut events: Receiver<Event>) -> RequestError {
    match std::iter::from_fn(|| events.blocking_recv()).last() {
        Some(Event::Failed(error)) => error,
        other => panic!("{other:?} instead of a failure"),
    }
}

/// Reads a request to its end.
pub(crate) fn collect(mut events: Receiver<Event>) -> Vec<Outcome> {
    let mut texts: Vec<String> = Vec::new();
    let mut outcomes: Vec<Option<Outcome>> = Vec::new();
    let mut captured = false;
    while let Some(event) = events.blocking_recv() {
        match event {
            Event::Text { choice, text, .. } => {
                texts.resize(texts.len().max(choice as usize + 1), String::new());
                texts[choice as usize] += &text;
            }
            Event::Finished { choice, reason, completion_tokens, .. } => {
                outcomes.resize(outcomes.len().max(choice as usize + 1), None);
                let text = texts.get(choice as usize).cloned().unwrap_or_default();
                outcomes[choice as usize] = Some(Outcome { text, reason, tokens: completion_tokens });
            }
            Event::Captured(_) => {
                assert!(!captured && texts.is_empty() && outcomes.is_empty(), "captures come once and first");
                captured = true;
            }
            Event::Steered { .. } => {}
            Event::Failed(error) => panic!("{error}"),
        }
    }
    outcomes.into_iter().map(|outcome| outcome.expect("every choice finishes")).collect()
}
