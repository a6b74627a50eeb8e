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
}

fn case(kind: u16, first: f64, second: f64) -> CaseAbi {
    CaseAbi { kind, first, second }
}

fn wrong(message: String) -> PluginError {
    PluginError::new(ErrorKind::INTERNAL, format!("the plugin describes its SAE wrongly: {message}"))
}

impl From<Activation> for CaseAbi {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Relu => case(0, 0.0, 0.0),
            Activation::TanhRelu => case(1, 0.0, 0.0),
            Activation::JumpRelu => case(2, 0.0, 0.0),
            Activation::TopK { k, relu } => case(3, k.into(), relu.into()),
            Activation::AbsTopK { k } => case(4, k.into(), 0.0),
            Activation::GroupMax { k } => case(5, k.into(), 0.0),
            Activation::Gated => case(6, 0.0, 0.0),
        }
    }
}

impl TryFrom<CaseAbi> for Activation {
    type Error = PluginError;

    fn try_from(case: CaseAbi) -> Result<Self, PluginError> {
        let k = case.first as u32;
        Ok(match case.kind {
            0 => Self::Relu,
            1 => Self::TanhRelu,
            2 => Self::JumpRelu,
            3 if k > 0 => Self::TopK { k, relu: case.second != 0.0 },
            4 if k > 0 => Self::AbsTopK { k },
            5 if k > 0 => Self::GroupMax { k },
            6 => Self::Gated,
            _ => return Err(wrong(format!("its activation is {case:?}"))),
        })
    }
}

impl From<Normalization> for CaseAbi {
    fn from(normalization: Normalization) -> Self {
        match normalization {
            Normalization::None => case(0, 0.0, 0.0),
            Normalization::Dataset { input, output } => case(1, input, output),
            Normalization::ConstantNormRescale { min_norm } => case(2, min_norm, 0.0),
            Normalization::LayerNorm => case(3, 0.0, 0.0),
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
        Ok(Self {
            architecture: spec.architecture.into(),
            d_in: spec.d_in,
            d_sae: spec.d_sae,
            d_out: spec.d_out,
            dtype: DType(spec.dtype),
            activation,
            apply_b_dec_to_input: spec.apply_b_dec_to_input,
            normalization: spec.normalization.try_into()?,
            decoder_norm: of_number(&DECODER_NORMS, spec.decoder_norm, "decoder norm")?,
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
