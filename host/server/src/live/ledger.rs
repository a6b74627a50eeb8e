//! The latest states of one namespace, their numbers, and how far each connection has read.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    choice::Choice,
    event::{Event, Key, Next},
    kind::{Kind, status},
};

/// The states, numbered in the order in which connections see them. Time comes from outside, so that a test can choose it.
///
/// Every state that is published takes one number: when it is let out, or, if newer ones replace it before that, when the
/// last of those is.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The number given last.
    seq: u64,
    /// By the number of the state that was let out last.
    things: BTreeMap<u64, Thing>,
    /// Where in `things` a thing is.
    places: BTreeMap<Arc<Key>, u64>,
    /// The things with a state that waits, by when it is let out.
    waiting: BTreeSet<(Instant, Arc<Key>)>,
    /// Where in `things` those are that have ended, the oldest first.
    ended: VecDeque<u64>,
    /// Where in `things` those are that go as soon as every connection has read their last state.
    parting: BTreeSet<u64>,
    readers: HashMap<u64, Position>,
    last_reader: u64,
}

#[derive(Debug)]
struct Thing {
    key: Arc<Key>,
    kind: &'static Kind,
    /// Let out last.
    state: Arc<Value>,
    /// When that was.
    since: Instant,
    /// Comes next, but too soon.
    next: Option<Arc<Value>>,
    /// How many of its states have a number.
    states: u64,
    /// How many were replaced by `next`, which get theirs with it.
    replaced: u64,
    parting: bool,
}

/// How far a connection has read.
#[derive(Debug)]
struct Position {
    seq: u64,
    choice: Choice,
    /// By thing, how many of its states were behind its last one that was sent.
    seen: HashMap<Arc<Key>, u64>,
}

/// All states that a connection sees.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) seq: u64,
    /// In the order of ids.
    pub(super) states: Vec<(&'static Kind, Arc<Value>)>,
}

/// A state with the status of the one before it comes no sooner after that.
pub(super) const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// How many of what has ended are kept.
pub(super) const KEPT_ENDED: usize = 100;

impl Ledger {
    /// Takes a state of the thing `id`. Says whether that is news to connections that wait.
    pub(super) fn publish(&mut self, kind: &'static Kind, id: &str, state: Value, now: Instant) -> bool {
        let key = Arc::new(Key { event: kind.event, id: id.to_owned() });
        let Some(&place) = self.places.get(&key) else {
            if kind.is_removed(&state) {
                return false;
            }
            self.let_out(None, (key, kind), Arc::new(state), now);
            return true;
        };
        let Some(thing) = self.things.get_mut(&place) else {
            return false;
        };
        // Progress that another thread reports late must not bring back what is over.
        let over = kind.has_ended(&thing.state) || (kind.is_removed(&thing.state) && kind.is_removed(&state));
        if over {
            return false;
        }
        let due = thing.since + PROGRESS_INTERVAL;
        let too_soon = now < due && status(&thing.state) == status(&state);
        if thing.next.take().is_some() {
            thing.replaced += 1;
            if too_soon {
                thing.next = Some(Arc::new(state));
                return false;
            }
            self.waiting.remove(&(due, Arc::clone(&thing.key)));
        } else if too_soon {
            thing.next = Some(Arc::new(state));
            self.waiting.insert((due, Arc::clone(&thing.key)));
            return true;
        }
        self.let_out(Some(place), (key, kind), Arc::new(state), now);
        true
    }

    /// Adds a connection, which begins with a snapshot.
    pub(super) fn join(&mut self) -> u64 {
        self.last_reader += 1;
        let position = Position { seq: self.seq, choice: Choice::Everything, seen: HashMap::new() };
        self.readers.insert(self.last_reader, position);
        self.last_reader
    }

    pub(super) fn leave(&mut self, reader: u64) {
        self.readers.remove(&reader);
        self.forget();
    }

    /// How many connections there are.
    #[cfg(test)]
    pub(super) fn readers(&self) -> usize {
        self.readers.len()
    }

    /// Everything that `reader` sees from now on, and what it is now.
    pub(super) fn snapshot(&mut self, reader: u64, choice: Choice, now: Instant) -> Snapshot {
        self.let_out_due(now);
        let (mut seen, mut states) = (HashMap::new(), Vec::new());
        for (key, place) in &self.places {
            if let Some(thing) = self.things.get(place).filter(|thing| choice.admits(thing.kind, &key.id)) {
                seen.insert(Arc::clone(key), thing.states);
                if !thing.parting {
                    states.push((thing.kind, Arc::clone(&thing.state)));
                }
            }
        }
        let seq = self.seq;
        self.readers.insert(reader, Position { seq, choice, seen });
        self.forget();
        Snapshot { seq, states }
    }

    /// What `reader` is sent next. It stays that until it was [`sent`](Self::sent) or something newer replaces it.
    pub(super) fn next(&mut self, reader: u64, now: Instant) -> Next {
        self.let_out_due(now);
        let wait = Next::Wait(self.waiting.first().map(|(due, _)| *due));
        let Some(position) = self.readers.get_mut(&reader) else {
            return wait;
        };
        let newer = self.things.range((Bound::Excluded(position.seq), Bound::Unbounded));
        let mut admitted = newer.filter(|(_, thing)| position.choice.admits(thing.kind, &thing.key.id));
        if let Some((&seq, thing)) = admitted.next() {
            let seen = position.seen.get(&thing.key).copied().unwrap_or_default();
            let (kind, state, key) = (thing.kind, Arc::clone(&thing.state), Arc::clone(&thing.key));
            let coalesced = thing.states.saturating_sub(seen + 1);
            return Next::Send(Event { kind, state, seq, coalesced, key, states: thing.states });
        }
        position.seq = self.seq;
        self.forget();
        wait
    }

    /// `reader` has `event` now.
    pub(super) fn sent(&mut self, reader: u64, event: Event) {
        if let Some(position) = self.readers.get_mut(&reader) {
            position.seq = event.seq;
            position.seen.insert(event.key, event.states);
            self.forget();
        }
    }

    fn let_out_due(&mut self, now: Instant) {
        while let Some((due, key)) = self.waiting.pop_first() {
            if due > now {
                self.waiting.insert((due, key));
                break;
            }
            let place = self.places.get(&key).copied();
            let next = place
                .and_then(|place| self.things.get_mut(&place))
                .and_then(|thing| Some((thing.kind, thing.next.take()?)));
            if let Some((kind, state)) = next {
                self.let_out(place, (key, kind), state, now);
            }
        }
    }

    /// Gives a number to a state of the thing that was at `place`, and shows it to connections.
    fn let_out(&mut self, place: Option<u64>, (key, kind): (Arc<Key>, &'static Kind), state: Arc<Value>, now: Instant) {
        let before = place.and_then(|place| {
            self.parting.remove(&place);
            self.things.remove(&place)
        });
        let (states, replaced) = before.map_or((0, 0), |thing| (thing.states, thing.replaced));
        self.seq += replaced + 1;
        let (seq, parting) = (self.seq, kind.is_removed(&state));
        if parting {
            self.parting.insert(seq);
        }
        let ended = kind.has_ended(&state);
        self.places.insert(Arc::clone(&key), seq);
        self.things.insert(
            seq,
            Thing { key, kind, state, since: now, next: None, states: states + replaced + 1, replaced: 0, parting },
        );
        if ended {
            self.ended.push_back(seq);
            if self.ended.len() > KEPT_ENDED
                && let Some(oldest) = self.ended.pop_front()
                && let Some(thing) = self.things.get_mut(&oldest)
            {
                thing.parting = true;
                self.parting.insert(oldest);
            }
        }
        self.forget();
    }

    /// Drops what goes and was read by everybody.
    fn forget(&mut self) {
        if self.parting.is_empty() {
            return;
        }
        let read = self.readers.values().map(|position| position.seq).min().unwrap_or(self.seq);
        while let Some(place) = self.parting.first().copied().filter(|place| *place <= read) {
            self.parting.remove(&place);
            if let Some(thing) = self.things.remove(&place) {
                self.places.remove(&thing.key);
                for position in self.readers.values_mut() {
                    position.seen.remove(&thing.key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
