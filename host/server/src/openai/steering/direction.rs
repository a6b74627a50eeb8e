//! What an intervention goes along.

use std::sync::Arc;

use serde_json::Value;

use super::{
    Steerable,
    edit::Form,
    refusal::of_sae,
    vectors::{given, named},
};
use crate::{
    error::{ApiError, Kind},
    fields::Fields,
    models::{Profile, Vector},
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
        values: Arc<[f32]>,
        profile: Option<Profile>,
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
                let Vector { values, profile } = named(&name, steerable.vectors, param)?;
                Ok(Direction::Vector { name: Some(name), values, profile })
            }
            (None, None, Some(values)) if sae.is_none() => {
                let values = given(&values, &fields.path("values"))?;
                Ok(Direction::Vector { name: None, values, profile: None })
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
    /// In raw units.
    pub(super) fn values(&self) -> &Arc<[f32]> {
        match self {
            Self::Feature { values, .. } | Self::Vector { values, .. } => values,
        }
    }

    /// Where it belongs if nobody says otherwise.
    pub(super) fn hook_point(&self) -> Option<String> {
        match self {
            Self::Feature { sae, .. } => Some(sae.writes_at()),
            Self::Vector { profile, .. } => profile.as_ref().map(|profile| profile.hook_point.clone()),
        }
    }
}
