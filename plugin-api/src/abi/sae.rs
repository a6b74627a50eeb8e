//! An SAE's facts, as they cross.

use abi_stable::{
    StableAbi,
    std_types::{ROption, RString, RVec},
};

use crate::{
    error::{ErrorKind, PluginError},
    hook::HookPoint,
    sae::{Activation, Declared, DecoderNorm, FoundSae, Normalization, SaeSpec, SiteFix},
    tensor::DType,
};

#[repr(C)]
#[derive(StableAbi)]
pub struct FoundSaeAbi {
    id: RString,
    files: RVec<RString>,
}

impl From<FoundSae> for FoundSaeAbi {
    fn from(found: FoundSae) -> Self {
        Self { id: found.id.into(), files: found.files.into_iter().map(RString::from).collect() }
    }
}

impl From<FoundSaeAbi> for FoundSae {
    fn from(found: FoundSaeAbi) -> Self {
        Self { id: found.id.into(), files: found.files.into_iter().map(String::from).collect() }
    }
}

#[repr(C)]
#[derive(StableAbi)]
pub struct SaeSpecAbi {
    architecture: RString,
    d_in: u32,
    d_sae: u32,
    d_out: u32,
    dtype: u16,
    activation: CaseAbi,
    apply_b_dec_to_input: bool,
    normalization: CaseAbi,
    decoder_norm: u16,
    hook_name: ROption<RString>,
    hook_name_out: ROption<RString>,
    hook_head_index: ROption<u32>,
    site_fix: u16,
    is_transcoder: bool,
    declared: DeclaredAbi,
    warnings: RVec<RString>,
}

#[repr(C)]
#[derive(StableAbi)]
struct DeclaredAbi {
    model_name: ROption<RString>,
    l0: ROption<f64>,
    context_size: ROption<u32>,
    prepend_bos: ROption<bool>,
    neuronpedia_id: ROption<RString>,
    training_version: ROption<RString>,
}

/// One of an enum's cases: a number, so that one this side does not know is an error and not undefined behaviour.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
struct CaseAbi {
    kind: u16,
    first: f64,
    second: f64,
    third: f64,
}

fn case(kind: u16, numbers: [f64; 3]) -> CaseAbi {
    let [first, second, third] = numbers;
    CaseAbi { kind, first, second, third }
}

fn wrong(message: String) -> PluginError {
    PluginError::new(ErrorKind::INTERNAL, format!("the plugin describes its SAE wrongly: {message}"))
}

impl From<Activation> for CaseAbi {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Relu => case(0, [0.0; 3]),
            Activation::TanhRelu => case(1, [0.0; 3]),
            Activation::JumpRelu => case(2, [0.0; 3]),
            Activation::TopK { k, relu } => case(3, [k.into(), relu.into(), 0.0]),
            Activation::AbsTopK { k } => case(4, [k.into(), 0.0, 0.0]),
            Activation::GroupMax { k } => case(5, [k.into(), 0.0, 0.0]),
            Activation::Gated => case(6, [0.0; 3]),
            Activation::MatchingPursuit { residual_threshold, max_iterations, stop_on_duplicate_support } => {
                case(7, [residual_threshold, max_iterations.into(), stop_on_duplicate_support.into()])
            }
        }
    }
}

impl TryFrom<CaseAbi> for Activation {
    type Error = PluginError;

    fn try_from(case: CaseAbi) -> Result<Self, PluginError> {
        let k = case.first as u32;
        let iterations = case.second as u32;
        Ok(match case.kind {
            0 => Self::Relu,
            1 => Self::TanhRelu,
            2 => Self::JumpRelu,
            3 if k > 0 => Self::TopK { k, relu: case.second != 0.0 },
            4 if k > 0 => Self::AbsTopK { k },
            5 if k > 0 => Self::GroupMax { k },
            6 => Self::Gated,
            7 if case.first.is_finite() && case.first >= 0.0 && iterations > 0 => Self::MatchingPursuit {
                residual_threshold: case.first,
                max_iterations: iterations,
                stop_on_duplicate_support: case.third != 0.0,
            },
            _ => return Err(wrong(format!("its activation is {case:?}"))),
        })
    }
}

impl From<Normalization> for CaseAbi {
    fn from(normalization: Normalization) -> Self {
        match normalization {
            Normalization::None => case(0, [0.0; 3]),
            Normalization::Dataset { input, output } => case(1, [input, output, 0.0]),
            Normalization::ConstantNormRescale { min_norm } => case(2, [min_norm, 0.0, 0.0]),
            Normalization::LayerNorm => case(3, [0.0; 3]),
        }
    }
}

impl TryFrom<CaseAbi> for Normalization {
    type Error = PluginError;

    fn try_from(case: CaseAbi) -> Result<Self, PluginError> {
        let is_factor = |factor: f64| factor.is_finite() && factor > 0.0;
        Ok(match case.kind {
            0 => Self::None,
            1 if is_factor(case.first) && is_factor(case.second) => {
                Self::Dataset { input: case.first, output: case.second }
            }
            2 if case.first.is_finite() && case.first >= 0.0 => Self::ConstantNormRescale { min_norm: case.first },
            3 => Self::LayerNorm,
            _ => return Err(wrong(format!("its normalization is {case:?}"))),
        })
    }
}

const DECODER_NORMS: [DecoderNorm; 3] = [DecoderNorm::Unused, DecoderNorm::Activations, DecoderNorm::Gate];
const SITE_FIXES: [SiteFix; 4] = [SiteFix::None, SiteFix::Centre, SiteFix::MinusValueBias, SiteFix::EmbedUnscale];

fn number<T: PartialEq>(all: &[T], value: &T) -> u16 {
    all.iter().position(|known| known == value).unwrap_or(all.len()) as u16
}

fn of_number<T: Copy>(all: &[T], number: u16, what: &str) -> Result<T, PluginError> {
    all.get(usize::from(number)).copied().ok_or_else(|| wrong(format!("its {what} has the number {number}")))
}

fn text(text: Option<&String>) -> ROption<RString> {
    text.map(|text| RString::from(text.as_str())).into()
}

fn of_text(text: ROption<RString>) -> Option<String> {
    text.into_option().map(String::from)
}

impl From<&SaeSpec> for SaeSpecAbi {
    fn from(spec: &SaeSpec) -> Self {
        let point = |point: Option<&HookPoint>| text(point.map(HookPoint::to_string).as_ref());
        Self {
            architecture: spec.architecture.as_str().into(),
            d_in: spec.d_in,
            d_sae: spec.d_sae,
            d_out: spec.d_out,
            dtype: spec.dtype.0,
            activation: spec.activation.into(),
            apply_b_dec_to_input: spec.apply_b_dec_to_input,
            normalization: spec.normalization.into(),
            decoder_norm: number(&DECODER_NORMS, &spec.decoder_norm),
            hook_name: point(spec.hook_name.as_ref()),
            hook_name_out: point(spec.hook_name_out.as_ref()),
            hook_head_index: spec.hook_head_index.into(),
            site_fix: number(&SITE_FIXES, &spec.site_fix),
            is_transcoder: spec.is_transcoder,
            declared: (&spec.declared).into(),
            warnings: spec.warnings.iter().map(|warning| RString::from(warning.as_str())).collect(),
        }
    }
}

impl TryFrom<SaeSpecAbi> for SaeSpec {
    type Error = PluginError;

    fn try_from(spec: SaeSpecAbi) -> Result<Self, PluginError> {
        let point = |point: ROption<RString>| {
            let parsed = of_text(point).map(|point| point.parse::<HookPoint>());
            parsed.transpose().map_err(|error| wrong(error.to_string()))
        };
        for (field, extent) in [("d_in", spec.d_in), ("d_sae", spec.d_sae), ("d_out", spec.d_out)] {
            if extent == 0 {
                return Err(wrong(format!("{field} is 0")));
            }
        }
        if !spec.is_transcoder && spec.d_in != spec.d_out {
            return Err(wrong(format!("it reads rows of {} and decodes to rows of {}", spec.d_in, spec.d_out)));
        }
        let activation = Activation::try_from(spec.activation)?;
        if let Activation::TopK { k, .. } | Activation::AbsTopK { k } | Activation::GroupMax { k } = activation
            && k > spec.d_sae
        {
            return Err(wrong(format!("k is {k}, and there are {} features", spec.d_sae)));
        }
        let decoder_norm = of_number(&DECODER_NORMS, spec.decoder_norm, "decoder norm")?;
        if activation.is_tied() && (spec.is_transcoder || decoder_norm != DecoderNorm::Unused) {
            return Err(wrong("matching pursuit is of no transcoder, and makes no use of decoder norms".to_owned()));
        }
        Ok(Self {
            architecture: spec.architecture.into(),
            d_in: spec.d_in,
            d_sae: spec.d_sae,
            d_out: spec.d_out,
            dtype: DType(spec.dtype),
            activation,
            apply_b_dec_to_input: spec.apply_b_dec_to_input,
            normalization: spec.normalization.try_into()?,
            decoder_norm,
            hook_name: point(spec.hook_name)?,
            hook_name_out: point(spec.hook_name_out)?,
            hook_head_index: spec.hook_head_index.into_option(),
            site_fix: of_number(&SITE_FIXES, spec.site_fix, "site fix")?,
            is_transcoder: spec.is_transcoder,
            declared: spec.declared.into(),
            warnings: spec.warnings.into_iter().map(String::from).collect(),
        })
    }
}

impl From<&Declared> for DeclaredAbi {
    fn from(declared: &Declared) -> Self {
        Self {
            model_name: text(declared.model_name.as_ref()),
            l0: declared.l0.into(),
            context_size: declared.context_size.into(),
            prepend_bos: declared.prepend_bos.into(),
            neuronpedia_id: text(declared.neuronpedia_id.as_ref()),
            training_version: text(declared.training_version.as_ref()),
        }
    }
}

impl From<DeclaredAbi> for Declared {
    fn from(declared: DeclaredAbi) -> Self {
        Self {
            model_name: of_text(declared.model_name),
            l0: declared.l0.into_option(),
            context_size: declared.context_size.into_option(),
            prepend_bos: declared.prepend_bos.into_option(),
            neuronpedia_id: of_text(declared.neuronpedia_id),
            training_version: of_text(declared.training_version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(activation: Activation) -> SaeSpec {
        SaeSpec { d_in: 4, d_sae: 6, d_out: 4, activation, ..SaeSpec::default() }
    }

    #[test]
    fn activations_cross_as_they_are() {
        for activation in [
            Activation::Relu,
            Activation::TanhRelu,
            Activation::JumpRelu,
            Activation::TopK { k: 6, relu: true },
            Activation::TopK { k: 1, relu: false },
            Activation::AbsTopK { k: 2 },
            Activation::GroupMax { k: 3 },
            Activation::Gated,
            Activation::MatchingPursuit {
                residual_threshold: 0.01,
                max_iterations: u32::MAX,
                stop_on_duplicate_support: true,
            },
            Activation::MatchingPursuit {
                residual_threshold: 0.0,
                max_iterations: 1,
                stop_on_duplicate_support: false,
            },
        ] {
            let spec = spec(activation);
            assert_eq!(SaeSpec::try_from(SaeSpecAbi::from(&spec)), Ok(spec));
        }
    }

    #[test]
    fn an_activation_that_cannot_be_is_a_wrong_description() {
        let pursuit = |residual_threshold, max_iterations| Activation::MatchingPursuit {
            residual_threshold,
            max_iterations,
            stop_on_duplicate_support: true,
        };
        for activation in [
            Activation::TopK { k: 0, relu: true },
            Activation::TopK { k: 7, relu: true },
            Activation::AbsTopK { k: 0 },
            Activation::AbsTopK { k: 7 },
            Activation::GroupMax { k: 0 },
            pursuit(-0.5, 4),
            pursuit(f64::NAN, 4),
            pursuit(f64::INFINITY, 4),
            pursuit(0.01, 0),
        ] {
            let error = SaeSpec::try_from(SaeSpecAbi::from(&spec(activation))).unwrap_err();
            assert_eq!(error.kind, ErrorKind::INTERNAL, "{activation:?}");
            assert!(error.message.starts_with("the plugin describes its SAE wrongly: "), "{error}");
        }
        let tied = spec(pursuit(0.01, 4));
        for spec in [
            SaeSpec { is_transcoder: true, ..tied.clone() },
            SaeSpec { decoder_norm: DecoderNorm::Activations, ..tied },
        ] {
            assert!(
                SaeSpec::try_from(SaeSpecAbi::from(&spec)).unwrap_err().message.contains("matching pursuit is of no")
            );
        }
        let mut unknown = SaeSpecAbi::from(&spec(Activation::Relu));
        unknown.activation = case(8, [1.0; 3]);
        assert!(SaeSpec::try_from(unknown).unwrap_err().message.contains("kind: 8"));
    }
}
