//! SAEs registered, attached, detached and forgotten.

use millm_store::{AuditFilter, Conflict, Location, NewSae, SaeAttachment, Store, StoreError};
use serde_json::json;

use crate::database::{ann, on_both};

on_both! {
    an_sae_is_where_it_was_attached_last
    an_id_is_registered_once
    what_cannot_be_kept_is_refused
}

fn sae(id: &str) -> NewSae {
    NewSae { id: id.into(), root: "/saes".into(), path: "layer_2".into(), format: "saelens".into() }
}

fn attachment(hook_point: &str) -> SaeAttachment {
    SaeAttachment { model: "demo".into(), hook_point: hook_point.into(), details: json!({ "site_fix": "none" }) }
}

async fn an_sae_is_where_it_was_attached_last(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    let mut change = store.change(&ann).await.unwrap();
    assert_eq!(change.register_sae(&sae("a")).await.unwrap().attachment, None);
    assert!(change.attach_sae("a", &attachment("blocks.0.hook_resid_post")).await.unwrap());
    assert!(change.attach_sae("a", &attachment("blocks.1.hook_resid_post")).await.unwrap());
    assert!(!change.attach_sae("b", &attachment("hook_embed")).await.unwrap());
    change.commit().await.unwrap();
    let rows = store.saes().await.unwrap();
    assert_eq!((rows.len(), &rows[0].sae), (1, &sae("a")));
    assert_eq!(rows[0].attachment, Some(attachment("blocks.1.hook_resid_post")));

    let mut change = store.change(&ann).await.unwrap();
    assert!(change.detach_sae("a").await.unwrap() && !change.detach_sae("b").await.unwrap());
    change.commit().await.unwrap();
    assert_eq!(store.saes().await.unwrap()[0].attachment, None);

    let mut change = store.change(&ann).await.unwrap();
    assert!(change.remove_sae("a").await.unwrap() && !change.remove_sae("a").await.unwrap());
    change.commit().await.unwrap();
    assert_eq!(store.saes().await.unwrap(), []);
    let audit = store.audit(AuditFilter::default()).await.unwrap();
    let steps: Vec<_> = audit.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(steps, ["sae.remove", "sae.detach", "sae.attach", "sae.attach", "sae.register"]);
}

async fn an_id_is_registered_once(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    let mut change = store.change(&ann).await.unwrap();
    change.register_sae(&sae("a")).await.unwrap();
    let error = change.register_sae(&NewSae { path: String::new(), ..sae("a") }).await.unwrap_err();
    assert_eq!(error, StoreError::Conflict { what: Conflict::SaeId { id: "a".into() } });
    change.register_sae(&sae("b")).await.unwrap();
    change.commit().await.unwrap();
    assert_eq!(store.saes().await.unwrap().len(), 2);
}

async fn what_cannot_be_kept_is_refused(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    let mut change = store.change(&ann).await.unwrap();
    for wrong in [sae(""), sae("a\0"), NewSae { root: "x".repeat(2001), ..sae("a") }] {
        let error = change.register_sae(&wrong).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { .. }), "{error}");
    }
    change.register_sae(&sae("a")).await.unwrap();
    let nested = (0..200).fold(json!(null), |inner, _| json!([inner]));
    let error = change.attach_sae("a", &SaeAttachment { details: nested, ..attachment("x") }).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid { .. }), "{error}");
}
