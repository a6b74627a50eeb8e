use std::{path::Path, sync::Arc};

use millm_plugin_api::{loaded::LoadedSae, sae::FoundSae};

use super::Registry;
use crate::{entry::Entry, error::SaeError, image::Image, status::PluginIdentity};

/// The SAEs of one format in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSaes {
    /// As its plugin calls it.
    pub format: String,
    /// At least one.
    pub saes: Vec<FoundSae>,
}

impl Registry {
    /// The SAEs among `files`, which are paths from a root with `/` between names, by format. A plugin that fails is logged
    /// and finds none.
    pub fn find_saes(&self, files: &[String]) -> Vec<FoundSaes> {
        let formats = self.sae_formats();
        let found = formats.iter().map(|(image, index)| {
            let format = &image.sae_formats[*index];
            let saes = format.find(files).unwrap_or_else(|error| {
                tracing::error!(plugin = image.manifest.name, format = format.name(), "cannot look for SAEs: {error}");
                Vec::new()
            });
            FoundSaes { format: format.name().to_owned(), saes }
        });
        found.filter(|found| !found.saes.is_empty()).collect()
    }

    /// Opens the SAE that [`find_saes`](Self::find_saes) called `id`, with the first plugin that has the format.
    ///
    /// # Errors
    ///
    /// See [`SaeError`].
    pub fn open_sae(&self, format: &str, root: &Path, id: &str) -> Result<(LoadedSae, PluginIdentity), SaeError> {
        let formats = self.sae_formats();
        let found = formats.iter().find(|(image, index)| image.sae_formats[*index].name() == format);
        let Some((image, index)) = found else {
            let known = formats.iter().map(|(image, index)| image.sae_formats[*index].name().to_owned()).collect();
            return Err(SaeError::UnknownFormat { format: format.to_owned(), known });
        };
        let sae = image.sae_formats[*index].open(root, id);
        let sae = sae.map_err(|error| SaeError::Plugin { folder: root.join(id), error })?;
        Ok((sae, image.identity()))
    }

    /// The formats of all plugins in use. Their code does not run under the lock.
    fn sae_formats(&self) -> Vec<(Arc<Image>, usize)> {
        let plugins = self.read();
        let images = plugins.entries.iter().filter_map(Entry::in_use);
        images.flat_map(|image| (0..image.sae_formats.len()).map(|index| (Arc::clone(image), index))).collect()
    }
}
