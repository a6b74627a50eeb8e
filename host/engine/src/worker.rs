//! The engine thread.
//!
//! Every step gives each running choice part of a token budget: those that decode one row, those that prefill a chunk of
//! what is left. Nothing else distinguishes prefill, decode and resumption: a choice has `computed` positions and works
//! toward having computed all its tokens; when it has, it draws one more.
//!
//! * `admission`: who comes in, and who leaves before the end
//! * `queue`: who waits, and whose turn it is
//! * `choice`: one sequence that grows, and where its text goes
//! * `prefixes`: what was computed and is kept for those who begin alike
//! * `plan`: who gets how many rows of the next step, and whose pages are taken back for it; `pace` says how many there
//!   are, `share` how prompts share them
//! * `step`: running a plan, and what follows from its logits
//! * `batch`: the rows of a step
//! * `visitor`: what happens at hook points meanwhile
//! * `alone`: a prompt that is read without an engine

mod admission;
mod alone;
mod batch;
mod choice;
mod pace;
mod plan;
mod prefixes;
mod queue;
mod share;
mod step;
mod visitor;

use std::{
    sync::{Arc, atomic::Ordering, mpsc as commands},
    time::{Duration, Instant},
};

use millm_plugin_api::{HookSet, PageUsage, loaded::LoadedModel};
use millm_text::Tokenizer;
use tokio::sync::mpsc;

pub use self::alone::read_alone;
pub(crate) use self::choice::events_per_step;
use self::{choice::Choice, pace::Pace, prefixes::Prefixes, queue::Queue, share::Share};
use crate::{
    config::EngineConfig, error::RequestError, event::Event, request::Request, requests::Ticket, shared::Shared,
    stats::Counters,
};

/// What the handle sends to the thread.
pub(crate) enum Command {
    Submit(Box<Submission>),
    ForgetPrefixes,
    Shutdown { grace: Duration },
}

/// A request and where its events go.
pub(crate) struct Submission {
    pub(crate) request: Request,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) ticket: Ticket,
}

/// How often readers that stall are looked at when nothing else is to do.
const STALL_POLL: Duration = Duration::from_millis(5);

/// What a longer grace period is cut to, since a point in time cannot be arbitrarily late.
const LONGEST_GRACE: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Everything the engine thread owns.
pub(crate) struct Worker {
    model: LoadedModel,
    tokenizer: Tokenizer,
    config: EngineConfig,
    commands: commands::Receiver<Command>,
    shared: Arc<Shared>,
    queue: Queue,
    /// In the order of admission: of two that want the same page, the first gets it.
    running: Vec<Choice>,
    prefixes: Prefixes,
    pace: Pace,
    share: Share,
    page_tokens: usize,
    /// Set once the engine is to end.
    deadline: Option<Instant>,
    /// Whether every handle is gone.
    orphaned: bool,
    // Buffers that live from step to step.
    wanted: HookSet,
    logits: Vec<f32>,
}

impl Worker {
    pub(crate) fn new(
        model: LoadedModel,
        pages: PageUsage,
        tokenizer: Tokenizer,
        config: EngineConfig,
        commands: commands::Receiver<Command>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            pace: Pace::new(config.step_target, config.step_tokens),
            share: Share::default(),
            prefixes: Prefixes::new(pages),
            page_tokens: pages.page_tokens.max(1) as usize,
            model,
            tokenizer,
            config,
            commands,
            shared,
            queue: Queue::default(),
            running: Vec::new(),
            deadline: None,
            orphaned: false,
            wanted: HookSet::new(),
            logits: Vec::new(),
        }
    }

    /// Runs until shut down, or until every handle is gone and all work is done.
    pub(crate) fn run(mut self) {
        while self.receive() {
            self.end_unwanted();
            self.admit();
            self.end_stalled();
            let plan = self.plan();
            if !plan.is_empty() {
                self.step(&plan);
            }
            self.tell();
        }
        self.stop();
    }

    fn n_ctx_short(&self) -> Option<usize> {
        self.model.spec().n_ctx_short.map(|short| short as usize)
    }

    /// Takes in what has come, and waits if there is nothing to compute. Says whether to go on.
    fn receive(&mut self) -> bool {
        // Of the whole wait: however often somebody asks for something, readers that stall are looked at.
        let look = Instant::now() + STALL_POLL;
        loop {
            let idle = self.running.is_empty() && self.queue.is_empty();
            if self.deadline.is_some_and(|deadline| idle || Instant::now() >= deadline) || (idle && self.orphaned) {
                return false;
            }
            let runnable = self.running.iter().any(Choice::can_emit) || self.next_client().is_some();
            let received = if runnable || self.orphaned {
                if !runnable {
                    std::thread::sleep(STALL_POLL);
                }
                self.commands.try_recv().map_err(|error| error == commands::TryRecvError::Disconnected)
            } else if idle {
                self.commands.recv().map_err(|_| true)
            } else {
                let left = look.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return true;
                }
                self.commands.recv_timeout(left).map_err(|error| error == commands::RecvTimeoutError::Disconnected)
            };
            match received {
                Ok(Command::Submit(submission)) if self.deadline.is_none() => self.queue.push(submission),
                Ok(Command::Submit(submission)) => self.turn_away(&submission, RequestError::Stopped),
                Ok(Command::ForgetPrefixes) => {
                    self.prefixes.clear();
                    self.tell();
                }
                Ok(Command::Shutdown { grace }) => self.deadline = Some(Instant::now() + grace.min(LONGEST_GRACE)),
                Err(disconnected) => {
                    self.orphaned |= disconnected;
                    return true;
                }
            }
        }
    }

    /// Lets go of a choice that has come to its end, and keeps what it has computed.
    fn retire(&mut self, choice: Choice) {
        if self.config.cache_prompts {
            let n_ctx_short = self.n_ctx_short();
            choice.leave(&mut self.prefixes, n_ctx_short);
        }
    }

    /// Tells others how everything is going.
    fn tell(&mut self) {
        self.queue.note_running(self.running.iter().map(|choice| &*choice.request().client));
        let counters = &self.shared.counters;
        counters.kept_positions.store(self.prefixes.positions() as u64, Ordering::Relaxed);
        if let Ok(usage) = self.model.pages() {
            counters.pages_free.store(usage.pages_free.into(), Ordering::Relaxed);
        }
        // The choices of a request stand together.
        for choices in self.running.chunk_by(|one, other| one.request_id() == other.request_id()) {
            let computed = choices.iter().map(|choice| choice.computed).sum();
            let pages = choices.iter().map(|choice| choice.computed.div_ceil(self.page_tokens)).sum();
            choices[0].ticket().note(computed, pages, choices[0].cached());
        }
    }

    fn note_step(&self, rows: usize, took: Duration, editing: Duration) {
        let counters = &self.shared.counters;
        Counters::add(&counters.steps, 1);
        Counters::add(&counters.rows, rows as u64);
        Counters::add(&counters.forward_ns, took.as_nanos() as u64);
        Counters::add(&counters.interventions_ns, editing.as_nanos() as u64);
    }

    fn note_preemption(&self) {
        tracing::debug!("a sequence's KV pages were taken back");
        Counters::add(&self.shared.counters.preemptions, 1);
    }

    /// Ends what is left, and what has come in meanwhile.
    fn stop(mut self) {
        while !self.running.is_empty() {
            self.fail(0, RequestError::Stopped);
        }
        let late = self.commands.try_iter().filter_map(|command| match command {
            Command::Submit(submission) => Some(*submission),
            Command::ForgetPrefixes | Command::Shutdown { .. } => None,
        });
        for submission in self.queue.drain().into_iter().chain(late) {
            self.turn_away(&submission, RequestError::Stopped);
        }
    }

    /// Ends a whole request, all its choices.
    fn fail(&mut self, index: usize, error: RequestError) {
        let failed = self.running[index].request_id();
        self.running[index].send(Event::Failed(error));
        self.running.retain(|choice| choice.request_id() != failed);
    }
}
