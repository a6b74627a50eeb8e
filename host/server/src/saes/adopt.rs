//! What becomes of SAEs when a model is loaded: those that lie in its folder come with it, and those that are attached to it are
//! held against it.

use std::{path::Path, sync::Arc};

use super::{
    Base, Saes,
    attach::Attach,
    entry::{Entry, Standing},
    local::places,
};

impl Saes {
    /// Holds the SAEs that are attached to a model against it, makes those in its folder `saes` known, and attaches those of
    /// them about which nobody has decided otherwise. One that cannot be attached is logged, and says why.
    ///
    /// It waits for other changes, and for the model's engine.
    pub(crate) fn adopt(&self, base: &Base, folder: &Path) {
        let _changing = self.shared.changes.blocking_lock();
        self.meet(base);
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

    /// Looks at the SAEs that are attached to a model, whose weights may be others than they were then: what site fixes take of
    /// them is measured again. One that cannot be used says why, until the model is loaded again.
    fn meet(&self, base: &Base) {
        let known = |entry: &Entry| {
            let (was, site) = match &entry.standing {
                Standing::Attached(sae) => (sae.row(), Some(Arc::clone(&sae.sae.site))),
                Standing::Broken { attachment, .. } => (attachment.clone(), None),
                Standing::Detached => return None,
            };
            (was.model == base.id).then(|| (entry.id.clone(), entry.place.clone(), was, site))
        };
        let theirs: Vec<_> = self.entries().iter().filter_map(known).collect();
        for (id, place, was, site) in theirs {
            let standing = match self.reattach(&id, &place, &was, Some(base)) {
                Ok(sae) if site.as_ref() == Some(&sae.sae.site) => continue,
                Ok(sae) => {
                    tracing::info!(sae = id, model = base.id, "its place in the model is measured anew");
                    Standing::Attached(Arc::new(sae))
                }
                Err(error) => {
                    tracing::error!(sae = id, model = base.id, "cannot be used: {}", error.message);
                    Standing::Broken { attachment: was, reason: error.message }
                }
            };
            if let Some(entry) = self.entries_mut().iter_mut().find(|entry| entry.id == id) {
                entry.standing = standing;
            }
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
