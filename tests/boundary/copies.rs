//! Where libraries run from.

use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use millm_loader::{Registry, RegistryOptions, State};

use crate::{
    library::Library,
    scene::{Scene, chmod},
};

/// The libraries in a folder of copies.
fn copies(root: &Path) -> Vec<PathBuf> {
    let folders =
        |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let of_processes: Vec<PathBuf> = folders(root).collect();
    of_processes.iter().flat_map(|folder| folders(folder)).map(|folder| folder.join("lib.so")).collect()
}

#[test]
fn what_runs_is_a_private_copy_of_the_bytes_that_were_checked() {
    let scene = Scene::of(&[&Library::faulty()]);
    let registry = scene.open();
    let [copy] = &copies(&scene.root().join("copies"))[..] else { panic!("one copy") };
    assert_eq!(fs::read(copy).unwrap(), Library::faulty().bytes);
    assert_eq!(fs::metadata(copy).unwrap().mode() & 0o7777, 0o500);
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    assert!(maps.contains(copy.canonicalize().unwrap().to_str().unwrap()), "the copy is what is mapped");
    assert!(!maps.contains(scene.plugins().to_str().unwrap()), "the original is not");
    registry.reload("faulty").unwrap();
    assert_eq!(copies(&scene.root().join("copies")).len(), 2);
    // A host that starts while this one runs takes nothing from it, one that starts later cleans up.
    let other = scene.open();
    assert_eq!(copies(&scene.root().join("copies")).len(), 3);
    drop((registry, other));
    // A process that another test has just started holds the locks of this one until it runs its own program.
    let later = (0..1000).map(|_| scene.open()).find(|_| copies(&scene.root().join("copies")).len() == 1);
    assert!(later.is_some(), "{:?}", copies(&scene.root().join("copies")));
}

#[test]
fn a_place_that_others_can_change_or_nobody_can_write_is_a_clear_error() {
    let scene = Scene::of(&[&Library::faulty()]);
    fs::create_dir(scene.root().join("copies")).unwrap();
    chmod(&scene.root().join("copies"), 0o777);
    let message = Registry::open(scene.options()).unwrap_err().to_string();
    assert!(message.contains("copies can be changed by everybody"), "{message}");
    fs::remove_dir(scene.root().join("copies")).unwrap();
    fs::write(scene.root().join("copies"), "a file").unwrap();
    let message = Registry::open(scene.options()).unwrap_err().to_string();
    assert!(message.contains("cannot write a private copy of a plugin") && message.contains("copies"), "{message}");
}

#[test]
fn copies_that_cannot_run_are_a_clear_error() {
    on_a_mount("noexec", "copies::copies_that_cannot_run_are_a_clear_error", |folder| {
        let scene = Scene::of(&[&Library::faulty()]);
        let options = RegistryOptions { copies: folder.join("copies"), ..scene.options() };
        let message = Registry::open(options).unwrap_err().to_string();
        assert!(message.contains("noexec") && message.contains("copies"), "{message}");
    });
}

#[test]
fn a_full_disk_costs_the_plugin_and_leaves_nothing_half_written() {
    on_a_mount("size=64k", "copies::a_full_disk_costs_the_plugin_and_leaves_nothing_half_written", |folder| {
        let scene = Scene::of(&[&Library::faulty()]);
        let options = RegistryOptions { copies: folder.join("copies"), ..scene.options() };
        let status = Registry::open(options).unwrap().list().remove(0);
        let reason = status.reason.unwrap();
        assert_eq!(status.state, State::Rejected);
        assert!(reason.contains("cannot write a private copy") && reason.contains("No space left"), "{reason}");
        assert!(copies(&folder.join("copies")).is_empty());
    });
}

/// Runs the test of this name once more, in a process of its own, which alone sees a file system with these options; in
/// there, runs `check` on it.
fn on_a_mount(options: &str, test: &str, check: impl FnOnce(&Path)) {
    const FOLDER: &str = "MILLM_TEST_MOUNT";
    if let Some(folder) = env::var_os(FOLDER) {
        return check(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new("unshare");
    let mount = format!("mount -t tmpfs -o {options} tmpfs \"$0\" && exec \"$@\"");
    child.args(["--mount", "sh", "-c", &mount]).arg(folder.path());
    child.arg(env::current_exe().unwrap()).args([test, "--exact", "--nocapture"]).env(FOLDER, folder.path());
    let Ok(output) = child.output() else {
        println!("skipped: there is no unshare here");
        return;
    };
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if stdout.contains("running 1 test") {
        assert!(output.status.success(), "{stdout}{stderr}");
    } else {
        println!("skipped: nothing can be mounted here: {stderr}");
    }
}
