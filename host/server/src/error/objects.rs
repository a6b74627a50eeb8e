//! The objects that tell clients what failed.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Schema,
        schema::{SchemaType, Type},
    },
};

use super::{ApiError, Kind};

/// Why something failed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    #[schema(value_type = Code)]
    code: String,
    /// One or more sentences for people.
    message: String,
    /// What the message says, for programs: `param`, `expected`, `found`, `maximum` and the like.
    #[schema(value_type = HashMap<String, Value>)]
    details: Map<String, Value>,
}

/// What failed under `/v1`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpenAiFailure {
    error: OpenAiError,
}

/// OpenAI's error object.
#[derive(Debug, Serialize, ToSchema)]
struct OpenAiError {
    /// One or more sentences for people.
    message: String,
    #[schema(schema_with = openai_type)]
    r#type: &'static str,
    /// The parameter at fault, such as `messages[0].role`.
    #[schema(required)]
    param: Option<String>,
    #[schema(required, schema_with = openai_code)]
    code: Option<&'static str>,
}

impl From<&ApiError> for Problem {
    fn from(error: &ApiError) -> Self {
        let param = error.param.iter().map(|param| ("param".to_owned(), Value::from(param.as_str())));
        let facts = error.facts.iter().map(|(name, fact)| ((*name).to_owned(), fact.clone()));
        Self { code: error.kind.code(), message: error.message.clone(), details: param.chain(facts).collect() }
    }
}

impl From<&ApiError> for OpenAiFailure {
    fn from(ApiError { kind, message, param, .. }: &ApiError) -> Self {
        let (r#type, code) = (kind.openai_type(), kind.openai_code());
        Self { error: OpenAiError { message: message.clone(), r#type, param: param.clone(), code } }
    }
}

impl ApiError {
    /// What the management API says of it.
    pub(crate) fn object(&self) -> Value {
        // Only maps with other keys than texts cannot be JSON.
        serde_json::to_value(Problem::from(self)).unwrap_or_default()
    }

    /// A response's body under `/v1` and, mid-stream, an event's data.
    pub(crate) fn body(&self) -> OpenAiFailure {
        self.into()
    }
}

/// The word that programs branch on under `/api`.
struct Code;

impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        words(Type::String, Kind::ALL.iter().map(|kind| kind.code().into()))
    }
}

impl ToSchema for Code {
    fn name() -> Cow<'static, str> {
        "ErrorCode".into()
    }
}

fn openai_type() -> RefOr<Schema> {
    words(Type::String, Kind::ALL.iter().map(|kind| kind.openai_type().into()))
}

fn openai_code() -> RefOr<Schema> {
    let nullable = SchemaType::from_iter([Type::String, Type::Null]);
    words(nullable, Kind::ALL.iter().map(|kind| kind.openai_code().into()))
}

/// One of `words`, each of which is named once: some errors differ in nothing that clients see but their status.
fn words(r#type: impl Into<SchemaType>, words: impl Iterator<Item = Value>) -> RefOr<Schema> {
    let distinct = words.fold(Vec::new(), |mut distinct, word| {
        if !distinct.contains(&word) {
            distinct.push(word);
        }
        distinct
    });
    let description = "The word that programs branch on.";
    ObjectBuilder::new().schema_type(r#type).enum_values(Some(distinct)).description(Some(description)).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_error_has_all_four_keys() {
        let body = |error: ApiError| serde_json::to_value(error.body()).unwrap();
        let error = body(ApiError::at(Kind::InvalidType, "temperature", "No."));
        let expected = json!({
            "error": { "message": "No.", "type": "invalid_request_error", "param": "temperature", "code": "invalid_type" }
        });
        assert_eq!(error, expected);
        let error = body(ApiError::new(Kind::InvalidBody, "No."));
        assert_eq!(error["error"]["code"], Value::Null);
        assert_eq!(error["error"].as_object().unwrap().len(), 4);
    }
}
