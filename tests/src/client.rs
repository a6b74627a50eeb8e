//! Requests and streams.

use std::{
    io::{BufRead, BufReader},
    time::Duration,
};

use serde_json::Value;
use ureq::{Agent, Body, http};

use crate::reply::Reply;

/// Talks to one server.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    base: String,
}

/// The chunks of a stream, read one at a time.
pub struct Stream {
    lines: std::io::Lines<BufReader<ureq::BodyReader<'static>>>,
    /// Whether `[DONE]` has come.
    pub done: bool,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("done", &self.done).finish_non_exhaustive()
    }
}

impl Iterator for Stream {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        loop {
            let line = self.lines.next()?.expect("the stream broke off");
            match line.strip_prefix("data: ") {
                Some("[DONE]") => self.done = true,
                Some(json) => {
                    assert!(!self.done, "a chunk after [DONE]");
                    return Some(serde_json::from_str(json).expect("chunks are JSON"));
                }
                // Empty lines end events; those that begin with a colon keep the connection alive. What an event is called
                // is in its data, too.
                None => assert!(line.is_empty() || line.starts_with(':') || line.starts_with("event: "), "{line}"),
            }
        }
    }
}

impl Client {
    /// For the server at `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: impl Into<String>) -> Self {
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(120)));
        Self { agent: config.build().new_agent(), base: base.into() }
    }

    /// The address it talks to.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// `GET path`.
    pub fn get(&self, path: &str) -> Reply {
        self.get_with(path, &[])
    }

    /// `GET path` with headers.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        reply(request.call())
    }

    /// `POST path` with a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_bytes(path, "application/json", body.to_string().as_bytes())
    }

    /// `DELETE path`.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Reply {
        reply(self.agent.delete(format!("{}{path}", self.base)).call())
    }

    /// A request to a server that may end at any moment: `None` if no whole answer came.
    pub fn attempt(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Reply> {
        let uri = format!("{}{path}", self.base);
        let response = match (method, body) {
            ("POST", Some(body)) => {
                self.agent.post(uri).header("content-type", "application/json").send(body.to_string().as_bytes())
            }
            ("PATCH", Some(body)) => {
                self.agent.patch(uri).header("content-type", "application/json").send(body.to_string().as_bytes())
            }
            ("POST", None) => self.agent.post(uri).send_empty(),
            ("DELETE", _) => self.agent.delete(uri).call(),
            _ => self.agent.get(uri).call(),
        };
        Reply::read(response).ok()
    }

    /// `POST path` with any body.
    pub fn post_bytes(&self, path: &str, content_type: &str, body: &[u8]) -> Reply {
        self.post_with(path, &[("content-type", content_type)], body)
    }

    /// `POST path` with headers and any body.
    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        reply(request.send(body))
    }

    /// `POST path` with `"stream": true` added to the body.
    ///
    /// # Panics
    ///
    /// If the answer is not a stream.
    pub fn stream(&self, path: &str, body: &Value) -> Stream {
        let mut body = body.clone();
        body["stream"] = true.into();
        let request = self.agent.post(format!("{}{path}", self.base)).header("content-type", "application/json");
        Stream::of(request.send(body.to_string().as_bytes()))
    }

    /// `GET path`, which answers with events until the server ends or breaks off.
    ///
    /// # Panics
    ///
    /// If the answer is not a stream.
    pub fn events(&self, path: &str) -> Stream {
        Stream::of(self.agent.get(format!("{}{path}", self.base)).call())
    }
}

impl Stream {
    fn of(response: Result<http::Response<Body>, ureq::Error>) -> Self {
        let response = response.expect("the server answers");
        assert_eq!(response.status(), 200);
        let content_type = response.headers()["content-type"].to_str().unwrap_or_default().to_owned();
        assert!(content_type.starts_with("text/event-stream"), "{content_type}");
        let reader = response.into_body().into_reader();
        Self { lines: BufReader::new(reader).lines(), done: false }
    }
}

#[track_caller]
fn reply(response: Result<http::Response<Body>, ureq::Error>) -> Reply {
    Reply::read(response).expect("the server answers")
}

/// The text of one choice of a stream of either endpoint.
pub fn streamed_text(chunks: &[Value], index: u64) -> String {
    let choices = chunks.iter().filter_map(|chunk| chunk["choices"].as_array()).flatten();
    choices
        .filter(|choice| choice["index"] == index)
        .filter_map(|choice| choice["delta"]["content"].as_str().or_else(|| choice["text"].as_str()))
        .collect()
}
