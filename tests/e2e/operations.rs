//! Work that takes long, and those who wait for it.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use millm_tests::{Server, copies::Copies};
use serde_json::{Value, json};

use crate::NONE;

const OPERATIONS: &str = "/api/operations";

#[test]
fn operations_come_in_pages_newest_first() {
    let (copies, server) = (Copies::new(), Server::start(NONE));
    server.must_register(&copies.add("copy"), "copy");
    for _ in 0..5 {
        server.must_load("copy");
        server.must_unload("copy");
    }
    let page = |query: &str| server.get(&format!("{OPERATIONS}?{query}")).data().clone();
    let all = page("limit=200");
    let all = all["items"].as_array().unwrap();
    // And the load of the demo.
    assert_eq!(all.len(), 11, "{all:#?}");
    let mut paged: Vec<Value> = Vec::new();
    let mut next = json!("");
    while let Some(before) = next.as_str() {
        let query = if before.is_empty() { "limit=4".into() } else { format!("limit=4&before={before}") };
        let page = page(&query);
        assert!(page["items"].as_array().unwrap().len() <= 4);
        paged.extend(page["items"].as_array().unwrap().clone());
        next = page["next"].clone();
    }
    assert_eq!(paged, *all);
    assert!(all.is_sorted_by(|one, two| one["id"].as_str() > two["id"].as_str()), "{all:#?}");
    let ids: BTreeSet<&str> = all.iter().map(|operation| operation["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 11);
    for operation in all {
        assert_eq!(server.get(&format!("{OPERATIONS}/{}", operation["id"].as_str().unwrap())).data(), operation);
    }
    for (query, count) in [
        ("kind=model.load", 6),
        ("kind=model.unload&status=succeeded", 5),
        ("kind=model.unload&limit=2", 2),
        ("status=failed", 0),
        ("status=interrupted", 0),
        ("kind=nonsense", 0),
        ("before=0", 0),
        ("", 11),
    ] {
        assert_eq!(page(query)["items"].as_array().unwrap().len(), count, "{query}");
    }
    for query in ["limit=0", "limit=201", "limit=x", "limit=-1", "limit=", "status=done", "status=", "stauts=failed"] {
        let reply = server.get(&format!("{OPERATIONS}?{query}"));
        assert_eq!((reply.status, reply.failure()["code"].is_string()), (400, true), "{query}");
    }
    for id in ["nobody", "%00", "00000000-0000-7000-8000-000000000000", &"a".repeat(3000)] {
        for reply in
            [server.get(&format!("{OPERATIONS}/{id}")), server.post(&format!("{OPERATIONS}/{id}/cancel"), &json!({}))]
        {
            assert_eq!((reply.status, &reply.failure()["code"]), (404, &"OPERATION_NOT_FOUND".into()));
            assert!(reply.bytes.len() < 1000);
        }
    }
}

#[test]
fn a_client_waits_as_long_as_it_likes() {
    let (copies, server) = (Copies::new(), Server::start(NONE));
    server.must_register(&copies.add_slow("slow"), "slow");
    for wait in ["-1", "601", "x", "", "NaN", "inf", "1m", "0x1", "1,5"] {
        let reply = server.manage("slow", &format!("load?wait={wait}"), &json!({}));
        let error = reply.failure();
        assert_eq!(
            (reply.status, &error["code"], &error["details"]["param"]),
            (400, &"INVALID_VALUE".into(), &"wait".into())
        );
    }
    assert_eq!(server.model("slow")["status"], "ready");
    let begun = server.manage("slow", "load?wait=0", &json!({}));
    let operation = begun.data_with(202).clone();
    let url = format!("{OPERATIONS}/{}", operation["id"].as_str().unwrap());
    assert_eq!((begun.header("location"), begun.header("retry-after")), (&*url, "1"));
    let since = Instant::now();
    let reply = server.get(&format!("{url}?wait=0.2"));
    assert!(["queued", "running"].contains(&reply.data()["status"].as_str().unwrap()), "{:#}", reply.body);
    assert!((0.2..5.0).contains(&since.elapsed().as_secs_f64()), "{:?}", since.elapsed());
    assert_eq!(server.get(&format!("{url}?wait=601")).status, 400);
    // One who waits and leaves ends nothing.
    let mut leaving = TcpStream::connect(server.base().trim_start_matches("http://")).unwrap();
    write!(leaving, "POST /api/models/slow/load?wait=60 HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").unwrap();
    thread::sleep(Duration::from_millis(100));
    drop(leaving);
    let ended: Vec<Value> = thread::scope(|scope| {
        let threads = [0; 8].map(|_| scope.spawn(|| server.get(&format!("{url}?wait=100")).data().clone()));
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ended.iter().all(|operation| operation["status"] == "succeeded" && *operation == ended[0]), "{ended:#?}");
    let since = Instant::now();
    assert_eq!(*server.get(&format!("{url}?wait=100")).data(), ended[0]);
    assert!(since.elapsed() < Duration::from_secs(10));
}

#[test]
fn an_end_that_cannot_be_stored_is_stored_later() {
    let (copies, data) = (Copies::new(), tempfile::tempdir().unwrap());
    let server = Server::start_in(data.path(), NONE);
    let folder = copies.add_slow("slow");
    server.must_register(&folder, "slow");
    let operation = server.manage("slow", "load", &json!({})).data_with(202).clone();
    let (file, elsewhere) = (data.path().join("millm.db"), data.path().join("elsewhere.db"));
    fs::rename(&file, &elsewhere).unwrap();
    let ended = server.ended(&operation);
    assert_eq!(
        (&ended["status"], &ended["error"]["code"]),
        (&"failed".into(), &"STORE_UNAVAILABLE".into()),
        "{ended:#}"
    );
    assert_eq!(server.get("/readyz").status, 503);
    let refused = server.register(&folder, Some("other"));
    assert!(refused.status == 409 || refused.status == 503, "{:#}", refused.body);
    fs::rename(&elsewhere, &file).unwrap();
    fs::remove_file(folder.join("golden.safetensors")).unwrap();
    let since = Instant::now();
    while server.manage("slow", "load?wait=60", &json!({})).status != 200 {
        assert!(since.elapsed() < Duration::from_secs(20), "{}", server.log());
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(server.model("slow")["status"], "loaded");
    let failed = server.get("/api/operations?status=failed").data()["items"].clone();
    assert_eq!(failed[0]["id"], operation["id"]);
}

#[test]
fn a_host_that_stops_keeps_nobody_waiting() {
    let (copies, data) = (Copies::new(), tempfile::tempdir().unwrap());
    let mut server = Server::start_in(data.path(), NONE);
    server.must_register(&copies.add_slow("slow"), "slow");
    let operation = server.manage("slow", "load", &json!({})).data_with(202).clone();
    let url = format!("{OPERATIONS}/{}", operation["id"].as_str().unwrap());
    let since = Instant::now();
    let client = (*server).clone();
    let waiting = thread::spawn({
        let url = format!("{url}?wait=100");
        move || client.get(&url)
    });
    thread::sleep(Duration::from_millis(200));
    server.signal("TERM");
    let told = waiting.join().unwrap();
    assert_eq!(told.data()["status"], "running", "{:#}", told.body);
    assert!(server.wait().success(), "{}", server.log());
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    let server = Server::start_in(data.path(), NONE);
    let operation = server.get(&url).data().clone();
    assert_eq!(operation["status"], "interrupted", "{operation:#}");
    assert!(operation["finished_at"].is_string());
    assert_eq!(server.get("/api/operations?status=interrupted").data()["items"], json!([operation]));
    let model = server.model("slow");
    assert_eq!((&model["status"], &model["load_at_start"]), (&"ready".into(), &false.into()));
}
