//! Everything or nothing.

use std::time::{Duration, Instant};

use millm_store::{AuditFilter, Location, Store, StoreError};
use tokio::time::timeout;

use crate::database::{ann, local_model, model_ids, on_both, register};

on_both! {
    a_change_that_is_dropped_leaves_nothing
    a_change_that_is_given_up_leaves_nothing
    changes_at_the_same_time_wait_for_each_other
    a_reader_does_not_wait_for_a_change
    a_change_that_never_ends_holds_up_others_for_seconds_only
    a_closed_store_says_so
    a_change_that_outlives_its_store_keeps_other_hosts_out
}

async fn a_change_that_is_dropped_leaves_nothing(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    for number in 0..20 {
        let mut change = store.change(&ann).await.unwrap();
        change.register_model(&local_model(&number.to_string(), "/m")).await.unwrap();
        change.put_setting("a", &number.into()).await.unwrap();
    }
    assert_eq!(model_ids(&store).await, [""; 0]);
    assert!(store.settings().await.unwrap().is_empty());
    assert_eq!(store.audit(AuditFilter::default()).await.unwrap(), []);
    register(&store, "after").await;
}

/// As when a client leaves while its request is answered.
async fn a_change_that_is_given_up_leaves_nothing(location: Location) {
    let store = Store::open(&location).await.unwrap();
    for number in 0..60_u64 {
        let ann = ann();
        let change = async {
            let mut change = store.change(&ann).await.unwrap();
            change.register_model(&local_model(&number.to_string(), &number.to_string())).await.unwrap();
            change.set_model_locked(&number.to_string(), true).await.unwrap();
            change.commit().await.unwrap();
        };
        let _ = timeout(Duration::from_micros(number * 60), change).await;
    }
    // A commit that nobody waits for may still be under way. The next change is made after it.
    register(&store, "after").await;
    let mut models = store.models().await.unwrap();
    let audit = store.audit(AuditFilter { limit: 1000, before_id: None }).await.unwrap();
    models.retain(|model| model.id != "after");
    assert!(models.iter().all(|model| model.locked));
    assert_eq!(audit.len(), 2 * models.len() + 1);
}

async fn changes_at_the_same_time_wait_for_each_other(location: Location) {
    // So few that the last one's turn comes in time on a slow disk, too.
    const CHANGES: usize = 16;
    let store = Store::open(&location).await.unwrap();
    let tool = Store::open_shared(&location).await.unwrap();
    let tasks: Vec<_> = (0..CHANGES)
        .map(|number| {
            let store = if number % 4 == 0 { tool.clone() } else { store.clone() };
            tokio::spawn(async move { register(&store, &number.to_string()).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(model_ids(&store).await.len(), CHANGES);
    assert_eq!(store.audit(AuditFilter::default()).await.unwrap().len(), CHANGES);
}

async fn a_reader_does_not_wait_for_a_change(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    register(&store, "before").await;
    let mut change = store.change(&ann).await.unwrap();
    change.register_model(&local_model("during", "/during")).await.unwrap();
    // Whoever waited would be told that the store is locked: the change ends after them.
    for _ in 0..20 {
        assert_eq!(model_ids(&store).await, ["before"]);
    }
    store.ping().await.unwrap();
    change.commit().await.unwrap();
    // In no order: both may be of one millisecond.
    let mut ids = model_ids(&store).await;
    ids.sort();
    assert_eq!(ids, ["before", "during"]);
}

async fn a_change_that_never_ends_holds_up_others_for_seconds_only(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    let first = store.change(&ann).await.unwrap();
    let asked = Instant::now();
    let error = store.change(&ann).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("another change has not ended in 5 s"), "{error}");
    assert!(asked.elapsed() < Duration::from_secs(9));
    drop(first);
    register(&store, "after").await;
}

async fn a_closed_store_says_so(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    let clone = store.clone();
    store.close().await;
    for error in [
        clone.ping().await.unwrap_err(),
        clone.models().await.unwrap_err(),
        clone.change(&ann).await.map(drop).unwrap_err(),
        clone.interrupt_operations().await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        assert!(error.to_string().contains("the store is closed"), "{error}");
    }
    clone.close().await;
}

async fn a_change_that_outlives_its_store_keeps_other_hosts_out(location: Location) {
    let ann = ann();
    let store = Store::open(&location).await.unwrap();
    let mut change = store.change(&ann).await.unwrap();
    change.register_model(&local_model("late", "/late")).await.unwrap();
    let asked = Instant::now();
    store.close().await;
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    assert!(matches!(Store::open(&location).await, Err(StoreError::InUse { .. })));
    change.commit().await.unwrap();
    drop(store);
    assert_eq!(model_ids(&Store::open(&location).await.unwrap()).await, ["late"]);
}
