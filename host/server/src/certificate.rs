//! How a model's numbers compare with a reference, hook point by hook point.
//!
//! The reference is a golden file: what transformers computed for the same checkpoint. `examples/verify/make_golden.py`
//! makes one, and its README describes the layout. What no reference was compared with says `unverified`.

mod compare;
mod error;
mod examine;
mod golden;
mod kept;
mod prompt;
mod table;

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use self::compare::Agreement;
pub(crate) use self::{
    compare::Tolerance,
    examine::{Reading, examine},
    golden::Golden,
    kept::Kept,
    table::table,
};

/// What is known of one model.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Certificate {
    /// The worst of what follows.
    pub(crate) status: Status,
    /// Why nothing was compared, if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// What the model was compared with.
    #[schema(required)]
    pub(crate) reference: Option<Reference>,
    /// What counts as equal.
    pub(crate) tolerance: Tolerance,
    /// One per hook point that the model offers, in the order of computation, then those that only the reference has.
    pub(crate) hook_points: Vec<PointCertificate>,
    /// Greedy tokens that agree with the reference, of how many. `None` if it has none.
    #[schema(required)]
    pub(crate) greedy: Option<Greedy>,
}

/// Ordered from best to worst, so that the worst of several is the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[schema(as = CertificateStatus)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Within the tolerance of the reference.
    Verified,
    /// Not compared.
    Unverified,
    /// Compared, and different.
    Failed,
}

/// Where the reference comes from.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Reference {
    /// SHA-256 of the golden file.
    pub(crate) sha256: String,
    /// Its prompts.
    pub(crate) prompts: usize,
    /// Tokens of all of them.
    pub(crate) tokens: usize,
    /// Versions of what computed it, and whatever else it says of itself.
    pub(crate) metadata: BTreeMap<String, String>,
}

/// What is known of one hook point.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct PointCertificate {
    pub(crate) name: String,
    pub(crate) status: Status,
    /// Over all prompts, the worst of each. `None` if it was not compared.
    #[serde(flatten)]
    #[schema(schema_with = agreement_or_nothing)]
    pub(crate) agreement: Option<Agreement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// Greedy continuations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Greedy {
    /// Tokens that are the model's own choice after all before them.
    pub(crate) agreeing: usize,
    /// Tokens of all continuations.
    pub(crate) of: usize,
}

/// The members of an agreement, none of which is there if nothing was compared.
fn agreement_or_nothing() -> RefOr<Schema> {
    let mut schema = Agreement::schema();
    if let RefOr::T(Schema::Object(object)) = &mut schema {
        object.required.clear();
    }
    schema
}

impl Certificate {
    /// That of a model that was compared with nothing.
    pub(crate) fn unverified(hook_points: impl Iterator<Item = String>, reason: String) -> Self {
        let unverified = |name| PointCertificate { name, status: Status::Unverified, agreement: None, reason: None };
        Self {
            status: Status::Unverified,
            reason: Some(reason),
            reference: None,
            tolerance: Tolerance::F32,
            hook_points: hook_points.map(unverified).collect(),
            greedy: None,
        }
    }

    /// How many hook points have this status.
    pub(crate) fn count(&self, status: Status) -> usize {
        self.hook_points.iter().filter(|point| point.status == status).count()
    }
}
