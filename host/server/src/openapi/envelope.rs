//! The form of every answer, and of every error.

use std::borrow::Cow;

use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Schema,
        schema::{SchemaType, Type},
    },
};

use crate::error::Kind;

/// What succeeded under `/api`.
#[derive(ToSchema)]
pub(crate) struct Success<T> {
    #[schema(schema_with = only_true)]
    success: bool,
    data: T,
    error: Nothing,
}

/// What failed under `/api`.
#[derive(ToSchema)]
pub(crate) struct Failure {
    #[schema(schema_with = only_false)]
    success: bool,
    data: Nothing,
    error: FailureError,
}

/// Why it failed, and in which request.
#[derive(ToSchema)]
pub(crate) struct FailureError {
    code: Code,
    /// One or more sentences for people.
    message: String,
    /// What the message says, for programs: `param`, `expected`, `found`, `maximum` and the like.
    #[schema(value_type = Object)]
    details: Value,
    /// As in the header `x-request-id`, and in the host's log.
    request_id: String,
}

/// Why something failed.
#[derive(ToSchema)]
pub(crate) struct Problem {
    code: Code,
    /// One or more sentences for people.
    message: String,
    /// What the message says, for programs: `param`, `expected`, `found`, `maximum` and the like.
    #[schema(value_type = Object)]
    details: Value,
}

/// What failed under `/v1`.
#[derive(ToSchema)]
pub(crate) struct OpenAiFailure {
    error: OpenAiError,
}

/// OpenAI's error object.
#[derive(ToSchema)]
pub(crate) struct OpenAiError {
    /// One or more sentences for people.
    message: String,
    #[schema(schema_with = openai_type)]
    r#type: String,
    /// The parameter at fault, such as `messages[0].role`.
    #[schema(required)]
    param: Option<String>,
    #[schema(schema_with = openai_code)]
    code: Option<String>,
}

/// A list.
#[derive(ToSchema)]
pub(crate) struct Items<T> {
    items: Vec<T>,
}

/// Null.
pub(crate) struct Nothing;

/// The word that programs branch on.
struct Code;

impl PartialSchema for Nothing {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Null).into()
    }
}

impl ToSchema for Nothing {
    fn name() -> Cow<'static, str> {
        "Nothing".into()
    }
}

impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        let codes = distinct(Kind::ALL.iter().map(|kind| kind.code().into()));
        let description = "The word that programs branch on.";
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes)).description(Some(description)).into()
    }
}

impl ToSchema for Code {
    fn name() -> Cow<'static, str> {
        "ErrorCode".into()
    }
}

fn only_true() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([true])).into()
}

fn only_false() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([false])).into()
}

fn openai_type() -> RefOr<Schema> {
    let types = distinct(Kind::ALL.iter().map(|kind| kind.openai_type().into()));
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(types)).into()
}

fn openai_code() -> RefOr<Schema> {
    let codes = distinct(Kind::ALL.iter().map(|kind| kind.openai_code().into()));
    let nullable = SchemaType::from_iter([Type::String, Type::Null]);
    ObjectBuilder::new().schema_type(nullable).enum_values(Some(codes)).into()
}

/// Each once, in the order of the table. Some errors differ in nothing that clients see but their status.
fn distinct(words: impl Iterator<Item = Value>) -> Vec<Value> {
    words.fold(Vec::new(), |mut distinct, word| {
        if !distinct.contains(&word) {
            distinct.push(word);
        }
        distinct
    })
}
