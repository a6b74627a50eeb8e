use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::Submission;

/// Clients that are remembered although nothing of theirs is here.
const MOST_ABSENT: usize = 1024;

/// Requests that wait, by client. The next one is of the client that was served least, counted in rows of the model (the
/// virtual token counter of Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024), so that many requests
/// of one client do not hold up one of another.
#[derive(Default)]
pub(super) struct Queue {
    clients: HashMap<Arc<str>, Client>,
    len: usize,
    arrivals: u64,
}

#[derive(Default)]
struct Client {
    /// Each with the number of its arrival.
    waiting: VecDeque<(u64, Box<Submission>)>,
    /// Rows computed for it, or as many as for the least served client when it came.
    served: u64,
    running: bool,
}

impl Client {
    fn is_here(&self) -> bool {
        self.running || !self.waiting.is_empty()
    }
}

impl Queue {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a request behind the others of its client.
    pub(super) fn push(&mut self, submission: Box<Submission>) {
        // Who was away has no claim to what it did not ask for then.
        let least = self.clients.values().filter(|client| client.is_here()).map(|client| client.served).min();
        let client = self.clients.entry(Arc::clone(&submission.request.client)).or_default();
        if !client.is_here() {
            client.served = client.served.max(least.unwrap_or(0));
        }
        client.waiting.push_back((self.arrivals, submission));
        self.arrivals += 1;
        self.len += 1;
    }

    /// The first request of each client that waits, that of the least served client first.
    pub(super) fn heads(&self) -> Vec<&Submission> {
        let head = |client: &'_ Client| client.waiting.front().map(|(arrival, _)| (client.served, *arrival));
        let mut heads: Vec<_> =
            self.clients.values().filter_map(|client| head(client).map(|order| (order, client))).collect();
        heads.sort_unstable_by_key(|(order, _)| *order);
        heads.into_iter().filter_map(|(_, client)| client.waiting.front().map(|(_, head)| &**head)).collect()
    }

    /// Takes the first request of `client`.
    pub(super) fn pop(&mut self, client: &str) -> Option<Box<Submission>> {
        let client = self.clients.get_mut(client)?;
        let (_, submission) = client.waiting.pop_front()?;
        client.running = true;
        self.len -= 1;
        Some(submission)
    }

    /// Takes out those for which `leaves` says so.
    pub(super) fn take_out(&mut self, mut leaves: impl FnMut(&Submission) -> bool) -> Vec<Submission> {
        let mut out = Vec::new();
        for client in self.clients.values_mut() {
            let (gone, stay): (Vec<_>, Vec<_>) = client.waiting.drain(..).partition(|(_, found)| leaves(found));
            client.waiting.extend(stay);
            out.extend(gone.into_iter().map(|(_, submission)| *submission));
        }
        self.len -= out.len();
        out
    }

    /// Everybody, in no order.
    pub(super) fn drain(&mut self) -> Vec<Submission> {
        self.take_out(|_| true)
    }

    /// Counts rows that were computed for `client`.
    pub(super) fn charge(&mut self, client: &str, rows: usize) {
        if let Some(client) = self.clients.get_mut(client) {
            client.served += rows as u64;
        }
    }

    /// Rows computed for `client`.
    pub(super) fn served(&self, client: &str) -> u64 {
        self.clients.get(client).map_or(0, |client| client.served)
    }

    /// Learns whose requests run. Forgets clients that are away once that makes no difference.
    pub(super) fn note_running<'a>(&mut self, running: impl Iterator<Item = &'a str>) {
        self.clients.values_mut().for_each(|client| client.running = false);
        for name in running {
            if let Some(client) = self.clients.get_mut(name) {
                client.running = true;
            }
        }
        let here = self.clients.values().filter(|client| client.is_here());
        let Some(least) = here.map(|client| client.served).min() else { return self.clients.clear() };
        self.clients.retain(|_, client| client.is_here() || client.served > least);
        if self.clients.len() > MOST_ABSENT {
            self.clients.retain(|_, client| client.is_here());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{request::Request, requests::Requests};

    fn push(queue: &mut Queue, client: &str, id: &str) {
        let request = Request { id: id.into(), client: client.into(), prompt: vec![0], ..Request::default() };
        let ticket = Requests::default().enter(&request);
        let (events, _) = tokio::sync::mpsc::channel(1);
        queue.push(Box::new(Submission { request, events, ticket }));
    }

    /// Takes the next request, which takes so many rows, and says which it was.
    fn serve(queue: &mut Queue, rows: usize) -> String {
        let client = Arc::clone(&queue.heads()[0].request.client);
        let submission = queue.pop(&client).unwrap();
        queue.charge(&client, rows);
        submission.request.id.to_string()
    }

    #[test]
    fn one_client_is_served_in_the_order_of_arrival() {
        let mut queue = Queue::default();
        ["1", "2", "3"].iter().for_each(|id| push(&mut queue, "a", id));
        assert_eq!([serve(&mut queue, 1), serve(&mut queue, 100), serve(&mut queue, 1)], ["1", "2", "3"]);
        assert!(queue.is_empty());
    }

    #[test]
    fn many_requests_of_one_client_do_not_hold_up_one_of_another() {
        let mut queue = Queue::default();
        (0..100).for_each(|id| push(&mut queue, "crowd", &id.to_string()));
        serve(&mut queue, 50);
        push(&mut queue, "one", "x");
        // It came late and counts as served like the other, so the one that came first is first once more.
        assert_eq!([serve(&mut queue, 50), serve(&mut queue, 50)], ["1", "x"]);
    }

    #[test]
    fn who_comes_back_has_no_claim_to_the_past_and_loses_no_debt() {
        let mut queue = Queue::default();
        push(&mut queue, "old", "1");
        push(&mut queue, "new", "2");
        serve(&mut queue, 1000);
        queue.note_running(["old"].into_iter());
        serve(&mut queue, 10);
        push(&mut queue, "new", "3");
        queue.note_running(["new"].into_iter());
        push(&mut queue, "old", "4");
        push(&mut queue, "third", "5");
        assert_eq!(queue.served("old"), 1000);
        assert_eq!(queue.served("third"), 10);
        assert_eq!([serve(&mut queue, 1), serve(&mut queue, 1), serve(&mut queue, 1)], ["3", "5", "4"]);
        queue.note_running([].into_iter());
        assert!(queue.clients.is_empty());
    }

    #[test]
    fn those_who_leave_are_taken_out() {
        let mut queue = Queue::default();
        ["1", "2", "3"].iter().for_each(|id| push(&mut queue, "a", id));
        assert_eq!(queue.take_out(|submission| &*submission.request.id == "2").len(), 1);
        assert_eq!([serve(&mut queue, 1), serve(&mut queue, 1)], ["1", "3"]);
        assert!(queue.is_empty() && queue.drain().is_empty());
    }
}
