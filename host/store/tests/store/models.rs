//! Models, registered and forgotten.

use millm_store::{AuditFilter, Conflict, Location, ModelSource, PrependBos, Store, StoreError};
use serde_json::json;

use crate::database::{ann, local_model, model_ids, on_both, register};

on_both! {
    a_model_is_remembered
    models_come_newest_first
    a_second_model_of_the_same_id_or_path_is_told_what_exists
    a_removed_model_is_forgotten
    a_model_is_locked_and_wanted_until_it_is_not
    a_model_says_when_its_prompts_begin_with_bos
    ids_may_be_anything_but_nul
}

async fn a_model_is_remembered(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    assert_eq!(store.models().await.unwrap(), []);
    let mut change = store.change(&ann).await.unwrap();
    let registered = change.register_model(&local_model("demo", "/models/demo")).await.unwrap();
    change.commit().await.unwrap();
    assert_eq!((registered.source, registered.locked, registered.wanted), (ModelSource::Local, false, false));
    assert!(registered.created_at > 1_700_000_000_000 && registered.created_at == registered.updated_at);
    assert_eq!(store.model("demo").await.unwrap().as_ref(), Some(&registered));
    store.close().await;

    let store = Store::open(&location).await.unwrap();
    assert_eq!(store.models().await.unwrap(), [registered]);
    assert_eq!(store.model("other").await.unwrap(), None);
}

async fn models_come_newest_first(location: Location) {
    let store = Store::open(&location).await.unwrap();
    for id in ["b", "c", "a"] {
        register(&store, id).await;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert_eq!(model_ids(&store).await, ["a", "c", "b"]);
}

async fn a_second_model_of_the_same_id_or_path_is_told_what_exists(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    register(&store, "demo").await;
    let mut change = store.change(&ann).await.unwrap();
    let error = change.register_model(&local_model("demo", "/elsewhere")).await.unwrap_err();
    let what = Conflict::ModelId { id: "demo".into(), local_path: "/models/demo".into() };
    assert_eq!(error, StoreError::Conflict { what });
    let error = change.register_model(&local_model("other", "/models/demo")).await.unwrap_err();
    let what = Conflict::ModelPath { id: "demo".into(), local_path: "/models/demo".into() };
    assert_eq!(error, StoreError::Conflict { what });
    // A refusal does not spoil the change.
    change.register_model(&local_model("third", "/models/third")).await.unwrap();
    change.commit().await.unwrap();
    assert_eq!(model_ids(&store).await.len(), 2);
    assert_eq!(store.audit(AuditFilter::default()).await.unwrap().len(), 2);
}

async fn a_removed_model_is_forgotten(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    register(&store, "demo").await;
    let mut change = store.change(&ann).await.unwrap();
    assert!(change.remove_model("demo").await.unwrap());
    assert!(!change.remove_model("demo").await.unwrap());
    change.commit().await.unwrap();
    assert_eq!(model_ids(&store).await, [""; 0]);
    let audit = store.audit(AuditFilter::default()).await.unwrap();
    assert_eq!(audit.len(), 2);
    assert_eq!((audit[0].action.as_str(), &audit[0].details), ("model.remove", &json!({"local_path": "/models/demo"})));
    register(&store, "demo").await;
}

async fn a_model_is_locked_and_wanted_until_it_is_not(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    register(&store, "demo").await;
    for value in [true, false] {
        let mut change = store.change(&ann).await.unwrap();
        assert!(change.set_model_locked("demo", value).await.unwrap());
        assert!(change.set_model_wanted("demo", value).await.unwrap());
        assert!(!change.set_model_locked("other", value).await.unwrap());
        assert!(!change.set_model_wanted("other", value).await.unwrap());
        change.commit().await.unwrap();
        let model = store.model("demo").await.unwrap().unwrap();
        assert_eq!((model.locked, model.wanted), (value, value));
        assert!(model.updated_at >= model.created_at);
    }
    let audit = store.audit(AuditFilter::default()).await.unwrap();
    let actions: Vec<&str> = audit.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(actions, ["model.unload", "model.unlock", "model.load", "model.lock", "model.register"]);
}

async fn a_model_says_when_its_prompts_begin_with_bos(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    register(&store, "demo").await;
    assert_eq!(store.model("demo").await.unwrap().unwrap().prepend_bos, PrependBos::Auto);
    for when in [PrependBos::Always, PrependBos::Never, PrependBos::Auto] {
        let mut change = store.change(&ann).await.unwrap();
        assert!(change.set_model_prepend_bos("demo", when).await.unwrap());
        assert!(!change.set_model_prepend_bos("other", when).await.unwrap());
        change.commit().await.unwrap();
        assert_eq!(store.models().await.unwrap()[0].prepend_bos, when);
    }
    let audit = store.audit(AuditFilter::default()).await.unwrap();
    assert_eq!((audit[2].action.as_str(), &audit[2].details), ("model.prepend_bos", &json!({"prepend_bos": "always"})));
}

async fn ids_may_be_anything_but_nul(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    let ids = [
        "𝔪".repeat(300),
        "x".repeat(2000),
        "meta-llama/Llama 3@main".into(),
        "'; DROP TABLE models; --".into(),
        "\"\\\u{1}\n\t$1 %s {}\u{feff}\u{202e}".into(),
        "../../etc/passwd".into(),
        "ü".into(),
        "u\u{308}".into(),
        "DEMO".into(),
        "demo".into(),
        "demo ".into(),
    ];
    let mut change = store.change(&ann).await.unwrap();
    for (number, id) in ids.iter().enumerate() {
        change.register_model(&local_model(id, &format!("/{number}"))).await.unwrap();
        change.set_plugin_enabled(id, true).await.unwrap();
        change.put_setting(id, &json!({ id.as_str(): id })).await.unwrap();
    }
    change.commit().await.unwrap();
    assert_eq!(store.models().await.unwrap().len(), ids.len());
    for id in &ids {
        assert_eq!(store.model(id).await.unwrap().unwrap().id, *id);
        assert_eq!(store.settings().await.unwrap()[id], json!({ id.as_str(): id }));
    }

    let mut change = store.change(&ann).await.unwrap();
    for (id, expected) in [("a\0b", "NUL"), ("", "empty"), (&*"x".repeat(2001), "2001 bytes")] {
        let refused = [
            change.register_model(&local_model(id, "/new")).await.map(drop),
            change.register_model(&local_model("new", id)).await.map(drop),
            change.remove_model(id).await.map(drop),
            change.set_model_locked(id, true).await.map(drop),
            change.set_plugin_enabled(id, true).await,
            change.put_setting(id, &json!(1)).await,
            store.model(id).await.map(drop),
        ];
        for error in refused.map(Result::unwrap_err) {
            assert!(matches!(error, StoreError::Invalid { .. }) && error.to_string().contains(expected), "{error}");
        }
    }
    // None of this has reached the database, so the change is still good.
    change.register_model(&local_model("new", "/new")).await.unwrap();
    change.commit().await.unwrap();
}
