//! Who may change a plugin, and where it may really lie.

use std::{
    fs,
    os::unix::{
        fs::{chown, symlink},
        net::UnixListener,
    },
    process::Command,
};

use millm_loader::State;

use crate::{
    library::Library,
    scene::{Scene, chmod, install_into},
};

#[test]
fn what_others_can_write_to_is_refused() {
    for (place, mode, who) in [
        ("faulty/lib.so", 0o646, "everybody"),
        ("faulty/lib.so", 0o664, "its group"),
        ("faulty/plugin.toml", 0o646, "everybody"),
        ("faulty", 0o757, "everybody"),
        ("faulty", 0o775, "its group"),
        ("", 0o777, "everybody"),
        ("", 0o1777, "everybody"),
    ] {
        let scene = Scene::of(&[&Library::faulty()]);
        let path = scene.plugins().join(place);
        chmod(&path, mode);
        let path = path.to_str().unwrap().trim_end_matches('/');
        scene.assert_refused(State::Rejected, &[path, who, &format!("{mode:o}"), "chmod go-w"]);
    }
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    for place in ["faulty/lib.so", "faulty/plugin.toml", "faulty", ""] {
        let scene = Scene::of(&[&Library::faulty()]);
        let path = scene.plugins().join(place);
        if let Err(error) = chown(&path, Some(12345), None) {
            println!("skipped: only root can give a file to somebody else ({error})");
            return;
        }
        scene.assert_refused(State::Rejected, &["belongs to user 12345", "must belong to root or"]);
    }
}

#[test]
fn a_link_out_of_the_plugins_folder_is_refused() {
    let scene = Scene::new();
    let library = Library::faulty();
    let path = scene.install("faulty", &library);
    let elsewhere = install_into(&scene.root().join("elsewhere"), &library);
    fs::remove_file(&path).unwrap();
    symlink(&elsewhere, &path).unwrap();
    scene.assert_refused(State::Rejected, &["faulty/lib.so is really", "elsewhere/lib.so", "which is not in"]);
    // Within the folder a link is as good as a name.
    let inside = path.with_file_name("lib.so.1");
    fs::remove_file(&path).unwrap();
    fs::copy(&elsewhere, &inside).unwrap();
    symlink("lib.so.1", &path).unwrap();
    assert_eq!(scene.status().state, State::Enabled);
}

#[test]
fn a_manifest_that_lies_elsewhere_is_refused() {
    let scene = Scene::of(&[&Library::faulty()]);
    let path = scene.plugins().join("faulty/plugin.toml");
    fs::rename(&path, scene.root().join("plugin.toml")).unwrap();
    symlink("../../plugin.toml", &path).unwrap();
    scene.assert_refused(State::Rejected, &["faulty/plugin.toml is really", "which is not in"]);
}

#[test]
fn what_cannot_be_read_says_so() {
    for file in ["lib.so", "plugin.toml", ""] {
        let scene = Scene::of(&[&Library::faulty()]);
        let path = scene.plugins().join("faulty").join(file);
        chmod(&path, 0);
        if fs::metadata(&path).unwrap().is_file() && fs::read(&path).is_ok() {
            println!("skipped: root reads everything");
            return;
        }
        scene.assert_refused(State::Rejected, &[file, "Permission denied"]);
        chmod(&path, 0o755);
    }
}

#[test]
fn a_folder_that_is_a_link_out_of_the_folder_of_plugins_is_refused() {
    let scene = Scene::new();
    let library = Library::faulty();
    scene.allowed.allow(library.sha256());
    install_into(&scene.root().join("elsewhere"), &library);
    symlink("../elsewhere", scene.plugins().join("faulty")).unwrap();
    scene.assert_refused(State::Rejected, &["plugins/faulty is really", "which is not in"]);
}

#[test]
fn links_to_nothing_say_so() {
    let scene = Scene::of(&[&Library::faulty()]);
    fs::remove_file(scene.plugins().join("faulty/lib.so")).unwrap();
    symlink("gone.so", scene.plugins().join("faulty/lib.so")).unwrap();
    scene.assert_refused(State::Rejected, &["lib.so is a symbolic link to gone.so, which does not exist"]);
    fs::remove_file(scene.plugins().join("faulty/plugin.toml")).unwrap();
    symlink("gone.toml", scene.plugins().join("faulty/plugin.toml")).unwrap();
    scene.assert_refused(State::Rejected, &["plugin.toml is a symbolic link to gone.toml"]);
    fs::remove_dir_all(scene.plugins().join("faulty")).unwrap();
    symlink("gone", scene.plugins().join("faulty")).unwrap();
    scene.assert_refused(State::Rejected, &["plugins/faulty is a symbolic link to gone"]);
}

#[test]
fn pipes_devices_sockets_and_folders_are_refused_instead_of_read_for_ever() {
    for file in ["lib.so", "plugin.toml"] {
        let scene = Scene::of(&[&Library::faulty()]);
        let path = scene.plugins().join("faulty").join(file);
        fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        scene.assert_refused(State::Rejected, &[file, "is a pipe instead of a file"]);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        scene.assert_refused(State::Rejected, &[file, "is a folder instead of a file"]);
        fs::remove_dir(&path).unwrap();
        let _socket = UnixListener::bind(&path).unwrap();
        scene.assert_refused(State::Rejected, &[file]);
        fs::remove_file(&path).unwrap();
        if Command::new("mknod").arg(&path).args(["c", "1", "5"]).status().unwrap().success() {
            scene.assert_refused(State::Rejected, &[file, "is a device instead of a file"]);
        } else {
            println!("skipped: no device can be made here");
        }
    }
}

#[test]
fn a_library_of_absurd_size_is_refused_unread() {
    let scene = Scene::of(&[&Library::faulty()]);
    let file = fs::OpenOptions::new().write(true).open(scene.plugins().join("faulty/lib.so")).unwrap();
    // Sparse: it takes no room on the disk.
    file.set_len(1 << 40).unwrap();
    scene.assert_refused(State::Rejected, &["lib.so is larger than 1073741824 bytes"]);
}
