//! What a step shows, and what a test changes in it.

use std::collections::BTreeMap;

use millm_plugin_api::{HookId, HookSet, ModelSpec, PluginError, RowShape, TensorMut, hook::HookVisitor};

/// Collects activations of one sequence, row after row, however many steps it takes. May edit on the way.
pub(crate) struct Probe {
    spec: ModelSpec,
    /// Length that rows of scores are filled up to with what masks them.
    keys: usize,
    pub(crate) activations: BTreeMap<HookId, Vec<f32>>,
    edit: Option<(HookId, Edit)>,
}

/// What is done to a point's rows before they are collected.
#[derive(Clone)]
pub(crate) enum Edit {
    /// The same vector is added to each.
    Add(Vec<f32>),
    /// Every element is written again as it is.
    Identity,
    /// Every element becomes another.
    Spoil,
}

impl Probe {
    pub(crate) fn new(spec: &ModelSpec, keys: usize) -> Self {
        Self { spec: spec.clone(), keys, activations: BTreeMap::new(), edit: None }
    }

    pub(crate) fn editing(spec: &ModelSpec, point: HookId, edit: Edit) -> Self {
        Self { edit: Some((point, edit)), ..Self::new(spec, 0) }
    }

    /// By the point's name.
    pub(crate) fn at(&self, name: &str) -> &[f32] {
        &self.activations[&point(&self.spec, name)]
    }
}

impl HookVisitor for Probe {
    fn visit(&mut self, point: HookId, _: usize, mut activation: TensorMut<'_>) -> Result<(), PluginError> {
        let shape = activation.shape().to_vec();
        let data = activation.as_f32_mut()?;
        let edit = self.edit.as_ref().filter(|(at, _)| *at == point).map(|(_, edit)| edit);
        match edit {
            Some(Edit::Add(delta)) => {
                let rows = data.chunks_exact_mut(delta.len());
                rows.for_each(|row| row.iter_mut().zip(delta).for_each(|(x, delta)| *x += delta));
            }
            Some(Edit::Identity) => data.iter_mut().for_each(|x| *x = f32::from_bits(x.to_bits())),
            Some(Edit::Spoil) => data.iter_mut().enumerate().for_each(|(i, x)| *x += 1.0 + (i as f32).sin()),
            None => {}
        }
        let collected = self.activations.entry(point).or_default();
        match (self.spec.hook_points[point.0 as usize].row, &shape[..]) {
            (RowShape::Keys { masked, .. }, &[_, _, keys]) => {
                for of_head in data.chunks_exact(keys as usize) {
                    collected.extend_from_slice(of_head);
                    collected.extend(std::iter::repeat_n(masked, self.keys.saturating_sub(keys as usize)));
                }
            }
            (row, &[_, width]) => {
                assert_eq!(width as usize, row.elements(0), "{}", self.spec.hook_points[point.0 as usize].point);
                collected.extend_from_slice(data);
            }
            (row, shape) => panic!("rows of {row:?} in {shape:?}"),
        }
        Ok(())
    }
}

/// Every hook point of a model.
pub(crate) fn all_points(spec: &ModelSpec) -> HookSet {
    let mut wanted = HookSet::new();
    (0..spec.hook_points.len() as u32).for_each(|id| wanted.insert(HookId(id)));
    wanted
}

pub(crate) fn point(spec: &ModelSpec, name: &str) -> HookId {
    let found = spec.hook_points.iter().position(|hook| hook.point.to_string() == name);
    HookId(found.unwrap_or_else(|| panic!("no hook point {name}")) as u32)
}
