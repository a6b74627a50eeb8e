use millm_plugin_api::{Architecture, Host, LoadOptions, ModelFiles, Result};
use millm_transformer::{
    Block, BlockTensors, Checkpoint, Config, Decoder, Gain, Head, Heads, Ignored, Layout, Linear, Norm, NormKind, Rope,
    RopeFields, Tensors, Transformer,
};

/// Models of `model_type` `gpt_neox`, such as Pythia. Defaults are those of `GPTNeoXConfig` in transformers.
#[derive(Clone, Copy, Debug)]
pub struct Neox;

const ROPE: RopeFields =
    RopeFields { theta: "rotary_emb_base", partial: Some("rotary_pct"), default_partial: 0.25, ..RopeFields::LLAMA };

/// Files of models for causal language modelling, and those of bare ones.
const PREFIXES: [&str; 2] = ["gpt_neox.", ""];

impl Architecture for Neox {
    type Model = Transformer;

    fn model_types(&self) -> Vec<String> {
        vec!["gpt_neox".into()]
    }

    fn load(&self, files: &ModelFiles, options: &LoadOptions, host: &Host) -> Result<Transformer> {
        let config = Config::read(&files.folder)?;
        let checkpoint = Checkpoint::open(&files.folder)?;
        let prefix = checkpoint.prefix(&PREFIXES, "final_layer_norm.weight")?;
        // Files have the old name of the head; a few have that of the class.
        let head = if checkpoint.has("lm_head.weight") { "lm_head" } else { "embed_out" };
        Transformer::load(&checkpoint, decoder(&config, prefix, head)?, options, host)
    }
}

fn decoder(config: &Config, prefix: &str, head: &str) -> Result<Decoder> {
    let d_model = config.size_or("hidden_size", 6144)?;
    let n_layers = config.layers_or("num_hidden_layers", 44)?;
    let n_heads = config.size_or("num_attention_heads", 64)?;
    if !d_model.is_multiple_of(n_heads) {
        return Err(
            config.error(format_args!("hidden_size {d_model} is not a multiple of num_attention_heads {n_heads}"))
        );
    }
    let heads = Heads { n_heads, n_key_value_heads: n_heads, d_head: d_model / n_heads };
    if config.size_if_any("head_dim")?.is_some_and(|d_head| d_head != heads.d_head) {
        return Err(config.unsupported("head_dim is not hidden_size / num_attention_heads"));
    }
    let n_ctx = config.size_or("max_position_embeddings", 2048)?;
    let attn_scale = (heads.d_head as f32).powf(-0.5);
    let attn_bias = config.flag("attention_bias", true)?;
    let tied = config.flag("tie_word_embeddings", false)?;
    Ok(Decoder {
        model_type: "gpt_neox".into(),
        d_model,
        heads,
        d_mlp: config.size_or("intermediate_size", 24576)?,
        d_vocab: config.size_or("vocab_size", 50432)?,
        n_ctx,
        embed_scale: None,
        norm: Norm {
            kind: NormKind::Layer,
            eps: config.positive_if_any("layer_norm_eps")?.unwrap_or(1e-5) as f32,
            one_plus: false,
        },
        parallel: config.flag("use_parallel_residual", true)?,
        activation: config.activation("hidden_act", "gelu")?,
        attn_softcap: None,
        final_softcap: None,
        ropes: vec![Rope::read(config, heads.d_head, n_ctx, ROPE)?],
        blocks: vec![Block { attn_scale, window: None, rope: Some(0) }; n_layers],
        tensors: Tensors {
            embed: format!("{prefix}embed_in.weight"),
            pos_embed: None,
            blocks: (0..n_layers)
                .map(|layer| block_tensors(&format!("{prefix}layers.{layer}"), heads, attn_bias))
                .collect(),
            final_norm: Gain::at(&format!("{prefix}final_layer_norm"), true),
            head: Head { linear: Linear::at(head, false), tied },
            ignored: Ignored {
                // Masks and frequencies, which old versions of transformers kept with the weights.
                suffixes: [".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"]
                    .map(String::from)
                    .into(),
                ..Ignored::default()
            },
        },
    })
}

/// q, k and v of each head stand together in one projection.
fn block_tensors(block: &str, heads: Heads, attn_bias: bool) -> BlockTensors {
    let path = |name: &str| format!("{block}.{name}");
    let qkv = |part| {
        let layout = Layout::Interleaved { part, parts: 3, size: heads.d_head };
        Linear::at(&path("attention.query_key_value"), attn_bias).laid_out(layout)
    };
    BlockTensors {
        ln1: Gain::at(&path("input_layernorm"), true),
        q: qkv(0),
        k: qkv(1),
        v: qkv(2),
        o: Linear::at(&path("attention.dense"), attn_bias),
        qk_norm: None,
        attn_post_norm: None,
        ln2: Gain::at(&path("post_attention_layernorm"), true),
        gate: None,
        up: Linear::at(&path("mlp.dense_h_to_4h"), true),
        down: Linear::at(&path("mlp.dense_4h_to_h"), true),
        mlp_post_norm: None,
    }
}
