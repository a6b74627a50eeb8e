//! A server for the clients in `tests/clients`: live events as the host has them, of things that only seem to happen.

use std::{env, process};

use axum::{extract::Path, routing::post};
use serde_json::json;
use tokio::time::sleep;

use super::*;

/// Loads and unloads take this many steps.
const STEPS: u64 = 20;

/// Serves at `MILLM_REHEARSAL` (an address), with the key in `MILLM_API_KEY` if there is one, until it is killed. With
/// `MILLM_REHEARSAL_FLOOD`, so many operations change all the time, and each state is large.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "serves until it is killed"]
async fn serves_clients() {
    crate::logging::init(crate::logging::LogFormat::Human, tracing::level_filters::LevelFilter::WARN);
    let address = env::var("MILLM_REHEARSAL").expect("MILLM_REHEARSAL is an address");
    let live = Live::new(env::var("MILLM_API_KEY").ok().map(|key| key.parse().unwrap()));
    let act = |kind: &'static str, live: Live| {
        post(async move |Path(model): Path<String>| {
            tokio::spawn(operate(kind, model, live));
            StatusCode::ACCEPTED
        })
    };
    let app = Router::new()
        .route("/api/models/{id}/load", act("load", live.clone()))
        .route("/api/models/{id}/unload", act("unload", live.clone()))
        .merge(live.routes());
    let flood: u64 = env::var("MILLM_REHEARSAL_FLOOD").map_or(0, |count| count.parse().unwrap());
    for number in 0..flood {
        tokio::spawn(flow(format!("flood-{number}"), live.clone()));
    }
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    println!("rehearsal {} at {}", process::id(), listener.local_addr().unwrap());
    axum::serve(listener, app).await.unwrap();
}

async fn operate(kind: &'static str, model: String, live: Live) {
    let id = unique_id("op_");
    let state = |status: &str, done: u64| json!({ "id": id, "kind": kind, "target_id": model, "status": status, "done": done, "total": STEPS });
    live.operation(state("queued", 0));
    for done in 0..STEPS {
        live.operation(state("running", done));
        sleep(Duration::from_millis(20)).await;
    }
    live.operation(state("succeeded", STEPS));
    live.model(json!({ "id": model, "status": if kind == "load" { "loaded" } else { "unloaded" } }));
}

async fn flow(id: String, live: Live) {
    for n in 0_u64.. {
        live.operation(json!({ "id": id, "status": "running", "n": n, "padding": "x".repeat(4096) }));
        sleep(Duration::from_millis(25)).await;
    }
}
