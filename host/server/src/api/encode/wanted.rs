//! What is wanted of features: the active ones, the largest of those, chosen ones, or all.

use std::collections::BTreeMap;

use millm_engine::{SaeError, sae::Features};
use serde::Serialize;

use super::super::{
    answer::{json, members},
    dtype::Dtype,
    pieces::Piece,
};
use crate::{
    error::{ApiError, Kind},
    fields::{Fields, integer, wrong_type},
    free_memory::available,
    saes::AttachedSae,
};

/// What is wanted.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    /// Those that are not 0; at most so many, the largest first.
    Active {
        top_k: Option<usize>,
    },
    Chosen(Vec<u32>),
    Dense(Dtype),
}

/// What it has come to, of one prompt.
#[derive(Debug)]
pub(super) enum Encoded {
    /// Of each row.
    Active { rows: Vec<Features>, descriptions: BTreeMap<u32, String> },
    /// `[rows, features]`.
    Chosen { features: Vec<u32>, values: Vec<f32>, descriptions: BTreeMap<u32, String> },
    /// `[rows, d_sae]`.
    Dense { values: Vec<f32>, d_sae: usize, dtype: Dtype },
}

/// Rows encoded at once, since each takes a number per feature.
const ROWS: usize = 16;
const MAX_FEATURES: usize = 4096;
/// What an active feature takes until the client has it, and how many of them a row is expected to have at most.
const ACTIVE_BYTES: u64 = 64;
const ACTIVE: u64 = 4096;

#[derive(Serialize)]
struct Sparse<'a> {
    features: Vec<Row<'a>>,
    descriptions: &'a BTreeMap<u32, String>,
}

#[derive(Serialize)]
struct Row<'a> {
    indices: &'a [u32],
    values: &'a [f32],
}

#[derive(Serialize)]
struct Table<'a> {
    feature_indices: &'a [u32],
    values: Vec<&'a [f32]>,
    descriptions: &'a BTreeMap<u32, String>,
}

impl Wanted {
    /// Reads `top_k`, `features`, `dense` and `dtype`; one of the first three at most.
    pub(super) fn read(fields: &mut Fields, d_sae: u32) -> Result<Self, ApiError> {
        let top_k = fields.integer("top_k", 1..=d_sae.into())?;
        let features = fields.list("features")?;
        let dense = fields.flag("dense")?;
        let has_dtype = fields.has("dtype");
        let dtype = Dtype::read(fields)?;
        let refuse =
            |param: &str, why: &str| Err(ApiError::at(Kind::InvalidValue, param, format!("Invalid '{param}': {why}.")));
        if has_dtype && !dense {
            return refuse("dtype", "it is about 'dense'");
        }
        match (top_k, features, dense) {
            (top_k, None, false) => Ok(Self::Active { top_k: top_k.map(|top_k| top_k as usize) }),
            (None, Some(list), false) => {
                if list.is_empty() || list.len() > MAX_FEATURES {
                    return refuse(
                        "features",
                        &format!("expected 1 to {MAX_FEATURES} indices, but got {}", list.len()),
                    );
                }
                let index = |(at, value)| {
                    let path = format!("features[{at}]");
                    let found = integer(value).ok_or_else(|| wrong_type(&path, "the index of a feature", value))?;
                    u32::try_from(found).ok().filter(|found| *found < d_sae).ok_or_else(|| {
                        let message =
                            format!("Invalid '{path}': there is no feature {found}; they are 0 to {}.", d_sae - 1);
                        ApiError::at(Kind::FeatureOutOfRange, path, message)
                    })
                };
                list.iter().enumerate().map(index).collect::<Result<_, _>>().map(Self::Chosen)
            }
            (None, None, true) => Ok(Self::Dense(dtype)),
            _ => refuse("top_k", "'top_k', 'features' and 'dense' exclude each other"),
        }
    }

    /// Bytes that the answer for so many rows takes until the client has it, at most as a rule.
    pub(super) fn bytes(&self, rows: usize, d_sae: u32) -> u64 {
        let (rows, d_sae) = (rows as u64, u64::from(d_sae));
        match self {
            Self::Active { top_k } => rows * top_k.map_or(ACTIVE, |top_k| top_k as u64).min(d_sae) * ACTIVE_BYTES,
            Self::Chosen(features) => rows * features.len() as u64 * ACTIVE_BYTES,
            Self::Dense(_) => rows * d_sae * size_of::<f32>() as u64,
        }
    }

    /// Refuses what takes more memory than there is: all features take the whole encoder.
    pub(super) fn check_memory(&self, sae: &AttachedSae) -> Result<(), ApiError> {
        let sae = &sae.sae.sae;
        let needs_all = sae.is_competitive() || !matches!(self, Self::Chosen(_));
        let (needed, available) = (sae.encoder_bytes(), available());
        if !needs_all || needed <= available {
            return Ok(());
        }
        let message = format!(
            "All features of this SAE take {} MiB of memory, and {} MiB are available. Ask for some 'features'.",
            needed.div_ceil(1 << 20),
            available >> 20
        );
        let error = ApiError::new(Kind::InsufficientMemory, message);
        Err(error.with("required_bytes", needed).with("available_bytes", available))
    }

    /// Encodes rows of the model's activation. Takes as long as they are many.
    pub(super) fn encode(&self, attached: &AttachedSae, rows: &[f32]) -> Result<Encoded, ApiError> {
        let (sae, site, threads) = (&attached.sae.sae, &attached.sae.site, &attached.sae.threads);
        let failed = |error: SaeError| match error {
            // What a request brings is finite, and so is what a model computes that nobody steers.
            SaeError::RowNotFinite { .. } => {
                ApiError::at(Kind::SteeringNotFinite, "steering", format!("The request failed: {error}."))
            }
            error => ApiError::new(Kind::InvalidSae, format!("The SAE '{}' cannot be computed: {error}.", attached.id)),
        };
        let spec = sae.spec();
        let chunks = rows.chunks(ROWS * spec.d_in as usize);
        match self {
            Self::Active { top_k } => {
                let mut found = Vec::new();
                for rows in chunks {
                    let features = sae.encode_sparse(threads, rows, site).map_err(failed)?;
                    found.extend(features.into_iter().map(|features| top(features, *top_k)));
                }
                let indices = found.iter().flat_map(|features: &Features| features.indices.iter().copied());
                let descriptions = descriptions(attached, indices);
                Ok(Encoded::Active { rows: found, descriptions })
            }
            Self::Chosen(features) => {
                let values = sae.encode_some(threads, rows, site, features).map_err(failed)?;
                let descriptions = descriptions(attached, features.iter().copied());
                Ok(Encoded::Chosen { features: features.clone(), values, descriptions })
            }
            Self::Dense(dtype) => {
                let mut values = Vec::new();
                for rows in chunks {
                    values.append(&mut sae.encode(threads, rows, site).map_err(failed)?);
                }
                Ok(Encoded::Dense { values, d_sae: spec.d_sae as usize, dtype: *dtype })
            }
        }
    }
}

/// The largest of them, largest first; all, by their index, if there is no limit.
fn top(features: Features, limit: Option<usize>) -> Features {
    let Some(limit) = limit else { return features };
    let mut pairs: Vec<(u32, f32)> = features.iter().collect();
    pairs.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    pairs.truncate(limit);
    let (indices, values) = pairs.into_iter().unzip();
    Features { indices, values }
}

fn descriptions(sae: &AttachedSae, indices: impl Iterator<Item = u32>) -> BTreeMap<u32, String> {
    let notes = sae.notes();
    let described = indices.filter_map(|index| Some((index, notes.get(&index)?.description.clone()?)));
    described.collect()
}

impl Encoded {
    /// The members of an object, in JSON.
    pub(super) fn pieces(self) -> Vec<Piece> {
        match self {
            Self::Active { rows, descriptions } => {
                let features = rows.iter().map(|row| Row { indices: &row.indices, values: &row.values }).collect();
                vec![Piece::text(members(&Sparse { features, descriptions: &descriptions }))]
            }
            Self::Chosen { features, values, descriptions } => {
                let values = values.chunks(features.len()).collect();
                let table = Table { feature_indices: &features, values, descriptions: &descriptions };
                vec![Piece::text(members(&table))]
            }
            Self::Dense { values, d_sae, dtype } => {
                let shape = json(&[values.len() / d_sae, d_sae]);
                let head = format!(r#""activations":{{"shape":{shape},"dtype":"{}","data":""#, dtype.as_str());
                vec![Piece::text(head), Piece::Base64(values, dtype), Piece::text(r#""}"#)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(body: Value) -> Result<Wanted, ApiError> {
        Wanted::read(&mut Fields::of(body, String::new())?, 10)
    }

    #[test]
    fn one_kind_of_answer_is_asked_for() {
        assert_eq!(read(json!({})), Ok(Wanted::Active { top_k: None }));
        assert_eq!(read(json!({ "top_k": 3, "dense": false })), Ok(Wanted::Active { top_k: Some(3) }));
        assert_eq!(read(json!({ "features": [9, 0] })), Ok(Wanted::Chosen(vec![9, 0])));
        assert_eq!(read(json!({ "dense": true, "dtype": "float16" })), Ok(Wanted::Dense(Dtype::Float16)));
        for (body, kind) in [
            (json!({ "features": [10] }), Kind::FeatureOutOfRange),
            (json!({ "features": [-1] }), Kind::FeatureOutOfRange),
            (json!({ "features": ["1"] }), Kind::InvalidType),
            (json!({ "features": [] }), Kind::InvalidValue),
            (json!({ "top_k": 0 }), Kind::IntegerBelowMin),
            (json!({ "top_k": 11 }), Kind::IntegerAboveMax),
            (json!({ "top_k": 1, "features": [1] }), Kind::InvalidValue),
            (json!({ "dense": true, "features": [1] }), Kind::InvalidValue),
            (json!({ "dtype": "float32" }), Kind::InvalidValue),
        ] {
            assert_eq!(read(body.clone()).unwrap_err().kind, kind, "{body}");
        }
    }

    #[test]
    fn the_largest_come_first_and_of_equals_the_first() {
        let features = Features { indices: vec![1, 4, 6, 8], values: vec![0.5, 2.0, 0.5, -3.0] };
        assert_eq!(top(features.clone(), None), features);
        assert_eq!(top(features, Some(3)), Features { indices: vec![4, 1, 6], values: vec![2.0, 0.5, 0.5] });
    }
}
