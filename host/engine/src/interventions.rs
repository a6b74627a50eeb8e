//! What a request does to activations: `x += strength · v` at hook points, on its own rows only.

use std::sync::Arc;

use millm_plugin_api::{
    ErrorKind, HookId, HookPoint, HookPointSpec, HookSet, ModelSpec, PluginError, RowSet, RowShape,
};

use crate::hook_points::{HookPointError, resolve};

/// The interventions of one request, in the order in which they apply. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Interventions {
    list: Arc<Vec<Intervention>>,
}

#[derive(Clone, Debug)]
struct Intervention {
    point: HookId,
    /// Which rows of a step there are.
    rows: RowSet,
    vector: Arc<[f32]>,
    strength: f32,
}

/// Why an intervention was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InterventionError {
    /// The model has no such hook point.
    #[error(transparent)]
    HookPoint(#[from] HookPointError),
    /// Edits there would not reach the computation.
    #[error("hook point {point} can only be read: {reason}")]
    ReadOnly {
        /// Where.
        point: HookPoint,
        /// Why.
        reason: String,
    },
    /// The vector does not fit the activation.
    #[error("the vector has {found} elements, activations at {point} have {expected}")]
    WrongLength {
        /// Where it was to be added.
        point: HookPoint,
        /// Width of the activation there.
        expected: usize,
        /// Length of the vector.
        found: usize,
    },
    /// An element of the vector is NaN or infinite.
    #[error("element {index} of the vector is not a finite number")]
    NotFinite {
        /// The first such element.
        index: usize,
    },
    /// The strength is NaN or infinite.
    #[error("the strength is not a finite number")]
    StrengthNotFinite,
}

impl Interventions {
    /// Adds `strength · vector` to every row of the request at the hook point `name`, in raw units;
    /// with `blocks.*.` at that of every block.
    ///
    /// # Errors
    ///
    /// See [`InterventionError`]; nothing is added then.
    pub fn add_vector(
        &mut self,
        spec: &ModelSpec,
        name: &str,
        vector: Arc<[f32]>,
        strength: f32,
    ) -> Result<(), InterventionError> {
        let points = resolve(spec, name)?;
        if !strength.is_finite() {
            return Err(InterventionError::StrengthNotFinite);
        }
        if let Some(index) = vector.iter().position(|element| !element.is_finite()) {
            return Err(InterventionError::NotFinite { index });
        }
        for point in &points {
            fits(&spec.hook_points[point.0 as usize], vector.len())?;
        }
        // A zero delta writes nothing, so that it changes not one bit (x + 0 would turn -0 into 0) and costs nothing.
        if strength != 0.0 && vector.iter().any(|element| *element != 0.0) {
            let of = |point: HookId| {
                let rows = spec.hook_points[point.0 as usize].rows;
                Intervention { point, rows, vector: Arc::clone(&vector), strength }
            };
            Arc::make_mut(&mut self.list).extend(points.into_iter().map(of));
        }
        Ok(())
    }

    /// Whether nothing is done to any activation.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds the hook points to `wanted`, those where logits are computed only if the request has such rows in the step.
    pub(crate) fn mark(&self, has_logits: bool, wanted: &mut HookSet) {
        let needed = self.list.iter().filter(|found| has_logits || found.rows == RowSet::Batch);
        needed.for_each(|intervention| wanted.insert(intervention.point));
    }

    /// Applies everything that belongs at `point` to `data`, the rows of this request, each `width` wide.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if a vector does not fit, as one made for another model.
    pub(crate) fn apply(&self, point: HookId, data: &mut [f32], width: usize) -> Result<(), PluginError> {
        for Intervention { vector, strength, .. } in self.list.iter().filter(|found| found.point == point) {
            if vector.len() != width {
                let message = format!("an activation {width} wide where the model promised {}", vector.len());
                return Err(PluginError::new(ErrorKind::INTERNAL, message));
            }
            for row in data.chunks_exact_mut(width) {
                for (x, v) in row.iter_mut().zip(vector.iter()) {
                    *x += strength * v;
                }
            }
        }
        Ok(())
    }
}

/// Whether a vector of `found` elements can be added at `hook`.
fn fits(hook: &HookPointSpec, found: usize) -> Result<(), InterventionError> {
    let point = || hook.point.clone();
    if let Some(reason) = &hook.read_only {
        return Err(InterventionError::ReadOnly { point: point(), reason: reason.clone() });
    }
    if let RowShape::Keys { .. } = hook.row {
        let reason = "its rows are as long as their sequence, so no vector fits them".to_owned();
        return Err(InterventionError::ReadOnly { point: point(), reason });
    }
    match hook.row.elements(0) {
        expected if expected == found => Ok(()),
        expected => Err(InterventionError::WrongLength { point: point(), expected, found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ModelSpec {
        let hook = |name: &str| HookPointSpec::new(name.parse().unwrap(), RowShape::Flat { width: 2 });
        ModelSpec {
            model_type: "test".into(),
            n_layers: 2,
            d_model: 2,
            d_vocab: 3,
            n_ctx: 8,
            hook_points: vec![
                hook("hook_embed"),
                hook("blocks.0.hook_resid_post"),
                hook("blocks.1.attn.hook_pattern").read_only("it is a test"),
                HookPointSpec {
                    row: RowShape::Keys { heads: 1, masked: 0.0 },
                    ..hook("blocks.1.attn.hook_attn_scores")
                },
                hook("logits").at_logits(),
            ],
            ..ModelSpec::default()
        }
    }

    fn add(name: &str, vector: &[f32], strength: f32) -> Result<Interventions, InterventionError> {
        let mut interventions = Interventions::default();
        interventions.add_vector(&spec(), name, vector.into(), strength).map(|()| interventions)
    }

    #[test]
    fn a_vector_is_added_to_every_row_at_its_point_only() {
        let mut interventions = add("hook_embed", &[1.0, -2.0], 0.5).unwrap();
        interventions.add_vector(&spec(), "hook_embed", [0.0, 1.0].into(), 3.0).unwrap();
        let mut data = [0.0, 0.0, 10.0, 10.0];
        interventions.apply(HookId(1), &mut data, 2).unwrap();
        assert_eq!(data, [0.0, 0.0, 10.0, 10.0]);
        interventions.apply(HookId(0), &mut data, 2).unwrap();
        assert_eq!(data, [0.5, 2.0, 10.5, 12.0]);
    }

    #[test]
    fn a_point_of_logits_is_wanted_where_there_are_some() {
        let mut interventions = add("logits", &[1.0, 0.0], 1.0).unwrap();
        interventions.add_vector(&spec(), "hook_embed", [1.0, 0.0].into(), 1.0).unwrap();
        for has_logits in [false, true] {
            let mut wanted = HookSet::new();
            interventions.mark(has_logits, &mut wanted);
            assert_eq!((wanted.contains(HookId(0)), wanted.contains(HookId(4))), (true, has_logits));
        }
    }

    #[test]
    fn a_zero_delta_writes_nothing() {
        for (vector, strength) in [([1.0, 1.0], 0.0), ([1.0, 1.0], -0.0), ([0.0, 0.0], 5.0)] {
            assert!(add("hook_embed", &vector, strength).unwrap().is_empty());
        }
    }

    #[test]
    fn what_cannot_be_added_is_refused_with_the_reason() {
        let message = |result: Result<Interventions, InterventionError>| result.unwrap_err().to_string();
        assert!(message(add("something else", &[0.0; 2], 1.0)).contains("unknown hook point"));
        assert!(message(add("blocks.1.attn.hook_pattern", &[0.0; 2], 1.0)).contains("only be read"));
        assert!(message(add("blocks.1.attn.hook_attn_scores", &[], 1.0)).contains("no vector fits"));
        let short = add("hook_embed", &[0.0; 3], 1.0).unwrap_err();
        assert!(matches!(short, InterventionError::WrongLength { expected: 2, found: 3, .. }), "{short}");
        let infinite = add("hook_embed", &[0.0, f32::INFINITY], 1.0).unwrap_err();
        assert_eq!(infinite, InterventionError::NotFinite { index: 1 });
        assert_eq!(add("hook_embed", &[1.0; 2], f32::NAN).unwrap_err(), InterventionError::StrengthNotFinite);
    }
}
