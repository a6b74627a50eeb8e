//! Where in the computation the hook points are, which of them a decoder has, and why not where not.

use millm_plugin_api::{AbsentHookPoint, HookId, HookPattern, HookPoint, HookPointSpec, HookSite, RowShape};

use crate::decoder::Decoder;

/// The hook points of one decoder, in the order of computation.
#[derive(Clone, Debug)]
pub(crate) struct Sites {
    pos_embed: bool,
    /// For each [`Site`], which point of its block it is.
    offsets: [Option<u32>; N_SITES],
    per_block: u32,
    n_layers: u32,
}

/// A site within a block: an index into [`BLOCK_SITES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    ResidPre,
    Ln1Normalized,
    Q,
    K,
    V,
    RotQ,
    RotK,
    AttnScores,
    Pattern,
    Z,
    AttnOut,
    ResidMid,
    MlpIn,
    Ln2Normalized,
    MlpNormedIn,
    MlpPre,
    MlpPost,
    MlpRawOut,
    MlpOut,
    ResidPost,
}

const N_SITES: usize = Site::ResidPost as usize + 1;

/// All sites that a block can have, in the order of computation.
static BLOCK_SITES: [(Site, HookSite); N_SITES] = [
    (Site::ResidPre, HookSite::RESID_PRE),
    (Site::Ln1Normalized, HookSite::LN1_NORMALIZED),
    (Site::Q, HookSite::Q),
    (Site::K, HookSite::K),
    (Site::V, HookSite::V),
    (Site::RotQ, HookSite::ROT_Q),
    (Site::RotK, HookSite::ROT_K),
    (Site::AttnScores, HookSite::ATTN_SCORES),
    (Site::Pattern, HookSite::PATTERN),
    (Site::Z, HookSite::Z),
    (Site::AttnOut, HookSite::ATTN_OUT),
    (Site::ResidMid, HookSite::RESID_MID),
    (Site::MlpIn, HookSite::MLP_IN),
    (Site::Ln2Normalized, HookSite::LN2_NORMALIZED),
    (Site::MlpNormedIn, HookSite::MLP_NORMED_IN),
    (Site::MlpPre, HookSite::MLP_PRE),
    (Site::MlpPost, HookSite::MLP_POST),
    (Site::MlpRawOut, HookSite::MLP_RAW_OUT),
    (Site::MlpOut, HookSite::MLP_OUT),
    (Site::ResidPost, HookSite::RESID_POST),
];

const NO_TABLE: &str = "positions turn queries and keys; nothing is added to the embedding";
const NO_ROPE: &str = "positions are added to the embedding; queries and keys are not rotated";
const NO_MID: &str = "attention and MLP read the same stream and are added together; there is no stream between them";
const COPY: &str = "attention computes scores and weights in passing; this is a copy made beside it";

impl Sites {
    pub(crate) fn new(decoder: &Decoder) -> Self {
        let mut offsets = [None; N_SITES];
        let mut per_block = 0;
        for (offset, (site, _)) in offsets.iter_mut().zip(&BLOCK_SITES) {
            let has = match site {
                Site::RotQ | Site::RotK => !decoder.ropes.is_empty(),
                Site::ResidMid => !decoder.parallel,
                _ => true,
            };
            if has {
                *offset = Some(per_block);
                per_block += 1;
            }
        }
        let n_layers = decoder.blocks.len() as u32;
        Self { pos_embed: decoder.tensors.pos_embed.is_some(), offsets, per_block, n_layers }
    }

    pub(crate) const EMBED: HookId = HookId(0);
    /// Only where the model has it.
    pub(crate) const POS_EMBED: HookId = HookId(1);

    fn first_block(&self) -> u32 {
        1 + u32::from(self.pos_embed)
    }

    /// A site of a block, if this decoder has it.
    pub(crate) fn of_block(&self, layer: usize, site: Site) -> Option<HookId> {
        let offset = self.offsets[site as usize]?;
        Some(HookId(self.first_block() + layer as u32 * self.per_block + offset))
    }

    /// What the last norm yields, before gain and bias.
    pub(crate) fn final_normalized(&self) -> HookId {
        HookId(self.first_block() + self.n_layers * self.per_block)
    }

    /// What the last norm yields.
    pub(crate) fn final_out(&self) -> HookId {
        HookId(self.final_normalized().0 + 1)
    }

    pub(crate) fn logits(&self) -> HookId {
        HookId(self.final_out().0 + 1)
    }

    /// The list that all the above are indices into.
    pub(crate) fn specs(&self, decoder: &Decoder) -> Vec<HookPointSpec> {
        let stream = RowShape::Flat { width: decoder.d_model as u32 };
        let mut specs = vec![HookPointSpec::new(HookPoint::model(HookSite::EMBED), stream)];
        if self.pos_embed {
            specs.push(HookPointSpec::new(HookPoint::model(HookSite::POS_EMBED), stream));
        }
        for layer in 0..self.n_layers {
            let present = BLOCK_SITES.iter().zip(&self.offsets).filter(|(_, offset)| offset.is_some());
            specs.extend(present.map(|((site, name), _)| {
                let spec = HookPointSpec::new(HookPoint::block(layer, name.clone()), row(*site, decoder));
                if matches!(site, Site::AttnScores | Site::Pattern) { spec.read_only(COPY) } else { spec }
            }));
        }
        let vocabulary = RowShape::Flat { width: decoder.d_vocab as u32 };
        specs.push(HookPointSpec::new(HookPoint::model(HookSite::FINAL_NORMALIZED), stream).at_logits());
        specs.push(HookPointSpec::new(HookPoint::model(HookSite::FINAL_OUT), stream));
        specs.push(HookPointSpec::new(HookPoint::model(HookSite::LOGITS), vocabulary).at_logits());
        specs
    }

    /// What is not in that list although other decoders have it.
    pub(crate) fn absent(&self) -> Vec<AbsentHookPoint> {
        let mut absent = Vec::new();
        let mut add = |pattern, reason: &str| absent.push(AbsentHookPoint { pattern, reason: reason.to_owned() });
        if !self.pos_embed {
            add(HookPattern::One(HookPoint::model(HookSite::POS_EMBED)), NO_TABLE);
        }
        for ((site, name), offset) in BLOCK_SITES.iter().zip(&self.offsets) {
            if offset.is_none() {
                let reason = if *site == Site::ResidMid { NO_MID } else { NO_ROPE };
                add(HookPattern::EveryBlock(name.clone()), reason);
            }
        }
        absent
    }
}

fn row(site: Site, decoder: &Decoder) -> RowShape {
    let heads = decoder.heads;
    let (queries, keys, d_head) = (heads.n_heads as u32, heads.n_key_value_heads as u32, heads.d_head as u32);
    match site {
        Site::Q | Site::RotQ | Site::Z => RowShape::Heads { heads: queries, d_head },
        Site::K | Site::V | Site::RotK => RowShape::Heads { heads: keys, d_head },
        Site::AttnScores => RowShape::Keys { heads: queries, masked: f32::NEG_INFINITY },
        Site::Pattern => RowShape::Keys { heads: queries, masked: 0.0 },
        Site::MlpPre | Site::MlpPost => RowShape::Flat { width: decoder.d_mlp as u32 },
        _ => RowShape::Flat { width: decoder.d_model as u32 },
    }
}
