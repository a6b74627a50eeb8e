//! Finding plugins.

use std::path::{Path, PathBuf};

use super::Registry;
use crate::{
    entry::Entry,
    examination::{Examined, Facts},
    rejection::Rejection,
    state::State,
};

impl Registry {
    /// Looks into the folders again: opens what is new, tries again what was untrusted or rejected, and forgets what has
    /// gone and was never opened. What has been opened stays as it is.
    pub fn rescan(&self) {
        let _managing = self.manage();
        let mut found: Vec<(usize, PathBuf)> = Vec::new();
        let mut unlisted = Vec::new();
        for (search, folder) in self.options.folders.iter().enumerate() {
            match folder.candidates() {
                Ok(candidates) => found.extend(candidates.into_iter().map(|candidate| (search, candidate))),
                Err(error) => {
                    tracing::warn!(folder = %folder.path.display(), "cannot list plugins: {error}");
                    unlisted.push(search);
                }
            }
        }
        let here =
            |entry: &Entry| unlisted.contains(&entry.search) || found.iter().any(|(_, folder)| *folder == entry.folder);
        self.write().entries.retain(|entry| entry.images > 0 || here(entry));
        for (search, folder) in found {
            let at = self.entry_of(search, &folder);
            if !self.is_settled(at) {
                let (facts, examined) = self.examine(search, &folder);
                self.decide(at, facts, examined);
            }
        }
    }

    /// The index of the entry of a folder, which is made if it is new.
    fn entry_of(&self, search: usize, folder: &Path) -> usize {
        let mut plugins = self.write();
        plugins.entries.iter().position(|entry| entry.folder == folder).unwrap_or_else(|| {
            plugins.entries.push(Entry::new(folder.to_owned(), search, self.options.folders[search].origin));
            plugins.entries.len() - 1
        })
    }

    /// Whether only an explicit call changes anything about it.
    fn is_settled(&self, at: usize) -> bool {
        let entry = &self.read().entries[at];
        entry.image.is_some() || entry.state == State::Faulted || !entry.may_open()
    }

    /// Opens an examined plugin, unless it is disabled or refused.
    fn decide(&self, at: usize, facts: Facts, examined: Result<Examined, Rejection>) {
        let mut plugins = self.write();
        let seen = &plugins.entries[at];
        if seen.images > 0 && seen.facts.sha256 == facts.sha256 {
            // These bytes were opened once and did not fit; another image of them would not either.
            return;
        }
        let name = facts.manifest.as_ref().map_or_else(String::new, |manifest| manifest.name.clone());
        let first = plugins.named(&name).filter(|first| *first != at);
        let disabled = plugins.disabled.contains(&name);
        let first = first.map(|first| plugins.entries[first].folder.clone());
        let entry = &mut plugins.entries[at];
        entry.facts = facts;
        entry.duplicate = false;
        let outcome = match first {
            Some(first) => Err(Rejection::Duplicate { name, first }),
            None if disabled => {
                if entry.state != State::Disabled {
                    tracing::info!(name, "plugin disabled");
                }
                entry.state = State::Disabled;
                entry.reason = examined.err().map(|rejection| rejection.to_string());
                return;
            }
            None => examined,
        };
        drop(plugins);
        let name = outcome.as_ref().map_or_else(|_| String::new(), |examined| examined.manifest.name.clone());
        match outcome.and_then(|examined| self.start(at, examined)) {
            Ok(()) => self.warn_of_shadows(&name),
            Err(rejection) => {
                let mut plugins = self.write();
                let entry = &mut plugins.entries[at];
                // What is known already is not repeated.
                if entry.reason.as_ref() != Some(&rejection.to_string()) {
                    tracing::warn!(folder = %entry.folder.display(), "plugin rejected: {rejection}");
                }
                entry.refuse(&rejection);
            }
        }
    }
}
