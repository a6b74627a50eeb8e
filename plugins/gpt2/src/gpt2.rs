use millm_plugin_api::{Architecture, Host, LoadOptions, ModelFiles, Result};
use millm_transformer::{
    Block, BlockTensors, Checkpoint, Config, Decoder, Gain, Head, Heads, Ignored, Layout, Linear, Norm, NormKind,
    Tensors, Transformer,
};

/// Models of `model_type` `gpt2`. Defaults are those of `GPT2Config` in transformers.
#[derive(Clone, Copy, Debug)]
pub struct Gpt2;

/// Files of `GPT2LMHeadModel`, and those of the bare `GPT2Model`, as the hub has them.
const PREFIXES: [&str; 2] = ["transformer.", ""];

impl Architecture for Gpt2 {
    type Model = Transformer;

    fn model_types(&self) -> Vec<String> {
        vec!["gpt2".into()]
    }

    fn load(&self, files: &ModelFiles, options: &LoadOptions, host: &Host) -> Result<Transformer> {
        let config = Config::read(&files.folder)?;
        let checkpoint = Checkpoint::open(&files.folder)?;
        let prefix = checkpoint.prefix(&PREFIXES, "ln_f.weight")?;
        Transformer::load(&checkpoint, decoder(&config, prefix)?, options, host)
    }
}

/// A size under its own name or the one that other families have for it, which transformers takes as well.
fn size(config: &Config, names: [&str; 2], default: usize) -> Result<usize> {
    let [own, other] = names;
    match (config.size_if_any(own)?, config.size_if_any(other)?) {
        (Some(one), Some(two)) if one != two => {
            Err(config.error(format_args!("{own} {one} and {other} {two} contradict each other")))
        }
        (one, two) => Ok(one.or(two).unwrap_or(default)),
    }
}

fn decoder(config: &Config, prefix: &str) -> Result<Decoder> {
    config.must_be_off("add_cross_attention")?;
    let d_model = size(config, ["n_embd", "hidden_size"], 768)?;
    let n_layers = size(config, ["n_layer", "num_hidden_layers"], 12)?;
    config.check_layers("n_layer", n_layers)?;
    let n_heads = size(config, ["n_head", "num_attention_heads"], 12)?;
    if !d_model.is_multiple_of(n_heads) {
        return Err(config.error(format_args!("n_embd {d_model} is not a multiple of n_head {n_heads}")));
    }
    let heads = Heads { n_heads, n_key_value_heads: n_heads, d_head: d_model / n_heads };
    let scaled = config.flag("scale_attn_weights", true)?;
    let by_layer = config.flag("scale_attn_by_inverse_layer_idx", false)?;
    let block = |layer: usize| {
        let scale = if scaled { (heads.d_head as f64).powf(-0.5) } else { 1.0 };
        let scale = if by_layer { scale / (layer + 1) as f64 } else { scale };
        Block { attn_scale: scale as f32, window: None, rope: None }
    };
    let tied = config.flag("tie_word_embeddings", true)?;
    let path = |name: &str| format!("{prefix}{name}");
    Ok(Decoder {
        model_type: "gpt2".into(),
        d_model,
        heads,
        d_mlp: config.size_if_any("n_inner")?.unwrap_or(4 * d_model),
        d_vocab: config.size_or("vocab_size", 50257)?,
        n_ctx: size(config, ["n_positions", "max_position_embeddings"], 1024)?,
        embed_scale: None,
        norm: Norm {
            kind: NormKind::Layer,
            eps: config.positive_if_any("layer_norm_epsilon")?.unwrap_or(1e-5) as f32,
            one_plus: false,
        },
        parallel: false,
        activation: config.activation("activation_function", "gelu_new")?,
        attn_softcap: None,
        final_softcap: None,
        ropes: Vec::new(),
        blocks: (0..n_layers).map(block).collect(),
        tensors: Tensors {
            embed: path("wte.weight"),
            pos_embed: Some(path("wpe.weight")),
            blocks: (0..n_layers).map(|layer| block_tensors(&path(&format!("h.{layer}")), d_model)).collect(),
            final_norm: Gain::at(&path("ln_f"), true),
            head: Head { linear: Linear::at("lm_head", false), tied },
            ignored: Ignored {
                // The causal mask, which old versions of transformers kept with the weights.
                suffixes: vec![".attn.bias".into(), ".attn.masked_bias".into()],
                ..Ignored::default()
            },
        },
    })
}

/// Projections are `Conv1D`: stored `[in, out]`, and q, k, v side by side.
fn block_tensors(block: &str, d_model: usize) -> BlockTensors {
    let linear = |name: &str, layout| Linear::at(&format!("{block}.{name}"), true).laid_out(layout);
    let qkv = |index: usize| linear("attn.c_attn", Layout::Columns { first: index * d_model, of: 3 * d_model });
    let whole = |name: &str| linear(name, Layout::Transposed);
    BlockTensors {
        ln1: Gain::at(&format!("{block}.ln_1"), true),
        q: qkv(0),
        k: qkv(1),
        v: qkv(2),
        o: whole("attn.c_proj"),
        qk_norm: None,
        attn_post_norm: None,
        ln2: Gain::at(&format!("{block}.ln_2"), true),
        gate: None,
        up: whole("mlp.c_fc"),
        down: whole("mlp.c_proj"),
        mlp_post_norm: None,
    }
}
