//! The OpenAPI document that is committed, and whether a server keeps to it.

use std::{collections::BTreeSet, fs};

use jsonschema::Validator;
use millm_tests::{Reply, folders::workspace};
use serde_json::{Map, Value, json};

/// The document. What it says of an object is all that may be in it.
#[derive(Debug)]
pub(super) struct Contract {
    document: Value,
    /// Its schemas, closed.
    schemas: Value,
}

impl Contract {
    /// The one in `host/server/openapi.json`.
    pub(super) fn committed() -> Self {
        let text = fs::read_to_string(workspace().join("host/server/openapi.json")).expect("the document is committed");
        let document: Value = serde_json::from_str(&text).expect("the document is JSON");
        let named = document["components"]["schemas"].as_object().expect("schemas");
        let schemas = named.iter().map(|(name, schema)| (name.clone(), closed(schema, &document))).collect();
        Self { schemas: Value::Object(schemas), document }
    }

    /// The ids of all operations.
    pub(super) fn operations(&self) -> Vec<&str> {
        self.all().filter_map(|operation| operation["operationId"].as_str()).collect()
    }

    /// Asserts that `reply` is one that the document has for the operation: its status, and what has it, and the code of an
    /// error.
    #[track_caller]
    pub(super) fn check(&self, operation: &str, reply: &Reply) {
        let response = &self.operation(operation)["responses"][reply.status.to_string()];
        assert!(response.is_object(), "{operation}: {} is not in the document: {:#}", reply.status, reply.body);
        let content_type = reply.header("content-type").split(';').next().unwrap_or_default();
        let content = &response["content"][content_type];
        assert!(content.is_object(), "{operation}: {content_type:?} is not in the document");
        if content_type != "application/json" {
            return;
        }
        self.assert_is(&content["schema"], &reply.body, operation);
        let error = &reply.body["error"];
        if let Some(error) = error.as_object() {
            let code = format!("`{}`", error["code"].as_str().unwrap_or("null"));
            let described = response["description"].as_str().unwrap_or_default();
            assert!(described.contains(&code), "{operation}: {} {code} is not in the document", reply.status);
        }
        for name in response["headers"].as_object().into_iter().flat_map(Map::keys) {
            let optional = name.starts_with("x-millm-");
            assert!(optional || !reply.header(name).is_empty(), "{operation}: {} has no {name}", reply.status);
        }
    }

    /// The codes of the errors that the document has for the operation.
    pub(super) fn errors(&self, operation: &str) -> BTreeSet<&str> {
        let responses = self.operation(operation)["responses"].as_object().into_iter().flatten();
        let failures = responses.filter(|(status, _)| *status >= &"400".to_owned());
        let described = failures.filter_map(|(_, response)| response["description"].as_str());
        described.flat_map(|codes| codes.split('`').skip(1).step_by(2)).collect()
    }

    /// Asserts that `chunk` is one of those that the operation streams.
    #[track_caller]
    pub(super) fn check_chunk(&self, operation: &str, chunk: &Value) {
        let content = &self.operation(operation)["responses"]["200"]["content"]["text/event-stream"];
        let data = &content["schema"]["properties"]["data"];
        let schema = data.get("contentSchema").unwrap_or(&data["anyOf"][0]["contentSchema"]);
        assert!(schema.is_object(), "{operation}: {content:#}");
        self.assert_is(schema, chunk, operation);
    }

    /// Whether the document allows `body` for the operation.
    pub(super) fn allows(&self, operation: &str, body: &Value) -> bool {
        let schema = &self.operation(operation)["requestBody"]["content"]["application/json"]["schema"];
        self.validator(schema, &self.document["components"]["schemas"]).is_valid(body)
    }

    /// The properties of a schema, by its name.
    #[track_caller]
    pub(super) fn properties(&self, schema: &str) -> &Map<String, Value> {
        self.document["components"]["schemas"][schema]["properties"].as_object().expect("an object's schema")
    }

    fn all(&self) -> impl Iterator<Item = &Value> {
        let paths = self.document["paths"].as_object().into_iter().flat_map(Map::values);
        paths.filter_map(Value::as_object).flat_map(Map::values)
    }

    #[track_caller]
    fn operation(&self, id: &str) -> &Value {
        self.all().find(|operation| operation["operationId"] == id).expect("an operation of the document")
    }

    #[track_caller]
    fn assert_is(&self, schema: &Value, value: &Value, operation: &str) {
        let validator = self.validator(&closed(schema, &self.document), &self.schemas);
        let errors: Vec<String> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{operation}: {errors:#?}\n{value:#}");
    }

    fn validator(&self, schema: &Value, schemas: &Value) -> Validator {
        let mut schema = schema.clone();
        schema["components"] = json!({"schemas": schemas});
        jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&schema)
            .expect("the document has schemas")
    }
}

/// The schema with every object in it closed: a property that it does not name is an error.
fn closed(schema: &Value, document: &Value) -> Value {
    let mut schema = open(schema, document);
    let says_all = schema.get("additionalProperties").is_none();
    if says_all && (schema.get("properties").is_some() || schema.get("allOf").is_some()) {
        schema["unevaluatedProperties"] = false.into();
    }
    schema
}

/// A part of an object that has others: what it refers to, left open.
fn part(schema: &Value, document: &Value) -> Value {
    let reference = schema["$ref"].as_str().and_then(|name| document.pointer(name.trim_start_matches('#')));
    open(reference.unwrap_or(schema), document)
}

/// The same with itself left open.
fn open(schema: &Value, document: &Value) -> Value {
    let Value::Object(members) = schema else { return schema.clone() };
    let each = |list: &Value, change: fn(&Value, &Value) -> Value| -> Value {
        list.as_array().into_iter().flatten().map(|item| change(item, document)).collect()
    };
    let member = |(key, value): (&String, &Value)| {
        let value = match key.as_str() {
            "properties" => {
                let properties = value.as_object().into_iter().flatten();
                properties.map(|(name, schema)| (name.clone(), closed(schema, document))).collect()
            }
            "items" | "additionalProperties" if value.is_object() => closed(value, document),
            "oneOf" => each(value, closed),
            "allOf" => each(value, part),
            _ => value.clone(),
        };
        (key.clone(), value)
    };
    members.iter().map(member).collect()
}
