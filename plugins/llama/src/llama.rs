use millm_plugin_api::{Architecture, ErrorKind, Host, LoadOptions, ModelFiles, PluginError, Result};
use millm_transformer::{BlockTensors, Config, Decoder, Linear, Rope, Tensors, Transformer};

/// Models of `model_type` `llama`.
///
/// Defaults are those of `LlamaConfig` in transformers.
#[derive(Clone, Copy, Debug)]
pub struct Llama;

impl Architecture for Llama {
    type Model = Transformer;

    fn model_types(&self) -> Vec<String> {
        vec!["llama".into()]
    }

    fn load(&self, files: &ModelFiles, options: &LoadOptions, host: &Host) -> Result<Transformer> {
        let decoder = decoder(&Config::read(&files.folder)?)?;
        Transformer::load(&files.folder, &decoder, options, host)
    }
}

fn decoder(config: &Config) -> Result<Decoder> {
    match config.text_if_any("hidden_act")? {
        None | Some("silu") => {}
        Some(other) => {
            let message = format!("hidden_act {other:?} is not supported, only silu is");
            return Err(PluginError::new(ErrorKind::UNSUPPORTED, config.error(message).message));
        }
    }
    let d_model = config.size("hidden_size")?;
    let n_layers = config.layers("num_hidden_layers")?;
    let n_heads = config.size("num_attention_heads")?;
    let n_key_value_heads = config.size_if_any("num_key_value_heads")?.unwrap_or(n_heads);
    if !n_heads.is_multiple_of(n_key_value_heads) {
        let message =
            format!("num_attention_heads {n_heads} is not a multiple of num_key_value_heads {n_key_value_heads}");
        return Err(config.error(message));
    }
    let d_head = match config.size_if_any("head_dim")? {
        Some(d_head) => d_head,
        None if d_model.is_multiple_of(n_heads) => d_model / n_heads,
        None => {
            let message = format!("hidden_size {d_model} is not a multiple of num_attention_heads {n_heads}");
            return Err(config.error(message));
        }
    };
    if !d_head.is_multiple_of(2) {
        return Err(config.error(format_args!("head_dim {d_head} must be even")));
    }
    let tied = config.flag("tie_word_embeddings", false)?;
    let (attention_bias, mlp_bias) = (config.flag("attention_bias", false)?, config.flag("mlp_bias", false)?);
    Ok(Decoder {
        model_type: "llama".into(),
        n_layers,
        d_model,
        n_heads,
        n_key_value_heads,
        d_head,
        d_mlp: config.size("intermediate_size")?,
        d_vocab: config.size("vocab_size")?,
        n_ctx: config.size_if_any("max_position_embeddings")?.unwrap_or(2048),
        norm_eps: config.positive_if_any("rms_norm_eps")?.unwrap_or(1e-6) as f32,
        rope: Rope::read(config)?,
        tensors: Tensors {
            embed: "model.embed_tokens.weight".into(),
            blocks: (0..n_layers).map(|layer| block(layer, attention_bias, mlp_bias)).collect(),
            final_norm: "model.norm.weight".into(),
            head: (!tied).then(|| "lm_head.weight".into()),
        },
    })
}

fn block(layer: usize, attention_bias: bool, mlp_bias: bool) -> BlockTensors {
    let path = |name: &str| format!("model.layers.{layer}.{name}");
    let attention = |name: &str| Linear::at(&path(&format!("self_attn.{name}")), attention_bias);
    let mlp = |name: &str| Linear::at(&path(&format!("mlp.{name}")), mlp_bias);
    BlockTensors {
        attn_norm: path("input_layernorm.weight"),
        q: attention("q_proj"),
        k: attention("k_proj"),
        v: attention("v_proj"),
        o: attention("o_proj"),
        mlp_norm: path("post_attention_layernorm.weight"),
        gate: mlp("gate_proj"),
        up: mlp("up_proj"),
        down: mlp("down_proj"),
    }
}
