//! Clients that poll, byte by byte, through the routes of the host.

mod client;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use serde_json::{Value, json};
use tokio::{spawn, time::sleep};

use self::client::{Client, call};
use super::*;

fn operation(id: &str, status: &str) -> Value {
    json!({ "id": id, "status": status })
}

#[tokio::test]
async fn a_client_gets_a_snapshot_and_then_what_changes() {
    let live = Live::new(None);
    live.operation(operation("b", "queued"));
    live.operation(operation("a", "succeeded"));
    let (mut client, snapshot) = Client::connect(&live, "/progress").await;
    let epoch = snapshot["epoch"].as_str().unwrap();
    let expected = json!({
        "epoch": epoch, "seq": 2, "operations": [operation("a", "succeeded"), operation("b", "queued")],
    });
    assert_eq!(snapshot, expected);
    live.operation(operation("b", "running"));
    let event = json!({ "seq": 3, "coalesced": 0, "operation": operation("b", "running") });
    assert_eq!(client.event().await, ("operation".into(), event));
    // Progress that waited, with nobody asking for it.
    live.operation(operation("b", "running"));
    live.operation(operation("b", "running"));
    assert_eq!(client.event().await.1, json!({ "seq": 5, "coalesced": 1, "operation": operation("b", "running") }));
    let (_, again) = Client::connect(&live, "/progress").await;
    assert_eq!((&again["epoch"], &again["seq"]), (&json!(epoch), &json!(5)));
    let (_, restarted) = Client::connect(&Live::new(None), "/progress").await;
    assert_ne!(restarted["epoch"], epoch);
}

#[tokio::test]
async fn the_system_tells_of_models_plugins_and_metrics() {
    let live = Live::new(None);
    live.model(json!({ "id": "gpt2", "status": "loaded" }));
    live.plugin(json!({ "name": "llama", "status": "loaded" }));
    let (mut client, snapshot) = Client::connect(&live, "/system").await;
    assert_eq!(snapshot["models"], json!([{ "id": "gpt2", "status": "loaded" }]));
    assert_eq!(snapshot["plugins"], json!([{ "name": "llama", "status": "loaded" }]));
    assert!(snapshot["metrics"]["process_resident_bytes"].is_u64(), "{snapshot}");
    let (event, payload) = client.event().await;
    assert_eq!((event.as_str(), &payload["seq"]), ("metrics", &json!(4)));
    assert!(payload["metrics"]["cpu_percent"].is_f64(), "{payload}");
    let chosen = client.ask("/system", json!(["subscribe", { "events": ["model"] }])).await;
    let keys: Vec<_> = chosen.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["epoch", "seq", "models"]);
    live.plugin(json!({ "name": "llama", "status": "removed" }));
    live.model(json!({ "id": "gpt2", "status": "removed" }));
    let (event, payload) = client.event().await;
    assert_eq!((event.as_str(), &payload["model"]), ("model", &json!({ "id": "gpt2", "status": "removed" })));
    let everything = client.ask("/system", json!(["unsubscribe"])).await;
    assert_eq!((&everything["models"], &everything["plugins"]), (&json!([]), &json!([])));
    assert!(everything["metrics"].is_object());
}

#[tokio::test]
async fn a_client_sees_only_the_operations_it_chose() {
    let live = Live::new(None);
    for id in ["a", "b"] {
        live.operation(operation(id, "queued"));
    }
    let (mut client, _) = Client::connect(&live, "/progress").await;
    let chosen = client.ask("/progress", json!(["subscribe", { "operations": ["b", "later"] }])).await;
    assert_eq!((&chosen["seq"], &chosen["operations"]), (&json!(2), &json!([operation("b", "queued")])));
    for id in ["a", "b", "later"] {
        live.operation(operation(id, "running"));
    }
    for (id, seq) in [("b", 4), ("later", 5)] {
        let event = json!({ "seq": seq, "coalesced": 0, "operation": operation(id, "running") });
        assert_eq!(client.event().await.1, event);
    }
    for request in [json!(["unsubscribe"]), json!(["subscribe", {}])] {
        let everything = client.ask("/progress", request).await;
        assert_eq!(everything["operations"].as_array().map(Vec::len), Some(3));
    }
}

#[tokio::test]
async fn a_wrong_request_changes_nothing_and_says_so() {
    let live = Live::new(None);
    let (mut client, _) = Client::connect(&live, "/progress").await;
    for argument in [json!(null), json!(5), json!([]), json!({ "operations": [5] }), json!({ "events": ["model"] })] {
        let answer = client.ask("/progress", json!(["subscribe", argument])).await;
        assert!(answer["error"]["message"].is_string() && answer["error"]["code"].is_string(), "{argument}: {answer}");
    }
    assert!(client.ask("/progress", json!(["subscribe"])).await["error"]["message"].is_string());
    live.operation(operation("a", "running"));
    assert_eq!(client.event().await.0, "operation");
}

#[tokio::test]
async fn a_message_that_is_too_long_or_broken_ends_the_connection() {
    let live = Live::new(None);
    let long = format!("42/progress,[\"subscribe\",{{\"operations\":[\"{}\"]}}]", "a".repeat(MAX_INCOMING));
    for broken in
        [long, "42/progress,[5]".into(), "42/progress,{".into(), "451-/progress,[\"subscribe\"]".into(), "9".into()]
    {
        let (client, _) = Client::connect(&live, "/progress").await;
        client.post(broken.clone()).await;
        let closed = async {
            while client.post("3".into()).await.0 == StatusCode::OK {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let shown: String = broken.chars().take(30).collect();
        assert!(timeout(Duration::from_secs(30), closed).await.is_ok(), "{shown}");
        let gone = async {
            while live.progress.readers() > 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(Duration::from_secs(30), gone).await.is_ok(), "{shown}");
    }
    let (mut client, _) = Client::connect(&live, "/progress").await;
    live.operation(operation("a", "running"));
    assert_eq!(client.event().await.0, "operation");
}

#[tokio::test]
async fn a_flood_of_requests_costs_the_client_its_answers_and_nobody_else_anything() {
    let live = Live::new(None);
    let (mut other, _) = Client::connect(&live, "/progress").await;
    let (flooding, _) = Client::connect(&live, "/progress").await;
    // The first ping would find no place, which ends the connection.
    sleep(Duration::from_millis(50)).await;
    for _ in 0..1000 {
        flooding.send("42/progress,7[\"subscribe\",{}]").await;
    }
    live.operation(operation("a", "running"));
    assert_eq!(other.event().await.0, "operation");
    let (status, body) = flooding.poll().await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert!(body.split('\x1e').count() <= room::BUFFER);
}

#[tokio::test]
async fn a_client_that_stops_reading_gets_the_latest_states_and_a_true_count_when_it_goes_on() {
    const STATES: u64 = 500;
    let live = Live::new(None);
    let (mut client, _) = Client::connect(&live, "/progress").await;
    for round in 0..STATES {
        // Statuses that change are never progress, which would be held back.
        let status = if round % 2 == 0 { "running" } else { "verifying" };
        live.operation(json!({ "id": "a", "status": status, "n": round }));
        if round % 10 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    live.operation(json!({ "id": "a", "status": "succeeded", "n": STATES }));
    let (mut count, mut events) = (0, 0);
    loop {
        let (_, event) = client.event().await;
        (count, events) = (count + 1 + event["coalesced"].as_u64().unwrap(), events + 1);
        let operation = &event["operation"];
        assert_eq!(operation["n"].as_u64(), Some(count - 1), "{event}");
        if operation["status"] == "succeeded" {
            assert_eq!(event["seq"], STATES + 1);
            break;
        }
    }
    assert_eq!(count, STATES + 1);
    assert!((2..=room::BUFFER).contains(&events), "{events}");
}

#[tokio::test]
async fn only_clients_with_the_key_are_let_in_and_each_namespace_asks_for_it() {
    let live = Live::new(Some("swordfish".parse().unwrap()));
    let mut client = Client::open(&live).await;
    for (auth, refused) in
        [("", true), ("{}", true), ("{\"token\":\"tuna\"}", true), ("{\"token\":\"swordfish\"}", false)]
    {
        client.send(&format!("40/progress,{auth}")).await;
        let packet = client.packet().await;
        assert_eq!(packet.starts_with("44/progress,{\"message\":\""), refused, "{auth}: {packet}");
    }
    assert_eq!(client.event().await.0, "snapshot");
    client.send("40/system,").await;
    let packet = client.packet().await;
    assert!(packet.starts_with("44/system,") && packet.contains("API key is required"), "{packet}");
    for namespace in ["/", "/nowhere"] {
        client.send(&format!("40{namespace},{{\"token\":\"swordfish\"}}")).await;
        assert!(client.packet().await.contains("Invalid namespace"));
    }
}

#[tokio::test]
async fn foreign_pages_are_refused_at_the_first_request() {
    let live = Live::new(None);
    for (origin, status) in [("http://evil.example", 403), ("null", 403), ("http://a:1", 200)] {
        for transport in ["polling", "websocket"] {
            let url = format!("/socket.io/?EIO=4&transport={transport}");
            let request = Request::get(url).header("host", "a:1").header("origin", origin);
            let (got, body) = call(&live.routes(), request.body(Body::empty()).unwrap()).await;
            if status == 403 || transport == "polling" {
                assert_eq!(got.as_u16(), status, "{origin} {transport}: {body}");
            }
        }
    }
}

#[tokio::test]
async fn closing_answers_every_poll_and_ends_every_connection() {
    let live = Live::new(None);
    let (joined, _) = Client::connect(&live, "/progress").await;
    let stranger = Client::open(&live).await;
    let polls: Vec<_> = [joined, stranger].map(|client| spawn(async move { client.poll().await })).into();
    sleep(Duration::from_millis(50)).await;
    timeout(Duration::from_secs(10), live.close()).await.unwrap();
    for poll in polls {
        timeout(Duration::from_secs(10), poll).await.unwrap().unwrap();
    }
    let gone = async {
        while live.progress.readers() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.unwrap();
}
