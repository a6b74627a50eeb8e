use std::path::Path;

use millm_containers::{Container, read_json};
use millm_plugin_api::{
    error::{ErrorKind, PluginError, Result},
    sae::{SaeSource, SaeSpec, SaeTensor},
    tensor::{DType, TensorRef},
};

use crate::{
    config::Config,
    describe::describe,
    files::{CONFIG, SCALER, WEIGHTS, WHITENING},
};

/// An SAE in a folder of SAELens.
#[derive(Debug)]
pub(crate) struct Source {
    spec: SaeSpec,
    weights: Container,
    /// Tensors that are not in the file as they are meant, as the bytes of f32.
    made: Vec<(SaeTensor, Vec<u8>)>,
}

/// Tensors that are no part of an inference SAE, or are looked at by another name.
const OTHERS: [&str; 3] = ["scaling_factor", "log_threshold", "topk_threshold"];

fn invalid(error: impl ToString) -> PluginError {
    PluginError::new(ErrorKind::INVALID_WEIGHTS, error.to_string())
}

fn bytes(numbers: impl IntoIterator<Item = f32>) -> Vec<u8> {
    numbers.into_iter().flat_map(f32::to_le_bytes).collect()
}

impl Source {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let config = Config::read(&folder.join(CONFIG))?;
        if folder.join(WHITENING).exists() {
            return Err(
                config.unsupported("its activations are whitened, and the whitening is not folded into its weights")
            );
        }
        let weights = Container::open(&folder.join(WEIGHTS)).map_err(invalid)?;
        let w_dec = weights.tensor(SaeTensor::W_DEC.as_str()).map_err(invalid)?;
        let [_, d_out] = *w_dec.shape() else {
            return Err(invalid(format!("W_dec has the shape {:?}, not [d_sae, d_out]", w_dec.shape())));
        };
        let d_out = u32::try_from(d_out).map_err(invalid)?;
        let spec = describe(&config, w_dec.dtype(), d_out, scaling(folder)?)?;
        let has_skip = matches!(spec.architecture.as_str(), "skip_transcoder" | "jumprelu_skip_transcoder");
        // What nothing uses would mean that the SAE does something else.
        for name in weights.names().filter(|name| !OTHERS.contains(name)) {
            let is_of_it = match SaeTensor::ALL.into_iter().find(|tensor| tensor.as_str() == name) {
                Some(SaeTensor::W_SKIP) => has_skip,
                Some(tensor) => spec.needs(tensor),
                None => false,
            };
            if !is_of_it {
                let (path, architecture) = (weights.path().display(), &spec.architecture);
                return Err(invalid(format!("{path}: tensor '{name}' is none of architecture '{architecture}'")));
            }
        }
        if has_skip && !weights.has(SaeTensor::W_SKIP.as_str()) {
            return Err(invalid(format!("{}: there is no tensor W_skip", weights.path().display())));
        }
        let made = made(&config, &weights, &spec)?;
        Ok(Self { spec, weights, made })
    }
}

impl SaeSource for Source {
    fn spec(&self) -> &SaeSpec {
        &self.spec
    }

    fn tensor(&self, name: SaeTensor) -> Result<Option<TensorRef<'_>>> {
        if let Some((_, bytes)) = self.made.iter().find(|(made, _)| *made == name) {
            let shape: Vec<usize> = self.spec.shape_of(name).into_iter().map(|extent| extent as usize).collect();
            return TensorRef::contiguous(bytes, DType::F32, &shape).map(Some);
        }
        if !self.weights.has(name.as_str()) {
            return Ok(None);
        }
        self.weights.tensor(name.as_str()).map(Some).map_err(invalid)
    }
}

/// The factor of a checkpoint whose activations are still to be scaled.
fn scaling(folder: &Path) -> Result<Option<f64>> {
    let path = folder.join(SCALER);
    if !path.exists() {
        return Ok(None);
    }
    let json = read_json(&path)?;
    let factor = json["scaling_factor"].as_f64().filter(|factor| factor.is_finite() && *factor > 0.0);
    let wrong = || {
        let message = format!("{}: 'scaling_factor' is no positive number", path.display());
        PluginError::new(ErrorKind::INVALID_CONFIG, message)
    };
    factor.map(Some).ok_or_else(wrong)
}

/// The tensors that have to be made from others.
fn made(config: &Config, weights: &Container, spec: &SaeSpec) -> Result<Vec<(SaeTensor, Vec<u8>)>> {
    let mut made = Vec::new();
    if weights.has("log_threshold") && !weights.has("threshold") {
        let logs = weights.tensor("log_threshold").map_err(invalid)?.to_vec()?;
        made.push((SaeTensor::THRESHOLD, bytes(logs.into_iter().map(f32::exp))));
    }
    if weights.has("topk_threshold") && !weights.has("threshold") {
        let scalar = weights.tensor("topk_threshold").map_err(invalid)?;
        let threshold = match scalar.shape() {
            [] => scalar.scalar()?,
            _ => scalar.to_vec()?.first().copied().ok_or_else(|| invalid("topk_threshold is empty"))?,
        };
        made.push((SaeTensor::THRESHOLD, bytes(std::iter::repeat_n(threshold, spec.d_sae as usize))));
    }
    // SAELens adds its bias to what it decodes only where it has subtracted it.
    if spec.activation.is_tied() && !spec.apply_b_dec_to_input {
        made.push((SaeTensor::B_DEC, bytes(std::iter::repeat_n(0.0, spec.d_out as usize))));
    }
    if weights.has("scaling_factor") {
        let factors = weights.tensor("scaling_factor").map_err(invalid)?.to_vec()?;
        if factors.iter().any(|factor| *factor != 1.0) {
            // Version 6 of SAELens cannot load these; version 5 multiplied activations before it decoded them.
            if config.field::<bool>("finetuning_scaling_factor")? != Some(true) {
                return Err(
                    config.wrong("finetuning_scaling_factor", "is not true, and the weights have factors other than 1")
                );
            }
            made.push((SaeTensor::W_DEC, scaled_rows(weights, spec, &factors)?));
        }
    }
    Ok(made)
}

fn scaled_rows(weights: &Container, spec: &SaeSpec, factors: &[f32]) -> Result<Vec<u8>> {
    let w_dec = weights.tensor(SaeTensor::W_DEC.as_str()).map_err(invalid)?;
    if factors.len() as u64 != w_dec.shape()[0] {
        return Err(invalid(format!(
            "scaling_factor has {} numbers, and there are {} features",
            factors.len(),
            spec.d_sae
        )));
    }
    let mut all = Vec::new();
    let mut row = vec![0.0; spec.d_out as usize];
    for (index, factor) in factors.iter().enumerate() {
        w_dec.at(0, index)?.copy_to(&mut row)?;
        all.extend(bytes(row.iter().map(|number| number * factor)));
    }
    Ok(all)
}
