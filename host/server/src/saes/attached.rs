use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use millm_engine::sae::Attached;
use serde_json::Value;

use super::notes::{self, Note};

/// An SAE that is open, at its place of a model. Who holds it can use it, whatever becomes of the SAE.
pub(crate) struct AttachedSae {
    /// What requests call it.
    pub(crate) id: String,
    /// Id of the model.
    pub(crate) model: String,
    /// Where it reads.
    pub(crate) hook_point: String,
    /// For the engine.
    pub(crate) sae: Attached,
    /// How well it explains the model; null if that was not tested.
    pub(crate) self_test: Value,
    /// Of all that its numbers depend on but the large matrices, and of the names and sizes of its files.
    pub(crate) fingerprint: String,
    pub(super) folder: PathBuf,
    /// Read when somebody asks.
    pub(super) notes: OnceLock<Arc<BTreeMap<u32, Note>>>,
}

impl AttachedSae {
    /// Where what its features decode to belongs: of a transcoder elsewhere than where it reads.
    pub(crate) fn writes_at(&self) -> String {
        let spec = self.sae.sae.spec();
        let out = spec.hook_name_out.as_ref().filter(|_| spec.is_transcoder);
        out.map_or_else(|| self.hook_point.clone(), ToString::to_string)
    }

    /// What is said of its features, of those of which something is.
    pub(crate) fn notes(&self) -> &Arc<BTreeMap<u32, Note>> {
        self.notes.get_or_init(|| Arc::new(notes::read(&self.folder, self.sae.sae.spec().d_sae)))
    }
}

impl fmt::Debug for AttachedSae {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachedSae").field("id", &self.id).field("model", &self.model).finish_non_exhaustive()
    }
}
