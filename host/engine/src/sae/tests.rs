//! On weights that formulas give, with numbers that SAELens, or the library whose form it is, computed for them.

mod memory;

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use half::{bf16, f16};
use millm_kernels::Serial;
use millm_plugin_api::{
    ErrorKind, PluginError,
    error::Result,
    loaded::LoadedSaeFormat,
    sae::{Activation, DecoderNorm, FoundSae, Normalization, SaeFormat, SaeSource, SaeSpec, SaeTensor},
    tensor::{DType, TensorRef},
};

use super::{Features, Sae, SaeError, Site};

pub(crate) const D_IN: usize = 4;
const D_SAE: usize = 6;
const ROWS: usize = 3;

/// Weights by formula, under a spec.
struct Formula {
    spec: SaeSpec,
    dtype: DType,
    watch: Watch,
}

struct Weights {
    spec: SaeSpec,
    dtype: DType,
    tensors: Vec<(SaeTensor, Vec<u8>)>,
    watch: Watch,
}

/// What a source is asked for, and what it does not yield.
#[derive(Clone, Default)]
struct Watch {
    asked: Arc<Mutex<Vec<SaeTensor>>>,
    withheld: Arc<Mutex<Option<SaeTensor>>>,
}

impl Watch {
    /// What was asked for since this was called.
    fn asked(&self) -> Vec<SaeTensor> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

/// Numbers that all of these types have.
fn table(dtype: DType, count: usize, formula: impl Fn(usize) -> f32) -> Vec<u8> {
    let bytes = |number: f32| match dtype {
        DType::BF16 => bf16::from_f32(number).to_le_bytes().to_vec(),
        DType::F16 => f16::from_f32(number).to_le_bytes().to_vec(),
        DType::F64 => f64::from(number).to_le_bytes().to_vec(),
        _ => number.to_le_bytes().to_vec(),
    };
    (0..count).flat_map(|index| bytes(formula(index))).collect()
}

/// `((index * step) mod modulus - less) / by`.
fn steps(index: usize, step: usize, modulus: usize, less: f32, by: f32) -> f32 {
    ((index * step % modulus) as f32 - less) / by
}

impl SaeFormat for Formula {
    type Source = Weights;

    fn name(&self) -> &str {
        "formula"
    }

    fn find(&self, _: &[String]) -> Vec<FoundSae> {
        Vec::new()
    }

    fn open(&self, _: &Path, _: &str) -> Result<Weights> {
        let table = |count, formula: &dyn Fn(usize) -> f32| table(self.dtype, count, formula);
        let tensors = vec![
            (SaeTensor::W_ENC, table(D_IN * D_SAE, &|index| steps(index, 7, 13, 6.0, 8.0))),
            (SaeTensor::B_ENC, table(D_SAE, &|index| steps(index, 3, 5, 2.0, 16.0))),
            (SaeTensor::W_DEC, table(D_SAE * D_IN, &|index| steps(index, 5, 11, 5.0, 8.0))),
            (SaeTensor::B_DEC, table(D_IN, &|index| (index as f32 - 1.0) / 8.0)),
            (SaeTensor::THRESHOLD, table(D_SAE, &|index| (index as f32 + 1.0) / 2.0)),
            (SaeTensor::B_GATE, table(D_SAE, &|index| steps(index, 2, 5, 2.0, 8.0))),
            (SaeTensor::B_MAG, table(D_SAE, &|index| steps(index, 4, 7, 3.0, 16.0))),
            (SaeTensor::R_MAG, table(D_SAE, &|index| (index as f32 - 2.0) / 4.0)),
        ];
        Ok(Weights { spec: self.spec.clone(), dtype: self.dtype, tensors, watch: self.watch.clone() })
    }
}

impl SaeSource for Weights {
    fn spec(&self) -> &SaeSpec {
        &self.spec
    }

    fn tensor(&self, name: SaeTensor) -> Result<Option<TensorRef<'_>>> {
        self.watch.asked.lock().unwrap().push(name);
        if *self.watch.withheld.lock().unwrap() == Some(name) {
            return Err(PluginError::new(ErrorKind::IO, "the disk is away"));
        }
        let shape: Vec<usize> = self.spec.shape_of(name).into_iter().map(|extent| extent as usize).collect();
        let found = self.tensors.iter().find(|(known, _)| *known == name);
        found.map(|(_, bytes)| TensorRef::contiguous(bytes, self.dtype, &shape)).transpose()
    }
}

pub(crate) fn spec(activation: Activation) -> SaeSpec {
    let (width, d_sae) = (D_IN as u32, D_SAE as u32);
    SaeSpec { activation, d_in: width, d_sae, d_out: width, ..SaeSpec::default() }
}

pub(crate) fn sae(spec: SaeSpec) -> Sae {
    try_sae(spec).unwrap()
}

fn try_sae(spec: SaeSpec) -> Result<Sae, SaeError> {
    watched(spec, DType::F32, &Watch::default())
}

fn watched(spec: SaeSpec, dtype: DType, watch: &Watch) -> Result<Sae, SaeError> {
    let format = LoadedSaeFormat::in_process(Formula { spec, dtype, watch: watch.clone() }).unwrap();
    Sae::new(format.open(Path::new(""), "").unwrap())
}

pub(crate) fn rows() -> Vec<f32> {
    (0..ROWS * D_IN).map(|index| steps(index, 3, 7, 3.0, 2.0)).collect()
}

/// The expected numbers have six digits.
#[track_caller]
fn assert_rows(what: &str, found: &[f32], expected: &[&[f32]]) {
    for (row, (found, expected)) in found.chunks(found.len() / ROWS).zip(expected).enumerate() {
        for (found, expected) in found.iter().zip(*expected) {
            let near = (found - expected).abs() <= 6e-6 * expected.abs().max(1.0);
            assert!(near, "{what}, row {row}: {found} instead of {expected}");
        }
        assert_eq!(found.len(), expected.len(), "{what}");
    }
}

fn assert_computes(what: &str, spec: SaeSpec, acts: [&[f32]; ROWS], out: [&[f32]; ROWS]) {
    let sae = sae(spec);
    let found = sae.encode(&Serial, &rows(), &Site::Raw).unwrap();
    assert_rows(&format!("{what}: activations"), &found, &acts);
    let features = sae.encode_sparse(&Serial, &rows(), &Site::Raw).unwrap();
    assert_rows(&format!("{what}: output"), &sae.decode(&rows(), &Site::Raw, &features).unwrap(), &out);
}

const ZEROS: &[f32] = &[0.0; D_SAE];

#[test]
fn the_rows_are_those_of_the_table() {
    assert_eq!(rows(), [-1.5, 0.0, 1.5, -0.5, 1.0, -1.0, 0.5, -1.5, 0.0, 1.5, -0.5, 1.0]);
}

#[test]
fn features_become_active_as_their_activation_says() {
    assert_computes(
        "relu",
        spec(Activation::Relu),
        [
            &[0.625, 0.0, 0.59375, 0.0, 0.5625, 0.0],
            &[0.0, 0.078125, 0.0, 0.0, 0.0, 0.0],
            &[0.0, 1.015625, 0.0, 1.296875, 0.0625, 1.265625],
        ],
        [
            &[-0.507812, -0.0859375, 0.378906, -0.0585938],
            &[-0.0859375, -0.0195312, 0.154297, 0.220703],
            &[-0.265625, 0.738281, -0.470703, 0.533203],
        ],
    );
    assert_computes(
        "jumprelu",
        spec(Activation::JumpRelu),
        [&[0.625, 0.0, 0.0, 0.0, 0.0, 0.0], ZEROS, &[0.0, 1.015625, 0.0, 0.0, 0.0, 0.0]],
        [
            &[-0.515625, 0.0, 0.515625, 0.171875],
            &[-0.125, 0.0, 0.125, 0.25],
            &[0.382812, -0.253906, 0.505859, -0.130859],
        ],
    );
    assert_computes(
        "topk",
        spec(Activation::TopK { k: 2, relu: true }),
        [
            &[0.625, 0.0, 0.59375, 0.0, 0.0, 0.0],
            &[0.0, 0.078125, 0.0, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 1.296875, 0.0, 1.265625],
        ],
        [
            &[-0.367188, -0.296875, 0.589844, -0.199219],
            &[-0.0859375, -0.0195312, 0.154297, 0.220703],
            &[-0.757812, 0.96875, -0.828125, 0.898438],
        ],
    );
    assert_computes(
        "abstopk",
        spec(Activation::AbsTopK { k: 2 }),
        [
            &[0.0, 0.0, 0.0, -0.890625, 0.0, -1.234375],
            &[0.0, 0.0, -1.34375, 0.0, -1.4375, 0.0],
            &[0.0, 0.0, 0.0, 1.296875, 0.0, 1.265625],
        ],
        [
            &[0.492188, -0.710938, 1.00781, -0.195312],
            &[-0.101562, 0.132812, 0.496094, 0.730469],
            &[-0.757812, 0.96875, -0.828125, 0.898438],
        ],
    );
    assert_computes(
        "gated",
        spec(Activation::Gated),
        [
            &[0.267398, 0.0, 0.53125, 0.0, 0.864906, 0.0],
            &[0.0, 0.0746688, 0.0, 0.0, 0.0, 0.0],
            &[0.0, 0.804795, 0.0, 1.62972, 0.0405451, 3.13145],
        ],
        [
            &[-0.375538, 0.0587146, 0.0341904, 0.10077],
            &[-0.0876656, -0.0186672, 0.153001, 0.221999],
            &[-1.29847, 1.22401, -1.74928, 0.773197],
        ],
    );
}

#[test]
fn groups_keep_their_largest_feature() {
    let acts = sae(spec(Activation::GroupMax { k: 2 })).encode(&Serial, &rows(), &Site::Raw).unwrap();
    assert_rows(
        "groupmax",
        &acts,
        &[
            &[0.625, 0.0, 0.0, 0.0, 0.5625, 0.0],
            &[0.0, 0.078125, 0.0, 0.0, 0.0, 0.0],
            &[0.0, 1.015625, 0.0, 1.296875, 0.0, 0.0],
        ],
    );
}

#[test]
fn groups_have_one_size() {
    let error = try_sae(spec(Activation::GroupMax { k: 4 })).unwrap_err();
    assert_eq!(error, SaeError::Groups { k: 4, d_sae: 6 });
}

#[test]
fn norms_are_undone_behind() {
    let with = |normalization| SaeSpec { normalization, ..spec(Activation::Relu) };
    assert_computes(
        "constant_norm_rescale",
        with(Normalization::ConstantNormRescale { min_norm: 0.0 }),
        [
            &[0.547809, 0.0, 0.521705, 0.0, 0.495601, 0.0],
            &[0.0, 0.0888483, 0.0, 0.00224715, 0.0, 0.0],
            &[0.0, 1.06741, 0.0, 1.36592, 0.0840766, 1.35193],
        ],
        [
            &[-0.502205, -0.0817316, 0.377855, -0.0224936],
            &[-0.0854636, -0.0220698, 0.167624, 0.231018],
            &[-0.269662, 0.736515, -0.488237, 0.51794],
        ],
    );
    assert_computes(
        "layer_norm",
        with(Normalization::LayerNorm),
        [
            &[0.362495, 0.0, 0.393745, 0.0, 0.424995, 0.0],
            &[0.0, 0.00307474, 0.0, 0.0343247, 0.0, 0.0],
            &[0.0, 1.36106, 0.0, 1.39231, 0.0, 1.11106],
        ],
        [
            &[-0.574215, -0.171874, 0.176755, -0.043942],
            &[-0.39695, -0.225381, -0.104955, 0.0666144],
            &[0.5, 1.11054, 0.287253, 0.89779],
        ],
    );
    assert_computes(
        "dataset",
        with(Normalization::Dataset { input: 2.0, output: 2.0 }),
        [&[1.5625, 0.0, 1.46875, 0.0, 1.375, 0.0], ZEROS, &[0.0, 1.765625, 0.0, 2.296875, 0.375, 2.515625]],
        [
            &[-0.539062, -0.109375, 0.384766, -0.259766],
            &[-0.0625, 0.0, 0.0625, 0.125],
            &[-0.296875, 0.724609, -0.606445, 0.415039],
        ],
    );
}

#[test]
fn norms_of_the_decoder_choose_features_and_scale_them() {
    let topk = spec(Activation::TopK { k: 2, relu: true });
    assert_computes(
        "topk, rescaled",
        SaeSpec { decoder_norm: DecoderNorm::Activations, ..topk.clone() },
        [
            &[0.557924, 0.0, 0.503376, 0.0, 0.0, 0.0],
            &[0.0, 0.0601994, 0.0, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 1.05059, 0.0, 1.02527],
        ],
        [
            &[-0.367188, -0.296875, 0.589844, -0.199219],
            &[-0.0859375, -0.0195312, 0.154297, 0.220703],
            &[-0.757812, 0.96875, -0.828125, 0.898438],
        ],
    );
    // What the gate lets through keeps its own activation.
    let gated = sae(SaeSpec { decoder_norm: DecoderNorm::Gate, ..spec(Activation::JumpRelu) });
    let (gated, plain) = (gated.encode(&Serial, &rows(), &Site::Raw).unwrap(), sae(spec(Activation::Relu)));
    let norms: Vec<f32> = (0..D_SAE as u32)
        .map(|feature| plain.direction(feature).unwrap().iter().map(|weight| weight * weight).sum::<f32>().sqrt())
        .collect();
    let plain = plain.encode(&Serial, &rows(), &Site::Raw).unwrap();
    for (index, (found, p)) in gated.iter().zip(&plain).enumerate() {
        let feature = index % D_SAE;
        let threshold = (feature as f32 + 1.0) / 2.0;
        assert_eq!(*found, if p * norms[feature] > threshold { *p } else { 0.0 }, "{index}");
    }
}

#[test]
fn a_feature_at_its_threshold_is_not_active() {
    let exact = SaeSpec { apply_b_dec_to_input: false, ..spec(Activation::JumpRelu) };
    let sae = sae(exact);
    let zero = sae.encode(&Serial, &[0.0; D_IN], &Site::Raw).unwrap();
    assert_eq!(zero, ZEROS);
}

#[test]
fn rows_are_encoded_alike_in_any_company() {
    let pursuit =
        Activation::MatchingPursuit { residual_threshold: 0.25, max_iterations: 20, stop_on_duplicate_support: false };
    for activation in [Activation::Relu, Activation::Gated, Activation::TopK { k: 2, relu: true }, pursuit] {
        let sae = sae(spec(activation));
        let together = sae.encode(&Serial, &rows(), &Site::Raw).unwrap();
        let alone =
            rows().chunks(D_IN).flat_map(|row| sae.encode(&Serial, row, &Site::Raw).unwrap()).collect::<Vec<_>>();
        let bits = |numbers: &[f32]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&together), bits(&alone), "{activation:?}");
    }
    let sae = sae(spec(Activation::Relu));
    assert_eq!(sae.encode(&Serial, &[0.0; 5], &Site::Raw), Err(SaeError::WrongWidth { expected: 4, found: 5 }));
}
