//! Whole answers, and what they must be.

use serde_json::Value;
use ureq::{Body, http};

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
    /// Reads all of it, however long the body is.
    pub(crate) fn read(response: Result<http::Response<Body>, ureq::Error>) -> Result<Self, ureq::Error> {
        let mut response = response?;
        let bytes = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            bytes,
        })
    }

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
