use std::fmt;

use super::LoadedModel;
use crate::{
    abi::{
        objects::{BoxedArchitecture, erase_architecture, path_to_bytes},
        services,
        types::LoadAbi,
    },
    architecture::Architecture,
    error::{PluginError, Result},
    host::Host,
    spec::{LoadOptions, ModelFiles},
};

/// An [`Architecture`] of a plugin.
pub struct LoadedArchitecture {
    object: BoxedArchitecture,
    model_types: Vec<String>,
}

impl fmt::Debug for LoadedArchitecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedArchitecture").field("model_types", &self.model_types).finish_non_exhaustive()
    }
}

impl LoadedArchitecture {
    pub(super) fn new(object: BoxedArchitecture) -> Result<Self> {
        let model_types = object.model_types().into_result().map_err(PluginError::from)?;
        let model_types = model_types.into_iter().map(String::from).collect();
        Ok(Self { object, model_types })
    }

    /// An architecture without a library around it.
    ///
    /// # Errors
    ///
    /// `PANICKED` if it panics when asked for its model types.
    pub fn in_process(architecture: impl Architecture) -> Result<Self> {
        Self::new(erase_architecture(architecture))
    }

    /// The values of `model_type` in `config.json` that it loads.
    pub fn model_types(&self) -> &[String] {
        &self.model_types
    }

    /// Loads a model. May take minutes.
    ///
    /// # Errors
    ///
    /// As [`Architecture::load`], and `PANICKED`.
    pub fn load(&self, files: &ModelFiles, options: &LoadOptions, host: Host) -> Result<LoadedModel> {
        let request = LoadAbi { folder: path_to_bytes(&files.folder).into(), kv_bytes: options.kv_bytes };
        let object = self.object.load(request, services::export(host)).into_result().map_err(PluginError::from)?;
        LoadedModel::new(object)
    }
}
