//! The requests of an engine, as others see them while they wait and run.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::request::Request;

/// How a request is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestStatus {
    /// [`Request::id`]. Several requests may have the same.
    pub id: Arc<str>,
    /// [`Request::client`].
    pub client: Arc<str>,
    /// Whether it has been taken into the batch.
    pub running: bool,
    /// Since it was submitted.
    pub age: Duration,
    /// Length of the prompt.
    pub prompt_tokens: u64,
    /// Positions of the prompt that were not computed, since a cached prefix had them.
    pub cached_tokens: u64,
    /// Positions that its sequences have computed or taken from the cache, over all choices.
    pub computed_tokens: u64,
    /// Tokens drawn, over all choices.
    pub completion_tokens: u64,
    /// Completions asked for.
    pub choices: u32,
    /// KV pages that its sequences hold; those that they share count for each.
    pub pages: u64,
}

/// Everyone who waits or runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    /// By number of arrival.
    entries: BTreeMap<u64, Arc<Entry>>,
    arrivals: u64,
}

/// What changes while a request is here.
#[derive(Debug)]
struct Entry {
    id: Arc<str>,
    client: Arc<str>,
    submitted: Instant,
    prompt_tokens: u64,
    choices: u32,
    running: AtomicBool,
    cancelled: AtomicBool,
    cached_tokens: AtomicU64,
    computed_tokens: AtomicU64,
    completion_tokens: AtomicU64,
    pages: AtomicU64,
}

/// A request's place among them. It leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    requests: Requests,
    number: u64,
    entry: Arc<Entry>,
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while it is held.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request that is about to wait.
    pub(crate) fn enter(&self, request: &Request) -> Ticket {
        let entry = Arc::new(Entry {
            id: Arc::clone(&request.id),
            client: Arc::clone(&request.client),
            submitted: Instant::now(),
            prompt_tokens: request.prompt.len() as u64,
            choices: request.choices,
            running: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            cached_tokens: AtomicU64::new(0),
            computed_tokens: AtomicU64::new(0),
            completion_tokens: AtomicU64::new(0),
            pages: AtomicU64::new(0),
        });
        let mut table = self.lock();
        let number = table.arrivals;
        table.arrivals += 1;
        table.entries.insert(number, Arc::clone(&entry));
        drop(table);
        Ticket { requests: self.clone(), number, entry }
    }

    /// In the order of arrival.
    pub(crate) fn list(&self) -> Vec<RequestStatus> {
        let entries: Vec<_> = self.lock().entries.values().cloned().collect();
        entries.iter().map(|entry| entry.status()).collect()
    }

    /// Marks those called `id`, and says how many they are.
    pub(crate) fn cancel(&self, id: &str) -> usize {
        let table = self.lock();
        let found = table.entries.values().filter(|entry| &*entry.id == id);
        found.map(|entry| entry.cancelled.store(true, Ordering::Relaxed)).count()
    }
}

impl Entry {
    fn status(&self) -> RequestStatus {
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        RequestStatus {
            id: Arc::clone(&self.id),
            client: Arc::clone(&self.client),
            running: self.running.load(Ordering::Relaxed),
            age: self.submitted.elapsed(),
            prompt_tokens: self.prompt_tokens,
            cached_tokens: of(&self.cached_tokens),
            computed_tokens: of(&self.computed_tokens),
            completion_tokens: of(&self.completion_tokens),
            choices: self.choices,
            pages: of(&self.pages),
        }
    }
}

impl Ticket {
    /// Notes that it was taken into the batch.
    pub(crate) fn run(&self) {
        self.entry.running.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has cancelled it by its id.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.entry.cancelled.load(Ordering::Relaxed)
    }

    /// When it was submitted.
    pub(crate) fn submitted(&self) -> Instant {
        self.entry.submitted
    }

    /// Notes what its choices have computed and hold, and what they did not have to compute.
    pub(crate) fn note(&self, computed: usize, pages: usize, cached: usize) {
        self.entry.computed_tokens.store(computed as u64, Ordering::Relaxed);
        self.entry.pages.store(pages as u64, Ordering::Relaxed);
        self.entry.cached_tokens.store(cached as u64, Ordering::Relaxed);
    }

    /// Counts a token that one of its choices has drawn.
    pub(crate) fn note_drawn(&self) {
        self.entry.completion_tokens.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.requests.lock().entries.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_listed_until_its_ticket_is_gone() {
        let requests = Requests::default();
        let enter = |id: &str| requests.enter(&Request { id: id.into(), prompt: vec![1, 2], ..Request::default() });
        let (first, second) = (enter("a"), enter("b"));
        first.run();
        let listed: Vec<_> =
            requests.list().into_iter().map(|status| (status.id.to_string(), status.running)).collect();
        assert_eq!(listed, [("a".to_owned(), true), ("b".to_owned(), false)]);
        assert_eq!(requests.list()[0].prompt_tokens, 2);
        drop(first);
        assert_eq!(requests.list().len(), 1);
        assert_eq!((requests.cancel("a"), requests.cancel("b"), second.is_cancelled()), (0, 1, true));
    }

    #[test]
    fn requests_of_one_id_are_cancelled_together() {
        let requests = Requests::default();
        let tickets = [0, 1, 2].map(|_| requests.enter(&Request { id: "a".into(), ..Request::default() }));
        assert_eq!(requests.cancel("a"), 3);
        assert!(tickets.iter().all(Ticket::is_cancelled));
    }
}
