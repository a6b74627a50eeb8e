//! The handle to a running engine.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc as commands,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use millm_plugin_api::{ModelSpec, PluginError, loaded::LoadedModel};
use millm_text::Tokenizer;
use tokio::sync::mpsc;

use crate::{
    captures,
    config::EngineConfig,
    error::SubmitError,
    event::Event,
    request::Request,
    worker::{Command, Submission, Worker, events_per_step},
};

/// Events that a request may be ahead of its reader.
const CHANNEL_CAPACITY: usize = 64;

/// A model's engine: hands requests to its thread. Cheap to clone; the thread ends with [`shutdown`](Self::shutdown),
/// or when the last handle is gone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    commands: commands::Sender<Command>,
    spec: ModelSpec,
    waiting: Arc<AtomicUsize>,
    max_waiting: usize,
    /// The longest sequence that fits both the model's context and its KV memory.
    n_ctx: usize,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("n_ctx", &self.shared.n_ctx).finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the engine thread of `model`.
    ///
    /// # Errors
    ///
    /// If the model cannot say how much KV memory it has, or the thread cannot be started.
    pub fn start(
        model: LoadedModel,
        tokenizer: Tokenizer,
        config: EngineConfig,
    ) -> Result<(Self, JoinHandle<()>), PluginError> {
        let spec = model.spec().clone();
        let pages = model.pages()?;
        let n_ctx = (spec.n_ctx as usize).min(pages.pages_total as usize * pages.page_tokens as usize);
        let (sender, receiver) = commands::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let max_waiting = config.max_waiting;
        let worker = Worker::new(model, tokenizer, config, receiver, Arc::clone(&waiting));
        let name = format!("engine {}", spec.model_type);
        let handle = thread::Builder::new().name(name).spawn(move || worker.run()).map_err(|error| {
            PluginError::new(millm_plugin_api::ErrorKind::IO, "the engine thread cannot be started").caused_by(&error)
        })?;
        let shared = Shared { commands: sender, spec, waiting, max_waiting, n_ctx };
        Ok((Self { shared: Arc::new(shared) }, handle))
    }

    /// Facts about the model.
    pub fn spec(&self) -> &ModelSpec {
        &self.shared.spec
    }

    /// The longest sequence, prompt and completion together, that a request may ask for.
    pub fn n_ctx(&self) -> usize {
        self.shared.n_ctx
    }

    /// Takes a request on. Returns at once; nothing here waits for a step. Dropping the receiver cancels the request
    /// within one step.
    ///
    /// # Errors
    ///
    /// See [`SubmitError`].
    pub fn submit(&self, request: Request) -> Result<mpsc::Receiver<Event>, SubmitError> {
        let Shared { n_ctx, spec, .. } = &*self.shared;
        let (n_ctx, prompt_tokens, max_tokens) = (*n_ctx, request.prompt.len(), request.max_tokens);
        if prompt_tokens == 0 {
            return Err(SubmitError::EmptyPrompt);
        }
        if prompt_tokens.saturating_add(max_tokens) > n_ctx {
            return Err(SubmitError::ContextLength { n_ctx, prompt_tokens, max_tokens });
        }
        if let Some(token) = request.prompt.iter().copied().find(|token| *token >= spec.d_vocab) {
            return Err(SubmitError::InvalidToken { token, d_vocab: spec.d_vocab });
        }
        captures::check(&request, spec)?;
        let waiting = self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        if waiting >= self.shared.max_waiting {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(SubmitError::QueueFull { waiting });
        }
        let (events, receiver) = mpsc::channel(CHANNEL_CAPACITY + 2 * events_per_step(request.choices));
        let submission = Box::new(Submission { request, events });
        self.shared.commands.send(Command::Submit(submission)).map_err(|_| SubmitError::Stopped)?;
        Ok(receiver)
    }

    /// Ends the engine thread: running requests get until `grace` to finish, those left over are told
    /// [`RequestError::Stopped`](crate::RequestError::Stopped). New ones are refused from now on.
    pub fn shutdown(&self, grace: Duration) {
        // A thread that is gone already needs no telling.
        let _ = self.shared.commands.send(Command::Shutdown { grace });
    }
}
