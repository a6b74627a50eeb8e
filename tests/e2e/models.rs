//! Models from their registration to their removal.

use std::{fs, io::Write, net::TcpStream, os::unix::fs::symlink, process::Command, thread, time::Duration};

use millm_tests::{Server, copies::Copies, folders::demo_model, management::model_url};
use serde_json::{Value, json};

use crate::{CHAT, NONE, chat, with};

const MODELS: &str = "/api/models";

#[test]
fn a_model_lives_from_its_registration_to_its_removal() {
    let (copies, server) = (Copies::new(), Server::start(NONE));
    let folder = copies.add("copy");
    let registered = server.register(&folder, None);
    let model = registered.data_with(201);
    assert_eq!(registered.header("location"), "/api/models/copy");
    assert_eq!((&model["id"], &model["source"], &model["status"]), (&"copy".into(), &"local".into(), &"ready".into()));
    assert_eq!(model["local_path"].as_str(), folder.to_str());
    assert_eq!([&model["locked"], &model["load_at_start"]], [false, false]);
    assert_eq!([&model["loaded"], &model["error"], &model["loaded_at"]], [&Value::Null; 3]);
    let memory = &model["estimated_memory"];
    let weights = fs::metadata(folder.join("model.safetensors")).unwrap().len();
    assert_eq!(memory["weights_bytes"], weights);
    assert_eq!(memory["total_bytes"], weights + memory["kv_cache_bytes"].as_u64().unwrap());
    assert_eq!(server.model("copy"), *model);
    assert_eq!(server.model_ids(), ["copy", "demo"]);

    let load = server.carry_out("copy", "load", &json!({}));
    assert_eq!((&load["kind"], &load["status"]), (&"model.load".into(), &"succeeded".into()), "{load:#}");
    assert_eq!(load["target"], json!({"type": "model", "id": "copy"}));
    assert_eq!(load["result"]["status"], "loaded");
    let model = server.model("copy");
    assert_eq!((&model["status"], &model["load_at_start"]), (&"loaded".into(), &true.into()));
    let facts = &model["loaded"];
    assert_eq!((&facts["model_type"], &facts["n_layers"], &facts["n_ctx"]), (&"llama".into(), &6.into(), &512.into()));
    assert_eq!(facts["plugin"]["name"], "llama");
    assert!(model["loaded_at"].is_string() && model["updated_at"].as_str() >= model["created_at"].as_str());
    let mut body = with(&chat("Tell me a story."), json!({"max_tokens": 10}));
    let text = server.post(CHAT, &body).text().to_owned();
    body["model"] = "copy".into();
    assert_eq!(server.post(CHAT, &body).text(), text);
    assert_eq!(server.manage("copy", "load", &json!({})).failure()["code"], "MODEL_ALREADY_LOADED");

    assert_eq!(server.manage("copy", "lock", &json!({})).data()["locked"], true);
    let refused = |reply: millm_tests::Reply| (reply.status, reply.failure()["code"].as_str().unwrap().to_owned());
    assert_eq!(refused(server.manage("copy", "unload", &json!({}))), (409, "MODEL_LOCKED".into()));
    assert_eq!(refused(server.manage("copy", "unload", &json!({"force": true}))), (409, "MODEL_LOCKED".into()));
    assert_eq!(refused(server.delete("/api/models/copy")), (409, "MODEL_BUSY".into()));
    assert_eq!(server.manage("copy", "unlock", &json!({})).data()["locked"], false);
    assert_eq!(refused(server.delete("/api/models/copy")), (409, "MODEL_BUSY".into()));
    server.must_unload("copy");
    assert_eq!((&server.model("copy")["status"], &server.model("copy")["loaded"]), (&"ready".into(), &Value::Null));
    assert_eq!(refused(server.manage("copy", "unload", &json!({}))), (400, "MODEL_NOT_LOADED".into()));
    assert_eq!(refused(server.manage("copy", "lock", &json!({}))), (400, "MODEL_NOT_LOADED".into()));

    assert_eq!(*server.delete("/api/models/copy").data(), Value::Null);
    for reply in [server.get("/api/models/copy"), server.delete("/api/models/copy")] {
        assert_eq!(refused(reply), (404, "MODEL_NOT_FOUND".into()));
    }
    assert_eq!(server.post(CHAT, &body).status, 404);
    assert!(folder.join("model.safetensors").exists());
    assert_eq!(server.register(&folder, None).status, 201);
}

#[test]
fn ids_of_many_kinds_go_through_every_url() {
    let (copies, server) = (Copies::new(), Server::start(NONE));
    let long = "a".repeat(255);
    for (index, id) in
        ["org/name", "modèle-α 模型 🙂", "a b", "100%", "a?b#c&d", "%2F", "\"'\\", &long].iter().enumerate()
    {
        let registered = server.register(&copies.add(&index.to_string()), Some(id));
        assert_eq!(registered.data_with(201)["id"], **id);
        assert_eq!(server.get(registered.header("location")).data()["id"], **id);
        server.must_load(id);
        let body = with(&chat("Hello"), json!({"model": id, "max_tokens": 2}));
        assert_eq!(server.post(CHAT, &body).body["model"], **id);
        assert_eq!(server.get(&format!("{}/hook_points", model_url(id))).status, 200);
        server.must_unload(id);
        assert_eq!(server.delete(&model_url(id)).status, 200);
    }
    assert_eq!(server.model_ids(), ["demo"]);
}

#[test]
fn an_id_that_cannot_name_a_model_is_refused() {
    let (copies, server) = (Copies::new(), Server::start(NONE));
    let folder = copies.add("copy");
    for id in ["", ".", "..", "a@b", "a\nb", "a\0b", "\u{7f}", " a", "a ", &"a".repeat(256), &"é".repeat(300)] {
        let reply = server.register(&folder, Some(id));
        let error = reply.failure();
        assert_eq!((reply.status, &error["code"]), (400, &"INVALID_VALUE".into()), "{id:?}");
        assert_eq!(error["details"]["param"], "id");
        assert!(error["message"].as_str().unwrap().len() < 500, "{error}");
    }
    let reply = server.post(MODELS, &json!({"source": "local", "local_path": folder, "id": 5}));
    assert_eq!(reply.failure()["code"], "INVALID_TYPE");
    // A folder's own name is held to the same.
    assert_eq!(server.register(&copies.add("a@b"), None).failure()["details"]["param"], "id");
    assert_eq!(server.model_ids(), ["demo"]);
}

#[test]
fn a_folder_without_a_model_is_refused() {
    let (copies, server) = (Copies::new(), Server::start(NONE));
    let model = copies.add("model");
    let damaged = |name: &str, config: &[u8]| {
        let folder = copies.add(name);
        fs::write(folder.join("config.json"), config).unwrap();
        folder
    };
    fs::create_dir(copies.path().join("empty")).unwrap();
    let pipe = copies.add("pipe");
    fs::remove_file(pipe.join("config.json")).unwrap();
    assert!(Command::new("mkfifo").arg(pipe.join("config.json")).status().unwrap().success());
    let link_to_itself = copies.path().join("loop");
    symlink(&link_to_itself, &link_to_itself).unwrap();
    for (folder, mention) in [
        (copies.path().join("missing"), "No such file"),
        (model.join("config.json"), "is not a folder"),
        (copies.path().join("empty"), "config.json"),
        (pipe, "is a pipe instead of a file"),
        (damaged("garbage", b"{\"model_type\": "), "config.json"),
        (damaged("binary", &[0xff, 0xfe, 0]), "config.json"),
        (damaged("array", b"[]"), "model_type"),
        (damaged("number", b"{\"model_type\": 5}"), "model_type"),
        ("relative/model".into(), "absolute"),
        ("".into(), "absolute"),
        (copies.path().join("empty/../model"), "'..'"),
        ("/".into(), "name the folder"),
        ("/dev/null".into(), "is not a folder"),
        (link_to_itself, "cannot be opened"),
        (format!("/{}", "a".repeat(5000)).into(), "longer"),
    ] {
        let reply = server.register(&folder, Some("new"));
        let error = reply.failure();
        assert_eq!((reply.status, &error["code"]), (400, &"INVALID_LOCAL_PATH".into()), "{error}");
        assert_eq!(error["details"]["param"], "local_path");
        assert!(error["message"].as_str().unwrap().contains(mention), "no {mention:?} in {error}");
    }
    for (body, code) in [
        (json!({"source": "local"}), "MISSING_REQUIRED_PARAMETER"),
        (json!({"local_path": model}), "MISSING_REQUIRED_PARAMETER"),
        (json!({"source": "hub", "local_path": model}), "UNSUPPORTED_VALUE"),
        (json!({"source": "local", "local_path": 5}), "INVALID_TYPE"),
        (json!({"source": "local", "local_path": model, "name": "a"}), "UNKNOWN_PARAMETER"),
        (json!([]), "INVALID_BODY"),
    ] {
        let code_found = server.post(MODELS, &body).failure()["code"].clone();
        assert!(code_found == code || body == json!([]), "{body}: {code_found}");
    }
    assert_eq!(server.model_ids(), ["demo"]);
    let link = copies.path().join("link");
    symlink(&model, &link).unwrap();
    assert_eq!(server.register(&link, None).data_with(201)["id"], "link");
    server.must_load("link");
}

#[test]
fn an_id_and_a_folder_are_taken_once() {
    let (copies, server) = (Copies::new(), Server::start(NONE));
    let [one, two] = ["one", "two"].map(|name| copies.add(name));
    server.must_register(&one, "one");
    for (folder, id, mention) in [
        (two.clone(), Some("one"), "one"),
        (one.clone(), Some("other"), "one"),
        (one.join("."), Some("other"), "one"),
        (one, None, "one"),
        (two.clone(), Some("demo"), "demo"),
    ] {
        let reply = server.register(&folder, id);
        assert_eq!((reply.status, &reply.failure()["code"]), (409, &"MODEL_ALREADY_EXISTS".into()));
        assert!(reply.failure()["message"].as_str().unwrap().contains(mention));
    }
    // Some with the same id, all with the same folder.
    let ids = ["two", "two", "two", "two", "2", "ii", "zwei", "due"];
    let statuses: Vec<u16> = thread::scope(|scope| {
        let threads = ids.map(|id| {
            scope.spawn({
                let (server, two) = (&server, &two);
                move || server.register(two, Some(id)).status
            })
        });
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "{statuses:?}");
}

#[test]
fn a_web_page_of_somebody_else_changes_nothing() {
    let (copies, server) = (Copies::new(), Server::start(NONE));
    let folder = copies.add("copy");
    let body = json!({"source": "local", "local_path": folder}).to_string();
    let foreign = [("origin", "https://evil.example"), ("content-type", "application/json")];
    for (path, body) in [(MODELS, &*body), ("/api/models/demo/unload", "{}"), (CHAT, "{}")] {
        let reply = server.post_with(path, &foreign, body.as_bytes());
        assert_eq!(reply.status, 403, "{path}: {:#}", reply.body);
    }
    assert_eq!(server.model_ids(), ["demo"]);
    assert_eq!(server.model("demo")["status"], "loaded");
    let own = [("origin", server.base()), ("content-type", "application/json")];
    assert_eq!(server.post_with(MODELS, &own, body.as_bytes()).status, 201);
}

#[test]
fn a_client_that_leaves_half_way_leaves_no_half_change() {
    let (copies, data) = (Copies::new(), tempfile::tempdir().unwrap());
    let server = Server::start_in(data.path(), NONE);
    let address = server.base().trim_start_matches("http://").to_owned();
    let ids: Vec<String> = (0..40).map(|index| format!("copy-{index}")).collect();
    for (index, id) in ids.iter().enumerate() {
        let body = json!({"source": "local", "local_path": copies.add(id)}).to_string();
        let mut client = TcpStream::connect(&address).unwrap();
        let length = body.len();
        let head = "POST /api/models HTTP/1.1\r\nhost: a\r\ncontent-type: application/json";
        write!(client, "{head}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        // Each a bit later in the life of its change.
        thread::sleep(Duration::from_micros(100 * index as u64));
    }
    // Nothing is in the way of those that were never begun. Those that are still on come before or after.
    for id in &ids {
        let registered = server.register(&copies.path().join(id), None);
        assert!(registered.status == 201 || registered.failure()["code"] == "MODEL_ALREADY_EXISTS", "{id}");
        assert_eq!(server.model(id)["status"], "ready");
    }
    // What is begun by a client that leaves goes on, and is in nobody's way later.
    for id in &ids[..10] {
        let mut client = TcpStream::connect(&address).unwrap();
        write!(client, "POST /api/models/{id}/load HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").unwrap();
        thread::sleep(Duration::from_millis(2));
        drop(client);
        let loaded = server.manage(id, "load?wait=60", &json!({}));
        assert!(loaded.status == 200 || loaded.failure()["code"] == "MODEL_ALREADY_LOADED", "{:#}", loaded.body);
    }
    let mut known = server.model_ids();
    server.stop();
    let server = Server::start_in(data.path(), NONE);
    let mut again = server.model_ids();
    // The demo is not stored.
    known.retain(|id| id != "demo");
    known.sort();
    again.sort();
    assert_eq!(again, known);
    assert!(server.register(&demo_model(), None).status == 201);
}
