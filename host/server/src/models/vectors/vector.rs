use std::sync::Arc;

use millm_engine::Interventions;
use millm_plugin_api::{HookPoint, ModelSpec};

/// A steering vector.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Vector {
    /// One, which goes where a request wants it.
    Single {
        values: Arc<[f32]>,
        /// How to steer with it when only its name is given, if its file says so and the model can do it.
        profile: Option<Profile>,
    },
    /// Several, as in a control vector. Each goes where its file says, and nowhere else.
    Parts {
        parts: Arc<[Part]>,
        /// 1 unless the file says otherwise.
        strength: f64,
        /// Whether there is to be one for every block of the model.
        is_whole: bool,
    },
}

/// A vector at a hook point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) hook_point: String,
    pub(crate) values: Arc<[f32]>,
}

/// How to steer with a vector: what the metadata `hook_point` and `recommended_strength` of its file say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    pub(crate) hook_point: String,
    /// 1 unless the file says otherwise.
    pub(crate) strength: f64,
}

impl Vector {
    /// What to add, and how strongly, when only its name is given. `None` if nobody says where.
    pub(crate) fn profile(&self) -> Option<(Vec<Part>, f64)> {
        match self {
            Self::Single { values, profile: Some(Profile { hook_point, strength }) } => {
                let part = Part { hook_point: hook_point.clone(), values: Arc::clone(values) };
                Some((vec![part], *strength))
            }
            Self::Single { profile: None, .. } => None,
            Self::Parts { parts, strength, .. } => Some((parts.to_vec(), *strength)),
        }
    }

    /// Whether a model can be steered as the file says; if not, why.
    pub(super) fn fits(&self, spec: &ModelSpec) -> Result<(), String> {
        if let Self::Parts { parts, is_whole: true, .. } = self
            && parts.len() != spec.n_layers as usize
        {
            return Err(format!("it has {} rows, and this model has {} blocks", parts.len(), spec.n_layers));
        }
        let Some((parts, strength)) = self.profile() else { return Ok(()) };
        let mut interventions = Interventions::default();
        for Part { hook_point, values } in parts {
            let layer = hook_point.parse().ok().and_then(|point: HookPoint| point.layer);
            if let Some(layer) = layer.filter(|layer| *layer >= spec.n_layers) {
                return Err(format!("it is for block {layer}, and this model has {} blocks, from 0", spec.n_layers));
            }
            let added = interventions.add_vector(spec, &hook_point, values, strength as f32);
            added.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
