//! The engine thread.
//!
//! Every step gives each running choice part of a token budget: those that decode one row, those that prefill a chunk of
//! what is left. Nothing else distinguishes prefill, decode and resumption: a choice has `computed` positions and works
//! toward having computed all its tokens; when it has, it draws one more.
//!
//! * `choice`: one sequence that grows, and where its text goes
//! * `plan`: who gets how many rows of the next step, and whose pages are taken back for it
//! * `step`: running a plan, and what follows from its logits
//! * `batch`: the rows of a step
//! * `visitor`: what happens at hook points meanwhile
//! * `alone`: a prompt that is read without an engine

mod alone;
mod batch;
mod choice;
mod plan;
mod step;
mod visitor;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc as commands,
    },
    time::{Duration, Instant},
};

use millm_plugin_api::{HookSet, loaded::LoadedModel};
use millm_text::Tokenizer;
use tokio::sync::mpsc;

pub use self::alone::read_alone;
use self::choice::Choice;
pub(crate) use self::choice::events_per_step;
use crate::{
    config::EngineConfig,
    error::RequestError,
    event::{Event, FinishReason},
    request::Request,
};

/// What the handle sends to the thread.
pub(crate) enum Command {
    Submit(Box<Submission>),
    Shutdown { grace: Duration },
}

/// A request and where its events go.
pub(crate) struct Submission {
    pub(crate) request: Request,
    pub(crate) events: mpsc::Sender<Event>,
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
    /// Length of `queue` and of what is under way to it, for the handle to refuse more.
    waiting: Arc<AtomicUsize>,
    queue: VecDeque<Box<Submission>>,
    /// In the order of admission: of two that want the same page, the first gets it.
    running: Vec<Choice>,
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
        tokenizer: Tokenizer,
        config: EngineConfig,
        commands: commands::Receiver<Command>,
        waiting: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            model,
            tokenizer,
            config,
            commands,
            waiting,
            queue: VecDeque::new(),
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
            self.drop_cancelled();
            self.admit();
            self.end_stalled();
            let plan = self.plan();
            if !plan.is_empty() {
                self.step(&plan);
            }
        }
        self.stop();
    }

    /// Takes in what has come, and waits if there is nothing to compute. Says whether to go on.
    fn receive(&mut self) -> bool {
        loop {
            let idle = self.running.is_empty() && self.queue.is_empty();
            if self.deadline.is_some_and(|deadline| idle || Instant::now() >= deadline) || (idle && self.orphaned) {
                return false;
            }
            let runnable = self.running.iter().any(Choice::can_emit) || self.admits_next();
            let received = if runnable || self.orphaned {
                if !runnable {
                    std::thread::sleep(STALL_POLL);
                }
                self.commands.try_recv().map_err(|error| error == commands::TryRecvError::Disconnected)
            } else if idle {
                self.commands.recv().map_err(|_| true)
            } else {
                let timeout = self.commands.recv_timeout(STALL_POLL);
                timeout.map_err(|error| error == commands::RecvTimeoutError::Disconnected)
            };
            match received {
                Ok(Command::Submit(submission)) if self.deadline.is_none() => self.queue.push_back(submission),
                Ok(Command::Submit(submission)) => {
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    let _ = submission.events.try_send(Event::Failed(RequestError::Stopped));
                }
                Ok(Command::Shutdown { grace }) => self.deadline = Some(Instant::now() + grace.min(LONGEST_GRACE)),
                Err(disconnected) => {
                    self.orphaned |= disconnected;
                    return true;
                }
            }
        }
    }

    /// Forgets requests whose reader is gone; their pages are free for this step already.
    fn drop_cancelled(&mut self) {
        self.running.retain(|choice| !choice.is_cancelled());
        let before = self.queue.len();
        self.queue.retain(|submission| !submission.events.is_closed());
        self.waiting.fetch_sub(before - self.queue.len(), Ordering::Relaxed);
    }

    /// Whether there is a next request and room for all its choices, which run together since they fork from one
    /// prompt. One that is wider than the limit runs alone.
    fn admits_next(&self) -> bool {
        self.queue.front().is_some_and(|next| {
            let width = self.running.iter().map(Choice::width).sum::<usize>() + next.request.choices as usize;
            width <= self.config.max_sequences || self.running.is_empty()
        })
    }

    fn admit(&mut self) {
        while self.admits_next() {
            let Some(submission) = self.queue.pop_front() else { break };
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            if submission.request.max_tokens == 0 && !submission.request.reads() {
                for choice in 0..submission.request.choices {
                    let reason = FinishReason::Length;
                    let _ = submission.events.try_send(Event::Finished { choice, reason, completion_tokens: 0 });
                }
                continue;
            }
            self.running.push(Choice::first(*submission, &self.tokenizer));
        }
    }

    fn end_stalled(&mut self) {
        let limit = self.config.stall_limit;
        while let Some(index) = self.running.iter_mut().position(|choice| choice.stalled_for() >= limit) {
            self.fail(index, RequestError::Stalled { seconds: limit.as_secs() });
        }
    }

    /// Ends what is left, and what has come in meanwhile.
    fn stop(mut self) {
        while !self.running.is_empty() {
            self.fail(0, RequestError::Stopped);
        }
        let late = self.commands.try_iter().filter_map(|command| match command {
            Command::Submit(submission) => Some(submission),
            Command::Shutdown { .. } => None,
        });
        for submission in self.queue.into_iter().chain(late) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            let _ = submission.events.try_send(Event::Failed(RequestError::Stopped));
        }
    }

    /// Ends a whole request, all its choices.
    fn fail(&mut self, index: usize, error: RequestError) {
        let failed = self.running[index].request_id();
        self.running[index].send(Event::Failed(error));
        self.running.retain(|choice| choice.request_id() != failed);
    }
}
