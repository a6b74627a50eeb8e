//! Plugins of other versions, and plugins that hide what they are.

use millm_loader::State;

use crate::{library::Library, scene::Scene};

/// `faulty`, which leaves a file behind when it is opened.
fn witness(scene: &Scene) -> (Library, std::path::PathBuf) {
    let path = scene.root().join("witness");
    (Library::ordered(&format!("init={}\n", path.display())), path)
}

#[test]
fn older_and_newer_apis_are_refused_with_both_versions_before_a_constructor_runs() {
    for version in ["0.0.9", "0.2.0", "1.1.0"] {
        let scene = Scene::new();
        let (library, witness) = witness(&scene);
        scene.install("faulty", &library.with("\"api\":\"0.1.0\"", &format!("\"api\":\"{version}\"")));
        let message = format!("was built for plugin API {version}, this host speaks 0.1.0");
        scene.assert_refused(State::Rejected, &[&message, "rebuild it against millm-plugin-api 0.1.0"]);
        assert!(!witness.exists(), "its constructor ran");
    }
    // The control: of this version, it runs.
    let scene = Scene::new();
    let (library, witness) = witness(&scene);
    scene.install("faulty", &library.with("\"api\":\"0.1.0\"", "\"api\":\"0.1.7\""));
    assert_eq!(scene.status().state, State::Enabled);
    assert!(witness.exists());
}

#[test]
fn no_constructor_runs_whatever_check_fails() {
    let other_machine = |library: &mut Library| library.bytes[18] = 40;
    let other_name = |library: &mut Library| library.name = "other".into();
    let no_section = |library: &mut Library| {
        *library = library.clone().with(".millm.plugin\0", ".millm.plugim\0");
    };
    for spoil in [&other_machine as &dyn Fn(&mut Library), &other_name, &no_section] {
        let scene = Scene::new();
        let (mut library, witness) = witness(&scene);
        spoil(&mut library);
        scene.install("faulty", &library);
        scene.assert_refused(State::Rejected, &[]);
        assert!(!witness.exists(), "its constructor ran");
    }
}

#[test]
fn a_plugin_that_hides_its_layout_is_refused() {
    Scene::of(&[&Library::fixture("no-layout")])
        .assert_refused(State::Rejected, &["it does not describe the layout of its types"]);
}

#[test]
fn another_version_of_abi_stable_is_refused_first() {
    let other = Library::faulty().with("abi stable library for Rust", "abi stable library for Ruby");
    Scene::of(&[&other]).assert_refused(State::Rejected, &["another version of abi_stable"]);
}
