//! What the members of the family do differently. Defaults are those of their config classes in transformers.

use millm_plugin_api::Result;
use millm_transformer::{
    Block, BlockTensors, Config, Decoder, Gain, Head, HeadDefaults, Heads, Ignored, Layout, Linear, Norm, NormKind,
    Rope, RopeFields, Tensors,
};

/// A `model_type` of this plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    pub(crate) model_type: &'static str,
    n_ctx: usize,
    norm_eps: f64,
    heads: HeadDefaults,
    /// Which projections of attention have biases.
    attn_bias: AttnBias,
    /// Whether the flag `mlp_bias` is known.
    mlp_bias: bool,
    /// Whether queries and keys go through a norm over their head.
    qk_norm: bool,
    /// Whether q, k, v stand in one tensor, and gate, up in another.
    fused: bool,
    windows: Windows,
    rope: RopeFields,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum AttnBias {
    /// As the flag `attention_bias` says, for all four.
    Flag,
    /// On queries, keys and values.
    Qkv,
    Never,
}

/// Which blocks see only the last few positions.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Windows {
    None,
    /// All, if `sliding_window` is given, or else by this default.
    All(Option<usize>),
    /// Those from `max_window_layers` on, if `use_sliding_window` says so.
    Upper,
}

const LLAMA: Family = Family {
    model_type: "llama",
    n_ctx: 2048,
    norm_eps: 1e-6,
    heads: HeadDefaults { n_heads: None, n_key_value_heads: None, d_head: None },
    attn_bias: AttnBias::Flag,
    mlp_bias: true,
    qk_norm: false,
    fused: false,
    windows: Windows::None,
    rope: RopeFields::LLAMA,
};

impl Family {
    pub(crate) const ALL: [Self; 5] = [
        LLAMA,
        Self {
            model_type: "mistral",
            mlp_bias: false,
            n_ctx: 4096 * 32,
            heads: HeadDefaults { n_key_value_heads: Some(8), ..LLAMA.heads },
            attn_bias: AttnBias::Never,
            windows: Windows::All(Some(4096)),
            ..LLAMA
        },
        Self {
            model_type: "qwen2",
            mlp_bias: false,
            n_ctx: 32768,
            heads: HeadDefaults { n_key_value_heads: Some(32), ..LLAMA.heads },
            attn_bias: AttnBias::Qkv,
            windows: Windows::Upper,
            ..LLAMA
        },
        Self {
            model_type: "qwen3",
            mlp_bias: false,
            n_ctx: 32768,
            heads: HeadDefaults { n_key_value_heads: Some(32), d_head: Some(128), ..LLAMA.heads },
            qk_norm: true,
            windows: Windows::Upper,
            ..LLAMA
        },
        Self {
            model_type: "phi3",
            mlp_bias: false,
            n_ctx: 4096,
            norm_eps: 1e-5,
            attn_bias: AttnBias::Never,
            fused: true,
            windows: Windows::All(None),
            rope: RopeFields { partial: Some("partial_rotary_factor"), phi3: true, ..RopeFields::LLAMA },
            ..LLAMA
        },
    ];

    /// The one that the config belongs to.
    pub(crate) fn of(config: &Config) -> Result<Self> {
        let model_type = config.text_if_any("model_type")?.unwrap_or_default();
        let found = Self::ALL.into_iter().find(|family| family.model_type == model_type);
        found.ok_or_else(|| config.unsupported(format_args!("model_type {model_type:?} is not of this plugin")))
    }

    /// Its tensors' names begin with `prefix`.
    pub(crate) fn decoder(&self, config: &Config, prefix: &str) -> Result<Decoder> {
        let d_model = config.size("hidden_size")?;
        let n_layers = config.layers("num_hidden_layers")?;
        let heads = config.heads(d_model, self.heads)?;
        let d_mlp = config.size("intermediate_size")?;
        let n_ctx = config.size_if_any("max_position_embeddings")?.unwrap_or(self.n_ctx);
        let windows = self.windows(config, n_layers)?;
        let tied = config.flag("tie_word_embeddings", false)?;
        let attn_scale = (heads.d_head as f32).powf(-0.5);
        let blocks = windows.into_iter().map(|window| Block { attn_scale, window, rope: Some(0) }).collect();
        let names = Names {
            family: self,
            prefix,
            heads,
            d_mlp,
            attn_bias: config.flag("attention_bias", false)?,
            mlp_bias: self.mlp_bias && config.flag("mlp_bias", false)?,
        };
        Ok(Decoder {
            model_type: self.model_type.into(),
            d_model,
            heads,
            d_mlp,
            d_vocab: config.size("vocab_size")?,
            n_ctx,
            embed_scale: None,
            norm: Norm {
                kind: NormKind::Rms,
                eps: config.positive_if_any("rms_norm_eps")?.unwrap_or(self.norm_eps) as f32,
                one_plus: false,
            },
            parallel: false,
            activation: config.activation("hidden_act", "silu")?,
            attn_softcap: None,
            final_softcap: None,
            ropes: vec![Rope::read(config, heads.d_head, n_ctx, self.rope)?],
            blocks,
            tensors: Tensors {
                embed: format!("{prefix}embed_tokens.weight"),
                pos_embed: None,
                blocks: (0..n_layers).map(|layer| names.block(layer)).collect(),
                final_norm: Gain::at(&format!("{prefix}norm"), false),
                head: Head { linear: Linear::at("lm_head", false), tied },
                ignored: Ignored { suffixes: vec![".rotary_emb.inv_freq".into()], ..Ignored::default() },
            },
        })
    }

    fn windows(&self, config: &Config, n_layers: usize) -> Result<Vec<Option<usize>>> {
        match self.windows {
            Windows::None => Ok(vec![None; n_layers]),
            Windows::All(default) => {
                if config.has("layer_types") && self.model_type == "mistral" {
                    return Err(config.unsupported("layer_types makes it a ministral, which is not supported"));
                }
                Ok(vec![given_or(config, default)?; n_layers])
            }
            Windows::Upper => {
                let slides = config.flag("use_sliding_window", false)?;
                let window = given_or(config, Some(4096))?.filter(|_| slides);
                let first = config.count_if_any("max_window_layers")?.unwrap_or(28);
                config.windows(n_layers, window, |layer| window.is_some() && layer >= first)
            }
        }
    }
}

/// `sliding_window`. Null is no window; only a missing field is the default.
fn given_or(config: &Config, default: Option<usize>) -> Result<Option<usize>> {
    let given = config.size_if_any("sliding_window")?;
    Ok(if config.mentions("sliding_window") { given } else { default })
}

/// What the names and layouts of tensors depend on.
struct Names<'a> {
    family: &'a Family,
    prefix: &'a str,
    heads: Heads,
    d_mlp: usize,
    attn_bias: bool,
    mlp_bias: bool,
}

impl Names<'_> {
    fn block(&self, layer: usize) -> BlockTensors {
        let path = |name: &str| format!("{}layers.{layer}.{name}", self.prefix);
        let (qkv_bias, o_bias) = match self.family.attn_bias {
            AttnBias::Flag => (self.attn_bias, self.attn_bias),
            AttnBias::Qkv => (true, false),
            AttnBias::Never => (false, false),
        };
        let (queries, keys) = (self.heads.queries(), self.heads.keys());
        let qkv = |name: &str, first| {
            if self.family.fused {
                let of = queries + 2 * keys;
                Linear::at(&path("self_attn.qkv_proj"), false).laid_out(Layout::Rows { first, of })
            } else {
                Linear::at(&path(&format!("self_attn.{name}")), qkv_bias)
            }
        };
        let mlp = |name: &str| Linear::at(&path(&format!("mlp.{name}")), self.mlp_bias);
        let gate_up = |name: &str, first| {
            if self.family.fused {
                mlp("gate_up_proj").laid_out(Layout::Rows { first, of: 2 * self.d_mlp })
            } else {
                mlp(name)
            }
        };
        let norm = |name: &str| Gain::at(&path(name), false);
        BlockTensors {
            ln1: norm("input_layernorm"),
            q: qkv("q_proj", 0),
            k: qkv("k_proj", queries),
            v: qkv("v_proj", queries + keys),
            o: Linear::at(&path("self_attn.o_proj"), o_bias),
            qk_norm: self.family.qk_norm.then(|| (norm("self_attn.q_norm"), norm("self_attn.k_norm"))),
            attn_post_norm: None,
            ln2: norm("post_attention_layernorm"),
            gate: Some(gate_up("gate_proj", 0)),
            up: gate_up("up_proj", self.d_mlp),
            down: mlp("down_proj"),
            mlp_post_norm: None,
        }
    }
}
