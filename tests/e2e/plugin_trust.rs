//! Who may allow which library to run, and take that back.

use std::{
    ffi::OsStr,
    fs,
    process::{Command, Output},
};

use millm_tests::{
    Server,
    command::{plugins, trust, with_program},
    installation::Installation,
    process::Process,
};
use serde_json::json;

use crate::{
    database::audit,
    plugin_management::{Place, manage, state},
};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn nobody_can_allow_a_bundled_library_that_is_not_the_one_that_was_bundled() {
    let (installation, data) = (Installation::new(), tempfile::tempdir().unwrap());
    let folder = installation.path().join("plugins/gpt2");
    let library = folder.join("libmillm_gpt2.so");
    let mut bytes = fs::read(&library).unwrap();
    bytes[5000] ^= 1;
    fs::write(&library, &bytes).unwrap();
    let mut command = Command::new(installation.program());
    command.args(["plugins", "trust"]).arg(&folder).arg("--data-dir").arg(data.path()).env_remove("DATABASE_URL");
    let output = command.output().unwrap();
    let said = said(&output);
    for part in ["FAILED   its SHA-256 is trusted", "SHA256SUMS", "install millm again"] {
        assert!(!output.status.success() && said.contains(part), "no {part:?} in {said}");
    }
    let server = Server::ready(Process::begin(data.path(), |command| {
        *command = with_program(command, installation.program(), &[]);
        command
    }));
    let shown = server.get("/api/plugins/gpt2").data().clone();
    let refused = server.post("/api/plugins/gpt2/trust", &json!({"sha256": shown["sha256"]}));
    assert_eq!((refused.status, &refused.failure()["code"]), (409, &"PLUGIN_REFUSED".into()));
    assert!(refused.failure()["message"].as_str().unwrap().contains("install millm again"), "{:#}", refused.body);
    assert_eq!(server.get("/api/plugins/gpt2").data()["status"], "untrusted");
    server.stop();
    assert_eq!(audit(data.path()), []);
}

#[test]
fn trust_can_be_taken_back_by_name() {
    let place = Place::new();
    let distrust = |name: &str| plugins(&place.data, &["distrust", name].map(OsStr::new));
    let none = distrust("faulty");
    assert!(!none.status.success() && said(&none).contains("no library of a plugin \"faulty\""), "{}", said(&none));
    trust(&place.data, &place.plugin);
    let server = place.serve();
    assert_eq!(state(&server, "faulty"), "enabled");
    let sha256 = server.get("/api/plugins/faulty").data()["sha256"].as_str().unwrap().to_owned();
    assert!(!distrust("other").status.success());
    let taken = distrust("faulty");
    assert!(taken.status.success() && said(&taken).contains(&sha256), "{}", said(&taken));
    // What runs goes on until somebody stops it, and does not come back.
    assert_eq!(state(&server, "faulty"), "enabled");
    assert_eq!(manage(&server, "reload", json!({})).failure()["code"], "PLUGIN_REFUSED");
    assert_eq!(manage(&server, "disable", json!({})).status, 200);
    assert_eq!(manage(&server, "enable", json!({})).failure()["code"], "PLUGIN_REFUSED");
    server.stop();
    assert!(!distrust("faulty").status.success());
    let deeds: Vec<_> = audit(&place.data).into_iter().map(|deed| (deed.actor, deed.action)).collect();
    let by_command = ["plugin.trust", "plugin.distrust"].map(|action| ("command line".into(), action.into()));
    assert_eq!(deeds, [&by_command[..], &[("anonymous".into(), "plugin.disable".into())]].concat());
}
