//! Runs a model of this plugin over the ABI, without a library around it, and reads golden files.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
};

use millm_llama::Llama;
use millm_plugin_api::{
    HookId, HookSet, Host, Level, LoadOptions, ModelFiles, PluginError, TensorMut,
    hook::HookVisitor,
    host::HostServices,
    loaded::{LoadedArchitecture, LoadedModel, SequenceHandle, Step},
};
use safetensors::SafeTensors;

/// A host with some threads and nothing else.
pub(crate) struct TestHost {
    pub(crate) threads: usize,
}

impl HostServices for TestHost {
    fn log(&self, _: Level, _: &str) {}

    fn progress(&self, _: &str, _: u64, _: u64) {}

    fn cancelled(&self) -> bool {
        false
    }

    fn width(&self) -> usize {
        self.threads
    }

    fn parallel(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        thread::scope(|scope| {
            for first in 0..self.threads {
                scope.spawn(move || (first..count).step_by(self.threads).for_each(task));
            }
        });
    }
}

pub(crate) fn load(folder: &Path, threads: usize) -> Result<LoadedModel, PluginError> {
    let architecture = LoadedArchitecture::in_process(Llama)?;
    let files = ModelFiles { folder: folder.to_owned() };
    architecture.load(&files, &LoadOptions { kv_bytes: 1 << 22 }, Host::new(TestHost { threads }))
}

/// What a step shows: every activation, `[T, d_model]`, by hook point. May add a vector at one of them.
#[derive(Default)]
pub(crate) struct Probe {
    pub(crate) activations: BTreeMap<u32, Vec<f32>>,
    pub(crate) add: Option<(HookId, Vec<f32>)>,
}

impl HookVisitor for Probe {
    fn visit(&mut self, point: HookId, _: usize, mut activation: TensorMut<'_>) -> Result<(), PluginError> {
        let data = activation.as_f32_mut()?;
        if let Some((_, delta)) = self.add.as_ref().filter(|(at, _)| *at == point) {
            for row in data.chunks_exact_mut(delta.len()) {
                row.iter_mut().zip(delta).for_each(|(x, delta)| *x += delta);
            }
        }
        self.activations.entry(point.0).or_default().extend_from_slice(data);
        Ok(())
    }
}

pub(crate) fn all_points(model: &LoadedModel) -> HookSet {
    let mut wanted = HookSet::new();
    (0..model.spec().hook_points.len() as u32).for_each(|id| wanted.insert(HookId(id)));
    wanted
}

pub(crate) fn point(model: &LoadedModel, name: &str) -> HookId {
    let found = model.spec().hook_points.iter().position(|hook| hook.point.to_string() == name);
    HookId(found.unwrap_or_else(|| panic!("no hook point {name}")) as u32)
}

/// Appends `tokens` to a sequence; the logits of all rows.
pub(crate) fn run(
    model: &LoadedModel,
    sequence: &SequenceHandle,
    tokens: &[u32],
    wanted: &HookSet,
    probe: &mut Probe,
) -> Vec<f32> {
    run_many(model, &[(sequence, tokens)], wanted, probe)
}

/// One step over several sequences; the logits of all rows.
pub(crate) fn run_many(
    model: &LoadedModel,
    work: &[(&SequenceHandle, &[u32])],
    wanted: &HookSet,
    probe: &mut Probe,
) -> Vec<f32> {
    let tokens: Vec<u32> = work.iter().flat_map(|(_, tokens)| tokens.iter().copied()).collect();
    let sequences: Vec<_> = work.iter().map(|(sequence, tokens)| (*sequence, tokens.len() as u32)).collect();
    let logit_rows: Vec<u32> = (0..tokens.len() as u32).collect();
    let mut logits = vec![0.0; tokens.len() * model.spec().d_vocab as usize];
    let step = Step { tokens: &tokens, sequences: &sequences, logit_rows: &logit_rows, wanted };
    model.forward(&step, probe, &mut logits).unwrap();
    logits
}

pub(crate) fn argmax(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map(|(index, _)| index as u32).unwrap()
}

/// A golden file of `tests/golden`.
pub(crate) struct Golden {
    pub(crate) folder: PathBuf,
    bytes: Vec<u8>,
}

impl Golden {
    pub(crate) fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/llama");
        let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        cases.sort();
        assert!(cases.len() >= 5, "golden files are missing: {cases:?}");
        let read = |folder: PathBuf| Self { bytes: fs::read(folder.join("golden.safetensors")).unwrap(), folder };
        cases.into_iter().map(read).collect()
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
        (point(model, &metadata["steer.hook_point"]), delta)
    }
}

/// Holds `found` against the reference: by its largest difference, relative to the largest element, and by its norm.
#[track_caller]
pub(crate) fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    let difference = found.iter().zip(expected).fold(0.0_f32, |max, (a, b)| max.max((a - b).abs()));
    let norm = |values: &[f32]| values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let ratio = norm(found) / norm(expected);
    assert!(difference <= 1e-4 * scale, "{what}: differs by {difference}, the largest element is {scale}");
    assert!((ratio - 1.0).abs() <= 1e-4, "{what}: norm ratio {ratio}");
}

#[track_caller]
pub(crate) fn assert_same_bits(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let differing = found.iter().zip(expected).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
    assert_eq!(differing, 0, "{what}: elements that differ");
}
