//! A bigram language model: what comes next depends on the last token only.
//!
//! `logits = embed[token] · unembedᵀ`, with a hook point between the two factors.

use millm_plugin_api::{
    Architecture, Batch, ErrorKind, HookId, HookPoint, HookPointSpec, HookSite, Hooks, Host, LoadOptions, Model,
    ModelFiles, ModelSpec, PageUsage, PluginError, Result, RowShape, Sequence,
};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

millm_plugin_api::export_plugin! {
    name: "bigram",
    architectures: [Bigram],
}

/// Models of `model_type` `bigram`.
struct Bigram;

impl Architecture for Bigram {
    type Model = BigramModel;

    fn model_types(&self) -> Vec<String> {
        vec!["bigram".into()]
    }

    fn load(&self, files: &ModelFiles, _: &LoadOptions, _: &Host) -> Result<BigramModel> {
        let config: Value = serde_json::from_slice(&files.read("config.json")?)
            .map_err(|error| PluginError::new(ErrorKind::INVALID_CONFIG, "config.json").caused_by(&error))?;
        let d_vocab = size(&config, "vocab_size")?;
        let d_model = size(&config, "hidden_size")?;
        let n_ctx = size(&config, "max_position_embeddings")?;

        let weights = files.read("model.safetensors")?;
        let tensors = SafeTensors::deserialize(&weights)
            .map_err(|error| PluginError::new(ErrorKind::INVALID_WEIGHTS, "model.safetensors").caused_by(&error))?;
        let shape = [d_vocab as usize, d_model as usize];
        let (embed, unembed) = (tensor(&tensors, "embed", shape)?, tensor(&tensors, "unembed", shape)?);

        let embedded = HookPointSpec::new(HookPoint::model(HookSite::EMBED), RowShape::Flat { width: d_model });
        let spec = ModelSpec {
            model_type: "bigram".into(),
            d_model,
            d_vocab,
            n_ctx,
            n_params: (embed.len() + unembed.len()) as u64,
            hook_points: vec![embedded],
            ..ModelSpec::default()
        };
        Ok(BigramModel { spec, embed, unembed })
    }
}

/// A positive integer of `config.json`.
fn size(config: &Value, key: &str) -> Result<u32> {
    let number = config[key].as_u64().and_then(|number| u32::try_from(number).ok());
    number.filter(|number| *number > 0).ok_or_else(|| {
        let message = format!("config.json: {key} must be a positive integer, found {}", config[key]);
        PluginError::new(ErrorKind::INVALID_CONFIG, message)
    })
}

/// The elements of a tensor, row after row.
fn tensor(tensors: &SafeTensors<'_>, name: &str, shape: [usize; 2]) -> Result<Vec<f32>> {
    let invalid = |message: String| PluginError::new(ErrorKind::INVALID_WEIGHTS, message);
    let found = tensors
        .tensor(name)
        .map_err(|error| invalid(format!("model.safetensors has no readable tensor {name}")).caused_by(&error))?;
    if found.dtype() != Dtype::F32 || found.shape() != shape {
        let (dtype, found) = (found.dtype(), found.shape());
        return Err(invalid(format!("tensor {name}: expected F32 of shape {shape:?}, found {dtype:?} of {found:?}")));
    }
    let (elements, _) = found.data().as_chunks();
    Ok(elements.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// A loaded model.
struct BigramModel {
    spec: ModelSpec,
    /// `[d_vocab, d_model]`.
    embed: Vec<f32>,
    /// `[d_vocab, d_model]`.
    unembed: Vec<f32>,
}

/// The index of `hook_embed` in the spec's list.
const HOOK_EMBED: HookId = HookId(0);

impl Model for BigramModel {
    type Sequence = Positions;

    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn pages(&self) -> PageUsage {
        PageUsage::UNLIMITED
    }

    fn new_sequence(&self, _: usize) -> Result<Positions> {
        Ok(Positions(0))
    }

    fn forward(
        &self,
        batch: &Batch<'_>,
        sequences: &mut [&mut Positions],
        hooks: &mut Hooks<'_>,
        logits: &mut [f32],
    ) -> Result<()> {
        let (d_model, d_vocab) = (self.spec.d_model as usize, self.spec.d_vocab as usize);
        let mut embed = Vec::with_capacity(batch.rows() * d_model);
        for token in batch.tokens {
            embed.extend_from_slice(&self.embed[*token as usize * d_model..][..d_model]);
        }
        hooks.visit(HOOK_EMBED, &mut embed, d_model)?;
        for (row, logits) in batch.logit_rows.iter().zip(logits.chunks_exact_mut(d_vocab)) {
            self.unembed(&embed[*row as usize * d_model..][..d_model], logits)?;
        }
        for (span, sequence) in batch.spans.iter().zip(sequences) {
            sequence.0 += span.rows;
        }
        Ok(())
    }

    fn unembed(&self, resid: &[f32], logits: &mut [f32]) -> Result<()> {
        let (d_model, d_vocab) = (self.spec.d_model as usize, self.spec.d_vocab as usize);
        for (row, logits) in resid.chunks_exact(d_model).zip(logits.chunks_exact_mut(d_vocab)) {
            for (logit, weights) in logits.iter_mut().zip(self.unembed.chunks_exact(d_model)) {
                *logit = row.iter().zip(weights).map(|(x, weight)| x * weight).sum();
            }
        }
        Ok(())
    }
}

/// How many positions a sequence has. A model with attention keeps their keys and values here.
struct Positions(usize);

impl Sequence for Positions {
    fn len(&self) -> usize {
        self.0
    }

    fn truncate(&mut self, len: usize) {
        self.0 = len;
    }

    fn fork(&self, len: usize) -> Result<Self> {
        Ok(Self(len))
    }

    fn bytes(&self) -> usize {
        0
    }
}
