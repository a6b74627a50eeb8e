//! Runs a model of any plugin, and reads golden files.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use crate::probe::point;
use millm_engine::Threads;
use millm_loader::{ModelError, Registry};
use millm_plugin_api::{
    HookId, HookSet, LoadOptions,
    hook::HookVisitor,
    loaded::{LoadedModel, SequenceHandle, Step},
};
use millm_tests::{host::host, plugins::bundled};
use safetensors::SafeTensors;

/// A model, loaded by whichever of the bundled plugins knows its `model_type`.
pub(crate) fn load(folder: &Path, threads: usize) -> Result<LoadedModel, ModelError> {
    // One of one symbol each, they cannot be parts of this program; so they are loaded as users load them.
    static PLUGINS: LazyLock<Registry> = LazyLock::new(|| bundled(|_| host(&Threads::new(1).unwrap())));
    let loaded =
        PLUGINS.load_model(folder, &LoadOptions { kv_bytes: 1 << 22 }, |_| host(&Threads::new(threads).unwrap()));
    loaded.map(|(model, _)| model)
}

/// Appends `tokens` to a sequence; the logits of all rows.
pub(crate) fn run(
    model: &LoadedModel,
    sequence: &SequenceHandle,
    tokens: &[u32],
    wanted: &HookSet,
    visitor: &mut dyn HookVisitor,
) -> Vec<f32> {
    run_many(model, &[(sequence, tokens)], wanted, visitor)
}

/// One step over several sequences; the logits of all rows.
pub(crate) fn run_many(
    model: &LoadedModel,
    work: &[(&SequenceHandle, &[u32])],
    wanted: &HookSet,
    visitor: &mut dyn HookVisitor,
) -> Vec<f32> {
    let tokens: Vec<u32> = work.iter().flat_map(|(_, tokens)| tokens.iter().copied()).collect();
    let sequences: Vec<_> = work.iter().map(|(sequence, tokens)| (*sequence, tokens.len() as u32)).collect();
    let logit_rows: Vec<u32> = (0..tokens.len() as u32).collect();
    let mut logits = vec![0.0; tokens.len() * model.spec().d_vocab as usize];
    let step = Step { tokens: &tokens, sequences: &sequences, logit_rows: &logit_rows, wanted };
    model.forward(&step, visitor, &mut logits).unwrap();
    logits
}

pub(crate) fn argmax(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map(|(index, _)| index as u32).unwrap()
}

/// The folder of `<family>/<case>` in `tests/golden`.
pub(crate) fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

/// A case of `tests/golden`.
pub(crate) struct Golden {
    pub(crate) folder: PathBuf,
    bytes: Vec<u8>,
}

/// The prompts of a case, both longer than its window; the first is longer, too, than the context before longrope.
pub(crate) const PROMPTS: [&str; 2] = ["p0", "p1"];

impl Golden {
    /// That of `<family>/<case>`.
    pub(crate) fn of(name: &str) -> Self {
        let folder = case(name);
        Self { bytes: fs::read(folder.join("golden.safetensors")).unwrap(), folder }
    }

    /// All cases of all families.
    pub(crate) fn all() -> Vec<Self> {
        let root = case("");
        let folders = |path: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
            entries.filter(|path| path.is_dir()).collect()
        };
        let mut cases: Vec<PathBuf> = ["gemma", "gpt2", "llama", "neox"]
            .iter()
            .flat_map(|family| {
                let cases = folders(&root.join(family));
                assert!(cases.len() >= 2, "golden files of {family} are missing");
                cases
            })
            .collect();
        cases.sort();
        let read = |folder: PathBuf| Self { bytes: fs::read(folder.join("golden.safetensors")).unwrap(), folder };
        cases.into_iter().map(read).collect()
    }

    /// `<family>/<case>`.
    pub(crate) fn name(&self) -> String {
        let parts: Vec<_> = self.folder.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
        format!("{}/{}", parts[1], parts[0])
    }

    /// Names of the tensors of a prompt.
    pub(crate) fn names(&self, prompt: &str) -> Vec<String> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let prefix = format!("{prompt}.");
        tensors.names().into_iter().filter_map(|name| name.strip_prefix(&prefix).map(String::from)).collect()
    }

    pub(crate) fn f32(&self, name: &str) -> Vec<f32> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = tensors.tensor(name).unwrap_or_else(|_| panic!("no {name}"));
        tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    pub(crate) fn tokens(&self, name: &str) -> Vec<u32> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let data = tensors.tensor(name).unwrap().data().to_vec();
        data.chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()) as u32).collect()
    }

    /// The steering vector times its strength, and where to add it.
    pub(crate) fn steering(&self, model: &LoadedModel) -> (HookId, Vec<f32>) {
        let (_, metadata) = SafeTensors::read_metadata(&self.bytes).unwrap();
        let metadata = metadata.metadata().clone().unwrap();
        let strength: f32 = metadata["steer.strength"].parse().unwrap();
        let delta = self.f32("steer.vector").iter().map(|element| strength * element).collect();
        (point(model.spec(), &metadata["steer.hook_point"]), delta)
    }
}

/// Holds `found` against the reference: by its largest difference, relative to the largest element, and by its norm.
/// Where the reference is −∞, so must be what was found; those elements are left out of the rest.
#[track_caller]
pub(crate) fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let masked = |pair: &(f32, f32)| pair.1 == f32::NEG_INFINITY;
    let pairs: Vec<(f32, f32)> = found.iter().copied().zip(expected.iter().copied()).collect();
    assert!(pairs.iter().filter(|pair| masked(pair)).all(|pair| pair.0 == pair.1), "{what}: the masks differ");
    let pairs: Vec<_> = pairs.into_iter().filter(|pair| !masked(pair)).collect();
    let scale = pairs.iter().fold(0.0_f32, |max, (_, x)| max.max(x.abs()));
    let difference =
        pairs.iter().fold(0.0_f32, |max, (a, b)| if a.is_nan() { f32::NAN } else { max.max((a - b).abs()) });
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let ratio = norm(&mut pairs.iter().map(|pair| pair.0)) / norm(&mut pairs.iter().map(|pair| pair.1));
    assert!(difference <= 1e-4 * scale, "{what}: differs by {difference}, the largest element is {scale}");
    assert!((ratio - 1.0).abs() <= 1e-4, "{what}: norm ratio {ratio}");
}

#[track_caller]
pub(crate) fn assert_same_bits(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let differing = found.iter().zip(expected).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
    assert_eq!(differing, 0, "{what}: elements that differ");
}
