//! Fixtures whose config says something else than their weights.

use std::fs;

use millm_loader::ModelError;
use millm_plugin_api::loaded::LoadedModel;
use millm_tests::folders::copy_files;
use serde_json::{Map, Value, json};

use crate::support::{case, load};

/// The fixture `<family>/<case>` with fields of its config changed: `null` in `changes` means null, and a key with a dot
/// is a field within a field.
pub(crate) fn altered(name: &str, changes: Value) -> Result<LoadedModel, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    copy_files(&case(name), &model);
    let path = model.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    for (key, value) in changes {
        set(config.as_object_mut().unwrap(), &key, value);
    }
    fs::write(path, config.to_string()).unwrap();
    // Weights are mapped, and stay so when the folder is gone.
    load(&model, 1)
}

fn set(fields: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        Some((outer, inner)) => {
            let within = fields.entry(outer).or_insert_with(|| json!({}));
            set(within.as_object_mut().unwrap(), inner, value);
        }
        None => drop(fields.insert(key.to_owned(), value)),
    }
}

/// Why such a model does not load.
pub(crate) fn refusal(name: &str, changes: Value) -> String {
    match altered(name, changes.clone()) {
        Err(ModelError::Plugin { error, .. }) => error.to_string(),
        Err(error) => error.to_string(),
        Ok(_) => panic!("{name} loads with {changes}"),
    }
}
