//! What is told of an SAE.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    entry::{Entry, Standing},
    facts::SaeFacts,
    site::{fix_at, fix_name},
};
use crate::operations::time;

/// An SAE, as the management API shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct SaeView {
    pub(crate) id: String,
    /// `local`: a folder on this machine.
    pub(crate) source: &'static str,
    /// The folder of its files.
    pub(crate) path: String,
    /// Which plugin's: `saelens`, `gemma-scope` or another one's.
    pub(crate) format: String,
    /// The model whose folder it came in; it stays known with that.
    #[schema(required)]
    pub(crate) comes_with: Option<String>,
    pub(crate) status: SaeStatus,
    /// Why it cannot be used.
    #[schema(required)]
    pub(crate) error: Option<String>,
    /// What its files say.
    #[schema(required)]
    pub(crate) facts: Option<SaeFacts>,
    #[schema(required)]
    pub(crate) attachment: Option<Attachment>,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = DateTime)]
    pub(crate) updated_at: String,
}

/// Whether an SAE can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SaeStatus {
    /// It can be attached.
    Ready,
    /// Requests to its model can use it.
    Attached,
    /// Its files cannot be read.
    Error,
}

/// Where an SAE is attached.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Attachment {
    /// Id of the model, which need not be in memory.
    pub(crate) model: String,
    /// Where it reads, and what edits of its features write.
    pub(crate) hook_point: String,
    /// What is done to the model's activation before it is encoded.
    pub(crate) site_fix: String,
    /// How well it explained a text; null if that was not tested.
    #[schema(value_type = Option<Object>)]
    pub(crate) self_test: Value,
}

impl SaeView {
    pub(super) fn of(entry: &Entry) -> Self {
        let (status, attachment, reason) = match (&entry.standing, &entry.facts) {
            (Standing::Attached(sae), _) => {
                let attachment = Attachment {
                    model: sae.model.clone(),
                    hook_point: sae.hook_point.clone(),
                    site_fix: fix_name(fix_at(&sae.sae.site)).to_owned(),
                    self_test: sae.self_test.clone(),
                };
                (SaeStatus::Attached, Some(attachment), None)
            }
            (Standing::Broken { attachment, reason }, _) => {
                let attachment = Attachment {
                    model: attachment.model.clone(),
                    hook_point: attachment.hook_point.clone(),
                    site_fix: attachment.details["site_fix"].as_str().unwrap_or("none").to_owned(),
                    self_test: attachment.details["self_test"].clone(),
                };
                (SaeStatus::Error, Some(attachment), Some(reason.clone()))
            }
            (Standing::Detached, Ok(_)) => (SaeStatus::Ready, None, None),
            (Standing::Detached, Err(reason)) => (SaeStatus::Error, None, Some(reason.clone())),
        };
        Self {
            id: entry.id.clone(),
            source: "local",
            path: entry.place.folder().to_string_lossy().into_owned(),
            format: entry.place.format.clone(),
            comes_with: entry.comes_with.clone(),
            status,
            error: reason,
            facts: entry.facts.clone().ok(),
            attachment,
            created_at: time(entry.created_at),
            updated_at: time(entry.updated_at),
        }
    }
}
