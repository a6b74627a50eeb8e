//! What of `attn.hook_z` does not depend on what is attended to.
//!
//! Values are `x̂ · γ W_V + β W_V + b_V`, where x̂ is `ln1.hook_normalized`, γ and β are the norm's gain and bias. The weights of a
//! row of `attn.hook_pattern` sum to 1, so that every row of `attn.hook_z` has `β W_V + b_V` in it. TransformerLens moves that to
//! the bias of the output projection (`fold_ln`, `fold_value_biases`), and SAEs that were trained on such models have not seen it.
//! The model is not asked for its weights but measured: with x̂ = 0 it is what is left of the values.

use std::sync::Arc;

use millm_engine::Interventions;
use millm_plugin_api::{HookId, HookPoint, HookSite, RowShape};

use super::{Base, refusal::mismatch};
use crate::error::ApiError;

/// `β W_V + b_V` of the block of `point`, as it stands in its rows: `[n_heads · d_head]`.
///
/// # Errors
///
/// `SaeMismatch`: the point is not `attn.hook_z`, or the model does not let its values be measured. `ModelFailed`.
pub(super) fn measure(base: &Base, point: HookId) -> Result<Arc<[f32]>, ApiError> {
    let spec = base.engine.spec();
    let HookPoint { layer, site } = &spec.hook_points[point.0 as usize].point;
    if *site != HookSite::Z {
        return Err(mismatch("site_fix", "site_fix 'minus_value_bias' is of blocks.L.attn.hook_z alone"));
    }
    let find = |site: HookSite| {
        let wanted = HookPoint { layer: *layer, site };
        let found = spec.hook_points.iter().position(|hook| hook.point == wanted);
        let missing =
            || mismatch("site_fix", &format!("the model has no {wanted}, by which the bias of its values is measured"));
        found.map(|index| HookId(index as u32)).ok_or_else(missing)
    };
    let (normalized, values) = (find(HookSite::LN1_NORMALIZED)?, find(HookSite::V)?);
    let shape = |point: HookId| match spec.hook_points[point.0 as usize].row {
        RowShape::Heads { heads, d_head } => Some((heads as usize, d_head as usize)),
        RowShape::Flat { .. } | RowShape::Keys { .. } => None,
    };
    let shared = shape(point).zip(shape(values)).and_then(|((heads, d_head), (of_values, d_value))| {
        (d_head == d_value && of_values > 0 && heads % of_values == 0).then(|| (d_head, heads / of_values))
    });
    let Some((d_head, sharing)) = shared else {
        return Err(mismatch("site_fix", "its heads do not share the model's values evenly"));
    };
    // Any token has values.
    let row = base.read(vec![0], Interventions::default(), &[normalized], vec![0])?.concat();
    let name = spec.hook_points[normalized.0 as usize].point.to_string();
    let mut without = Interventions::default();
    without.add_vector(spec, &name, row.iter().map(|number| -number).collect(), 1.0).map_err(|error| {
        mismatch(
            "site_fix",
            &format!("the model does not let {name} be zero, by which the bias of its values is measured: {error}"),
        )
    })?;
    let left = base.read(vec![0], without, &[normalized, values], vec![0])?;
    if left[0].iter().any(|number| *number != 0.0) {
        return Err(mismatch(
            "site_fix",
            &format!("{name} could not be made zero, by which the bias of its values is measured"),
        ));
    }
    Ok(left[1].chunks(d_head).flat_map(|head| head.repeat(sharing)).collect())
}
