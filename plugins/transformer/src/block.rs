//! One block, hooked.

use millm_kernels::{Span, activate, activate_mul, attention, attention_scores, softmax_rows};
use millm_plugin_api::{Batch, HookId, Hooks, Result};

use crate::{
    network::Network,
    pages::Pages,
    scratch::Scratch,
    sites::Site,
    weights::{Block, Gain},
};

/// What stays the same from block to block of a step.
pub(crate) struct Step<'a> {
    pub(crate) batch: &'a Batch<'a>,
    pub(crate) spans: &'a [Span<'a>],
    /// For each span, whether its sequence turns by the frequencies of long contexts.
    pub(crate) long: &'a [bool],
}

/// One block at work.
pub(crate) struct BlockRun<'a, 'h> {
    pub(crate) network: &'a Network,
    pub(crate) layer: usize,
    pub(crate) step: &'a Step<'a>,
    pub(crate) pages: &'a mut Pages,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) hooks: &'a mut Hooks<'h>,
}

impl BlockRun<'_, '_> {
    /// From the stream that enters the block to the one that leaves it, both `scratch.x`.
    pub(crate) fn run(mut self) -> Result<()> {
        self.visit(Site::ResidPre, |s| &mut s.x)?;
        self.attention()?;
        if self.network.decoder.parallel {
            // The MLP reads the stream as attention did.
            std::mem::swap(&mut self.scratch.delta, &mut self.scratch.attn_delta);
            self.mlp()?;
            add(&mut self.scratch.x, &self.scratch.attn_delta);
        } else {
            add(&mut self.scratch.x, &self.scratch.delta);
            self.visit(Site::ResidMid, |s| &mut s.x)?;
            self.mlp()?;
        }
        add(&mut self.scratch.x, &self.scratch.delta);
        self.visit(Site::ResidPost, |s| &mut s.x)
    }

    /// From the stream to `scratch.delta`.
    fn attention(&mut self) -> Result<()> {
        let (network, layer) = (self.network, self.layer);
        let Block { ln1, q, k, v, o, qk_norm, attn_post_norm, .. } = &network.weights.blocks[layer];
        let threads = &network.threads();

        ln1.normalize(&self.scratch.x, &mut self.scratch.normalized);
        self.visit(Site::Ln1Normalized, |s| &mut s.normalized)?;
        let s = &mut *self.scratch;
        ln1.scale(&mut s.normalized);
        q.apply(threads, &s.normalized, &mut s.q);
        k.apply(threads, &s.normalized, &mut s.k);
        v.apply(threads, &s.normalized, &mut s.v);
        self.visit(Site::Q, |s| &mut s.q)?;
        self.visit(Site::K, |s| &mut s.k)?;
        self.visit(Site::V, |s| &mut s.v)?;

        let s = &mut *self.scratch;
        if let Some((q_norm, k_norm)) = qk_norm {
            // Attention has not filled `z` yet.
            norm_in_place(q_norm, &mut s.q, &mut s.z);
            norm_in_place(k_norm, &mut s.k, &mut s.z);
        }
        self.rotate();
        self.visit(Site::RotQ, |s| &mut s.q)?;
        self.visit(Site::RotK, |s| &mut s.k)?;

        let s = &mut *self.scratch;
        let width = network.decoder.heads.keys();
        for span in self.step.spans {
            let rows = span.first_row * width..(span.first_row + span.rows) * width;
            self.pages.write(layer, span.pages, span.start, &s.k[rows.clone()], &s.v[rows]);
        }
        self.look_at_scores()?;
        let s = &mut *self.scratch;
        let (k_pages, v_pages) = (&self.pages.k[layer], &self.pages.v[layer]);
        attention(threads, &network.shapes[layer], &s.q, k_pages, v_pages, self.step.spans, &mut s.z);
        self.visit(Site::Z, |s| &mut s.z)?;
        let s = &mut *self.scratch;
        o.apply(threads, &s.z, &mut s.delta);
        self.scratch.post_norm(attn_post_norm.as_ref());
        self.visit(Site::AttnOut, |s| &mut s.delta)
    }

    fn rotate(&mut self) {
        let Some(rope) = self.network.decoder.blocks[self.layer].rope.map(|rope| &self.network.ropes[rope]) else {
            return;
        };
        let (heads, positions) = (self.network.decoder.heads, self.step.batch.positions);
        let Some(long) = &rope.long else {
            rope.table.rotate(positions, heads.d_head, &mut self.scratch.q);
            rope.table.rotate(positions, heads.d_head, &mut self.scratch.k);
            return;
        };
        for (span, is_long) in self.step.spans.iter().zip(self.step.long) {
            let table = if *is_long { long } else { &rope.table };
            let rows = span.first_row..span.first_row + span.rows;
            for (x, width) in [(&mut self.scratch.q, heads.queries()), (&mut self.scratch.k, heads.keys())] {
                table.rotate(&positions[rows.clone()], heads.d_head, &mut x[rows.start * width..rows.end * width]);
            }
        }
    }

    /// Computes scores and pattern once more, for those who want to see them. Attention does not keep them.
    fn look_at_scores(&mut self) -> Result<()> {
        let sites = [Site::AttnScores, Site::Pattern];
        let [scores, pattern] = sites.map(|site| self.network.sites.of_block(self.layer, site));
        let wanted = |id: Option<HookId>| id.filter(|id| self.hooks.wants(*id));
        let (scores, pattern) = (wanted(scores), wanted(pattern));
        if scores.is_none() && pattern.is_none() {
            return Ok(());
        }
        let threads = &self.network.threads();
        let heads = self.network.decoder.heads.n_heads;
        let shape = &self.network.shapes[self.layer];
        let s = &mut *self.scratch;
        for span in self.step.spans {
            let keys = span.start + span.rows;
            s.scores.resize(span.rows * heads * keys, 0.0);
            attention_scores(threads, shape, &s.q, &self.pages.k[self.layer], span, &mut s.scores);
            if let Some(id) = scores {
                self.hooks.visit_keys(id, span.first_row, &mut s.scores, heads, keys)?;
                if pattern.is_some() {
                    // What was lent may have been written to, and must not reach the pattern.
                    attention_scores(threads, shape, &s.q, &self.pages.k[self.layer], span, &mut s.scores);
                }
            }
            if let Some(id) = pattern {
                softmax_rows(&mut s.scores, keys);
                self.hooks.visit_keys(id, span.first_row, &mut s.scores, heads, keys)?;
            }
        }
        Ok(())
    }

    /// From the stream to `scratch.delta`.
    fn mlp(&mut self) -> Result<()> {
        let network = self.network;
        let Block { ln2, gate, up, down, mlp_post_norm, .. } = &network.weights.blocks[self.layer];
        let threads = &network.threads();

        let mlp_in = network.sites.of_block(self.layer, Site::MlpIn).filter(|id| self.hooks.wants(*id));
        if mlp_in.is_some() {
            // An edit here is for this branch alone.
            self.scratch.mlp_in.clone_from(&self.scratch.x);
            self.visit(Site::MlpIn, |s| &mut s.mlp_in)?;
            ln2.normalize(&self.scratch.mlp_in, &mut self.scratch.normalized);
        } else {
            ln2.normalize(&self.scratch.x, &mut self.scratch.normalized);
        }
        self.visit(Site::Ln2Normalized, |s| &mut s.normalized)?;
        ln2.scale(&mut self.scratch.normalized);
        self.visit(Site::MlpNormedIn, |s| &mut s.normalized)?;
        let s = &mut *self.scratch;
        gate.as_ref().unwrap_or(up).apply(threads, &s.normalized, &mut s.hidden);
        self.visit(Site::MlpPre, |s| &mut s.hidden)?;
        let s = &mut *self.scratch;
        if gate.is_some() {
            up.apply(threads, &s.normalized, &mut s.up);
            activate_mul(threads, network.decoder.activation, &mut s.hidden, &s.up);
        } else {
            activate(threads, network.decoder.activation, &mut s.hidden);
        }
        self.visit(Site::MlpPost, |s| &mut s.hidden)?;
        let s = &mut *self.scratch;
        down.apply(threads, &s.hidden, &mut s.delta);
        self.visit(Site::MlpRawOut, |s| &mut s.delta)?;
        self.scratch.post_norm(mlp_post_norm.as_ref());
        self.visit(Site::MlpOut, |s| &mut s.delta)
    }

    fn visit(&mut self, site: Site, activation: fn(&mut Scratch) -> &mut Vec<f32>) -> Result<()> {
        let Some(id) = self.network.sites.of_block(self.layer, site) else { return Ok(()) };
        if !self.hooks.wants(id) {
            return Ok(());
        }
        let data = activation(self.scratch);
        let width = data.len() / self.step.batch.rows();
        self.hooks.visit(id, data, width)
    }
}

impl Scratch {
    /// The norm that some families put behind attention and MLP. `normalized` is free by then.
    fn post_norm(&mut self, norm: Option<&Gain>) {
        if let Some(norm) = norm {
            norm.apply(&self.delta, &mut self.normalized);
            std::mem::swap(&mut self.delta, &mut self.normalized);
        }
    }
}

/// A norm over parts of a row, with `buffer` to compute in.
fn norm_in_place(norm: &Gain, x: &mut [f32], buffer: &mut [f32]) {
    let buffer = &mut buffer[..x.len()];
    norm.apply(x, buffer);
    x.copy_from_slice(buffer);
}

fn add(x: &mut [f32], delta: &[f32]) {
    x.iter_mut().zip(delta).for_each(|(x, delta)| *x += delta);
}
