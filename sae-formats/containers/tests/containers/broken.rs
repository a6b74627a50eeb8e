use std::{fs, path::Path};

use millm_containers::Container;

use crate::fixture;

fn refused(path: &Path) -> String {
    let file = match Container::open(path) {
        Ok(file) => file,
        Err(error) => return error.to_string(),
    };
    let tensors = file.names().map(|name| file.tensor(name).map(|_| ()));
    tensors.collect::<Result<Vec<_>, _>>().unwrap_err().to_string()
}

#[test]
fn what_cannot_be_read_is_refused_with_the_reason() {
    for (file, reason) in [
        ("big-endian.npz", "'>f4'"),
        ("records.npz", "records"),
        ("bomb.npz", "believed"),
        ("legacy.pt", "before 1.6"),
        ("list.pt", "neither tensors by name"),
        ("bool.pt", "a type that is not supported"),
        ("cycle.pt", "nested too deep"),
        ("make.py", "neither safetensors nor npz"),
    ] {
        let error = refused(&fixture(file));
        assert!(error.contains(reason) && error.contains(file), "{error}");
    }
    assert!(refused(&fixture("")).contains("not a file"));
    assert!(refused(&fixture("none")).contains("No such file"));
}

#[test]
fn a_pickle_that_names_anything_else_is_not_run() {
    let error = refused(&fixture("hostile.pt"));
    assert!(error.contains("'posix.system', which is no tensor and is not run"), "{error}");
    assert!(!Path::new("/tmp/run-by-a-pickle").exists());
}

/// Each kind of file cut off, or with another value, at places all over it: an error or some tensors, and never a panic.
#[test]
fn broken_files_are_refused_or_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken");
    let mut refusals = 0;
    for name in ["stored.npz", "deflated.npz", "state.pt", "nested.pt", "plain.safetensors", "vector.gguf"] {
        let whole = fs::read(fixture(name)).unwrap();
        for at in (0..whole.len()).step_by(5) {
            let mut changed = whole.clone();
            changed[at] = changed[at].wrapping_add(1 + (at % 255) as u8);
            for bytes in [&changed[..], &whole[..at]] {
                fs::write(&path, bytes).unwrap();
                let opened = Container::open(&path);
                refusals += usize::from(opened.is_err());
                let Ok(file) = opened else { continue };
                for name in file.names().map(str::to_owned).collect::<Vec<_>>() {
                    let Ok(tensor) = file.tensor(&name) else { continue };
                    if tensor.shape().len() == 2 && tensor.shape()[0] > 0 && tensor.shape()[1] < 1000 {
                        tensor.at(0, tensor.shape()[0] as usize - 1).unwrap().to_vec().unwrap();
                    }
                }
            }
        }
    }
    assert!(refusals > 500, "{refusals}");
}
