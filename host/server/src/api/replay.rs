//! `POST /api/replay`: does again what a receipt says, and compares.

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::envelope::{Success, success};
use crate::{
    app::App,
    error::{ApiError, Kind},
    fields::{Fields, clip, integer, wrong_type},
    http::{Caller, JsonBody},
    openai::{
        call::{Call, Sources},
        chat, completions,
        endpoint::Endpoint,
        receipt::{DELIVERY, Receipt},
        responses,
        steering::SteeringHeaders,
    },
    openapi::described::ReplayBody,
};

/// What came of doing it again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Replay {
    /// Whether everything in the receipt is the same.
    identical: bool,
    /// Where the tokens part, first.
    #[schema(required)]
    first_difference: Option<TokenDifference>,
    /// What else is not the same.
    differences: Vec<Difference>,
    /// Of what was done now.
    receipt: Receipt,
}

/// Where tokens part.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct TokenDifference {
    choice: u32,
    /// Of the generated tokens, from 0.
    position: usize,
    /// In the receipt; null where it has none.
    #[schema(required)]
    expected: Option<u64>,
    /// Now; null where there is none.
    #[schema(required)]
    found: Option<u64>,
}

/// Something that is not the same.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct Difference {
    /// Where it is in the receipt.
    path: String,
    #[schema(value_type = Value)]
    expected: Value,
    #[schema(value_type = Value)]
    found: Value,
}

/// More than these are told by their first ones.
const MAX_DIFFERENCES: usize = 100;

/// What is read of a receipt.
#[derive(Clone, Debug)]
struct Asked {
    endpoint: String,
    sha256: String,
    seeds: Vec<u64>,
    profile: Option<String>,
    request: Map<String, Value>,
    receipt: Value,
}

/// Answers the request of a receipt again, with its seeds, and compares what was done and what came out.
#[utoipa::path(
    post, path = "/api/replay", operation_id = "replay", tag = "reading",
    request_body = ReplayBody,
    responses((status = 200, body = Success<Replay>, description = "What is the same, and what is not")),
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<Success<Replay>>, ApiError> {
    let asked = Asked::read(&body)?;
    let (again, memory) = (asked.clone(), app.captures.clone());
    let call = app.models.with(move |models| {
        let headers = SteeringHeaders { profile: again.profile.clone(), task: false };
        again.call(Sources { models, headers: &headers, memory: &memory })
    });
    let receipt = call.await?.replay(&caller).await?;
    Ok(success(compare(&asked.receipt, receipt)))
}

impl Asked {
    fn read(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body)?;
        let (request, receipt) = (fields.take("request"), fields.take("receipt"));
        fields.deny_rest()?;
        let request = match fields.require("request", request)? {
            Value::Object(request) => request,
            other => return Err(wrong_type("request", "an object", &other)),
        };
        let receipt = fields.require("receipt", receipt)?;
        let mut said = Fields::of(receipt.clone(), "receipt".to_owned())?;
        let version = said.integer("version", 1..=1)?;
        said.require("version", version)?;
        let (endpoint, sha256) = (said.string("endpoint")?, said.string("request_sha256")?);
        let seeds = said.list("seeds")?;
        let seeds = said.require("seeds", seeds)?;
        let seed = |(index, value)| {
            let number = integer(value).and_then(|number| u64::try_from(number).ok());
            number.ok_or_else(|| wrong_type(&format!("receipt.seeds[{index}]"), "a seed", value))
        };
        Ok(Self {
            endpoint: said.require("endpoint", endpoint)?,
            sha256: said.require("request_sha256", sha256)?,
            seeds: seeds.iter().enumerate().map(seed).collect::<Result<_, _>>()?,
            profile: said.string("profile")?,
            request,
            receipt,
        })
    }

    /// The call that the request was.
    fn call(&self, sources: Sources<'_>) -> Result<Call, ApiError> {
        let mut request = self.request.clone();
        // It is collected here.
        DELIVERY.iter().take(2).for_each(|key| drop(request.shift_remove(*key)));
        let body = serde_json::to_vec(&request).map_err(|_| ApiError::internal())?;
        let call = match self.endpoint.as_str() {
            path if path == Endpoint::Chat.path() => chat::read(&body, sources),
            path if path == Endpoint::Completions.path() => completions::read(&body, sources),
            responses::PATH => responses::read(&body, sources).map(|(call, _)| call),
            other => {
                let message = format!("Invalid 'receipt.endpoint': nothing at '{}' has receipts.", clip(other));
                return Err(ApiError::at(Kind::InvalidValue, "receipt.endpoint", message));
            }
        };
        let call = call.map_err(|error| match error.param {
            Some(param) => ApiError { param: Some(format!("request.{param}")), ..error },
            None => error,
        })?;
        let refused = |why: &str| ApiError::at(Kind::InvalidValue, "receipt", format!("Invalid 'receipt': {why}."));
        match call.request_sha256() {
            None => return Err(refused("the request steers nothing, so it has no receipt")),
            Some(sha256) if sha256 != self.sha256 => {
                return Err(refused("it is that of another request").with("expected", sha256));
            }
            Some(_) => {}
        }
        if call.prompts() != self.seeds.len() {
            return Err(refused("it has not one seed for each prompt of the request"));
        }
        Ok(call.seeded(&self.seeds))
    }
}

fn compare(expected: &Value, found: Receipt) -> Replay {
    let now = serde_json::to_value(&found).unwrap_or_default();
    let mut differences = Vec::new();
    let tokens = |value: &Value| value["choices"].clone();
    let first_difference = first_difference(&tokens(expected), &tokens(&now));
    let (mut before, mut after) = (expected.clone(), now);
    for receipt in [&mut before, &mut after] {
        receipt.as_object_mut().map(|receipt| receipt.shift_remove("choices"));
    }
    differ("", &before, &after, &mut differences);
    let identical = first_difference.is_none() && differences.is_empty();
    Replay { identical, first_difference, differences, receipt: found }
}

fn first_difference(expected: &Value, found: &Value) -> Option<TokenDifference> {
    let none = Vec::new();
    let (expected, found) = (expected.as_array().unwrap_or(&none), found.as_array().unwrap_or(&none));
    for index in 0..expected.len().max(found.len()) {
        let ids = |choices: &[Value]| -> Vec<Option<u64>> {
            let ids = choices.get(index).and_then(|choice| choice["token_ids"].as_array());
            ids.map(|ids| ids.iter().map(Value::as_u64).collect()).unwrap_or_default()
        };
        let (expected, found) = (ids(expected), ids(found));
        let at = |ids: &[Option<u64>], position: usize| ids.get(position).copied().flatten();
        for position in 0..expected.len().max(found.len()) {
            let (expected, found) = (at(&expected, position), at(&found, position));
            if expected != found || expected.is_none() {
                return Some(TokenDifference { choice: index as u32, position, expected, found });
            }
        }
    }
    None
}

/// Adds what is not the same at `path`.
fn differ(path: &str, expected: &Value, found: &Value, differences: &mut Vec<Difference>) {
    let nothing = json!(null);
    match (expected, found) {
        _ if differences.len() >= MAX_DIFFERENCES => {}
        (Value::Object(one), Value::Object(other)) => {
            let added = other.keys().filter(|key| !one.contains_key(*key));
            for key in one.keys().chain(added) {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let of = |map: &Map<String, Value>| map.get(key).unwrap_or(&nothing).clone();
                differ(&below, &of(one), &of(other), differences);
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            for index in 0..one.len().max(other.len()) {
                let of = |list: &[Value]| list.get(index).unwrap_or(&nothing).clone();
                differ(&format!("{path}[{index}]"), &of(one), &of(other), differences);
            }
        }
        (one, other) if same(one, other) => {}
        (expected, found) => {
            differences.push(Difference { path: path.to_owned(), expected: expected.clone(), found: found.clone() })
        }
    }
}

/// Numbers are the same however they are written.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a == b || (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64(),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_part_where_one_is_another_or_missing() {
        let choices = |lists: &[&[u32]]| lists.iter().map(|ids| json!({ "token_ids": ids })).collect::<Value>();
        let one = choices(&[&[1, 2], &[3, 4]]);
        assert_eq!(first_difference(&one, &one), None);
        let at = |choice, position, expected, found| Some(TokenDifference { choice, position, expected, found });
        assert_eq!(first_difference(&one, &choices(&[&[1, 2], &[3, 5]])), at(1, 1, Some(4), Some(5)));
        assert_eq!(first_difference(&one, &choices(&[&[1, 2, 3], &[3, 4]])), at(0, 2, None, Some(3)));
        assert_eq!(first_difference(&one, &choices(&[&[1, 2]])), at(1, 0, Some(3), None));
        // What is no list of tokens is not the same as one.
        assert_eq!(first_difference(&json!("x"), &one), at(0, 0, None, Some(1)));
    }

    #[test]
    fn differences_are_told_by_their_path() {
        let mut found = Vec::new();
        differ(
            "",
            &json!({ "a": [1, { "b": 2 }], "c": 1.0 }),
            &json!({ "a": [1, { "b": 3 }], "c": 1, "d": 4 }),
            &mut found,
        );
        let paths: Vec<&str> = found.iter().map(|difference| difference.path.as_str()).collect();
        assert_eq!(paths, ["a[1].b", "d"]);
    }
}
