//! Operations that end at once, and what is known of them afterwards.

use serde_json::json;

use super::*;

async fn open(folder: &tempfile::TempDir, kept: usize) -> Operations {
    let location = millm_store::Location::Sqlite(folder.path().join("millm.db"));
    Operations::open_keeping(Store::open(&location).await.unwrap(), Live::new(None), kept).await.unwrap()
}

/// The one with this target, once it has ended and its target is free again.
async fn ended(operations: &Operations, target: &str, outcome: Result<Value, ApiError>) -> Operation {
    let target = Target::model(target);
    let begun = operations.start("test", target.clone(), true, |_| async { outcome }).await.unwrap();
    let ended = operations.wait(&begun.id, MOMENT).await.unwrap();
    while operations.on(&target).is_some() {
        tokio::task::yield_now().await;
    }
    ended
}

#[tokio::test]
async fn whoever_asks_later_is_told_what_those_were_told_who_waited() {
    let folder = tempfile::tempdir().unwrap();
    let operations = open(&folder, KEPT).await;
    for round in 0..100 {
        let outcome = [Ok(json!(round)), Err(ApiError::internal()), Err(ApiError::new(Kind::OperationCancelled, ""))];
        let told = ended(&operations, "a", outcome[round % 3].clone()).await;
        assert!(told.has_ended());
        assert_eq!(operations.get(&told.id).await.unwrap().json(), told.json(), "round {round}");
    }
}

#[tokio::test]
async fn the_oldest_that_ended_are_forgotten_as_others_end() {
    const ALL: usize = 10;
    let folder = tempfile::tempdir().unwrap();
    let operations = open(&folder, 3).await;
    let (end, hold) = tokio::sync::oneshot::channel();
    let work = |_| async move { hold.await.map_err(|_| ApiError::internal()) };
    let oldest = operations.start("test", Target::model("oldest"), true, work).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..ALL {
        ids.push(ended(&operations, "a", Ok(Value::Null)).await.id);
    }
    let listed = async |limit| {
        let page = operations.list(Filter { limit, ..Filter::default() }).await.unwrap();
        page.items.into_iter().map(|operation| operation.id).collect::<Vec<_>>()
    };
    // The last one is forgotten a moment after it is out of the way.
    let expected: Vec<_> = ids[ALL - 3..].iter().rev().chain([&oldest.id]).cloned().collect();
    while listed(100).await != expected {
        assert!(listed(100).await.len() <= expected.len() + 1);
    }
    assert_eq!(operations.get(&ids[0]).await.unwrap_err().kind, Kind::OperationNotFound);
    end.send(Value::Null).unwrap();
    assert!(operations.wait(&oldest.id, MOMENT).await.unwrap().has_ended());
}

#[tokio::test]
async fn what_is_over_cannot_be_cancelled_and_the_reason_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let operations = open(&folder, KEPT).await;
    let over = ended(&operations, "a", Ok(Value::Null)).await;
    let running = operations.start("test", Target::model("b"), false, |_| std::future::pending()).await.unwrap();
    for (id, why) in [(over.id, "over (succeeded)"), (running.id, "runs to its end")] {
        let error = operations.cancel(&id).await.unwrap_err();
        assert_eq!(error.kind, Kind::OperationNotCancellable);
        assert!(error.message.contains(why), "{}", error.message);
    }
}
