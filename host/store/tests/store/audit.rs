//! The audit log.

use millm_store::{Actor, AuditFilter, Location, Store, StoreError};
use serde_json::json;

use crate::database::{ann, local_model, on_both, register};

on_both! {
    a_change_says_who_did_what_to_which
    the_audit_log_is_read_page_by_page
    an_actor_that_cannot_be_stored_changes_nothing
}

async fn a_change_says_who_did_what_to_which(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let actors = [ann(), Actor { name: "Bärbel 'the' \"admin\"".into(), request_id: None }];
    for (number, actor) in actors.iter().enumerate() {
        let mut change = store.change(actor).await.unwrap();
        change.register_model(&local_model(&number.to_string(), &format!("/m/{number}"))).await.unwrap();
        change.commit().await.unwrap();
    }
    let audit = store.audit(AuditFilter::default()).await.unwrap();
    assert_eq!(audit.len(), 2);
    for (row, (number, actor)) in audit.iter().rev().zip(actors.iter().enumerate()) {
        assert_eq!((&row.actor, &row.request_id), (&actor.name, &actor.request_id));
        assert_eq!((row.action.as_str(), row.target_type.as_str()), ("model.register", "model"));
        assert_eq!(row.target_id, number.to_string());
        assert_eq!(row.details, json!({"source": "local", "local_path": format!("/m/{number}")}));
        assert!(row.at > 1_700_000_000_000);
    }
}

async fn the_audit_log_is_read_page_by_page(location: Location) {
    let store = Store::open(&location).await.unwrap();
    for number in 0..5 {
        register(&store, &number.to_string()).await;
    }
    let (mut seen, mut before_id) = (Vec::new(), None);
    loop {
        let page = store.audit(AuditFilter { limit: 2, before_id }).await.unwrap();
        let Some(last) = page.last() else { break };
        before_id = Some(last.id);
        seen.extend(page.into_iter().map(|row| row.target_id));
    }
    assert_eq!(seen, ["4", "3", "2", "1", "0"]);
}

async fn an_actor_that_cannot_be_stored_changes_nothing(location: Location) {
    let store = Store::open(&location).await.unwrap();
    for actor in
        [Actor { name: "a\0b".into(), request_id: None }, Actor { name: "a".into(), request_id: Some("\0".into()) }]
    {
        assert!(matches!(store.change(&actor).await, Err(StoreError::Invalid { .. })));
    }
}
