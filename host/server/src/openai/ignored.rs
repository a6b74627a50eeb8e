//! The keys of a body that mean nothing to this host.

use axum::{http::HeaderValue, response::Response};

use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip},
};

/// Foreign keys, which a client is told of: many clients send many, but no one should believe they did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ignored {
    names: Vec<String>,
}

/// The keys that only this host knows, and how many slips of the pen are too many to mean them: short names have
/// neighbours.
const OURS: [(&str, usize); 4] = [("steering", 2), ("steering_scale", 2), ("steering_status", 2), ("profile", 1)];
/// Names in the header. More would only make it long.
const MAX_NAMES: usize = 32;

impl Ignored {
    /// What was not taken from a body. A name that looks like a misspelt one of ours is refused: who sends it would
    /// take an unsteered answer for a steered one.
    pub(crate) fn of(body: Fields) -> Result<Self, ApiError> {
        let names = body.into_rest();
        for name in &names {
            let near = |(ours, slips): &&(&str, usize)| {
                name.len() <= ours.len() + slips && strsim::damerau_levenshtein(&name.to_lowercase(), ours) <= *slips
            };
            if let Some((ours, _)) = OURS.iter().find(near) {
                let message = format!("Unknown parameter: '{name}'. Did you mean '{ours}'?");
                return Err(ApiError::at(Kind::UnknownParameter, name.as_str(), message));
            }
        }
        Ok(Self { names })
    }

    /// With these, which were taken and do nothing, too.
    pub(crate) fn and(mut self, names: Vec<String>) -> Self {
        self.names.extend(names);
        self
    }

    /// Says it in a header of the answer.
    pub(crate) fn tell(&self, response: &mut Response) {
        if let Some(names) = self.header() {
            response.headers_mut().insert("x-millm-ignored-params", names);
        }
    }

    /// The value of `x-millm-ignored-params`. The client decided every byte of the names, so what a header cannot hold is
    /// replaced.
    fn header(&self) -> Option<HeaderValue> {
        let safe = |c: char| if c.is_ascii_graphic() && c != ',' { c } else { '?' };
        let names = self.names.iter().take(MAX_NAMES);
        let names = names.map(|name| clip(name).chars().map(safe).collect::<String>()).collect::<Vec<_>>();
        HeaderValue::try_from(names.join(", ")).ok().filter(|names| !names.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn ignored(value: Value) -> Result<Ignored, ApiError> {
        Ignored::of(Fields::of(value, String::new())?)
    }

    fn header(value: Value) -> Option<HeaderValue> {
        ignored(value).unwrap().header()
    }

    #[test]
    fn foreign_keys_are_listed() {
        assert_eq!(header(json!({ "user": "x", "tools": [], "num_ctx": 5 })).unwrap(), "num_ctx, tools, user");
        assert_eq!(header(json!({})), None);
    }

    #[test]
    fn no_key_breaks_the_header() {
        let evil = header(json!({ "a\r\nset-cookie: b,c": 1, "é": 2, "": 3 })).unwrap();
        assert_eq!(evil, ", a??set-cookie:?b?c, ?");
        let many: serde_json::Map<_, _> = (0..1000).map(|i| (format!("{i}{}", "x".repeat(1000)), json!(1))).collect();
        assert!(header(many.into()).unwrap().len() < 4096);
    }

    #[test]
    fn a_near_miss_of_steering_is_refused() {
        for key in ["steerng", "Steering", "stering", "steeering", "sterring", "steer_ing"] {
            let error = ignored(json!({ key: {} })).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (Kind::UnknownParameter, Some(key)));
            assert!(error.message.contains("'steering'"), "{}", error.message);
        }
        for key in ["profiles", "proflie", "Profile", "steering_scal", "steeringscale", "steerin_status"] {
            assert!(ignored(json!({ key: {} })).is_err(), "{key}");
        }
        for key in ["steer", "steering_vectors", "streaming", "prefill", "file"] {
            assert!(ignored(json!({ key: {} })).is_ok(), "{key}");
        }
    }
}
