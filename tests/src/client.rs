//! Requests, replies and streams.

use std::{
    io::{BufRead, BufReader},
    time::Duration,
};

use serde_json::Value;
use ureq::{Agent, Body, http};

/// Talks to one server.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    base: String,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Header fields.
    pub headers: http::HeaderMap,
    /// The body, `Null` if it is not JSON.
    pub body: Value,
    /// The same as it came.
    pub bytes: Vec<u8>,
}

impl Reply {
    /// A header's text, empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Text of the first choice, of either endpoint.
    ///
    /// # Panics
    ///
    /// If this is no answer with a choice.
    pub fn text(&self) -> &str {
        self.texts()[0]
    }

    /// Texts of all choices, in their order.
    ///
    /// # Panics
    ///
    /// If this is no answer with choices.
    pub fn texts(&self) -> Vec<&str> {
        assert_eq!(self.status, 200, "{:#}", self.body);
        let choices = self.body["choices"].as_array().expect("choices");
        let texts: Vec<&str> = choices
            .iter()
            .filter_map(|choice| choice["message"]["content"].as_str().or_else(|| choice["text"].as_str()))
            .collect();
        assert_eq!(texts.len(), choices.len(), "{:#}", self.body);
        texts
    }

    /// What an answer of the management API holds.
    ///
    /// # Panics
    ///
    /// If this is no such answer.
    #[track_caller]
    pub fn data(&self) -> &Value {
        self.data_with(200)
    }

    /// [`data`](Self::data) of an answer with another status.
    ///
    /// # Panics
    ///
    /// If this is no such answer.
    #[track_caller]
    pub fn data_with(&self, status: u16) -> &Value {
        assert_eq!(self.status, status, "{:#}", self.body);
        assert!(self.body["success"] == true && self.body.get("error") == Some(&Value::Null), "{:#}", self.body);
        &self.body["data"]
    }

    /// Asserts that this is an error of the management API, about the request that its headers name, and gives it.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[track_caller]
    pub fn failure(&self) -> &Value {
        let (body, error) = (&self.body, &self.body["error"]);
        assert!(body["success"] == false && body.get("data") == Some(&Value::Null), "{} {body:#}", self.status);
        assert!(self.status >= 400 && error["code"].is_string() && error["details"].is_object(), "{body:#}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{body:#}");
        assert_eq!(error["request_id"], self.header("x-request-id"), "{body:#}");
        error
    }

    /// Asserts that this is an OpenAI error object with all four keys, and gives it.
    ///
    /// # Panics
    ///
    /// If it is not.
    #[track_caller]
    pub fn error(&self) -> &Value {
        let error = &self.body["error"];
        for key in ["message", "type", "param", "code"] {
            assert!(error.get(key).is_some(), "no {key} in {} {:#}", self.status, self.body);
        }
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error:#}");
        error
    }
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
                // Empty lines end events; those that begin with a colon keep the connection alive.
                None => assert!(line.is_empty() || line.starts_with(':'), "{line}"),
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
            ("POST", None) => self.agent.post(uri).send_empty(),
            ("DELETE", _) => self.agent.delete(uri).call(),
            _ => self.agent.get(uri).call(),
        };
        whole(response).ok()
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
        let response = request.send(body.to_string().as_bytes()).expect("the server answers");
        assert_eq!(response.status(), 200);
        let content_type = response.headers()["content-type"].to_str().unwrap_or_default().to_owned();
        assert!(content_type.starts_with("text/event-stream"), "{content_type}");
        let reader = response.into_body().into_reader();
        Stream { lines: BufReader::new(reader).lines(), done: false }
    }
}

#[track_caller]
fn reply(response: Result<http::Response<Body>, ureq::Error>) -> Reply {
    whole(response).expect("the server answers")
}

fn whole(response: Result<http::Response<Body>, ureq::Error>) -> Result<Reply, ureq::Error> {
    let mut response = response?;
    let bytes = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
    Ok(Reply {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        bytes,
    })
}

/// The text of one choice of a stream of either endpoint.
pub fn streamed_text(chunks: &[Value], index: u64) -> String {
    let choices = chunks.iter().filter_map(|chunk| chunk["choices"].as_array()).flatten();
    choices
        .filter(|choice| choice["index"] == index)
        .filter_map(|choice| choice["delta"]["content"].as_str().or_else(|| choice["text"].as_str()))
        .collect()
}
