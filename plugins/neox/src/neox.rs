use millm_plugin_api::{Architecture, Host, LoadOptions, ModelFiles, Result};
use millm_transformer::{
    Block, BlockTensors, Checkpoint, Config, Decoder, Gain, Heads, Ignored, Layout, Linear, Norm, NormKind, Rope,
    RopeFields, Tensors, Transformer,
};

/// Models of `model_type` `gpt_neox`, such as Pythia. Defaults are those of `GPTNeoXConfig` in transformers.
#[derive(Clone, Copy, Debug)]
pub struct Neox;

const ROPE: RopeFields =
    RopeFields { theta: "rotary_emb_base", partial: Some("rotary_pct"), default_partial: 0.25, ..RopeFields::LLAMA };

impl Architecture for Neox {
    type Model = Transformer;

    fn model_types(&self) -> Vec<String> {
        vec!["gpt_neox".into()]
    }

    fn load(&self, files: &ModelFiles, options: &LoadOptions, host: &Host) -> Result<Transformer> {
        let decoder = decoder(&Config::read(&files.folder)?)?;
        Transformer::load(&Checkpoint::open(&files.folder)?, decoder, options, host)
    }
}

fn decoder(config: &Config) -> Result<Decoder> {
    let d_model = config.size_or("hidden_size", 6144)?;
    let n_layers = config.layers_or("num_hidden_layers", 44)?;
    let n_heads = config.size_or("num_attention_heads", 64)?;
    if !d_model.is_multiple_of(n_heads) {
        return Err(
            config.error(format_args!("hidden_size {d_model} is not a multiple of num_attention_heads {n_heads}"))
        );
    }
    let heads = Heads { n_heads, n_key_value_heads: n_heads, d_head: d_model / n_heads };
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
            embed: "gpt_neox.embed_in.weight".into(),
            pos_embed: None,
            blocks: (0..n_layers).map(|layer| block_tensors(layer, heads, attn_bias)).collect(),
            final_norm: Gain::at("gpt_neox.final_layer_norm", true),
            head: (!tied).then(|| Linear::at("embed_out", false)),
            ignored: Ignored {
                prefixes: if tied { vec!["embed_out.weight".into()] } else { Vec::new() },
                // Masks and frequencies, which old versions of transformers kept with the weights.
                suffixes: [".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"]
                    .map(String::from)
                    .into(),
            },
        },
    })
}

/// q, k and v of each head stand together in one projection.
fn block_tensors(layer: usize, heads: Heads, attn_bias: bool) -> BlockTensors {
    let path = |name: &str| format!("gpt_neox.layers.{layer}.{name}");
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
