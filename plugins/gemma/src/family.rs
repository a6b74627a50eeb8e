//! What the generations do differently. Defaults are those of their config classes in transformers.

use millm_plugin_api::Result;
use millm_transformer::{
    Activation, Block, BlockTensors, Checkpoint, Config, Decoder, Gain, Head, HeadDefaults, Ignored, Linear, Norm,
    NormKind, Rope, RopeFields, Tensors,
};

/// A generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Gemma1,
    Gemma2,
    Gemma3,
}

/// Global blocks of Gemma 3, and all blocks of the others.
const GLOBAL: usize = 0;
/// Blocks of Gemma 3 with a window.
const LOCAL: usize = 1;

/// What stands before the names of a text model's tensors: within a multimodal one, older and newer; alone; bare.
const PREFIXES: [&str; 4] = ["language_model.model.", "model.language_model.", "model.", ""];

/// The parts of multimodal checkpoints that see pictures.
const VISION: [&str; 4] =
    ["vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector."];

impl Family {
    /// The one that the config belongs to.
    pub(crate) fn of(config: &Config) -> Result<Self> {
        match config.text_if_any("model_type")?.unwrap_or_default() {
            "gemma" => Ok(Self::Gemma1),
            "gemma2" => Ok(Self::Gemma2),
            "gemma3_text" | "gemma3" => Ok(Self::Gemma3),
            other => Err(config.unsupported(format_args!("model_type {other:?} is not of this plugin"))),
        }
    }

    pub(crate) fn decoder(self, config: &Config, checkpoint: &Checkpoint) -> Result<Decoder> {
        let model_type = config.text_if_any("model_type")?.unwrap_or_default().to_owned();
        let multimodal = model_type == "gemma3";
        // A multimodal config that says nothing about its text part means the defaults.
        let text = if multimodal { Some(config.object_if_any("text_config")?.unwrap_or(config.empty())) } else { None };
        let text = text.as_ref().unwrap_or(config);
        text.must_be_off("use_bidirectional_attention")?;
        let defaults = self.defaults();
        let d_model = text.size_or("hidden_size", defaults.d_model)?;
        let n_layers = text.layers_or("num_hidden_layers", defaults.n_layers)?;
        let heads = text.heads(d_model, defaults.heads)?;
        let n_ctx = text.size_or("max_position_embeddings", defaults.n_ctx)?;
        let tied = config.flag("tie_word_embeddings", true)?;
        let prefix = checkpoint.prefix(&PREFIXES, "norm.weight")?;
        let bias = text.flag("attention_bias", false)?;
        let head = if prefix == PREFIXES[0] { "language_model.lm_head" } else { "lm_head" };
        let mut ignored = Ignored { prefixes: Vec::new(), suffixes: vec![".rotary_emb.inv_freq".into()] };
        if multimodal {
            ignored.prefixes.extend(VISION.map(String::from));
        }
        Ok(Decoder {
            model_type,
            d_model,
            heads,
            d_mlp: text.size_or("intermediate_size", defaults.d_mlp)?,
            d_vocab: text.size_or("vocab_size", defaults.d_vocab)?,
            n_ctx,
            // transformers rounds this root to the dtype of the weights it computes with, and here all is f32.
            embed_scale: Some((d_model as f64).sqrt() as f32),
            norm: Norm {
                kind: NormKind::Rms,
                eps: text.positive_if_any("rms_norm_eps")?.unwrap_or(1e-6) as f32,
                one_plus: true,
            },
            parallel: false,
            activation: self.activation(text)?,
            attn_softcap: self.attn_softcap(text)?,
            final_softcap: self.softcap(text, "final_logit_softcapping", 30.0)?,
            ropes: self.ropes(text, heads.d_head, n_ctx)?,
            blocks: self.blocks(text, n_layers, heads.d_head)?,
            tensors: Tensors {
                embed: format!("{prefix}embed_tokens.weight"),
                pos_embed: None,
                blocks: (0..n_layers).map(|layer| self.block(&format!("{prefix}layers.{layer}"), bias)).collect(),
                final_norm: Gain::at(&format!("{prefix}norm"), false),
                head: Head { linear: Linear::at(head, false), tied },
                ignored,
            },
        })
    }

    fn defaults(self) -> Defaults {
        let heads = |n_heads, n_key_value_heads| HeadDefaults {
            n_heads: Some(n_heads),
            n_key_value_heads: Some(n_key_value_heads),
            d_head: Some(256),
        };
        match self {
            Self::Gemma1 => Defaults {
                d_model: 3072,
                n_layers: 28,
                heads: heads(16, 16),
                n_ctx: 8192,
                d_mlp: 24576,
                d_vocab: 256_000,
            },
            Self::Gemma2 => {
                Defaults { d_model: 2304, n_layers: 26, heads: heads(8, 4), n_ctx: 8192, d_mlp: 9216, d_vocab: 256_000 }
            }
            Self::Gemma3 => Defaults {
                d_model: 2304,
                n_layers: 26,
                heads: heads(8, 4),
                n_ctx: 131_072,
                d_mlp: 9216,
                d_vocab: 262_208,
            },
        }
    }

    fn activation(self, config: &Config) -> Result<Activation> {
        if self != Self::Gemma1 {
            return config.activation("hidden_activation", "gelu_pytorch_tanh");
        }
        // The first releases say `gelu` and mean the tanh form, as transformers knows.
        let act = match config.text_if_any("hidden_act")? {
            Some("gelu") => Activation::GeluTanh,
            _ => config.activation("hidden_act", "gelu_pytorch_tanh")?,
        };
        // Versions of transformers differ in which of the two fields counts.
        if config.has("hidden_activation") && config.activation("hidden_activation", "")? != act {
            return Err(config.unsupported("hidden_act and hidden_activation contradict each other"));
        }
        Ok(act)
    }

    fn attn_softcap(self, config: &Config) -> Result<Option<f32>> {
        let cap = self.softcap(config, "attn_logit_softcapping", 50.0)?;
        if self == Self::Gemma3 && cap.is_some() {
            return Err(config.unsupported("attn_logit_softcapping is read but not applied in transformers' gemma3"));
        }
        Ok(cap)
    }

    /// Null switches a cap off; only a missing field is the default of Gemma 2.
    fn softcap(self, config: &Config, field: &str, gemma2: f64) -> Result<Option<f32>> {
        let given = config.positive_if_any(field)?;
        let default = (self == Self::Gemma2 && !config.mentions(field)).then_some(gemma2);
        let cap = given.or(default).map(|cap| cap as f32);
        if self == Self::Gemma1 && cap.is_some() {
            return Err(config.unsupported(format_args!("{field} is not known to gemma")));
        }
        Ok(cap)
    }

    fn ropes(self, config: &Config, d_head: usize, n_ctx: usize) -> Result<Vec<Rope>> {
        if self != Self::Gemma3 {
            return Ok(vec![Rope::read(config, d_head, n_ctx, RopeFields::LLAMA)?]);
        }
        let global = RopeFields { default_theta: 1_000_000.0, ..RopeFields::LLAMA };
        let local = RopeFields { theta: "rope_local_base_freq", ..RopeFields::LLAMA };
        let parameters = config.object_if_any("rope_parameters")?;
        if let Some(flat) =
            parameters.as_ref().filter(|parameters| parameters.has("rope_theta") || parameters.has("rope_type"))
        {
            return Err(flat.error("rope_parameters must hold full_attention and sliding_attention"));
        }
        let of = |kind| parameters.as_ref().map(|parameters| parameters.object_if_any(kind)).transpose();
        let (full, sliding) = (of("full_attention")?.flatten(), of("sliding_attention")?.flatten());
        // The older spelling scales the global blocks only.
        let scaling = config.object_if_any("rope_scaling")?.filter(|scaling| !scaling.is_empty());
        if scaling.is_some() && full.is_some() {
            return Err(config.unsupported("rope_scaling and rope_parameters.full_attention are both given"));
        }
        if scaling.as_ref().is_some_and(|scaling| scaling.has("type") && !scaling.has("rope_type")) {
            return Err(config.unsupported("rope_scaling.type without rope_type is ignored in transformers' gemma3"));
        }
        let full = full.or(scaling);
        if parameters.iter().chain(&full).chain(&sliding).any(|found| found.mentions("truncate")) {
            return Err(config.unsupported("truncate is not read from where it stands in transformers' gemma3"));
        }
        if config.has("original_max_position_embeddings") {
            return Err(config.unsupported("original_max_position_embeddings outside rope_parameters is not supported"));
        }
        Ok(vec![
            Rope::from_parameters(config, full.as_ref(), d_head, n_ctx, global)?,
            Rope::from_parameters(config, sliding.as_ref(), d_head, n_ctx, local)?,
        ])
    }

    fn blocks(self, config: &Config, n_layers: usize, d_head: usize) -> Result<Vec<Block>> {
        let scale = |scalar: f64| scalar.powf(-0.5) as f32;
        if self == Self::Gemma1 {
            return Ok(vec![Block { attn_scale: scale(d_head as f64), window: None, rope: Some(GLOBAL) }; n_layers]);
        }
        let attn_scale = scale(config.positive_if_any("query_pre_attn_scalar")?.unwrap_or(256.0));
        let given = config.size_if_any("sliding_window")?;
        let window = if config.mentions("sliding_window") { given } else { Some(4096) };
        let pattern = match self {
            Self::Gemma3 => config.size_or("sliding_window_pattern", 6)?,
            _ => 2,
        };
        let windows = config.windows(n_layers, window, |layer| !(layer + 1).is_multiple_of(pattern))?;
        let rope = |window: Option<usize>| if self == Self::Gemma3 && window.is_some() { LOCAL } else { GLOBAL };
        Ok(windows.into_iter().map(|window| Block { attn_scale, window, rope: Some(rope(window)) }).collect())
    }

    fn block(self, block: &str, bias: bool) -> BlockTensors {
        let norm = |name: &str| Gain::at(&format!("{block}.{name}"), false);
        let attention = |name: &str| Linear::at(&format!("{block}.self_attn.{name}"), bias);
        let mlp = |name: &str| Linear::at(&format!("{block}.mlp.{name}"), false);
        // The same name is the norm before the MLP in the first generation, and behind attention later.
        let post = self != Self::Gemma1;
        BlockTensors {
            ln1: norm("input_layernorm"),
            q: attention("q_proj"),
            k: attention("k_proj"),
            v: attention("v_proj"),
            o: attention("o_proj"),
            qk_norm: (self == Self::Gemma3).then(|| (norm("self_attn.q_norm"), norm("self_attn.k_norm"))),
            attn_post_norm: post.then(|| norm("post_attention_layernorm")),
            ln2: norm(if post { "pre_feedforward_layernorm" } else { "post_attention_layernorm" }),
            gate: Some(mlp("gate_proj")),
            up: mlp("up_proj"),
            down: mlp("down_proj"),
            mlp_post_norm: post.then(|| norm("post_feedforward_layernorm")),
        }
    }
}

/// What a config that says nothing means.
struct Defaults {
    d_model: usize,
    n_layers: usize,
    heads: HeadDefaults,
    n_ctx: usize,
    d_mlp: usize,
    d_vocab: usize,
}
