use millm_plugin_api::sae::{Activation, DecoderNorm, SaeSpec};

use super::Vectors;

/// Makes activations of the pre-activations `p` of all features of one row. `norms`: of the decoder's rows, where they count.
/// A gated SAE's `p` is without a bias.
pub(super) fn activate(spec: &SaeSpec, vectors: &Vectors, norms: Option<&[f32]>, p: &mut [f32]) {
    if let (DecoderNorm::Activations, Some(norms)) = (spec.decoder_norm, norms) {
        p.iter_mut().zip(norms).for_each(|(p, norm)| *p *= norm);
    }
    // What decides which features are active.
    let gate = |feature: usize, p: f32| match (spec.decoder_norm, norms) {
        (DecoderNorm::Gate, Some(norms)) => p * norms[feature],
        _ => p,
    };
    match spec.activation {
        Activation::TopK { k, relu } => {
            let scores: Vec<f32> = p.iter().enumerate().map(|(feature, p)| gate(feature, *p)).collect();
            keep(p, &largest(&scores, k as usize));
            if relu {
                p.iter_mut().for_each(|p| *p = p.max(0.0));
            }
        }
        Activation::AbsTopK { k } => {
            let scores: Vec<f32> = p.iter().enumerate().map(|(feature, p)| gate(feature, *p).abs()).collect();
            keep(p, &largest(&scores, k as usize));
        }
        Activation::GroupMax { k } => {
            let size = p.len() / k as usize;
            for (group, members) in p.chunks_mut(size.max(1)).enumerate() {
                members.iter_mut().for_each(|p| *p = p.max(0.0));
                let scores = members.iter().enumerate().map(|(index, p)| gate(group * size + index, *p));
                let best = largest(&scores.collect::<Vec<_>>(), 1);
                keep(members, &best);
            }
        }
        // It has no pre-activations.
        Activation::MatchingPursuit { .. } => {}
        Activation::Relu | Activation::TanhRelu | Activation::JumpRelu | Activation::Gated => {
            for (feature, p) in p.iter_mut().enumerate() {
                *p = alone(spec, vectors, feature, *p, gate(feature, *p));
            }
        }
    }
}

/// The activation of a feature that does not depend on others. `gate`: what decides whether it is active.
pub(super) fn alone(spec: &SaeSpec, vectors: &Vectors, feature: usize, p: f32, gate: f32) -> f32 {
    match spec.activation {
        Activation::JumpRelu if gate <= vectors.threshold[feature] => 0.0,
        Activation::TanhRelu => p.max(0.0).tanh(),
        Activation::Gated if p + vectors.b_gate[feature] <= 0.0 => 0.0,
        Activation::Gated => (p * vectors.r_mag[feature].exp() + vectors.b_mag[feature]).max(0.0),
        _ => p.max(0.0),
    }
}

/// The indices of the `k` largest, in ascending order. Of equals the first counts.
fn largest(scores: &[f32], k: usize) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..scores.len()).collect();
    if k < indices.len() {
        indices.select_nth_unstable_by(k, |&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        indices.truncate(k);
        indices.sort_unstable();
    }
    indices
}

/// Makes everything 0 but what has one of these ascending indices.
fn keep(p: &mut [f32], kept: &[usize]) {
    let mut kept = kept.iter().peekable();
    for (index, p) in p.iter_mut().enumerate() {
        if kept.next_if(|kept| **kept == index).is_none() {
            *p = 0.0;
        }
    }
}
