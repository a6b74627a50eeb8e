use std::{fmt, path::Path};

use crate::{
    abi::objects::{
        path_to_bytes,
        sae::{BoxedSae, BoxedSaeFormat, erase_sae_format},
    },
    error::{ErrorKind, PluginError, Result},
    note::is_name,
    sae::{FoundSae, SaeFormat, SaeSpec, SaeTensor},
    tensor::TensorRef,
};

/// A [`SaeFormat`] of a plugin.
pub struct LoadedSaeFormat {
    object: BoxedSaeFormat,
    name: String,
}

/// An SAE that is open. Its numbers are read where they are.
pub struct LoadedSae {
    object: BoxedSae,
    spec: SaeSpec,
}

impl LoadedSaeFormat {
    pub(super) fn new(object: BoxedSaeFormat) -> Result<Self> {
        let name = String::from(object.name().into_result().map_err(PluginError::from)?);
        if !is_name(&name) {
            let message = format!("the plugin calls an SAE format '{name}'; a name is 1 to 64 of a-z, 0-9, _ and -");
            return Err(PluginError::new(ErrorKind::INTERNAL, message));
        }
        Ok(Self { object, name })
    }

    /// A format without a library around it.
    ///
    /// # Errors
    ///
    /// `PANICKED` if it panics when asked for its name, `INTERNAL` if that is no name.
    pub fn in_process(format: impl SaeFormat) -> Result<Self> {
        Self::new(erase_sae_format(format))
    }

    /// As messages and the API call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The SAEs of this format among `files`, which are paths from a root with `/` between names.
    ///
    /// # Errors
    ///
    /// `PANICKED`.
    pub fn find(&self, files: &[String]) -> Result<Vec<FoundSae>> {
        let files = files.iter().map(|file| file.as_str().into()).collect();
        let found = self.object.find(files).into_result().map_err(PluginError::from)?;
        Ok(found.into_iter().map(FoundSae::from).collect())
    }

    /// Opens the SAE that [`find`](Self::find) called `id`, and checks that its tensors have the shapes that its facts say.
    ///
    /// # Errors
    ///
    /// As [`SaeFormat::open`], `PANICKED`, and `INVALID_WEIGHTS` for a tensor that is missing or of another shape.
    pub fn open(&self, root: &Path, id: &str) -> Result<LoadedSae> {
        let object = self.object.open(path_to_bytes(root).into(), id.into()).into_result();
        let object = object.map_err(PluginError::from)?;
        let spec = object.spec().into_result().map_err(PluginError::from)?.try_into()?;
        let sae = LoadedSae { object, spec };
        for name in SaeTensor::ALL {
            sae.tensor(name)?;
        }
        Ok(sae)
    }
}

impl LoadedSae {
    /// Its facts.
    pub fn spec(&self) -> &SaeSpec {
        &self.spec
    }

    /// A tensor, in the shape that [`SaeTensor`] says, or `None` if this SAE has none of that name and needs none.
    ///
    /// # Errors
    ///
    /// As [`SaeSource::tensor`](crate::sae::SaeSource::tensor), and `INVALID_WEIGHTS` for one that is missing or of another
    /// shape.
    #[expect(unsafe_code, reason = "the ABI's tensors arrive as pointers")]
    pub fn tensor(&self, name: SaeTensor) -> Result<Option<TensorRef<'_>>> {
        let wrong = |message: String| PluginError::new(ErrorKind::INVALID_WEIGHTS, message);
        let raw = self.object.tensor(name.0).into_result().map_err(PluginError::from)?.into_option();
        let Some(raw) = raw else {
            let missing = self.spec.needs(name).then(|| wrong(format!("there is no tensor {}", name.as_str())));
            return missing.map_or(Ok(None), Err);
        };
        // SAFETY: it is a view that `TensorRef` made, of memory that lives as long as the object, which `self` has.
        let tensor = unsafe { TensorRef::from_raw(raw) };
        let expected = self.spec.shape_of(name);
        if tensor.shape() != expected {
            let message = format!("{} has the shape {:?}, not {expected:?}", name.as_str(), tensor.shape());
            return Err(wrong(message));
        }
        Ok(Some(tensor))
    }
}

impl fmt::Debug for LoadedSaeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedSaeFormat").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for LoadedSae {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedSae").field("spec", &self.spec).finish_non_exhaustive()
    }
}
