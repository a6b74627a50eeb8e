//! Plugins managed over HTTP and by the command line.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use millm_tests::{
    Server,
    command::{plugins, trust},
    folders::{bundle, copy_files, fixtures},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{COMPLETIONS, plugins::faulty_model};

const LIBRARY: &str = "libmillm_fixture_faulty.so";

/// A data folder with the fixture `faulty` among its plugins, which nobody has trusted, and a model for it.
pub(crate) struct Place {
    _folder: TempDir,
    pub(crate) data: PathBuf,
    pub(crate) plugin: PathBuf,
    model: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let plugin = data.join("plugins/faulty");
        copy_files(&fixtures().join("faulty"), &plugin);
        let model = faulty_model(folder.path(), json!({}));
        Self { _folder: folder, data, plugin, model }
    }

    /// A host that serves nothing yet.
    pub(crate) fn serve(&self) -> Server {
        Server::start(&[OsStr::new("--data-dir"), self.data.as_os_str()])
    }

    fn library(&self) -> PathBuf {
        self.plugin.join(LIBRARY)
    }
}

pub(crate) fn manage(server: &Server, action: &str, body: Value) -> millm_tests::Reply {
    server.post(&format!("/api/plugins/faulty/{action}"), &body)
}

pub(crate) fn state(server: &Server, name: &str) -> String {
    server.get(&format!("/api/plugins/{name}")).data()["status"].as_str().unwrap().to_owned()
}

fn register(server: &Server, model: &Path) {
    let registered = server.post("/api/models", &json!({"source": "local", "local_path": model}));
    assert_eq!(registered.status, 201, "{:#}", registered.body);
}

fn load(server: &Server) -> Value {
    server.post("/api/models/faulty-model/load?wait=30", &json!({})).data().clone()
}

fn complete(server: &Server) -> u16 {
    let body = json!({"model": "faulty-model", "prompt": [10, 11], "max_tokens": 2, "temperature": 0});
    server.post(COMPLETIONS, &body).status
}

#[test]
fn an_administrator_trusts_a_plugin_by_the_hash_that_was_shown() {
    let place = Place::new();
    let server = place.serve();
    let shown = server.get("/api/plugins/faulty").data().clone();
    assert_eq!((&shown["status"], &shown["origin"]), (&json!("untrusted"), &json!("data")), "{shown:#}");
    assert!(shown["reason"].as_str().unwrap().contains("is not trusted"), "{shown:#}");
    register(&server, &place.model);
    let failed = load(&server);
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(failed["status"] == "failed" && message.contains("faulty (untrusted)"), "{failed:#}");

    let other = manage(&server, "trust", json!({"sha256": "0".repeat(64)}));
    assert_eq!((other.status, &other.failure()["code"]), (409, &json!("PLUGIN_CHANGED")));
    assert_eq!(other.failure()["details"]["found"], shown["sha256"]);
    assert_eq!(state(&server, "faulty"), "untrusted");
    for (body, code) in [
        (json!({}), "MISSING_REQUIRED_PARAMETER"),
        (json!({"sha256": 5}), "INVALID_TYPE"),
        (json!({"sha": "a"}), "UNKNOWN_PARAMETER"),
    ] {
        let refused = manage(&server, "trust", body);
        assert_eq!((refused.status, &refused.failure()["code"]), (400, &json!(code)));
    }

    let trusted = manage(&server, "trust", json!({"sha256": shown["sha256"]}));
    assert_eq!(trusted.data()["status"], "enabled", "{:#}", trusted.body);
    assert_eq!(trusted.data()["provides"], json!(["architecture:faulty"]));
    assert_eq!(load(&server)["status"], "succeeded");
    assert_eq!(complete(&server), 200);
    drop(server);

    let server = place.serve();
    assert_eq!((state(&server, "faulty").as_str(), complete(&server)), ("enabled", 200));
}

#[test]
fn a_byte_flipped_after_trust_costs_it() {
    let place = Place::new();
    trust(&place.data, &place.plugin);
    let mut bytes = fs::read(place.library()).unwrap();
    let server = place.serve();
    assert_eq!(state(&server, "faulty"), "enabled");
    bytes[5000] ^= 1;
    fs::write(place.library(), &bytes).unwrap();
    // What runs is a private copy, which goes on; what is on disk now is refused.
    let reload = manage(&server, "reload", json!({}));
    assert_eq!((reload.status, &reload.failure()["code"]), (409, &json!("PLUGIN_REFUSED")));
    assert!(reload.failure()["message"].as_str().unwrap().contains("is not trusted"), "{:#}", reload.body);
    assert_eq!(state(&server, "faulty"), "enabled");
    register(&server, &place.model);
    assert_eq!(load(&server)["status"], "succeeded");
    drop(server);
    assert_eq!(state(&place.serve(), "faulty"), "untrusted");
}

#[test]
fn a_disabled_plugin_finishes_what_it_has_and_stays_disabled() {
    let place = Place::new();
    trust(&place.data, &place.plugin);
    let server = place.serve();
    register(&server, &place.model);
    assert_eq!(load(&server)["status"], "succeeded");
    assert_eq!(manage(&server, "disable", json!({})).data()["status"], "disabled");
    assert_eq!(complete(&server), 200);
    server.post("/api/models/faulty-model/unload?wait=30", &json!({})).data();
    let failed = load(&server);
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(message.contains("disabled"), "{failed:#}");
    assert_eq!(manage(&server, "reload", json!({})).failure()["code"], "PLUGIN_REFUSED");
    drop(server);

    let server = place.serve();
    assert_eq!(state(&server, "faulty"), "disabled");
    for _ in 0..2 {
        assert_eq!(manage(&server, "enable", json!({})).data()["status"], "enabled");
    }
    assert_eq!(load(&server)["status"], "succeeded");
    drop(server);
    assert_eq!(state(&place.serve(), "faulty"), "enabled");
}

#[test]
fn a_reload_while_generating_leaves_the_old_model_its_old_code() {
    let place = Place::new();
    trust(&place.data, &place.plugin);
    let server = place.serve();
    register(&server, &place.model);
    assert_eq!(load(&server)["status"], "succeeded");
    let before = server.get("/api/plugins/faulty").data().clone();
    for round in 1..=3 {
        std::thread::scope(|scope| {
            let answers = scope.spawn(|| (0..20).map(|_| complete(&server)).collect::<Vec<_>>());
            let reloaded = manage(&server, "reload", json!({}));
            assert_eq!(reloaded.data()["superseded"], round, "{:#}", reloaded.body);
            assert!(answers.join().unwrap().iter().all(|status| *status == 200));
        });
    }
    let after = server.get("/api/plugins/faulty").data().clone();
    assert_eq!(before["sha256"], after["sha256"]);
    assert_eq!(complete(&server), 200);
}

#[test]
fn a_plugin_that_turns_up_later_is_found_by_looking_again() {
    let place = Place::new();
    let hidden = place.data.join("hidden");
    fs::rename(&place.plugin, &hidden).unwrap();
    let server = place.serve();
    assert_eq!(server.get("/api/plugins/faulty").failure()["code"], "PLUGIN_NOT_FOUND");
    fs::rename(&hidden, &place.plugin).unwrap();
    trust(&place.data, &place.plugin);
    let found = server.post("/api/plugins/rescan", &json!({}));
    let found =
        found.data()["items"].as_array().unwrap().iter().find(|plugin| plugin["name"] == "faulty").unwrap().clone();
    assert_eq!(found["status"], "enabled", "{found:#}");
}

#[test]
fn the_command_line_shows_every_check_and_runs_nothing() {
    let place = Place::new();
    let run = |arguments: &[&OsStr]| {
        let output = plugins(&place.data, arguments);
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    let [list, inspect, trust, json] = ["list", "inspect", "trust", "--json"].map(OsStr::new);
    let folder = place.plugin.as_os_str();
    let (ok, text) = run(&[list]);
    assert!(ok && text.contains("faulty") && text.contains("untrusted") && text.contains("llama"), "{text}");
    let (ok, text) = run(&[inspect, folder]);
    assert!(!ok && text.contains("FAILED   its SHA-256 is trusted") && text.contains("sha256"), "{text}");
    let (ok, text) = run(&[trust, folder]);
    assert!(ok && !text.contains("FAILED"), "{text}");
    let (ok, text) = run(&[inspect, folder, json]);
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert!(ok && shown["manifest"]["name"] == "faulty", "{text}");
    let (ok, text) = run(&[inspect, bundle().join("plugins/llama").as_os_str()]);
    assert!(ok, "{text}");

    fs::set_permissions(place.library(), fs::Permissions::from_mode(0o666)).unwrap();
    let (ok, text) = run(&[trust, folder]);
    assert!(!ok && text.contains("refused even if it were trusted"), "{text}");
    fs::write(place.library(), "not a library").unwrap();
    fs::set_permissions(place.library(), fs::Permissions::from_mode(0o644)).unwrap();
    let (ok, text) = run(&[trust, folder]);
    assert!(!ok && text.contains("is not a plugin"), "{text}");
    let (ok, text) = run(&[inspect, OsStr::new("/does/not/exist")]);
    assert!(!ok && text.contains("/does/not/exist"), "{text}");
}
