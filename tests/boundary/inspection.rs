//! What can be said of a plugin without running it.

use millm_loader::{Check, Outcome, hashes::sha256, inspect};

use crate::{
    library::Library,
    scene::{Scene, manifest, write},
};

#[test]
fn every_check_is_listed_with_its_outcome_and_nothing_runs() {
    let scene = Scene::new();
    let witness = scene.root().join("witness");
    let library = Library::ordered(&format!("init={}\n", witness.display()));
    scene.install_untrusted("faulty", &library);
    let folder = scene.plugins().join("faulty");
    let untrusted = inspect(&folder, &*scene.allowed);
    assert!(!untrusted.passed() && untrusted.only_untrusted());
    assert_eq!(untrusted.sha256.as_deref(), Some(sha256(&library.bytes).as_str()));
    let note = untrusted.note.unwrap();
    assert_eq!((note.name.as_str(), note.api.as_str()), ("faulty", millm_plugin_api::note::API_VERSION));
    assert!(note.rustc.starts_with("rustc ") && note.target.contains("linux"), "{note:?}");
    for (check, outcome) in untrusted.checks {
        match check {
            Check::Trust => assert!(matches!(&outcome, Outcome::Failed(reason) if reason.contains("is not trusted"))),
            _ => assert_eq!(outcome, Outcome::Passed, "{check:?}"),
        }
    }
    scene.allowed.allow(library.sha256());
    assert!(inspect(&folder, &*scene.allowed).passed());
    assert!(!witness.exists());
}

#[test]
fn checks_that_need_what_is_missing_are_skipped() {
    let scene = Scene::of(&[&Library::faulty()]);
    let folder = scene.plugins().join("faulty");
    write(&folder.join("plugin.toml"), manifest("Not A Name", "1").as_bytes());
    let inspection = inspect(&folder, &*scene.allowed);
    let outcome = |check| inspection.checks.iter().find(|(found, _)| *found == check).map(|(_, outcome)| outcome);
    assert!(matches!(outcome(Check::Manifest), Some(Outcome::Failed(reason)) if reason.contains("Not A Name")));
    assert_eq!(outcome(Check::Folder), Some(&Outcome::Passed));
    for check in [Check::File, Check::Trust, Check::Library, Check::ApiVersion, Check::Agreement] {
        assert_eq!(outcome(check), Some(&Outcome::Skipped), "{check:?}");
    }
    assert!(!inspection.passed() && !inspection.only_untrusted());
}

#[test]
fn a_folder_that_is_not_there_is_an_outcome_too() {
    let scene = Scene::new();
    let inspection = inspect(&scene.root().join("nowhere"), &*scene.allowed);
    assert!(matches!(&inspection.checks[0].1, Outcome::Failed(reason) if reason.contains("nowhere")));
}
