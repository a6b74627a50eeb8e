//! What an intervention goes along.

use std::sync::Arc;

use serde_json::Value;

use super::{
    Steerable,
    form::Form,
    op::Op,
    refusal::of_sae,
    vectors::{given, named},
};
use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip},
    models::{Part, Vector},
    saes::AttachedSae,
};

/// What a request says that an intervention goes along.
#[derive(Debug)]
pub(super) struct Asked {
    sae: Option<String>,
    feature: Option<u32>,
    name: Option<String>,
    values: Option<Vec<Value>>,
}

/// What an intervention goes along.
#[derive(Clone, Debug)]
pub(super) enum Direction {
    Feature {
        sae: Arc<AttachedSae>,
        feature: u32,
        /// Its row of `W_dec`.
        values: Arc<[f32]>,
    },
    Vector {
        /// None of one that is in the request.
        name: Option<String>,
        vector: Vector,
    },
}

impl Asked {
    /// Reads all that can be said of it in this form.
    pub(super) fn read(fields: &mut Fields, form: Form) -> Result<Self, ApiError> {
        let (feature, vector) = form.words();
        let sae = feature.map_or(Ok(None), |_| fields.string("sae"))?;
        let feature = feature.map_or(Ok(None), |key| fields.integer(key, 0..=u32::MAX.into()))?;
        let name = vector.map_or(Ok(None), |key| fields.string(key))?;
        let values = vector.map_or(Ok(None), |_| fields.list("values"))?;
        Ok(Self { sae, feature: feature.map(|feature| feature as u32), name, values })
    }

    /// Finds it.
    pub(super) fn find(self, fields: &Fields, form: Form, steerable: Steerable<'_>) -> Result<Direction, ApiError> {
        let Self { sae, feature, name, values } = self;
        let (feature_key, vector_key) = form.words();
        let words = [feature_key, vector_key, vector_key.map(|_| "values")];
        let words: Vec<String> = words.into_iter().flatten().map(|key| fields.path(key)).collect();
        match (feature, name, values) {
            (Some(feature), None, None) => {
                let sae = Arc::clone(steerable.saes.get(sae.as_deref(), &fields.path("sae"))?);
                let param = fields.path(feature_key.unwrap_or_default());
                let values = sae.sae.sae.direction(feature).map_err(|error| of_sae(&error, &param))?;
                Ok(Direction::Feature { sae, feature, values })
            }
            (None, Some(name), None) if sae.is_none() => {
                let param = fields.path(vector_key.unwrap_or_default());
                let vector = named(&name, steerable.vectors, param)?;
                Ok(Direction::Vector { name: Some(name), vector })
            }
            (None, None, Some(values)) if sae.is_none() => {
                let values = given(&values, &fields.path("values"))?;
                Ok(Direction::Vector { name: None, vector: Vector::Single { values, profile: None } })
            }
            (None, None, None) => {
                let param = words.first().cloned().unwrap_or_default();
                let message = match words.len() {
                    1 => format!("Missing required parameter: '{param}'."),
                    _ => format!("One of '{}' is required.", words.join("' and '")),
                };
                Err(ApiError::at(Kind::MissingParameter, param, message))
            }
            _ => {
                let param = words.last().cloned().unwrap_or_default();
                let message = format!("'{}' exclude each other, and 'sae' goes with a feature.", words.join("' and '"));
                Err(ApiError::at(Kind::InvalidValue, param, message))
            }
        }
    }
}

impl Direction {
    /// The directions and where they belong, in raw units. `given` is where the request wants it.
    pub(super) fn parts(&self, fields: &Fields, given: Option<String>, op: Op) -> Result<Vec<Part>, ApiError> {
        let wrong = |why: String| {
            let path = fields.path("hook_point");
            Err(ApiError::at(Kind::InvalidValue, path.clone(), format!("Invalid '{path}': {why}.")))
        };
        let at = |hook_point: Option<String>, values: &Arc<[f32]>| {
            let hook_point = fields.require("hook_point", hook_point)?;
            Ok(vec![Part { hook_point, values: Arc::clone(values) }])
        };
        match self {
            Self::Feature { sae, values, .. } => match (given, op) {
                (Some(given), Op::Move(_)) if given != sae.hook_point => wrong(format!(
                    "features of '{}' are measured at {}, so they cannot be set elsewhere",
                    sae.id, sae.hook_point
                )),
                (_, Op::Move(_)) => at(Some(sae.hook_point.clone()), values),
                (given, _) => at(given.or_else(|| Some(sae.writes_at())), values),
            },
            Self::Vector { vector: Vector::Single { values, profile }, .. } => {
                at(given.or_else(|| profile.as_ref().map(|profile| profile.hook_point.clone())), values)
            }
            Self::Vector { vector: Vector::Parts { parts, .. }, name } => match given {
                Some(_) => wrong(format!(
                    "the vector '{}' has {} parts, and each of them belongs where its file says",
                    clip(name.as_deref().unwrap_or_default()),
                    parts.len()
                )),
                None => Ok(parts.to_vec()),
            },
        }
    }

    /// How strongly it is added if nobody says otherwise; `is_placed` if the request says where. `None` if somebody must.
    pub(super) fn strength(&self, is_placed: bool) -> Option<f64> {
        match self {
            Self::Feature { .. } => None,
            // What its file says holds as a whole: a strength is for a place.
            Self::Vector { vector, .. } if !is_placed => Some(vector.profile().map_or(1.0, |(_, strength)| strength)),
            Self::Vector { .. } => Some(1.0),
        }
    }
}
