//! Files that are no plugins. All of them are trusted here, so that it is the file that counts.

use std::fs;

use millm_loader::{Inspection, State, inspect};
use proptest::{
    prelude::any,
    prop_assert,
    test_runner::{Config, TestRunner},
};

use crate::{
    library::Library,
    scene::{Allowed, Scene, install_into, write},
};

/// Inspects a file in place of the fixture's library. Never opened, it can be as broken as it likes.
fn inspected(bytes: &[u8]) -> Inspection {
    let folder = tempfile::tempdir().unwrap();
    let library = Library::faulty().with_bytes(bytes.to_vec());
    let allowed = Allowed::default();
    allowed.allow(library.sha256());
    install_into(&folder.path().join("faulty"), &library);
    inspect(&folder.path().join("faulty"), &allowed)
}

#[test]
fn a_library_that_is_no_plugin_is_refused() {
    Scene::of(&[&Library::fixture("plain")]).assert_refused(State::Rejected, &["it has no .millm.plugin"]);
    let symbol = "_1as_0lib_1header_0root_bmodule_bloader";
    let renamed = Library::faulty().with(symbol, &symbol.replace("loader", "leader"));
    Scene::of(&[&renamed]).assert_refused(State::Rejected, &["it exports no root module"]);
    let garbled = Library::faulty().with("millm-plugin\0{", "millm-plugin\0[");
    Scene::of(&[&garbled]).assert_refused(State::Rejected, &["its note cannot be read"]);
    let unmarked = Library::faulty().with("millm-plugin\0{", "MILLM-PLUGIN\0{");
    Scene::of(&[&unmarked]).assert_refused(State::Rejected, &["its note does not begin as one"]);
}

#[test]
fn text_and_nothing_at_all_are_refused() {
    for bytes in
        [&b""[..], b"not a library\n", b"#!/bin/sh\nexit 0\n", b"\x7fELF", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0"]
    {
        let library = Library::faulty().with_bytes(bytes.to_vec());
        Scene::of(&[&library]).assert_refused(State::Rejected, &["lib.so is not a plugin"]);
    }
    // An executable, with its own kind of everything.
    let executable = fs::read(std::env::current_exe().unwrap()).unwrap();
    let library = Library::faulty().with_bytes(executable);
    Scene::of(&[&library]).assert_refused(State::Rejected, &["lib.so is not a plugin"]);
}

#[test]
fn objects_of_other_machines_and_kinds_are_refused() {
    // Offsets in the header of an ELF file: class, byte order, type, machine.
    for (offset, byte, reason) in [
        (4, 1, "lib.so is not a plugin"),
        (5, 2, "lib.so is not a plugin"),
        (16, 1, "it is not a shared object"),
        (16, 2, "it is not a shared object"),
        (18, 40, "it is for Arm"),
        (18, 243, "it is for Riscv64"),
    ] {
        let mut library = Library::faulty();
        assert_ne!(library.bytes[offset], byte);
        library.bytes[offset] = byte;
        Scene::of(&[&library]).assert_refused(State::Rejected, &[reason]);
    }
}

#[test]
fn a_library_that_was_cut_off_is_refused_at_every_length() {
    let library = Library::faulty();
    let len = library.bytes.len();
    let lengths = (0..64).chain((1..100).map(|part| part * len / 100)).chain([len - 1]);
    for cut in lengths {
        let inspection = inspected(&library.bytes[..cut]);
        assert!(!inspection.passed(), "{cut} of {len} bytes");
    }
    assert!(inspected(&library.bytes).passed());
}

#[test]
fn random_damage_crashes_no_check() {
    let library = Library::faulty();
    let len = library.bytes.len();
    // The file header, the program headers after it, and the section headers at the end.
    let place = proptest::prop_oneof![0..1024_usize, (len - 4096)..len];
    let flips = proptest::collection::vec((place, any::<u8>()), 1..8);
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let damaged = runner.run(&flips, |flips| {
        let mut bytes = library.bytes.clone();
        flips.iter().for_each(|(at, byte)| bytes[*at] = *byte);
        let inspection = inspected(&bytes);
        // Harmless where it hits nothing that counts; but what is said must be consistent.
        prop_assert!(inspection.passed() <= inspection.note.is_some());
        Ok(())
    });
    damaged.unwrap();
}

#[test]
fn one_bad_plugin_among_a_thousand_costs_only_itself() {
    let scene = Scene::new();
    for index in 0..1000 {
        let folder = scene.plugins().join(format!("broken-{index}"));
        fs::create_dir(&folder).unwrap();
        write(&folder.join("plugin.toml"), b"[plugin]\nname = \"no end");
    }
    fs::create_dir(scene.plugins().join("not-a-plugin")).unwrap();
    fs::write(scene.plugins().join("README"), "plugins").unwrap();
    scene.install("zebra", &Library::faulty());
    let list = scene.open().list();
    assert_eq!(list.len(), 1001);
    assert!(list[..1000].iter().all(|plugin| plugin.state == State::Rejected));
    let (name, reason) = (&list[0].name, list[0].reason.as_ref().unwrap());
    assert!(name == "broken-0" && reason.contains("broken-0/plugin.toml"), "{name}: {reason}");
    assert_eq!((list[1000].name.as_str(), list[1000].state), ("faulty", State::Enabled));
}
