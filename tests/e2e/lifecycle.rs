//! Clients that leave, and the server's own end.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use millm_tests::Server;
use serde_json::{Value, json};

use crate::{CHAT, COMPLETIONS, chat, with};

/// Long enough that nobody waits for its end.
fn endless() -> Value {
    json!({"model": "demo", "prompt": [10, 20], "max_tokens": 500, "n": 8, "temperature": 1.5})
}

#[test]
fn a_client_that_leaves_makes_room_for_others() {
    // One of these requests at a time: whoever comes next waits for the one before.
    let server = Server::start(&["--max-sequences", "8", "--threads", "1"]);
    let body = endless().to_string();
    let address = server.base().trim_start_matches("http://");
    for streaming in [true, false] {
        let mut connections = Vec::new();
        for index in 0..30 {
            let body = if streaming { body.replacen('{', "{\"stream\":true,", 1) } else { body.clone() };
            let mut connection = TcpStream::connect(address).unwrap();
            let head = format!(
                "POST {COMPLETIONS} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n",
                body.len()
            );
            connection.write_all(head.as_bytes()).unwrap();
            connection.write_all(body.as_bytes()).unwrap();
            if streaming && index == 0 {
                // Once its answer has begun, the others wait for it.
                connection.read_exact(&mut [0; 16]).unwrap();
            }
            connections.push(connection);
        }
        thread::sleep(Duration::from_millis(200));
        drop(connections);
        // Thirty of these take many times longer than this.
        let start = Instant::now();
        let reply = server.post(CHAT, &with(&chat("Hello"), json!({"max_tokens": 3})));
        assert_eq!(reply.status, 200, "{:#}", reply.body);
        assert!(start.elapsed() < Duration::from_secs(10), "waited {:?}", start.elapsed());
    }
}

#[test]
fn shutdown_lets_running_streams_finish() {
    let mut server = Server::start(&["--shutdown-grace", "60"]);
    let whole = server.post(CHAT, &chat("Tell me a story about the city.")).text().to_owned();
    let mut stream = server.stream(CHAT, &chat("Tell me a story about the city."));
    let mut chunks = vec![stream.next().unwrap()];
    server.signal("TERM");
    chunks.extend(stream.by_ref());
    assert_eq!(millm_tests::client::streamed_text(&chunks, 0), whole);
    assert!(stream.done);
    assert!(server.wait().success());
}

#[test]
fn streams_that_outlast_the_grace_are_told() {
    let mut server = Server::start(&["--shutdown-grace", "0", "--threads", "1"]);
    let mut stream = server.stream(COMPLETIONS, &with(&endless(), json!({"n": 20, "ignore_eos": true})));
    stream.next().unwrap();
    server.signal("INT");
    let last = stream.by_ref().last().unwrap();
    assert!(last["error"]["message"].as_str().is_some_and(|message| message.contains("unloaded")), "{last}");
    assert!(!stream.done);
    server.wait();
}

#[test]
fn the_server_answers_while_it_computes() {
    let server = Server::start(&["--threads", "1"]);
    let mut stream = server.stream(COMPLETIONS, &with(&endless(), json!({"n": 60})));
    stream.next().unwrap();
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(server.get("/v1/models").status, 200);
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
