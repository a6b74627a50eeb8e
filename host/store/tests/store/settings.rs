//! Settings that were put.

use std::collections::BTreeMap;

use millm_store::{AuditFilter, Location, Store, StoreError};
use serde_json::{Value, json};

use crate::database::{ann, on_both};

on_both! {
    the_last_value_of_a_setting_is_kept
    any_json_is_a_value
    a_value_that_could_not_be_read_again_is_refused
}

async fn the_last_value_of_a_setting_is_kept(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    let mut change = store.change(&ann).await.unwrap();
    for value in [1, 2] {
        change.put_setting("limit", &json!(value)).await.unwrap();
    }
    change.commit().await.unwrap();
    store.close().await;
    let store = Store::open(&location).await.unwrap();
    assert_eq!(store.settings().await.unwrap(), BTreeMap::from([("limit".to_owned(), json!(2))]));
    let audit = store.audit(AuditFilter::default()).await.unwrap();
    assert_eq!(audit.iter().map(|row| &row.details).collect::<Vec<_>>(), [&json!({"value": 2}), &json!({"value": 1})]);
}

async fn any_json_is_a_value(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    // A NUL within JSON is written as an escape.
    let values = json!([null, true, -1, 1.5, u64::MAX, "", "a\0b 𝔪 '\"\\", [], {}, {"b": [{"a": null}], "a": 1}]);
    let mut change = store.change(&ann).await.unwrap();
    for (number, value) in values.as_array().unwrap().iter().enumerate() {
        change.put_setting(&number.to_string(), value).await.unwrap();
    }
    change.commit().await.unwrap();
    let settings = store.settings().await.unwrap();
    for (number, value) in values.as_array().unwrap().iter().enumerate() {
        assert_eq!(&settings[&number.to_string()], value);
    }
}

async fn a_value_that_could_not_be_read_again_is_refused(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    let nested = |depth| (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
    let mut change = store.change(&ann).await.unwrap();
    for depth in [1, 100, 125, 126, 127, 128, 129, 1000] {
        match change.put_setting(&depth.to_string(), &nested(depth)).await {
            Ok(()) => assert!(depth < 128),
            Err(error) => assert!(depth > 125 && matches!(error, StoreError::Invalid { .. }), "{depth}: {error}"),
        }
    }
    change.commit().await.unwrap();
    let settings = store.settings().await.unwrap();
    assert!(settings.len() >= 3);
    assert_eq!(store.audit(AuditFilter::default()).await.unwrap().len(), settings.len());
}
