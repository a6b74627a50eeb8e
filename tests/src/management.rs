//! The management API in a few words.

use std::path::Path;

use serde_json::{Value, json};

use crate::{client::Client, reply::Reply};

/// How long a test waits for an operation.
const PATIENCE: u32 = 100;

/// The URL of the model. Every byte of its id is encoded, which clients may do.
pub fn model_url(id: &str) -> String {
    let id: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("/api/models/{id}")
}

impl Client {
    /// Makes a folder known under its own name, or another.
    ///
    /// # Panics
    ///
    /// If the path is no UTF-8.
    #[track_caller]
    pub fn register(&self, folder: &Path, id: Option<&str>) -> Reply {
        let mut body = json!({"source": "local", "local_path": folder.to_str().expect("a path in UTF-8")});
        if let Some(id) = id {
            body["id"] = id.into();
        }
        self.post("/api/models", &body)
    }

    /// Makes a folder known that can be.
    ///
    /// # Panics
    ///
    /// If it cannot.
    #[track_caller]
    pub fn must_register(&self, folder: &Path, id: &str) {
        self.register(folder, Some(id)).data_with(201);
    }

    /// Does `what`, such as `load`, with the model. The answer comes at once.
    #[track_caller]
    pub fn manage(&self, id: &str, what: &str, body: &Value) -> Reply {
        self.post(&format!("{}/{what}", model_url(id)), body)
    }

    /// Does `what` with the model; the operation when it has ended.
    ///
    /// # Panics
    ///
    /// If it was not begun, or does not end.
    #[track_caller]
    pub fn carry_out(&self, id: &str, what: &str, body: &Value) -> Value {
        self.manage(id, &format!("{what}?wait={PATIENCE}"), body).data().clone()
    }

    /// Loads the model.
    ///
    /// # Panics
    ///
    /// If it cannot be loaded.
    #[track_caller]
    pub fn must_load(&self, id: &str) {
        let operation = self.carry_out(id, "load", &json!({}));
        assert_eq!(operation["status"], "succeeded", "{operation:#}");
    }

    /// Unloads the model.
    ///
    /// # Panics
    ///
    /// If it cannot be unloaded.
    #[track_caller]
    pub fn must_unload(&self, id: &str) {
        let operation = self.carry_out(id, "unload", &json!({}));
        assert_eq!(operation["status"], "succeeded", "{operation:#}");
    }

    /// What is told of the model.
    ///
    /// # Panics
    ///
    /// If there is no such model.
    #[track_caller]
    pub fn model(&self, id: &str) -> Value {
        self.get(&model_url(id)).data().clone()
    }

    /// The operation once it has ended.
    ///
    /// # Panics
    ///
    /// If it does not, or there is none.
    #[track_caller]
    pub fn ended(&self, operation: &Value) -> Value {
        let id = operation["id"].as_str().expect("operations have ids");
        let ended = self.get(&format!("/api/operations/{id}?wait={PATIENCE}")).data().clone();
        assert!(ended["finished_at"].is_string(), "{ended:#}");
        ended
    }

    /// The ids of all models, newest first.
    ///
    /// # Panics
    ///
    /// If the list is not what it should be.
    #[track_caller]
    pub fn model_ids(&self) -> Vec<String> {
        let list = self.get("/api/models").data()["items"].clone();
        let ids = list.as_array().expect("a list").iter().map(|model| model["id"].as_str().expect("an id").to_owned());
        ids.collect()
    }
}
