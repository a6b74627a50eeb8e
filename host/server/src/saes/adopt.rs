//! SAEs that lie in the folder of a model come with it.

use std::{path::Path, sync::Arc};

use super::{
    Base, Saes,
    attach::Attach,
    entry::{Entry, Standing},
    local::places,
};

impl Saes {
    /// Makes the SAEs in the folder `saes` of a model known, and attaches those about which nobody has decided otherwise. One
    /// that cannot be attached is logged, and says why.
    pub(crate) fn adopt(&self, base: &Base, folder: &Path) {
        let folder = folder.join("saes");
        if !folder.is_dir() {
            return;
        }
        for place in places(&folder, &self.shared.registry) {
            if let Some(known) = self.entries_mut().iter_mut().find(|entry| entry.place == place) {
                known.comes_with = Some(base.id.clone());
                continue;
            }
            let mut id = place.name();
            if self.entries().iter().any(|entry| entry.id == id) {
                id = format!("{}-{id}", base.id);
            }
            let mut entry = Entry::of_model(id.clone(), place.clone(), &base.id, self.facts(&place));
            match self.open_at(&id, &place, base, &Attach::default()) {
                Ok(attached) => entry.standing = Standing::Attached(Arc::new(attached)),
                Err(error) => {
                    tracing::warn!(sae = id, model = base.id, "cannot be attached: {}", error.message);
                    entry.facts = Err(error.message);
                }
            }
            let mut entries = self.entries_mut();
            if entries.iter().any(|entry| entry.id == id) {
                tracing::warn!(sae = id, "another SAE has this name");
                continue;
            }
            tracing::info!(sae = id, model = base.id, "an SAE came with the model");
            entries.push(entry);
        }
    }

    /// Forgets those that came with the model, but for what somebody has decided about them.
    pub(crate) fn abandon(&self, model: &str) {
        self.entries_mut().retain_mut(|entry| {
            let came_with = entry.comes_with.as_deref() == Some(model);
            entry.comes_with.take_if(|_| came_with);
            entry.stored || !came_with
        });
    }
}
