use std::{path::Path, sync::Arc};

use millm_engine::{
    Sae, Threads,
    sae::{Attached, Site},
};
use millm_plugin_api::{
    DType, Result, SaeFormat, SaeSource, SaeSpec, SaeTensor, TensorRef,
    loaded::LoadedSaeFormat,
    sae::{Activation, FoundSae},
};

/// Features of every SAE.
pub(crate) const D_SAE: u32 = 24;

/// Weights by formula, under a spec.
struct Waves {
    spec: SaeSpec,
    seed: f32,
}

struct Weights {
    spec: SaeSpec,
    tensors: Vec<(SaeTensor, Vec<u8>)>,
}

impl SaeFormat for Waves {
    type Source = Weights;

    fn name(&self) -> &str {
        "waves"
    }

    fn find(&self, _: &[String]) -> Vec<FoundSae> {
        Vec::new()
    }

    fn open(&self, _: &Path, _: &str) -> Result<Weights> {
        let scale = (self.spec.d_in as f32).sqrt().recip();
        let wave = |name: SaeTensor, pitch: f32, size: f32| {
            let count = self.spec.shape_of(name).into_iter().product::<u64>();
            let number = |index: u64| ((index as f32 * pitch + self.seed).sin() * size).to_le_bytes();
            (name, (0..count).flat_map(number).collect())
        };
        let mut tensors = vec![
            wave(SaeTensor::W_ENC, 2.9, scale),
            wave(SaeTensor::W_DEC, 1.7, 2.0 * scale),
            wave(SaeTensor::B_ENC, 1.1, 0.05),
            wave(SaeTensor::B_DEC, 0.7, 0.05),
            wave(SaeTensor::B_GATE, 1.3, 0.05),
            wave(SaeTensor::B_MAG, 2.3, 0.05),
            wave(SaeTensor::R_MAG, 0.3, 0.2),
        ];
        let threshold = |feature: u32| (feature as f32 / 200.0).to_le_bytes();
        tensors.push((SaeTensor::THRESHOLD, (0..self.spec.d_sae).flat_map(threshold).collect()));
        Ok(Weights { spec: self.spec.clone(), tensors })
    }
}

impl SaeSource for Weights {
    fn spec(&self) -> &SaeSpec {
        &self.spec
    }

    fn tensor(&self, name: SaeTensor) -> Result<Option<TensorRef<'_>>> {
        let shape: Vec<usize> = self.spec.shape_of(name).into_iter().map(|extent| extent as usize).collect();
        let found = self.tensors.iter().find(|(known, _)| *known == name);
        found.map(|(_, bytes)| TensorRef::contiguous(bytes, DType::F32, &shape)).transpose()
    }
}

/// An SAE of rows that wide, of a `seed`'s weights. Every call opens another one.
pub(crate) fn attached(d_in: u32, spec: SaeSpec, seed: u32) -> Attached {
    let spec = SaeSpec { d_in, d_sae: D_SAE, d_out: d_in, ..spec };
    let format = LoadedSaeFormat::in_process(Waves { spec, seed: seed as f32 }).unwrap();
    let sae = Sae::new(format.open(Path::new(""), "").unwrap()).unwrap();
    Attached { sae: Arc::new(sae), site: Arc::new(Site::Raw), threads: Threads::new(1).unwrap() }
}

/// A spec with this activation, and nothing else special.
pub(crate) fn spec(activation: Activation) -> SaeSpec {
    SaeSpec { activation, ..SaeSpec::default() }
}
