//! Managing plugins at run time.

use std::{path::PathBuf, sync::Arc};

use super::Registry;
use crate::{
    entry::Entry, error::ManageError, examination::Examined, image::Image, rejection::Rejection, state::State,
    status::PluginStatus,
};

impl Registry {
    /// Lets a plugin load models. One that was disabled at run time goes on with the code it has, if that is still
    /// trusted. Otherwise what is in its folder now goes through all checks.
    ///
    /// # Errors
    ///
    /// See [`ManageError`]. A disabled plugin stays disabled; its status says why.
    pub fn enable(&self, name: &str) -> Result<PluginStatus, ManageError> {
        let _managing = self.manage();
        let (at, state, image) = self.known(name)?;
        match (state, image) {
            (State::Enabled, _) => return self.status_of(at, name),
            (State::Disabled, Some(image)) if self.still_trusted(at, &image) => {
                let mut plugins = self.write();
                let entry = &mut plugins.entries[at];
                (entry.state, entry.reason) = (State::Enabled, None);
            }
            _ => self.open_anew(at, name)?,
        }
        self.write().disabled.remove(name);
        tracing::info!(name, "plugin enabled");
        self.warn_of_shadows(name);
        self.status_of(at, name)
    }

    /// Lets a plugin load no more models. Those it has loaded go on, and its library stays in memory.
    ///
    /// # Errors
    ///
    /// [`ManageError::NotFound`].
    pub fn disable(&self, name: &str) -> Result<PluginStatus, ManageError> {
        let _managing = self.manage();
        let (at, state, _) = self.known(name)?;
        if state != State::Disabled {
            let mut plugins = self.write();
            plugins.entries[at].state = State::Disabled;
            plugins.disabled.insert(name.to_owned());
            drop(plugins);
            tracing::info!(name, "plugin disabled");
        }
        self.status_of(at, name)
    }

    /// Reads a plugin's file anew and lets new models run on it; those that are loaded keep the old code. One that was
    /// refused before is tried again.
    ///
    /// # Errors
    ///
    /// See [`ManageError`]. A plugin that worked goes on as it was.
    pub fn reload(&self, name: &str) -> Result<PluginStatus, ManageError> {
        let _managing = self.manage();
        let (at, state, _) = self.known(name)?;
        if state == State::Disabled {
            return Err(ManageError::Disabled { name: name.to_owned() });
        }
        self.open_anew(at, name)?;
        self.warn_of_shadows(name);
        self.status_of(at, name)
    }

    fn still_trusted(&self, at: usize, image: &Image) -> bool {
        let (search, folder) = self.place(at);
        self.authority(search).check(&folder.join(&image.manifest.entry), &image.sha256).is_ok()
    }

    /// Opens what is in the plugin's folder now, in place of what is open.
    fn open_anew(&self, at: usize, name: &str) -> Result<(), ManageError> {
        let (search, folder) = self.place(at);
        let (may_open, superseded) = {
            let entry = &self.read().entries[at];
            (entry.may_open(), entry.superseded())
        };
        if !may_open {
            return Err(ManageError::TooManyImages { name: name.to_owned(), superseded });
        }
        let (facts, examined) = self.examine(search, &folder);
        let examined = examined.and_then(|examined| match &examined.manifest.name {
            same if same == name => Ok(examined),
            after => Err(Rejection::Renamed { folder, before: name.to_owned(), after: after.clone() }),
        });
        // The name that it is managed by stays its own, whatever became of its manifest.
        if facts.manifest.as_ref().is_some_and(|manifest| manifest.name == name) {
            self.write().entries[at].facts = facts;
        }
        examined.and_then(|examined| self.start(at, examined)).map_err(|rejection| self.refused(at, name, rejection))
    }

    /// Opens a plugin that passed every check and lets new models run on it.
    pub(super) fn start(&self, at: usize, examined: Examined) -> Result<(), Rejection> {
        let host = (self.options.host)(&examined.manifest.name);
        let started = Image::start(examined, &self.copies, host);
        let mut plugins = self.write();
        let entry = &mut plugins.entries[at];
        match started {
            Ok(image) => {
                let old = entry.image.replace(Arc::new(image));
                entry.images += 1;
                (entry.state, entry.reason) = (State::Enabled, None);
                drop(plugins);
                // Outside of the lock, since it runs the plugin's code.
                drop(old);
                Ok(())
            }
            Err(rejection) => {
                entry.images += usize::from(rejection.left_an_image());
                Err(rejection)
            }
        }
    }

    /// Notes why a plugin cannot be used, unless it goes on with what it has.
    fn refused(&self, at: usize, name: &str, rejection: Rejection) -> ManageError {
        tracing::warn!(name, "plugin refused: {rejection}");
        let mut plugins = self.write();
        let entry = &mut plugins.entries[at];
        match entry.state {
            State::Enabled => {}
            State::Disabled => entry.reason = Some(rejection.to_string()),
            State::Untrusted | State::Rejected | State::Faulted => entry.refuse(&rejection),
        }
        ManageError::Refused { name: name.to_owned(), reason: rejection }
    }

    /// Of two plugins for one thing the first is used, which nobody would expect of the second.
    pub(super) fn warn_of_shadows(&self, name: &str) {
        for status in self.list() {
            for shadowed in status.shadowed.iter().filter(|shadowed| status.name == name || shadowed.by == name) {
                let (provides, by) = (&shadowed.provides, &shadowed.by);
                tracing::warn!(name = status.name, provides, by, "another plugin is used for what this one provides");
            }
        }
    }

    fn known(&self, name: &str) -> Result<(usize, State, Option<Arc<Image>>), ManageError> {
        let plugins = self.read();
        let at = plugins.named(name).ok_or_else(|| ManageError::NotFound { name: name.to_owned() })?;
        let Entry { state, image, .. } = &plugins.entries[at];
        Ok((at, *state, image.clone()))
    }

    fn place(&self, at: usize) -> (usize, PathBuf) {
        let entry = &self.read().entries[at];
        (entry.search, entry.folder.clone())
    }

    fn status_of(&self, at: usize, name: &str) -> Result<PluginStatus, ManageError> {
        // Taken from the list, which knows what is shadowed.
        self.list().into_iter().nth(at).ok_or_else(|| ManageError::NotFound { name: name.to_owned() })
    }
}
