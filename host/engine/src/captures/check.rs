use millm_plugin_api::{HookId, HookPointSpec, ModelSpec, RowSet, RowShape};

use crate::{error::SubmitError, request::Request};

/// Whether `request` reads only what is there.
///
/// # Errors
///
/// The first captured point or position that is not, or what is wrong with the lens.
pub(crate) fn check(request: &Request, spec: &ModelSpec) -> Result<(), SubmitError> {
    let Request { captures, lens, .. } = request;
    let prompt_tokens = request.prompt.len();
    // Positions ascend, so the last ones tell.
    for position in [captures.positions().last(), lens.positions().last()].into_iter().flatten() {
        if *position >= prompt_tokens {
            return Err(SubmitError::CapturePosition { position: *position, prompt_tokens });
        }
    }
    for point in captures.points() {
        let HookPointSpec { point, row, .. } = hook(spec, *point)?;
        if captures.mean && matches!(row, RowShape::Keys { .. }) {
            return Err(SubmitError::CaptureMean { point: point.clone() });
        }
    }
    for point in lens.points() {
        let HookPointSpec { point, row, rows, .. } = hook(spec, *point)?;
        let d_model = spec.d_model;
        if (*row, *rows) != (RowShape::Flat { width: d_model }, RowSet::Batch) {
            return Err(SubmitError::LensPoint { point: point.clone(), d_model, row: *row, rows: *rows });
        }
    }
    let (top, d_vocab) = (lens.top(), spec.d_vocab);
    if !lens.is_empty() && !(1..=d_vocab as usize).contains(&top) {
        return Err(SubmitError::LensTop { top, d_vocab });
    }
    Ok(())
}

fn hook(spec: &ModelSpec, id: HookId) -> Result<&HookPointSpec, SubmitError> {
    let unknown = || SubmitError::CapturePoint { id: id.0, hook_points: spec.hook_points.len() };
    spec.hook_points.get(id.0 as usize).ok_or_else(unknown)
}
