use std::{
    collections::{BTreeSet, HashSet},
    fs,
    path::PathBuf,
};

use millm_loader::{Kind, Note, Origin, PluginStatus, Shadowed, State};
use serde_json::{Value, json};

use super::*;

fn document() -> Value {
    serde_json::from_str(&TEXT).unwrap()
}

#[test]
fn the_committed_document_is_that_of_this_version() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(committed == *TEXT, "{path} is not up to date. Renew it: millm openapi > host/server/openapi.json");
}

#[test]
fn every_operation_has_an_id_of_its_own_a_tag_and_words() {
    let document = document();
    let mut ids = HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{method} {path}: {id}");
            let tag = &operation["tags"][0];
            assert!(document["tags"].as_array().unwrap().iter().any(|known| known["name"] == *tag), "{id}: {tag}");
            assert!(operation["summary"].is_string(), "{id}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                    let found = document.pointer(reference.strip_prefix('#').unwrap());
                    assert!(found.is_some(), "{reference}");
                }
                members.values().for_each(|value| walk(value, document));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, document)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
}

#[test]
fn a_plugin_has_the_keys_and_words_that_the_document_says() {
    let schemas = &document()["components"]["schemas"];
    let keys = |object: &Value| object.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let agree = |name: &str, value: &Value| {
        let required: BTreeSet<_> =
            schemas[name]["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect();
        assert_eq!(keys(value), keys(&schemas[name]["properties"]), "{name}");
        assert_eq!(keys(value), required, "{name}");
    };
    let plugin = PluginStatus {
        name: "a".into(),
        version: None,
        kind: Some(Kind::Native),
        entry: None,
        description: None,
        folder: PathBuf::from("a"),
        origin: Origin::Given,
        provides: Vec::new(),
        shadowed: vec![Shadowed { provides: "architecture:a".into(), by: "b".into() }],
        state: State::Enabled,
        reason: None,
        sha256: None,
        note: Some(Note {
            api: "1".into(),
            name: "a".into(),
            version: "1".into(),
            rustc: "1".into(),
            target: "a".into(),
        }),
        superseded: 0,
    };
    let plugin = serde_json::to_value(plugin).unwrap();
    agree("Plugin", &plugin);
    agree("PluginNote", &plugin["note"]);
    agree("ShadowedPart", &plugin["shadowed"][0]);
    let states = [State::Untrusted, State::Rejected, State::Enabled, State::Disabled, State::Faulted];
    assert_eq!(schemas["PluginState"]["enum"], json!(states));
    assert_eq!(schemas["PluginOrigin"]["enum"], json!([Origin::Given, Origin::Data, Origin::Bundled]));
    assert_eq!(schemas["PluginKind"]["enum"], json!([Kind::Native]));
}
