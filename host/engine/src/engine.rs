//! The handle to a running engine.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering, mpsc as commands},
    thread::{self, JoinHandle},
    time::Duration,
};

use millm_plugin_api::{ModelSpec, PageUsage, PluginError, loaded::LoadedModel};
use millm_text::Tokenizer;
use tokio::sync::mpsc;

use crate::{
    captures,
    config::EngineConfig,
    error::SubmitError,
    event::Event,
    request::Request,
    requests::RequestStatus,
    shared::Shared,
    stats::EngineStats,
    worker::{Command, Submission, Worker, events_per_step},
};

/// Events that a request may be ahead of its reader.
const CHANNEL_CAPACITY: usize = 64;

/// A model's engine: hands requests to its thread. Cheap to clone; the thread ends with [`shutdown`](Self::shutdown),
/// or when the last handle is gone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    /// Gone with the last handle, which is how the thread learns of that.
    commands: commands::Sender<Command>,
    spec: ModelSpec,
    max_waiting: usize,
    /// The longest sequence that fits both the model's context and its KV memory.
    n_ctx: usize,
    /// As they were at the start.
    pages: PageUsage,
    shared: Arc<Shared>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("n_ctx", &self.inner.n_ctx).finish_non_exhaustive()
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
        let (commands, receiver) = commands::channel();
        let shared = Arc::new(Shared::default());
        shared.counters.pages_free.store(pages.pages_free.into(), Ordering::Relaxed);
        let max_waiting = config.max_waiting;
        let worker = Worker::new(model, pages, tokenizer, config, receiver, Arc::clone(&shared));
        let name = format!("engine {}", spec.model_type);
        let handle = thread::Builder::new().name(name).spawn(move || worker.run()).map_err(|error| {
            PluginError::new(millm_plugin_api::ErrorKind::IO, "the engine thread cannot be started").caused_by(&error)
        })?;
        Ok((Self { inner: Arc::new(Inner { commands, spec, max_waiting, n_ctx, pages, shared }) }, handle))
    }

    /// Facts about the model.
    pub fn spec(&self) -> &ModelSpec {
        &self.inner.spec
    }

    /// The longest sequence, prompt and completion together, that a request may ask for.
    pub fn n_ctx(&self) -> usize {
        self.inner.n_ctx
    }

    /// Takes a request on. Returns at once; nothing here waits for a step. Dropping the receiver cancels the request
    /// within one step.
    ///
    /// # Errors
    ///
    /// See [`SubmitError`].
    pub fn submit(&self, request: Request) -> Result<mpsc::Receiver<Event>, SubmitError> {
        let Inner { n_ctx, spec, shared, max_waiting, .. } = &*self.inner;
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
        let waiting = shared.waiting.fetch_add(1, Ordering::Relaxed);
        if waiting >= *max_waiting {
            shared.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(SubmitError::QueueFull { waiting });
        }
        let (events, receiver) = mpsc::channel(CHANNEL_CAPACITY + 2 * events_per_step(request.choices));
        let ticket = shared.requests.enter(&request);
        let submission = Box::new(Submission { request, events, ticket });
        self.inner.commands.send(Command::Submit(submission)).map_err(|_| SubmitError::Stopped)?;
        Ok(receiver)
    }

    /// Ends the engine thread: running requests get until `grace` to finish, those left over are told
    /// [`RequestError::Stopped`](crate::RequestError::Stopped). New ones are refused from now on.
    pub fn shutdown(&self, grace: Duration) {
        // A thread that is gone already needs no telling.
        let _ = self.inner.commands.send(Command::Shutdown { grace });
    }

    /// Everyone who waits or runs, in the order of arrival. As of the last step.
    pub fn requests(&self) -> Vec<RequestStatus> {
        self.inner.shared.requests.list()
    }

    /// Ends the requests called `id` with [`RequestError::Cancelled`](crate::RequestError::Cancelled), within one step.
    /// Says how many they are.
    pub fn cancel(&self, id: &str) -> usize {
        self.inner.shared.requests.cancel(id)
    }

    /// What it has done so far.
    pub fn stats(&self) -> EngineStats {
        self.inner.shared.counters.read()
    }

    /// How its KV memory is used, as of the last step: by those who run, and by what is kept for requests that begin
    /// alike, which is free to whoever needs it and does not count as free here.
    pub fn pages(&self) -> PageUsage {
        let free = self.inner.shared.counters.pages_free.load(Ordering::Relaxed);
        PageUsage { pages_free: free as u32, ..self.inner.pages }
    }

    /// Gives up what is kept for requests that begin alike.
    pub fn forget_prefixes(&self) {
        let _ = self.inner.commands.send(Command::ForgetPrefixes);
    }
}
