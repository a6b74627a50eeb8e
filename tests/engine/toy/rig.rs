use std::{sync::Arc, thread::JoinHandle, time::Duration};

use millm_engine::{Engine, EngineConfig, Request, Sampling, hook_points::resolve};
use millm_plugin_api::{HookId, loaded::LoadedModel};
use millm_tests::folders::demo_model;
use millm_text::ModelText;

use super::{Nature, Probe, Toy, spec};

/// A toy in an engine.
pub(crate) struct ToyRig {
    pub(crate) engine: Engine,
    pub(crate) probe: Arc<Probe>,
    thread: Option<JoinHandle<()>>,
}

impl ToyRig {
    pub(crate) fn new(nature: Nature, step_tokens: usize) -> Self {
        let probe = Arc::new(Probe::default());
        let model = LoadedModel::in_process(Toy { spec: spec(&nature), nature, probe: Arc::clone(&probe) }).unwrap();
        let tokenizer = ModelText::load(&demo_model()).unwrap().tokenizer;
        let config = EngineConfig { step_tokens, ..EngineConfig::default() };
        let (engine, thread) = Engine::start(model, tokenizer, config).unwrap();
        Self { engine, probe, thread: Some(thread) }
    }

    /// A greedy request.
    pub(crate) fn request(prompt: &[u32], max_tokens: usize) -> Request {
        Request {
            prompt: prompt.to_vec(),
            max_tokens,
            sampling: Sampling { temperature: 0.0, ..Sampling::default() },
            ..Request::default()
        }
    }

    /// The points of these names.
    pub(crate) fn points(&self, names: &[&str]) -> Vec<HookId> {
        names.iter().flat_map(|name| resolve(self.engine.spec(), name).unwrap()).collect()
    }
}

impl Drop for ToyRig {
    fn drop(&mut self) {
        self.engine.shutdown(Duration::ZERO);
        self.thread.take().map(JoinHandle::join);
    }
}
