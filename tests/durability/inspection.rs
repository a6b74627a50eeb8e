//! Looking at a host that has just come back.

use std::collections::HashMap;

use millm_tests::{Server, management::model_url};
use serde_json::Value;

use crate::{ledger::Memory, workers::Worker};

/// Asserts that the host knows what it should, has loaded what it should, and left no operation unfinished.
#[track_caller]
pub(crate) fn inspect(server: &Server, workers: &mut [Worker], when: &str) {
    let list = server.get("/api/models").data()["items"].clone();
    let models: HashMap<&str, &Value> =
        list.as_array().unwrap().iter().map(|model| (model["id"].as_str().unwrap(), model)).collect();
    let mut ours = 0;
    for ledger in workers.iter_mut().flat_map(|worker| &mut worker.ledgers) {
        let found = models.get(&*ledger.id).copied();
        ledger.close(Memory::of(found), when);
        let shown = server.get(&model_url(&ledger.id));
        let Some(model) = found else {
            assert_eq!(shown.status, 404, "{when}: {:#}", shown.body);
            continue;
        };
        ours += 1;
        assert_eq!(shown.data(), model, "{when}");
        assert_eq!(model["local_path"].as_str(), ledger.folder.to_str(), "{when}");
        let expected = if model["load_at_start"] == true { "loaded" } else { "ready" };
        assert_eq!(model["status"], expected, "{when}: {model:#}\n{}", server.log());
    }
    // A host that has nothing to load serves the demo.
    let idle = models.values().all(|model| model["load_at_start"] == false);
    assert_eq!(models.contains_key("demo"), idle, "{when}: {list:#}");
    assert_eq!(models.len(), ours + usize::from(idle), "{when}: {list:#}");
    for (id, succeeded) in workers.iter_mut().flat_map(|worker| std::mem::take(&mut worker.operations)) {
        let operation = server.get(&format!("/api/operations/{id}")).data().clone();
        let status = operation["status"].as_str().unwrap();
        assert!(matches!(status, "succeeded" | "interrupted"), "{when}: {operation:#}");
        assert!(!succeeded || status == "succeeded", "{when}: {operation:#}");
    }
    let recent = server.get("/api/operations?limit=200").data()["items"].clone();
    for operation in recent.as_array().unwrap() {
        let ended = operation["finished_at"].is_string() && operation["progress"].is_null();
        assert!(
            ended && !["queued", "running"].contains(&operation["status"].as_str().unwrap()),
            "{when}: {operation:#}"
        );
    }
    let health = server.get("/api/health");
    assert_eq!((&health.data()["status"], &health.data()["ready"]), (&"healthy".into(), &true.into()), "{when}");
}
