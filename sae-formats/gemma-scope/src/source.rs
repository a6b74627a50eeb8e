use std::path::Path;

use millm_containers::{Container, read_json};
use millm_plugin_api::{
    error::{ErrorKind, PluginError, Result},
    sae::{Activation, SaeSource, SaeSpec, SaeTensor},
    tensor::TensorRef,
};

use crate::{
    files::{CONFIG, FIRST, SECOND},
    first, second,
};

/// An SAE or a transcoder of Gemma Scope.
#[derive(Debug)]
pub(crate) struct Source {
    spec: SaeSpec,
    weights: Container,
}

/// Of Gemma Scope 2, with the axes of a product from the left.
const SKIP: &str = "affine_skip_connection";

fn invalid(error: impl ToString) -> PluginError {
    PluginError::new(ErrorKind::INVALID_WEIGHTS, error.to_string())
}

impl Source {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let is_first = folder.join(FIRST).exists();
        let weights = Container::open(&folder.join(if is_first { FIRST } else { SECOND })).map_err(invalid)?;
        let shape = |name: SaeTensor| -> Result<[u32; 2]> {
            let shape = tensor(&weights, name)?.map(|tensor| tensor.shape().to_vec()).unwrap_or_default();
            match shape[..] {
                [first, second] => {
                    Ok([u32::try_from(first).map_err(invalid)?, u32::try_from(second).map_err(invalid)?])
                }
                // Its decoder has an axis for the layers it writes to.
                [_, _, _] => {
                    let reason =
                        "it is a cross-layer transcoder, which writes to several layers: that is not supported";
                    Err(PluginError::new(ErrorKind::UNSUPPORTED, format!("{}: {reason}", weights.path().display())))
                }
                _ => Err(invalid(format!("{}: there is no matrix {}", weights.path().display(), name.as_str()))),
            }
        };
        let ([d_in, d_sae], [_, d_out]) = (shape(SaeTensor::W_ENC)?, shape(SaeTensor::W_DEC)?);
        let dtype = tensor(&weights, SaeTensor::W_DEC)?.map(|tensor| tensor.dtype()).unwrap_or_default();
        let mut spec = SaeSpec {
            architecture: "jumprelu".to_owned(),
            d_in,
            d_sae,
            d_out,
            dtype,
            activation: Activation::JumpRelu,
            apply_b_dec_to_input: false,
            ..SaeSpec::default()
        };
        if is_first {
            first::describe(folder, &mut spec);
        } else {
            second::describe(&read_json(&folder.join(CONFIG))?, &mut spec)?;
        }
        Ok(Self { spec, weights })
    }
}

impl SaeSource for Source {
    fn spec(&self) -> &SaeSpec {
        &self.spec
    }

    fn tensor(&self, name: SaeTensor) -> Result<Option<TensorRef<'_>>> {
        tensor(&self.weights, name)
    }
}

/// A tensor by its name in upper or lower case.
fn tensor(weights: &Container, name: SaeTensor) -> Result<Option<TensorRef<'_>>> {
    if name == SaeTensor::W_SKIP {
        let skip = weights.has(SKIP).then(|| weights.tensor(SKIP).map(TensorRef::transposed));
        return skip.transpose().map_err(invalid);
    }
    let lower = name.as_str().to_lowercase();
    let found = [name.as_str(), &lower].into_iter().find(|name| weights.has(name));
    found.map(|name| weights.tensor(name)).transpose().map_err(invalid)
}
