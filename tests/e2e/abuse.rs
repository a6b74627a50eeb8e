//! What clients that leave, or ask for much, cost others.

use std::{
    ffi::OsStr,
    io::Write,
    net::TcpStream,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use millm_tests::{
    Server,
    command::with_program,
    folders::{copy_files, demo_model},
};
use safetensors::{
    Dtype, SafeTensors,
    tensor::{TensorView, serialize_to_file},
};
use serde_json::json;

use crate::COMPLETIONS;

const CAPTURE: &str = "/api/capture";
/// Many times what others wait here, on a slow machine; the abuse took many times longer than this.
const LIMIT: Duration = Duration::from_secs(15);

/// Sends a request and does not wait for its answer.
fn send(server: &Server, method: &str, path: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.base().trim_start_matches("http://")).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    stream
}

/// How long somebody else waits for a token.
fn wait(server: &Server, model: &str) -> Duration {
    let body = json!({"model": model, "prompt": "Once", "max_tokens": 1});
    let start = Instant::now();
    loop {
        match server.post(COMPLETIONS, &body).status {
            200 => return start.elapsed(),
            // The engine has not yet noticed that the others have left.
            429 if start.elapsed() < LIMIT => thread::sleep(Duration::from_millis(20)),
            other => panic!("{other} after {:?}", start.elapsed()),
        }
    }
}

/// The names of all hook points of the demo but the logits, which are large.
fn names(server: &Server) -> Vec<String> {
    let reply = server.get("/api/models/demo/hook_points");
    let points = reply.data()["hook_points"].as_array().unwrap();
    let names = points.iter().map(|hook| hook["name"].as_str().unwrap().to_owned());
    names.filter(|name| name != "logits").collect()
}

#[test]
fn positions_cost_no_more_for_every_prompt_than_the_prompt_is_long() {
    let server = Server::start(&["--threads", "1"]);
    let list = |item: &str, count: usize| vec![item; count].join(",");
    let (prompts, positions) = (list("[1]", 2048), list("0", 500_000));
    let body = format!(r#"{{"token_ids":[{prompts}],"hook_points":["hook_embed"],"positions":[{positions}]}}"#);
    // As many as there are threads for them.
    let left: Vec<_> = (0..16).map(|_| send(&server, "POST", CAPTURE, &body)).collect();
    thread::sleep(Duration::from_millis(500));
    drop(left);
    let waited = wait(&server, "demo");
    assert!(waited < LIMIT, "{waited:?}");
}

/// A golden file of `prompts` long prompts, each with a continuation.
fn write_golden(path: &Path, prompts: usize) {
    let tokens: Vec<u8> = (0..480_i64).flat_map(|i| (i * 31 % 3072).to_le_bytes()).collect();
    let greedy: Vec<u8> = [1_i64; 4].iter().flat_map(|token| token.to_le_bytes()).collect();
    let tensors = (0..prompts).flat_map(|prompt| {
        [("tokens", &tokens), ("greedy", &greedy)].map(|(name, data)| {
            (format!("p{prompt}.{name}"), TensorView::new(Dtype::I64, vec![data.len() / 8], data).unwrap())
        })
    });
    let metadata = [("format", "millm-golden-1"), ("model_type", "llama")];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
    serialize_to_file(tensors, Some(metadata.into()), path).unwrap();
}

#[test]
fn clients_of_a_certificate_that_leave_do_not_start_it_anew() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("slow");
    copy_files(&demo_model(), &model);
    write_golden(&model.join("golden.safetensors"), 40);
    let server = Server::start(&["--threads".as_ref(), "1".as_ref(), "--model".as_ref(), model.as_os_str()]);
    // As many as there are threads for them; those of them that began anew would leave none.
    for _ in 0..16 {
        let left = send(&server, "GET", "/api/models/slow/certificate", "");
        thread::sleep(Duration::from_millis(50));
        drop(left);
    }
    let waited = wait(&server, "slow");
    assert!(waited < LIMIT, "{waited:?}");
}

#[test]
fn a_file_of_many_tensors_does_not_hold_up_connections() {
    let server = Server::start(&["--capture-limit-mib", "2000"]);
    let names = names(&server);
    let body = json!({"token_ids": vec![[1]; 2048], "hook_points": names, "dtype": "float16"});
    let (done, path) = (AtomicBool::new(false), format!("{CAPTURE}?format=safetensors"));
    thread::scope(|scope| {
        let read = || {
            let reply = server.post(&path, &body);
            done.store(true, Ordering::Relaxed);
            reply
        };
        // As many as there are threads for connections.
        let readers = [0; 2].map(|_| scope.spawn(read));
        let (mut worst, begun) = (Duration::ZERO, Instant::now());
        while !done.load(Ordering::Relaxed) {
            let asked = Instant::now();
            assert_eq!(server.get("/livez").status, 200);
            worst = worst.max(asked.elapsed());
            thread::sleep(Duration::from_millis(5));
        }
        // A machine that is slow for others is slow for the readers, too.
        let limit = Duration::from_millis(700).max(begun.elapsed() / 6);
        for reader in readers {
            let reply = reader.join().unwrap();
            assert_eq!(reply.status, 200);
            let (_, header) = SafeTensors::read_metadata(&reply.bytes).unwrap();
            assert_eq!(header.tensors().len(), 2048 * (names.len() + 2));
        }
        assert!(worst < limit, "{worst:?} of {limit:?}");
    });
}

#[test]
fn those_who_connect_and_say_nothing_keep_nobody_out() {
    // As a shell allows it by default, less than what is about to come.
    let limit = OsStr::new("--nofile=256:4096");
    let server = Server::start_with(|command| {
        *command = with_program(command, "prlimit", &[limit, command.get_program()]);
        command
    });
    let address = server.base().trim_start_matches("http://").to_owned();
    let silent: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(&address).unwrap()).collect();
    // Some say a part of what they want.
    for mut stream in silent.iter().step_by(3) {
        stream.write_all(b"POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-le").unwrap();
    }
    let waited = wait(&server, "demo");
    assert!(waited < LIMIT, "{waited:?}");
    drop(silent);
    server.stop();
}
