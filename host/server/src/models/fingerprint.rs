//! `system_fingerprint`: tells one build of one model from another.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use millm_store::PrependBos;
use sha2::{Digest, Sha256};

use super::Vectors;
use crate::services::Watch;

/// What is hashed of a large file: the beginning of every megabyte, and its end. Another training changes every part of
/// a file; reading all of a 15 GB checkpoint would double the time of a start and tell no more.
const STRIDE: u64 = 1 << 20;
const SAMPLE: u64 = 4 << 10;

/// A hash of this program's version, the plugin's library, the model's files and the steering vectors. Not of their paths or
/// times, so two machines with the same files agree.
///
/// # Errors
///
/// A file that cannot be read; [`io::ErrorKind::Interrupted`] once `watch` wants no result any more.
pub(super) fn of(folder: &Path, plugin_sha256: &str, vectors: &Vectors, watch: &dyn Watch) -> io::Result<String> {
    let mut hash = Sha256::new();
    hash.update(env!("CARGO_PKG_VERSION"));
    hash.update(plugin_sha256);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let counts = |extension| extension == "json" || extension == "jinja" || extension == "safetensors";
        if path.extension().is_some_and(counts) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    for path in paths {
        add_file(&mut hash, &path, watch)?;
    }
    for (name, sha256) in vectors.digests() {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update(sha256);
    }
    Ok(shown(hash))
}

/// That of answers to prompts that begin as `prepend_bos` says, by a model whose fingerprint is `model`. As long as nobody has
/// said otherwise, it is the same.
pub(super) fn of_prompts(model: &str, prepend_bos: PrependBos) -> String {
    if prepend_bos == PrependBos::default() {
        return model.to_owned();
    }
    shown(Sha256::new().chain_update(model).chain_update(prepend_bos.as_str()))
}

fn shown(hash: Sha256) -> String {
    hash.finalize()[..8].iter().fold("fp_".into(), |text, byte| format!("{text}{byte:02x}"))
}

fn add_file(hash: &mut Sha256, path: &Path, watch: &dyn Watch) -> io::Result<()> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    hash.update(len.to_le_bytes());
    let mut buffer = vec![0; SAMPLE as usize];
    let (step, end) = if len <= STRIDE { (SAMPLE, None) } else { (STRIDE, Some(len - SAMPLE)) };
    for start in (0..len).step_by(step as usize).chain(end) {
        if watch.cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let sample = &mut buffer[..SAMPLE.min(len - start) as usize];
        file.read_exact_at(sample, start)?;
        hash.update(sample);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wants a result, or not.
    #[derive(Debug)]
    struct Wanted(bool);

    impl Watch for Wanted {
        fn progress(&self, _: &str, _: u64, _: u64) {}

        fn cancelled(&self) -> bool {
            !self.0
        }
    }

    #[test]
    fn the_fingerprint_changes_with_the_files_and_the_plugin() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("model.safetensors");
        let mut bytes = vec![7_u8; (3 << 20) + 5];
        fs::write(&weights, &bytes).unwrap();
        fs::write(folder.path().join("config.json"), "{}").unwrap();
        fs::write(folder.path().join("README.md"), "text").unwrap();
        let of = |folder: &Path, plugin| of(folder, plugin, &Vectors::default(), &Wanted(true));
        let first = of(folder.path(), "plugin").unwrap();
        assert_eq!(first.len(), "fp_".len() + 16);
        assert_eq!(of(folder.path(), "plugin").unwrap(), first);
        assert_ne!(of(folder.path(), "other").unwrap(), first);
        fs::write(folder.path().join("README.md"), "other text").unwrap();
        assert_eq!(of(folder.path(), "plugin").unwrap(), first);
        for at in [0, 2 << 20, bytes.len() - 1] {
            bytes[at] = 8;
            fs::write(&weights, &bytes).unwrap();
            assert_ne!(of(folder.path(), "plugin").unwrap(), first, "byte {at}");
            bytes[at] = 7;
        }
        fs::write(&weights, &bytes).unwrap();
        fs::write(folder.path().join("config.json"), "{ }").unwrap();
        assert_ne!(of(folder.path(), "plugin").unwrap(), first);
    }

    #[test]
    fn the_fingerprint_changes_with_what_vectors_there_are() {
        let (model, vectors) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let [sea, winter] = ["sea", "winter"].map(|name| vectors.path().join(format!("{name}.safetensors")));
        let of = || of(model.path(), "plugin", &Vectors::load(&[vectors.path().into()]), &Wanted(true)).unwrap();
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/demo/model/vectors");
        let copy = |name: &str, path: &Path| fs::copy(demo.join(name), path).map(drop).unwrap();
        let none = of();
        copy("sea.safetensors", &sea);
        let first = of();
        assert_ne!(first, none);
        copy("winter.safetensors", &sea);
        assert_ne!(of(), first, "other numbers");
        copy("sea.safetensors", &sea);
        assert_eq!(of(), first);
        fs::rename(&sea, &winter).unwrap();
        assert_ne!(of(), first, "another name");
        fs::rename(&winter, &sea).unwrap();
        fs::write(&winter, "nonsense").unwrap();
        assert_ne!(of(), first, "a name that cannot be used");
    }

    #[test]
    fn answers_to_prompts_have_another_once_somebody_has_said_how_they_begin() {
        let [auto, never, always] = PrependBos::ALL.map(|when| of_prompts("fp_0123456789abcdef", when));
        assert_eq!(auto, "fp_0123456789abcdef");
        assert!(never != auto && always != auto && never != always);
        assert_eq!((never.len(), &never[..3]), (auto.len(), "fp_"));
    }

    #[test]
    fn what_nobody_wants_any_more_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("model.safetensors"), "weights").unwrap();
        let error = of(folder.path(), "plugin", &Vectors::default(), &Wanted(false)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}
