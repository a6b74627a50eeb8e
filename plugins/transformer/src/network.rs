//! What a forward pass reads and never writes.

use millm_kernels::{AttentionShape, Parallel, RopeTable};
use millm_plugin_api::Host;

use crate::{
    decoder::{Block, Decoder},
    pages::PAGE_TOKENS,
    rope::Rope,
    sites::Sites,
    weights::Weights,
};

/// What a forward pass reads and never writes.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) decoder: Decoder,
    pub(crate) sites: Sites,
    /// One per block.
    pub(crate) shapes: Vec<AttentionShape>,
    pub(crate) weights: Weights,
    pub(crate) ropes: Vec<RopeTables>,
    host: Host,
}

/// Cosines and sines.
#[derive(Debug)]
pub(crate) struct RopeTables {
    pub(crate) table: RopeTable,
    /// For sequences longer than `n_ctx_short`, where those differ.
    pub(crate) long: Option<RopeTable>,
}

/// The host's threads, for the kernels.
pub(crate) struct HostThreads<'a>(&'a Host);

impl Network {
    /// For sequences of up to `n_ctx` positions.
    pub(crate) fn new(decoder: Decoder, weights: Weights, n_ctx: usize, host: Host) -> Self {
        let shape = |block: &Block| AttentionShape {
            n_heads: decoder.heads.n_heads,
            n_kv_heads: decoder.heads.n_key_value_heads,
            d_head: decoder.heads.d_head,
            page_tokens: PAGE_TOKENS,
            scale: block.attn_scale,
            window: block.window,
            softcap: decoder.attn_softcap,
        };
        Self {
            sites: Sites::new(&decoder),
            shapes: decoder.blocks.iter().map(shape).collect(),
            ropes: decoder.ropes.iter().map(|rope| RopeTables::new(rope, n_ctx)).collect(),
            weights,
            decoder,
            host,
        }
    }

    pub(crate) fn threads(&self) -> HostThreads<'_> {
        HostThreads(&self.host)
    }
}

impl RopeTables {
    fn new(rope: &Rope, n_ctx: usize) -> Self {
        let frequencies = rope.frequencies();
        let table = |inverse: &[f32], n_ctx| RopeTable::new(inverse, n_ctx, frequencies.attention_factor);
        Self {
            table: table(&frequencies.inverse, rope.n_ctx_short().map_or(n_ctx, |short| short.min(n_ctx))),
            long: frequencies.inverse_long.as_deref().map(|inverse| table(inverse, n_ctx)),
        }
    }
}

impl Parallel for HostThreads<'_> {
    fn width(&self) -> usize {
        self.0.width()
    }

    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        self.0.parallel(count, task);
    }
}
