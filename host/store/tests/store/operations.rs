//! Operations, from queued to finished.

use millm_store::{
    Conflict, Location, NewOperation, OperationFilter, OperationRow, OperationStatus, Outcome, Store, StoreError,
};
use serde_json::json;
use uuid::Uuid;

use crate::database::on_both;

on_both! {
    an_operation_goes_from_queued_to_its_outcome
    a_busy_target_names_the_operation_that_is_on
    of_many_that_want_a_target_one_gets_it
    an_outcome_does_not_change
    a_new_host_ends_what_the_last_one_left
    operations_are_listed_by_status_kind_and_page
    the_oldest_finished_operations_are_forgotten_first
    an_id_must_be_one_that_sorts_by_time
}

fn load(model: &str) -> NewOperation {
    NewOperation { id: None, kind: "model.load".into(), target_type: "model".into(), target_id: model.into() }
}

async fn begin(store: &Store, model: &str) -> OperationRow {
    store.begin_operation(&load(model)).await.unwrap()
}

async fn list(store: &Store, filter: OperationFilter) -> Vec<String> {
    store.operations(&filter).await.unwrap().into_iter().map(|operation| operation.target_id).collect()
}

async fn an_operation_goes_from_queued_to_its_outcome(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let outcomes = [
        (Outcome::Succeeded(json!({"tokens": 1})), OperationStatus::Succeeded, Some(json!({"tokens": 1})), None),
        (Outcome::Failed(json!("out of memory")), OperationStatus::Failed, None, Some(json!("out of memory"))),
        (Outcome::Cancelled, OperationStatus::Cancelled, None, None),
    ];
    for (outcome, status, result, error) in outcomes {
        let queued = begin(&store, "demo").await;
        assert_eq!((queued.status, queued.finished_at), (OperationStatus::Queued, None));
        assert_eq!(store.operation(&queued.id).await.unwrap().as_ref(), Some(&queued));
        let running = store.set_operation_running(&queued.id).await.unwrap().unwrap();
        assert_eq!(running.status, OperationStatus::Running);
        assert_eq!(store.set_operation_running(&queued.id).await.unwrap(), None);
        let finished = store.finish_operation(&queued.id, &outcome).await.unwrap().unwrap();
        assert_eq!((finished.status, &finished.result, &finished.error), (status, &result, &error));
        assert_eq!(finished.finished_at, Some(finished.updated_at));
        assert_eq!(store.operation(&queued.id).await.unwrap(), Some(finished));
    }
}

async fn a_busy_target_names_the_operation_that_is_on(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let first = begin(&store, "demo").await;
    begin(&store, "other").await;
    for _ in 0..2 {
        let error = store.begin_operation(&load("demo")).await.unwrap_err();
        let (kind, target_type, target_id) = ("model.load".into(), "model".into(), "demo".into());
        let what = Conflict::Busy { id: first.id.clone(), kind, target_type, target_id };
        assert_eq!(error, StoreError::Conflict { what });
        store.set_operation_running(&first.id).await.unwrap();
    }
    store.finish_operation(&first.id, &Outcome::Cancelled).await.unwrap();
    begin(&store, "demo").await;
}

async fn of_many_that_want_a_target_one_gets_it(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let tool = Store::open_shared(&location).await.unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let store = if number % 2 == 0 { tool.clone() } else { store.clone() };
            tokio::spawn(async move { store.begin_operation(&load("demo")).await })
        })
        .collect();
    let mut begun = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => begun += 1,
            Err(error) => {
                assert!(matches!(error, StoreError::Conflict { what: Conflict::Busy { .. } }), "{error}");
            }
        }
    }
    assert_eq!(begun, 1);
}

async fn an_outcome_does_not_change(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let operation = begin(&store, "demo").await;
    let cancelled = store.finish_operation(&operation.id, &Outcome::Cancelled).await.unwrap();
    assert_eq!(store.finish_operation(&operation.id, &Outcome::Succeeded(json!(1))).await.unwrap(), None);
    assert_eq!(store.set_operation_running(&operation.id).await.unwrap(), None);
    assert_eq!(store.operation(&operation.id).await.unwrap(), cancelled);
    assert_eq!(store.finish_operation("no such id", &Outcome::Cancelled).await.unwrap(), None);
}

async fn a_new_host_ends_what_the_last_one_left(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let queued = begin(&store, "queued").await;
    let running = begin(&store, "running").await;
    store.set_operation_running(&running.id).await.unwrap();
    let finished = begin(&store, "finished").await;
    let finished = store.finish_operation(&finished.id, &Outcome::Cancelled).await.unwrap();
    store.close().await;

    let store = Store::open(&location).await.unwrap();
    let mut interrupted = store.interrupt_operations().await.unwrap();
    interrupted.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(interrupted.iter().map(|row| &row.id).collect::<Vec<_>>(), [&queued.id, &running.id]);
    assert!(interrupted.iter().all(|row| row.status == OperationStatus::Interrupted && row.finished_at.is_some()));
    assert_eq!(store.operation(&finished.as_ref().unwrap().id).await.unwrap(), finished);
    assert_eq!(store.interrupt_operations().await.unwrap(), []);
    begin(&store, "queued").await;
}

async fn operations_are_listed_by_status_kind_and_page(location: Location) {
    let store = Store::open(&location).await.unwrap();
    for model in ["a", "b", "c", "d"] {
        begin(&store, model).await;
    }
    let unload = NewOperation { kind: "model.unload".into(), ..load("e") };
    let unload = store.begin_operation(&unload).await.unwrap();
    store.finish_operation(&unload.id, &Outcome::Cancelled).await.unwrap();
    assert_eq!(list(&store, OperationFilter::default()).await, ["e", "d", "c", "b", "a"]);
    let queued = OperationFilter { status: Some(OperationStatus::Queued), limit: 3, ..OperationFilter::default() };
    assert_eq!(list(&store, queued).await, ["d", "c", "b"]);
    let kind = Some("model.unload".to_owned());
    assert_eq!(list(&store, OperationFilter { kind, ..OperationFilter::default() }).await, ["e"]);
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = store.operations(&OperationFilter { limit: 2, before, ..OperationFilter::default() }).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id.clone());
        seen.extend(page.into_iter().map(|operation| operation.target_id));
    }
    assert_eq!(seen, ["e", "d", "c", "b", "a"]);
}

async fn the_oldest_finished_operations_are_forgotten_first(location: Location) {
    let store = Store::open(&location).await.unwrap();
    begin(&store, "on").await;
    for model in ["a", "b", "c"] {
        let operation = begin(&store, model).await;
        store.finish_operation(&operation.id, &Outcome::Cancelled).await.unwrap();
    }
    assert_eq!(store.prune_operations(3).await.unwrap(), 0);
    assert_eq!(store.prune_operations(1).await.unwrap(), 2);
    assert_eq!(list(&store, OperationFilter::default()).await, ["c", "on"]);
    assert_eq!(store.prune_operations(0).await.unwrap(), 1);
    assert_eq!(list(&store, OperationFilter::default()).await, ["on"]);
}

async fn an_id_must_be_one_that_sorts_by_time(location: Location) {
    let store = Store::open(&location).await.unwrap();
    let id = Uuid::now_v7().to_string();
    let with = |id: &str, model| NewOperation { id: Some(id.into()), ..load(model) };
    assert_eq!(store.begin_operation(&with(&id, "a")).await.unwrap().id, id);
    let error = store.begin_operation(&with(&id, "b")).await.unwrap_err();
    assert_eq!(error, StoreError::Conflict { what: Conflict::OperationId { id: id.clone() } });
    for id in ["", "1", "a\0", &id.to_uppercase(), "6ba7b810-9dad-11d1-80b4-00c04fd430c8"] {
        let error = store.begin_operation(&with(id, "c")).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { .. }), "{error}");
    }
}
