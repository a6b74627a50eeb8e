//! What a host still knows when it comes back, and what keeps it from coming back.

use std::{fs, path::Path};

use millm_tests::{Server, copies::Copies, process::Process, server::refused_in};
use serde_json::{Value, json};

use crate::{CHAT, NONE, chat, with};

fn statuses(server: &Server) -> Vec<(String, String)> {
    let list = server.get("/api/models").data()["items"].clone();
    let text = |model: &Value, name: &str| model[name].as_str().unwrap().to_owned();
    let mut found: Vec<_> =
        list.as_array().unwrap().iter().map(|model| (text(model, "id"), text(model, "status"))).collect();
    found.sort();
    found
}

fn expected(statuses: &[(&str, &str)]) -> Vec<(String, String)> {
    statuses.iter().map(|(id, status)| ((*id).to_owned(), (*status).to_owned())).collect()
}

#[test]
fn a_host_comes_back_with_the_models_it_had() {
    for killed in [false, true] {
        let (copies, data) = (Copies::new(), tempfile::tempdir().unwrap());
        let mut server = Server::start_in(data.path(), NONE);
        for id in ["a/1", "b", "c", "d"] {
            server.must_register(&copies.add(&id.replace('/', "-")), id);
        }
        for id in ["a/1", "b", "c"] {
            server.must_load(id);
        }
        assert_eq!(server.manage("a/1", "lock", &json!({})).status, 200);
        server.must_unload("b");
        assert_eq!(server.delete("/api/models/d").status, 200);
        let (before, locked) = (server.model("c"), server.model("a/1"));
        if killed {
            server.kill();
        } else {
            server.stop();
        }
        let server = Server::start_in(data.path(), NONE);
        // Nobody has asked for the demo, which a host serves that knows no model.
        assert_eq!(statuses(&server), expected(&[("a/1", "loaded"), ("b", "ready"), ("c", "loaded")]));
        let after = server.model("c");
        for name in ["created_at", "local_path", "estimated_memory", "load_at_start"] {
            assert_eq!(after[name], before[name], "{name}");
        }
        assert_eq!(after["loaded"], before["loaded"]);
        assert_eq!((&server.model("a/1")["locked"], &locked["locked"]), (&true.into(), &true.into()));
        assert_eq!(server.manage("a/1", "unload", &json!({})).failure()["code"], "MODEL_LOCKED");
        let reply = server.post(CHAT, &with(&chat("Hello"), json!({"model": "a/1", "max_tokens": 2})));
        assert_eq!(reply.status, 200);
    }
}

#[test]
fn a_load_that_was_killed_is_interrupted_and_can_be_repeated() {
    let (copies, data) = (Copies::new(), tempfile::tempdir().unwrap());
    let folder = copies.add_slow("slow");
    let mut server = Server::start_in(data.path(), NONE);
    server.must_register(&folder, "slow");
    let load = server.manage("slow", "load", &json!({})).data_with(202).clone();
    server.kill();
    fs::remove_file(folder.join("golden.safetensors")).unwrap();
    let server = Server::start_in(data.path(), NONE);
    assert_eq!(server.ended(&load)["status"], "interrupted");
    server.wait_for_log("an operation was interrupted");
    server.must_load("slow");
}

#[test]
fn a_model_whose_folder_is_gone_does_not_keep_the_others_away() {
    let (copies, data) = (Copies::new(), tempfile::tempdir().unwrap());
    let server = Server::start_in(data.path(), NONE);
    for id in ["gone", "here", "pipe"] {
        server.must_register(&copies.add(id), id);
        server.must_load(id);
    }
    server.stop();
    fs::remove_dir_all(copies.path().join("gone")).unwrap();
    let config = copies.path().join("pipe/config.json");
    fs::remove_file(&config).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&config).status().unwrap().success());
    let server = Server::start_in(data.path(), NONE);
    assert_eq!(statuses(&server), expected(&[("gone", "error"), ("here", "loaded"), ("pipe", "error")]));
    for id in ["gone", "pipe"] {
        let model = server.model(id);
        assert_eq!((&model["error"]["code"], &model["load_at_start"]), (&"MODEL_LOAD_FAILED".into(), &true.into()));
        assert!(model["error"]["message"].as_str().unwrap().contains(id), "{model:#}");
    }
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.get("/api/health").data()["status"], "degraded");
    copies.add("gone");
    server.must_load("gone");
    assert_eq!(server.delete("/api/models/pipe").status, 200);
}

#[test]
fn models_of_the_command_line_are_not_remembered() {
    let (copies, data) = (Copies::new(), tempfile::tempdir().unwrap());
    let folder = copies.add("copy");
    let server = Server::start_in(data.path(), &["--model".as_ref(), folder.as_os_str()]);
    assert_eq!(statuses(&server), expected(&[("copy", "loaded")]));
    server.stop();
    let server = Server::start_in(data.path(), NONE);
    assert_eq!(statuses(&server), expected(&[("demo", "loaded")]));
    // Until something is changed of them.
    assert_eq!(server.manage("demo", "lock", &json!({})).data()["load_at_start"], true);
    server.stop();
    let server = Server::start_in(data.path(), &["--model".as_ref(), folder.as_os_str()]);
    assert_eq!(statuses(&server), expected(&[("copy", "loaded"), ("demo", "loaded")]));
    assert_eq!(server.model("demo")["locked"], true);
}

#[test]
fn a_model_that_has_moved_keeps_what_was_decided_about_it() {
    let (copies, data) = (Copies::new(), tempfile::tempdir().unwrap());
    let server = Server::start_in(data.path(), NONE);
    server.must_register(&copies.add("copy"), "copy");
    server.must_load("copy");
    server.stop();
    let moved = copies.path().join("elsewhere/copy");
    fs::create_dir(copies.path().join("elsewhere")).unwrap();
    fs::rename(copies.path().join("copy"), &moved).unwrap();
    let server = Server::start_in(data.path(), &["--model".as_ref(), moved.as_os_str()]);
    // Whatever is changed of it, its new place is stored with that.
    assert_eq!(server.manage("copy", "unlock", &json!({})).data()["load_at_start"], true);
    server.stop();
    let server = Server::start_in(data.path(), NONE);
    assert_eq!(statuses(&server), expected(&[("copy", "loaded")]));
    assert_eq!(server.model("copy")["local_path"].as_str(), moved.to_str());
}

#[test]
fn a_data_folder_serves_one_host() {
    let data = tempfile::tempdir().unwrap();
    let first = Server::start_in(data.path(), NONE);
    let message = refused_in(data.path(), |command| command);
    assert!(message.contains(data.path().to_str().unwrap()) && message.contains("in use"), "{message}");
    assert_eq!(first.post(CHAT, &with(&chat("Hello"), json!({"max_tokens": 2}))).status, 200);
    drop(first);
    Server::start_in(data.path(), NONE);
}

#[test]
fn a_data_folder_that_cannot_be_used_is_refused_by_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let below = file.path().join("below");
    for folder in [file.path(), &below, Path::new("/proc/none"), Path::new("/dev/null")] {
        let data = tempfile::tempdir().unwrap();
        let message = refused_in(data.path(), |command| command.arg("--data-dir").arg(folder));
        assert!(message.contains(folder.to_str().unwrap()), "{message}");
    }
}

#[test]
fn a_database_that_is_not_ours_is_refused_and_left_alone() {
    let copies = Copies::new();
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_in(data.path(), NONE);
    for index in 0..20 {
        server.must_register(&copies.add(&index.to_string()), &format!("{}-{index}", "a".repeat(200)));
    }
    server.stop();
    let file = data.path().join("millm.db");
    let good = fs::read(&file).unwrap();
    let mut holed = good.clone();
    let middle = holed.len() / 2;
    holed[middle..middle + 4096].fill(0xff);
    let damages = [
        (b"not a database, but a text of some length".repeat(200), "not an SQLite database"),
        (good[..good.len() - 4096 * 3].to_vec(), "damaged"),
        (good[..5000].to_vec(), "damaged"),
        (holed, "damaged"),
    ];
    for (bytes, mention) in damages {
        fs::write(&file, &bytes).unwrap();
        let message = refused_in(data.path(), |command| command);
        assert!(message.contains("millm.db") && message.contains(mention), "no {mention:?} in {message}");
        assert!(message.lines().count() < 10, "{message}");
        assert_eq!(fs::read(&file).unwrap(), bytes, "the file has changed");
    }
    fs::write(&file, &good).unwrap();
    let server = Server::ready(Process::begin(data.path(), |command| command));
    // And the demo, since none of them is to be loaded.
    assert_eq!(server.model_ids().len(), 21);
}
