//! Plugins turned on and off, and those that are trusted.

use millm_store::{AuditFilter, Location, NewTrust, Store, StoreError};
use serde_json::json;

use crate::database::{ann, on_both};

on_both! {
    a_plugin_stays_as_it_was_turned
    a_library_is_trusted_until_it_is_not
    what_is_no_hash_is_not_trusted
}

async fn a_plugin_stays_as_it_was_turned(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    let mut change = store.change(&ann).await.unwrap();
    change.set_plugin_enabled("llama", true).await.unwrap();
    change.set_plugin_enabled("gpt2", true).await.unwrap();
    change.set_plugin_enabled("llama", false).await.unwrap();
    change.commit().await.unwrap();
    let plugins = store.plugins().await.unwrap();
    let plugins: Vec<_> = plugins.iter().map(|plugin| (plugin.name.as_str(), plugin.enabled)).collect();
    assert_eq!(plugins, [("gpt2", true), ("llama", false)]);
    let audit = store.audit(AuditFilter::default()).await.unwrap();
    let steps: Vec<_> = audit.iter().map(|row| (row.action.as_str(), row.target_id.as_str())).collect();
    assert_eq!(steps, [("plugin.disable", "llama"), ("plugin.enable", "gpt2"), ("plugin.enable", "llama")]);
}

async fn a_library_is_trusted_until_it_is_not(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    let hash = "0123456789abcdef".repeat(4);
    let mut change = store.change(&ann).await.unwrap();
    for path in ["/old/a.so", "/new/a.so"] {
        change.trust(&NewTrust { sha256: hash.clone(), name: "a".into(), path: path.into() }).await.unwrap();
    }
    change.commit().await.unwrap();
    let trusted = store.trusted().await.unwrap();
    assert_eq!(trusted.len(), 1);
    assert_eq!((trusted[0].path.as_str(), trusted[0].trusted_by.as_str()), ("/new/a.so", "ann"));
    assert_eq!((&trusted[0].sha256, trusted[0].name.as_str()), (&hash, "a"));

    let mut change = store.change(&ann).await.unwrap();
    assert!(change.distrust(&hash).await.unwrap());
    assert!(!change.distrust(&hash).await.unwrap());
    change.commit().await.unwrap();
    assert_eq!(store.trusted().await.unwrap(), []);
    let audit = store.audit(AuditFilter { limit: 1, before_id: None }).await.unwrap();
    assert_eq!((audit[0].action.as_str(), audit[0].target_id.as_str()), ("plugin.distrust", "a"));
    assert_eq!(audit[0].details, json!({ "sha256": hash }));
}

async fn what_is_no_hash_is_not_trusted(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    let mut change = store.change(&ann).await.unwrap();
    for sha256 in [String::new(), "A".repeat(64), "a".repeat(63), "é".repeat(32)] {
        let error = change.distrust(&sha256).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { what: "the SHA-256", .. }), "{error}");
        let error = change.trust(&NewTrust { sha256, name: "a".into(), path: "/a.so".into() }).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { what: "the SHA-256", .. }), "{error}");
    }
}
