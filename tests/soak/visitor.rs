//! One client at a time.

use std::{
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::{
    answer::Answer,
    ask::{Ask, COMPLETIONS, text},
    raw::Raw,
    scene::{Alarm, Scene},
};

/// How many choices those ask for, and nobody else, who expect to be cancelled.
const CANCELLED: u64 = 7;

/// Somebody who asks again and again, each time for something else.
pub(crate) struct Visitor<'a> {
    scene: &'a Scene<'a>,
    chance: ChaCha8Rng,
}

impl<'a> Visitor<'a> {
    pub(crate) fn new(scene: &'a Scene<'a>, seed: u64) -> Self {
        Self { scene, chance: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Visits until `end`, or until something is wrong.
    pub(crate) fn visit_until(&mut self, end: Instant) {
        let _alarm = Alarm(self.scene);
        while Instant::now() < end && !self.scene.is_over() {
            let (visit, tokens) = match self.chance.random_range(0..100) {
                0..12 => self.leave_before_an_answer(),
                12..16 => self.leave_with_half_a_request(),
                16..22 => self.leave_without_a_word(),
                22..40 => self.leave_in_between(),
                40..45 => self.be_cancelled(),
                45..53 => self.look_inside(),
                53..54 => self.stop_reading(end),
                54..75 => self.read_whole(),
                _ => self.read_stream(),
            };
            self.scene.tally.count(visit, tokens);
        }
    }

    /// Something to ask, and the answer if it is known.
    fn ask(&mut self) -> (Ask, Option<&'a Answer>) {
        if self.chance.random_bool(0.5) {
            let (ask, answer) = self.scene.known.choose(&mut self.chance).unwrap();
            return (ask.clone(), Some(answer));
        }
        (Ask::any(&mut self.chance), None)
    }

    /// Something to ask in either form.
    fn ask_somehow(&mut self) -> Ask {
        let (ask, _) = self.ask();
        if self.chance.random_bool(0.7) { ask.streamed(false) } else { ask }
    }

    fn pause(&mut self, most: Duration) {
        // Short ones are more likely.
        thread::sleep(most.mul_f64(self.chance.random::<f64>().powi(3)));
    }

    fn leave_before_an_answer(&mut self) -> (&'static str, u64) {
        let connection = Raw::send(self.scene.server, &self.ask_somehow(), 1.0);
        self.pause(Duration::from_secs(3));
        drop(connection);
        ("left before an answer", 0)
    }

    fn leave_with_half_a_request(&mut self) -> (&'static str, u64) {
        let share = self.chance.random();
        let connection = Raw::send(self.scene.server, &self.ask_somehow(), share);
        self.pause(Duration::from_secs(3));
        drop(connection);
        ("left with half a request", 0)
    }

    /// As soon as there is something to read, or somewhat later, with more unread.
    fn leave_without_a_word(&mut self) -> (&'static str, u64) {
        let (ask, _) = self.ask();
        let mut connection = Raw::send(self.scene.server, &ask.streamed(true), 1.0);
        let begin = connection.read(15);
        assert_eq!(begin, "HTTP/1.1 200 OK");
        self.pause(Duration::from_secs(3));
        drop(connection);
        ("left unread", 0)
    }

    fn leave_in_between(&mut self) -> (&'static str, u64) {
        let (ask, known) = self.ask();
        let most = self.chance.random_range(1..60);
        let mut stream = self.scene.server.stream(ask.path, &ask.body);
        let mut answer = Answer::default();
        let mut chunks = 0;
        for chunk in stream.by_ref().take(most) {
            answer.add(&chunk);
            chunks += 1;
        }
        assert!(stream.done || chunks == most, "the stream ended without [DONE]: {ask:?}");
        if let Some(known) = known {
            answer.assert_begins(known);
        }
        // Chats begin with a chunk without text for each choice.
        ("left in between", chunks.saturating_sub(ask.choices()) as u64)
    }

    fn read_whole(&mut self) -> (&'static str, u64) {
        let (ask, known) = self.ask();
        let answer = Answer::whole(&self.scene.server.post(ask.path, &ask.body));
        ("answered", self.conclude(&ask, &answer, known))
    }

    fn read_stream(&mut self) -> (&'static str, u64) {
        let (ask, known) = self.ask();
        let ask = ask.streamed(self.chance.random_bool(0.5));
        // Some read slowly.
        let slow = if self.chance.random_bool(0.15) { 0.05 } else { 0.0 };
        let mut stream = self.scene.server.stream(ask.path, &ask.body);
        let mut answer = Answer::default();
        for chunk in stream.by_ref() {
            answer.add(&chunk);
            if self.chance.random_bool(slow) {
                self.pause(Duration::from_secs(2));
            }
        }
        assert!(stream.done, "the stream ended without [DONE]: {ask:?}");
        ("streamed", self.conclude(&ask, &answer, known))
    }

    /// Checks the answer; how many tokens it has at least.
    fn conclude(&self, ask: &Ask, answer: &Answer, known: Option<&Answer>) -> u64 {
        answer.check(ask);
        if let Some(known) = known {
            answer.assert_equals(known);
        }
        answer.tokens().or_else(|| known?.tokens()).unwrap_or(0)
    }

    fn look_inside(&mut self) -> (&'static str, u64) {
        let (path, body, expected) = self.scene.looks.choose(&mut self.chance).unwrap();
        let reply = self.scene.server.post(path, body);
        assert_eq!(reply.status, 200, "{:#}", reply.body);
        assert!(reply.bytes == *expected, "{path} {body} is answered otherwise than before");
        ("looked inside", 0)
    }

    /// Asks for something that it or another of its kind then cancels, if it is not done before.
    fn be_cancelled(&mut self) -> (&'static str, u64) {
        let server = self.scene.server;
        let stream = self.chance.random_bool(0.7);
        let prompt = text(&mut self.chance, 10);
        let body = json!({"model": "demo", "prompt": prompt, "n": CANCELLED, "max_tokens": 100, "ignore_eos": true});
        let whole = Ask { path: COMPLETIONS, body };
        let ask = if stream { whole.streamed(false) } else { whole };
        let reply = thread::scope(|scope| {
            let asked = scope.spawn(|| server.post(ask.path, &ask.body));
            while !asked.is_finished() {
                let listed = server.get("/api/requests").data()["items"].clone();
                let ours = |item: &&Value| item["n"] == CANCELLED;
                let ours: Vec<&Value> = listed.as_array().unwrap().iter().filter(ours).collect();
                if let Some(found) = ours.choose(&mut self.chance) {
                    self.pause(Duration::from_millis(500));
                    let id = found["id"].as_str().unwrap();
                    let told = server.delete(&format!("/api/requests/{id}"));
                    assert!(matches!(told.status, 200 | 404), "{:#}", told.body);
                    break;
                }
                thread::sleep(Duration::from_millis(50));
            }
            asked.join().expect("the server answers")
        });
        let end = match (reply.status, stream) {
            (200, false) => {
                Answer::whole(&reply).check(&ask);
                None
            }
            (200, true) => {
                let text = String::from_utf8(reply.bytes.clone()).unwrap();
                let last = text.trim_end().rsplit("data: ").next().unwrap().to_owned();
                (last != "[DONE]").then(|| serde_json::from_str::<Value>(&last).expect("an error"))
            }
            _ => Some(reply.body.clone()),
        };
        match end {
            None => ("done before cancelled", CANCELLED * 100),
            Some(end) => {
                assert_eq!(end["error"]["code"], "request_cancelled", "{} {end:#}", reply.status);
                ("cancelled", 0)
            }
        }
    }

    /// Asks for much and does not read for some seconds, or not fast enough.
    fn stop_reading(&mut self, end: Instant) -> (&'static str, u64) {
        let Ok(_only) = self.scene.wide.try_lock() else { return self.read_whole() };
        let left = end.saturating_duration_since(Instant::now());
        match self.scene.timeout {
            None => self.read_late(20),
            Some(timeout) if left > timeout && self.chance.random_bool(0.5) => self.read_too_slowly(timeout),
            Some(timeout) if left > timeout / 2 => self.read_late(120),
            Some(_) => self.read_whole(),
        }
    }

    /// Reads now and then, and is not done when the host has waited long enough: for its end, or for it to read.
    fn read_too_slowly(&mut self, timeout: Duration) -> (&'static str, u64) {
        let mut connection = Raw::send(self.scene.server, &Ask::wide(230, &mut self.chance), 1.0);
        for _ in 0..3 {
            thread::sleep(timeout / 4);
            connection.read(1 << 19);
        }
        thread::sleep(timeout / 4 + Duration::from_secs(5));
        let text = connection.read_to_end();
        let last = text.rsplit("data: ").next().unwrap();
        assert!(last.contains(r#""code":"request_timeout""#) && !text.contains("[DONE]"), "{last}");
        ("timed out", 0)
    }

    /// Asks for many choices of so many tokens each.
    fn read_late(&mut self, max_tokens: u64) -> (&'static str, u64) {
        let ask = Ask::wide(max_tokens, &mut self.chance);
        let mut stream = self.scene.server.stream(ask.path, &ask.body);
        thread::sleep(Duration::from_secs(3));
        let mut answer = Answer::default();
        stream.by_ref().for_each(|chunk| answer.add(&chunk));
        assert!(stream.done, "the stream ended without [DONE]");
        answer.check(&ask);
        ("stalled", answer.tokens().unwrap_or(0))
    }
}
