//! The hooked forward pass.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use millm_kernels::{AttentionShape, Parallel, RopeTable, Span, attention, matmul, rms_norm, silu_mul};
use millm_plugin_api::{
    Batch, HookId, HookPoint, HookPointSpec, HookSite, Hooks, Host, LoadOptions, Model, ModelSpec, PageUsage, Result,
    RowShape,
};

use crate::{
    checkpoint::Checkpoint,
    decoder::Decoder,
    pages::{PAGE_TOKENS, PagedSequence, Pages, Pool},
    weights::{Block, Weights},
};

/// Sequences of full length that the KV memory is ever useful for.
const USEFUL_SEQUENCES: u64 = 256;

/// A loaded decoder.
#[derive(Debug)]
pub struct Transformer {
    spec: ModelSpec,
    norm_eps: f32,
    shape: AttentionShape,
    weights: Weights,
    rope: RopeTable,
    pool: Pool,
    host: Host,
    scratch: Mutex<Scratch>,
}

/// The step's activations. Kept from step to step, so that a step allocates nothing once the largest was seen.
#[derive(Debug, Default)]
struct Scratch {
    /// The residual stream, `[T, d_model]`.
    x: Vec<f32>,
    /// What a norm yields, `[T, d_model]`.
    normalized: Vec<f32>,
    /// What attention or the MLP adds to the residual stream, `[T, d_model]`.
    delta: Vec<f32>,
    /// `[T, n_heads · d_head]`.
    q: Vec<f32>,
    /// `[T, n_key_value_heads · d_head]`.
    k: Vec<f32>,
    /// As `k`.
    v: Vec<f32>,
    /// `[T, n_heads · d_head]`.
    z: Vec<f32>,
    /// `[T, d_mlp]`.
    gate: Vec<f32>,
    /// `[T, d_mlp]`.
    up: Vec<f32>,
}

impl Scratch {
    fn resize(&mut self, rows: usize, spec: &ModelSpec) {
        let heads = (spec.n_heads * spec.d_head) as usize;
        let key_value_heads = (spec.n_key_value_heads * spec.d_head) as usize;
        let (d_model, d_mlp) = (spec.d_model as usize, spec.d_mlp as usize);
        let sizes = [
            (&mut self.x, d_model),
            (&mut self.normalized, d_model),
            (&mut self.delta, d_model),
            (&mut self.q, heads),
            (&mut self.k, key_value_heads),
            (&mut self.v, key_value_heads),
            (&mut self.z, heads),
            (&mut self.gate, d_mlp),
            (&mut self.up, d_mlp),
        ];
        for (buffer, width) in sizes {
            buffer.resize(rows * width, 0.0);
        }
    }
}

/// The host's threads, for the kernels.
struct HostThreads<'a>(&'a Host);

impl Parallel for HostThreads<'_> {
    fn width(&self) -> usize {
        self.0.width()
    }

    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        self.0.parallel(count, task);
    }
}

/// The sites of one block, in the order of computation; [`HookId`]s follow from it.
const BLOCK_SITES: [HookSite; 5] =
    [HookSite::RESID_PRE, HookSite::ATTN_OUT, HookSite::RESID_MID, HookSite::MLP_OUT, HookSite::RESID_POST];

const EMBED: HookId = HookId(0);

/// Where the sites of a block are in [`BLOCK_SITES`].
#[derive(Clone, Copy)]
enum Site {
    ResidPre,
    AttnOut,
    ResidMid,
    MlpOut,
    ResidPost,
}

fn hook(layer: usize, site: Site) -> HookId {
    HookId((1 + layer * BLOCK_SITES.len() + site as usize) as u32)
}

impl Transformer {
    /// Maps the checkpoint in `folder` and checks every tensor that `decoder` promises.
    ///
    /// # Errors
    ///
    /// `IO` or `INVALID_WEIGHTS`, with the file's or tensor's name; `CANCELLED`.
    pub fn load(folder: &Path, decoder: &Decoder, options: &LoadOptions, host: &Host) -> Result<Self> {
        let checkpoint = Checkpoint::open(folder)?;
        let weights = Weights::load(&checkpoint, decoder, host)?;
        let key_value_width = decoder.n_key_value_heads * decoder.d_head;
        let useful = decoder.n_ctx.div_ceil(PAGE_TOKENS) as u64 * USEFUL_SEQUENCES;
        let pool = Pool::new(decoder.n_layers, key_value_width, options.kv_bytes, useful);
        let n_ctx = decoder.n_ctx.min(pool.usage().pages_total as usize * PAGE_TOKENS);
        let shape = AttentionShape {
            n_heads: decoder.n_heads,
            n_kv_heads: decoder.n_key_value_heads,
            d_head: decoder.d_head,
            page_tokens: PAGE_TOKENS,
            scale: (decoder.d_head as f32).powf(-0.5),
        };
        Ok(Self {
            spec: spec(decoder, &weights, n_ctx),
            norm_eps: decoder.norm_eps,
            shape,
            rope: RopeTable::new(&decoder.rope.inverse_frequencies(decoder.d_head), n_ctx, 1.0),
            weights,
            pool,
            host: host.clone(),
            scratch: Mutex::default(),
        })
    }

    fn block(
        &self,
        layer: usize,
        step: &Step<'_>,
        pages: &mut Pages,
        scratch: &mut Scratch,
        hooks: &mut Hooks<'_>,
    ) -> Result<()> {
        let Block { attn_norm, q, k, v, o, mlp_norm, gate, up, down } = &self.weights.blocks[layer];
        let threads = &HostThreads(&self.host);
        let (d_model, d_head) = (self.spec.d_model as usize, self.shape.d_head);
        let s = scratch;

        hooks.visit(hook(layer, Site::ResidPre), &mut s.x, d_model)?;
        rms_norm(&s.x, attn_norm, self.norm_eps, &mut s.normalized);
        q.apply(threads, &s.normalized, &mut s.q);
        k.apply(threads, &s.normalized, &mut s.k);
        v.apply(threads, &s.normalized, &mut s.v);
        self.rope.rotate(step.batch.positions, d_head, &mut s.q);
        self.rope.rotate(step.batch.positions, d_head, &mut s.k);
        let width = self.shape.n_kv_heads * d_head;
        for span in step.spans {
            let rows = span.first_row * width..(span.first_row + span.rows) * width;
            pages.write(layer, span.pages, span.start, &s.k[rows.clone()], &s.v[rows]);
        }
        attention(threads, &self.shape, &s.q, &pages.k[layer], &pages.v[layer], step.spans, &mut s.z);
        o.apply(threads, &s.z, &mut s.delta);
        hooks.visit(hook(layer, Site::AttnOut), &mut s.delta, d_model)?;
        add(&mut s.x, &s.delta);

        hooks.visit(hook(layer, Site::ResidMid), &mut s.x, d_model)?;
        rms_norm(&s.x, mlp_norm, self.norm_eps, &mut s.normalized);
        gate.apply(threads, &s.normalized, &mut s.gate);
        up.apply(threads, &s.normalized, &mut s.up);
        silu_mul(&mut s.gate, &s.up);
        down.apply(threads, &s.gate, &mut s.delta);
        hooks.visit(hook(layer, Site::MlpOut), &mut s.delta, d_model)?;
        add(&mut s.x, &s.delta);
        hooks.visit(hook(layer, Site::ResidPost), &mut s.x, d_model)
    }

    /// Norm and head of the rows whose logits are wanted.
    fn head(&self, batch: &Batch<'_>, scratch: &mut Scratch, logits: &mut [f32]) {
        let d_model = self.spec.d_model as usize;
        let Scratch { x, normalized, delta, .. } = scratch;
        // The buffers are free by now: gather the rows in one, norm them into the other.
        let rows = batch.logit_rows.len() * d_model;
        for (gathered, row) in delta.chunks_exact_mut(d_model).zip(batch.logit_rows) {
            gathered.copy_from_slice(&x[*row as usize * d_model..][..d_model]);
        }
        rms_norm(&delta[..rows], &self.weights.final_norm, self.norm_eps, &mut normalized[..rows]);
        let head = self.weights.head().weight();
        matmul(&HostThreads(&self.host), &head, None, &normalized[..rows], logits);
    }
}

/// What stays the same from block to block.
struct Step<'a> {
    batch: &'a Batch<'a>,
    spans: &'a [Span<'a>],
}

fn add(x: &mut [f32], delta: &[f32]) {
    x.iter_mut().zip(delta).for_each(|(x, delta)| *x += delta);
}

fn spec(decoder: &Decoder, weights: &Weights, n_ctx: usize) -> ModelSpec {
    let width = decoder.d_model as u32;
    let hook_point = |point| HookPointSpec::new(point, RowShape::Flat { width });
    let blocks = (0..decoder.n_layers as u32)
        .flat_map(|layer| BLOCK_SITES.into_iter().map(move |site| HookPoint::block(layer, site)));
    let hook_points = std::iter::once(HookPoint::model(HookSite::EMBED)).chain(blocks).map(hook_point).collect();
    ModelSpec {
        model_type: decoder.model_type.clone(),
        n_layers: decoder.n_layers as u32,
        d_model: width,
        n_heads: decoder.n_heads as u32,
        n_key_value_heads: decoder.n_key_value_heads as u32,
        d_head: decoder.d_head as u32,
        d_mlp: decoder.d_mlp as u32,
        d_vocab: decoder.d_vocab as u32,
        n_ctx: n_ctx as u32,
        n_ctx_short: None,
        n_params: weights.n_params() as u64,
        dtype: weights.dtype(),
        hook_points,
        absent: Vec::new(),
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

    fn new_sequence(&self, _: usize) -> Result<PagedSequence> {
        Ok(PagedSequence::new(self.pool.clone()))
    }

    fn forward(
        &self,
        batch: &Batch<'_>,
        sequences: &mut [&mut PagedSequence],
        hooks: &mut Hooks<'_>,
        logits: &mut [f32],
    ) -> Result<()> {
        let d_model = self.spec.d_model as usize;
        // Nothing in the scratch outlives a step, so what a panic left there does no harm.
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        scratch.resize(batch.rows(), &self.spec);
        let mut pages = self.pool.lock();
        let growing = sequences.iter_mut().zip(batch.spans);
        pages.reserve(growing.map(|(sequence, span)| (&mut **sequence, span.rows)))?;

        let table = |(span, sequence): (&millm_plugin_api::Span, &&mut PagedSequence)| (*span, sequence.table.clone());
        let tables: Vec<_> = batch.spans.iter().zip(sequences.iter()).map(table).collect();
        let spans: Vec<Span<'_>> = tables
            .iter()
            .map(|(span, table)| Span { first_row: span.first_row, rows: span.rows, start: span.start, pages: table })
            .collect();

        let embed = self.weights.embed.weight();
        for (row, token) in scratch.x.chunks_exact_mut(d_model).zip(batch.tokens) {
            embed.copy_row(*token as usize, row);
        }
        hooks.visit(EMBED, &mut scratch.x, d_model)?;
        let step = Step { batch, spans: &spans };
        for layer in 0..self.weights.blocks.len() {
            self.block(layer, &step, &mut pages, &mut scratch, hooks)?;
        }
        self.head(batch, &mut scratch, logits);
        for (sequence, span) in sequences.iter_mut().zip(batch.spans) {
            sequence.len += span.rows;
        }
        Ok(())
    }
}
