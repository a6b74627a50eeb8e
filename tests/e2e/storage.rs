//! What the host remembers, where it must not or cannot be written, and who wrote it.

use std::{ffi::OsStr, fs};

use millm_tests::{
    Reply, Server,
    command::{plugins, with_program},
    copies::Copies,
    process::Process,
    server::refused_in,
};
use serde_json::json;

use crate::{
    NONE,
    database::{Deed, audit, execute},
};

#[test]
fn a_database_of_a_newer_millm_is_refused_and_left_alone() {
    let (copies, data) = (Copies::new(), tempfile::tempdir().unwrap());
    let server = Server::start_in(data.path(), NONE);
    server.must_register(&copies.add("copy"), "copy");
    server.stop();
    execute(
        data.path(),
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'later', TRUE, x'00', 0)",
    );
    let file = data.path().join("millm.db");
    let before = fs::read(&file).unwrap();
    let refused = refused_in(data.path(), |command| command);
    let listed = plugins(data.path(), &["list"]);
    assert!(!listed.status.success());
    for message in [refused, String::from_utf8(listed.stderr).unwrap()] {
        for part in [file.to_str().unwrap(), "newer millm", "migration 99", "up to 3", "backup"] {
            assert!(message.contains(part), "no {part:?} in {message}");
        }
    }
    assert!(fs::read(&file).unwrap() == before, "the file has changed");
    execute(data.path(), "DELETE FROM _sqlx_migrations WHERE version = 99");
    assert!(Server::start_in(data.path(), NONE).model_ids().contains(&"copy".to_owned()));
}

#[test]
fn a_host_whose_files_cannot_grow_refuses_changes_loses_none_and_goes_on_when_they_can() {
    let (copies, data) = (Copies::new(), tempfile::tempdir().unwrap());
    // Else the system would end the host instead of refusing what it writes.
    let ignore = OsStr::new("--ignore-signal=XFSZ");
    let server = Server::ready(Process::begin(data.path(), |command| {
        *command = with_program(command, "env", &[ignore, command.get_program()]);
        command
    }));
    let register = |server: &Server, id: &str| server.register(&copies.add(id), Some(id));
    let mut acknowledged = vec!["before".to_owned()];
    assert_eq!(register(&server, "before").status, 201);
    let log = fs::metadata(data.path().join("millm.db-wal")).unwrap().len();
    server.limit_files(Some(log + (100 << 10)));
    let mut refusals = 0;
    for number in 0..40 {
        let id = format!("{}-{number}", "a".repeat(200));
        let reply = register(&server, &id);
        if reply.status == 201 {
            acknowledged.push(id);
            continue;
        }
        let error = reply.failure();
        let told = (reply.status, error["code"].as_str().unwrap());
        assert!(matches!(told, (507, "STORE_FULL") | (503, "STORE_UNAVAILABLE")), "{error:#}");
        assert!(error["message"].as_str().unwrap().contains("millm.db"), "{error:#}");
        refusals += 1;
    }
    assert!(refusals > 10 && acknowledged.len() > 2, "{refusals} refusals, {} not", acknowledged.len());
    server.limit_files(None);
    assert_eq!(register(&server, "after").status, 201);
    acknowledged.push("after".into());
    acknowledged.push("demo".into());
    acknowledged.sort();
    let known = |server: &Server| {
        let mut ids = server.model_ids();
        ids.sort();
        ids
    };
    assert_eq!(known(&server), acknowledged);
    server.stop();
    assert_eq!(known(&Server::start_in(data.path(), NONE)), acknowledged);
}

#[test]
fn every_change_is_in_the_audit_log_with_who_asked_for_it_and_in_which_request() {
    let (copies, data) = (Copies::new(), tempfile::tempdir().unwrap());
    let server = Server::start_in(data.path(), &["--api-key", "k"]);
    let key = [("authorization", "Bearer k"), ("content-type", "application/json")];
    let ask = |path: &str, body: &serde_json::Value| server.post_with(path, &key, body.to_string().as_bytes());
    let folder = copies.add("copy");
    let mut expected = Vec::new();
    let mut note = |action: &str, target: &str, reply: &Reply| {
        assert!(matches!(reply.status, 200 | 201), "{:#}", reply.body);
        let request = Some(reply.header("x-request-id").to_owned());
        expected.push(Deed { actor: "api_key".into(), action: action.into(), target: target.into(), request });
    };
    let body = json!({"source": "local", "local_path": folder, "id": "a/copy"});
    note("model.register", "model a/copy", &ask("/api/models", &body));
    let refused = ask("/api/models", &body);
    assert_eq!(refused.status, 409);
    for (action, what) in [("model.load", "load?wait=60"), ("model.lock", "lock"), ("model.unlock", "unlock")] {
        let reply = ask(&format!("/api/models/a%2Fcopy/{what}"), &json!({}));
        note(action, "model a/copy", &reply);
        if what == "lock" {
            // It is loaded at the next start, too.
            note("model.load", "model a/copy", &reply);
            assert_eq!(ask("/api/models/a%2Fcopy/unload", &json!({})).status, 409);
        }
    }
    note("model.unload", "model a/copy", &ask("/api/models/a%2Fcopy/unload?wait=60", &json!({})));
    for (action, what) in [("plugin.disable", "disable"), ("plugin.enable", "enable")] {
        note(action, "plugin gpt2", &ask(&format!("/api/plugins/gpt2/{what}"), &json!({})));
    }
    server.stop();
    assert_eq!(audit(data.path()), expected);
}
