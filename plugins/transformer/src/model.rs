//! The hooked forward pass.

use std::sync::{Mutex, PoisonError};

use millm_kernels::{NormKind, Span, softcap};
use millm_plugin_api::{Batch, ErrorKind, Hooks, Host, LoadOptions, Model, ModelSpec, PageUsage, PluginError, Result};

use crate::{
    block::{BlockRun, Step},
    checkpoint::Checkpoint,
    decoder::Decoder,
    network::Network,
    pages::{PAGE_TOKENS, PagedSequence, Pool},
    rope::Rope,
    scratch::Scratch,
    sites::Sites,
    weights::Weights,
};

/// Sequences of full length that the KV memory is ever useful for.
const USEFUL_SEQUENCES: u64 = 256;

/// A loaded decoder.
#[derive(Debug)]
pub struct Transformer {
    spec: ModelSpec,
    network: Network,
    pool: Pool,
    scratch: Mutex<Scratch>,
}

impl Transformer {
    /// Takes every tensor that `decoder` promises from the checkpoint, where possible as it lies in the file.
    ///
    /// # Errors
    ///
    /// `UNSUPPORTED`; `INVALID_WEIGHTS`, with the tensor's name: one is missing, has another shape, or has no place; `CANCELLED`.
    pub fn load(checkpoint: &Checkpoint, decoder: Decoder, options: &LoadOptions, host: &Host) -> Result<Self> {
        let mut short: Vec<usize> = decoder.ropes.iter().filter_map(Rope::n_ctx_short).collect();
        short.dedup();
        if let [one, other, ..] = *short {
            let message =
                format!("two longropes with original contexts of {one} and {other} are not supported in one model");
            return Err(PluginError::new(ErrorKind::UNSUPPORTED, message));
        }
        let weights = Weights::load(checkpoint, &decoder, host)?;
        let useful = decoder.n_ctx.div_ceil(PAGE_TOKENS) as u64 * USEFUL_SEQUENCES;
        let pool = Pool::new(decoder.blocks.len(), decoder.heads.keys(), options.kv_bytes, useful);
        let n_ctx = decoder.n_ctx.min(pool.usage().pages_total as usize * PAGE_TOKENS);
        let network = Network::new(decoder, weights, n_ctx, host.clone());
        Ok(Self { spec: spec(&network, n_ctx), network, pool, scratch: Mutex::default() })
    }

    /// Token embeddings, and what is added to them for the position, into `scratch.x`.
    fn embed(&self, batch: &Batch<'_>, scratch: &mut Scratch, hooks: &mut Hooks<'_>) -> Result<()> {
        let d_model = self.network.decoder.d_model;
        let embed = self.network.weights.embed.weight();
        for (row, token) in scratch.x.chunks_exact_mut(d_model).zip(batch.tokens) {
            embed.copy_row(*token as usize, row);
        }
        if let Some(scale) = self.network.decoder.embed_scale {
            scratch.x.iter_mut().for_each(|x| *x *= scale);
        }
        hooks.visit(Sites::EMBED, &mut scratch.x, d_model)?;
        if let Some(table) = &self.network.weights.pos_embed {
            let table = table.weight();
            for (row, position) in scratch.delta.chunks_exact_mut(d_model).zip(batch.positions) {
                table.copy_row(*position as usize, row);
            }
            hooks.visit(Sites::POS_EMBED, &mut scratch.delta, d_model)?;
            scratch.x.iter_mut().zip(&scratch.delta).for_each(|(x, position)| *x += position);
        }
        Ok(())
    }

    /// Last norm and head of the rows whose logits are wanted; the norm of all, if somebody wants to see what it yields.
    fn head(&self, batch: &Batch<'_>, scratch: &mut Scratch, hooks: &mut Hooks<'_>, logits: &mut [f32]) -> Result<()> {
        let final_out = self.network.sites.final_out();
        if batch.logit_rows.is_empty() && !hooks.wants(final_out) {
            return Ok(());
        }
        let (d_model, d_vocab) = (self.network.decoder.d_model, self.network.decoder.d_vocab);
        let norm = &self.network.weights.final_norm;
        let Scratch { x, normalized, delta, .. } = scratch;
        // The buffers are free by now: gather the rows in one, norm them into the other.
        let len = batch.logit_rows.len() * d_model;
        for (gathered, row) in delta.chunks_exact_mut(d_model).zip(batch.logit_rows) {
            gathered.copy_from_slice(&x[*row as usize * d_model..][..d_model]);
        }
        let rows = &mut normalized[..len];
        if !rows.is_empty() {
            norm.normalize(&delta[..len], rows);
            hooks.visit(self.network.sites.final_normalized(), rows, d_model)?;
            norm.scale(rows);
        }
        if hooks.wants(final_out) {
            // It has every row; those with logits as they are by now, and from here they go on.
            let all = &mut delta[..x.len()];
            norm.apply(x, all);
            for (row, own) in batch.logit_rows.iter().zip(rows.chunks_exact(d_model)) {
                all[*row as usize * d_model..][..d_model].copy_from_slice(own);
            }
            hooks.visit(final_out, all, d_model)?;
            for (row, own) in batch.logit_rows.iter().zip(rows.chunks_exact_mut(d_model)) {
                own.copy_from_slice(&all[*row as usize * d_model..][..d_model]);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.logits(rows, logits);
        hooks.visit(self.network.sites.logits(), logits, d_vocab)
    }

    /// From the last norm's output to logits.
    fn logits(&self, rows: &[f32], logits: &mut [f32]) {
        self.network.weights.head(&self.network.threads(), rows, logits);
        if let Some(cap) = self.network.decoder.final_softcap {
            softcap(&self.network.threads(), cap, logits);
        }
    }
}

fn spec(network: &Network, n_ctx: usize) -> ModelSpec {
    let Network { decoder, sites, weights, .. } = network;
    let n_ctx_short = decoder.ropes.iter().filter_map(Rope::n_ctx_short).min();
    ModelSpec {
        model_type: decoder.model_type.clone(),
        n_layers: decoder.blocks.len() as u32,
        d_model: decoder.d_model as u32,
        n_heads: decoder.heads.n_heads as u32,
        n_key_value_heads: decoder.heads.n_key_value_heads as u32,
        d_head: decoder.heads.d_head as u32,
        d_mlp: decoder.d_mlp as u32,
        d_vocab: decoder.d_vocab as u32,
        n_ctx: n_ctx as u32,
        n_ctx_short: n_ctx_short.filter(|short| *short < n_ctx).map(|short| short as u32),
        n_params: weights.n_params() as u64,
        dtype: weights.dtype(),
        layer_norm: decoder.norm.kind == NormKind::Layer,
        embed_scale: decoder.embed_scale,
        hook_points: sites.specs(decoder),
        absent: sites.absent(),
    }
}

impl Model for Transformer {
    type Sequence = PagedSequence;

    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn pages(&self) -> PageUsage {
        self.pool.usage()
    }

    fn new_sequence(&self, expected: usize) -> Result<PagedSequence> {
        let long = self.spec.n_ctx_short.is_some_and(|short| expected > short as usize);
        Ok(PagedSequence::new(self.pool.clone(), long))
    }

    fn forward(
        &self,
        batch: &Batch<'_>,
        sequences: &mut [&mut PagedSequence],
        hooks: &mut Hooks<'_>,
        logits: &mut [f32],
    ) -> Result<()> {
        self.check_context(batch, sequences)?;
        // Nothing in the scratch outlives a step, so what a panic left there does no harm.
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        scratch.resize(batch.rows(), &self.network.decoder);
        let mut pages = self.pool.lock();
        let growing = sequences.iter_mut().zip(batch.spans);
        pages.reserve(growing.map(|(sequence, span)| (&mut **sequence, span.rows)))?;

        let table = |(span, sequence): (&millm_plugin_api::Span, &&mut PagedSequence)| (*span, sequence.table.clone());
        let tables: Vec<_> = batch.spans.iter().zip(sequences.iter()).map(table).collect();
        let spans: Vec<Span<'_>> = tables
            .iter()
            .map(|(span, table)| Span { first_row: span.first_row, rows: span.rows, start: span.start, pages: table })
            .collect();
        let long: Vec<bool> = sequences.iter().map(|sequence| sequence.long).collect();

        self.embed(batch, &mut scratch, hooks)?;
        let step = Step { batch, spans: &spans, long: &long };
        for layer in 0..self.network.decoder.blocks.len() {
            let (pages, scratch) = (&mut pages, &mut scratch);
            BlockRun { network: &self.network, layer, step: &step, pages, scratch, hooks }.run()?;
        }
        self.head(batch, &mut scratch, hooks, logits)?;
        for (sequence, span) in sequences.iter_mut().zip(batch.spans) {
            sequence.len += span.rows;
        }
        Ok(())
    }

    fn unembed(&self, resid: &[f32], logits: &mut [f32]) -> Result<()> {
        let mut rows = vec![0.0; resid.len()];
        self.network.weights.final_norm.apply(resid, &mut rows);
        self.logits(&rows, logits);
        Ok(())
    }
}

impl Transformer {
    /// A sequence that turned by the frequencies of short contexts cannot grow beyond them: its keys would have to turn
    /// otherwise from its first position on.
    fn check_context(&self, batch: &Batch<'_>, sequences: &[&mut PagedSequence]) -> Result<()> {
        let Some(short) = self.spec.n_ctx_short.map(|short| short as usize) else { return Ok(()) };
        let crosses = |(span, sequence): (&millm_plugin_api::Span, &&mut PagedSequence)| {
            !sequence.long && span.start + span.rows > short
        };
        if batch.spans.iter().zip(sequences).any(crosses) {
            let message = format!("a sequence made for at most {short} positions cannot grow beyond them");
            return Err(PluginError::new(ErrorKind::INVALID_ARGUMENT, message));
        }
        Ok(())
    }
}
