use crate::{
    hook::HookPoint,
    sae::{Normalization, SaeTensor},
    tensor::DType,
};

/// Facts about an SAE. The default has no extents, which have to be set, and is otherwise SAELens's `standard`.
#[derive(Clone, Debug, PartialEq)]
pub struct SaeSpec {
    /// SAELens's word: `standard`, `jumprelu`, `topk`, `gated`, `transcoder` and others.
    pub architecture: String,
    /// Width of the rows it encodes.
    pub d_in: u32,
    /// Number of features.
    pub d_sae: u32,
    /// Width of the rows it decodes to. Other than `d_in` only for a transcoder.
    pub d_out: u32,
    /// Element type of `W_dec` in the file.
    pub dtype: DType,
    /// What makes activations of pre-activations.
    pub activation: Activation,
    /// Whether `b_dec` is subtracted from what is encoded.
    pub apply_b_dec_to_input: bool,
    /// Before encoding, and after decoding.
    pub normalization: Normalization,
    /// What the norms of decoder rows do to features.
    pub decoder_norm: DecoderNorm,
    /// Where it reads, if its files say so.
    pub hook_name: Option<HookPoint>,
    /// Where what it decodes belongs, for a transcoder; `None` if that is where it reads.
    pub hook_name_out: Option<HookPoint>,
    /// The one head that it reads, of a point that has heads.
    pub hook_head_index: Option<u32>,
    /// What of a raw activation the SAE has not seen in training.
    pub site_fix: SiteFix,
    /// Whether it explains another activation than the one it reads.
    pub is_transcoder: bool,
    /// What its files say and nothing computes with.
    pub declared: Declared,
    /// What whoever attaches it should know, a sentence each.
    pub warnings: Vec<String>,
}

impl Default for SaeSpec {
    fn default() -> Self {
        Self {
            architecture: "standard".to_owned(),
            d_in: 0,
            d_sae: 0,
            d_out: 0,
            dtype: DType::F32,
            activation: Activation::Relu,
            apply_b_dec_to_input: true,
            normalization: Normalization::None,
            decoder_norm: DecoderNorm::Unused,
            hook_name: None,
            hook_name_out: None,
            hook_head_index: None,
            site_fix: SiteFix::None,
            is_transcoder: false,
            declared: Declared::default(),
            warnings: Vec::new(),
        }
    }
}

impl SaeSpec {
    /// The shape of a tensor, whether this SAE has it or not.
    pub fn shape_of(&self, name: SaeTensor) -> Vec<u64> {
        let (d_in, d_sae, d_out) = (self.d_in.into(), self.d_sae.into(), self.d_out.into());
        match name {
            SaeTensor::W_ENC => vec![d_in, d_sae],
            SaeTensor::W_DEC => vec![d_sae, d_out],
            SaeTensor::B_DEC => vec![d_out],
            SaeTensor::W_SKIP => vec![d_out, d_in],
            _ => vec![d_sae],
        }
    }

    /// Whether this SAE cannot be computed without that tensor.
    pub fn needs(&self, name: SaeTensor) -> bool {
        match name {
            SaeTensor::W_DEC | SaeTensor::B_DEC => true,
            SaeTensor::W_ENC => !self.activation.is_tied(),
            SaeTensor::B_ENC => self.activation != Activation::Gated && !self.activation.is_tied(),
            SaeTensor::THRESHOLD => self.activation == Activation::JumpRelu,
            SaeTensor::B_GATE | SaeTensor::B_MAG | SaeTensor::R_MAG => self.activation == Activation::Gated,
            _ => false,
        }
    }
}

/// What makes activations of the pre-activations `p`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `max(p, 0)`.
    Relu,
    /// `tanh(max(p, 0))`, which SAELens had until version 5.
    TanhRelu,
    /// `max(p, 0)` where `p > threshold`, else 0.
    JumpRelu,
    /// The `k` largest, and 0 elsewhere. Of equals the first counts.
    TopK {
        /// How many.
        k: u32,
        /// Whether those below 0 are 0, too.
        relu: bool,
    },
    /// The `k` of the largest magnitude, with their sign.
    AbsTopK {
        /// How many.
        k: u32,
    },
    /// `max(p, 0)` of the largest in each of `k` groups of neighbours.
    GroupMax {
        /// How many groups.
        k: u32,
    },
    /// `max(v · W_enc · exp(r_mag) + b_mag, 0)` where `v · W_enc + b_gate > 0`, else 0.
    Gated,
    /// One feature after the other, without `W_enc` and `b_enc`. From `r = v` on, each step takes the feature with the largest
    /// `s = max(r · W_decᵀ, 0)`, of equals the first, adds `s` to its activation and takes `s` of its row of `W_dec` from `r`.
    MatchingPursuit {
        /// A step that leaves `‖r‖` below this is the last. 0 if none is.
        residual_threshold: f64,
        /// How many steps there are at most.
        max_iterations: u32,
        /// Whether a step that makes no other feature active is the last.
        stop_on_duplicate_support: bool,
    },
}

impl Activation {
    /// Whether rows are encoded by `W_dec`, so that there is no `W_enc`.
    pub fn is_tied(self) -> bool {
        matches!(self, Self::MatchingPursuit { .. })
    }
}

/// What the norms `n` of decoder rows, as they are in the file, do to features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DecoderNorm {
    /// Nothing.
    #[default]
    Unused,
    /// Activations are those of `p · n`, and decoding divides them by `n`: SAELens's `rescale_acts_by_decoder_norm`.
    Activations,
    /// Whether a feature is active is decided by `p · n`, and its activation is that of `p`: OpenMOSS's
    /// `sparsity_include_decoder_norm`.
    Gate,
}

/// How the activations that an SAE was trained on differ from the model's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SiteFix {
    /// They do not.
    #[default]
    None,
    /// Their mean over `d_model` was taken away (TransformerLens's `center_writing_weights`): of models with LayerNorm only.
    Centre,
    /// Values lacked the bias of `W_V` (TransformerLens's `fold_value_biases`): of `attn.hook_z` only.
    MinusValueBias,
    /// Embeddings lacked the factor `√d_model`: of `hook_embed` of Gemma only.
    EmbedUnscale,
}

/// What an SAE's files say of it. Nothing is where they say nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Declared {
    /// The model that it was trained on, as SAELens or the hub calls it.
    pub model_name: Option<String>,
    /// Active features per token.
    pub l0: Option<f64>,
    /// Positions that were seen in training.
    pub context_size: Option<u32>,
    /// Whether texts began with the token for that.
    pub prepend_bos: Option<bool>,
    /// Where its features are described, `model/source`.
    pub neuronpedia_id: Option<String>,
    /// The version of the library that trained it.
    pub training_version: Option<String>,
}
