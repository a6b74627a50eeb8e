use std::collections::BTreeMap;

use millm_plugin_api::TensorRef;

use crate::{
    archive::Archive,
    error::Reason,
    pickle::{self, Contents, Tensor},
};

/// What `torch.save` writes since PyTorch 1.6: a zip with a pickle that describes tensors, and their storages.
pub(crate) struct Torch {
    archive: Archive,
    /// The folder that everything is in.
    folder: String,
    contents: Contents,
}

const DESCRIPTION: &str = "/data.pkl";

impl Torch {
    /// Whether the zip is one of these.
    pub(crate) fn is(archive: &Archive) -> bool {
        folder(archive).is_some()
    }

    /// `bytes` are those of the zip.
    pub(crate) fn open(archive: Archive, bytes: &[u8]) -> Reason<Self> {
        let folder = folder(&archive).ok_or("it is a zip without a description of tensors")?.to_owned();
        let read = |name: &str| archive.read(bytes, &format!("{folder}{name}")).transpose();
        if let Some(order) = read("/byteorder")?
            && order != b"little"
        {
            let order = String::from_utf8_lossy(order);
            return Err(format!("its byte order is '{order}', and only 'little' is supported"));
        }
        let contents = pickle::read(read(DESCRIPTION)?.unwrap_or_default())?;
        Ok(Self { archive, folder, contents })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.contents.tensors.keys().map(String::as_str)
    }

    pub(crate) fn texts(&self) -> &BTreeMap<String, String> {
        &self.contents.texts
    }

    pub(crate) fn tensor<'a>(&'a self, bytes: &'a [u8], name: &str) -> Option<Reason<TensorRef<'a>>> {
        let Tensor { dtype, storage, offset, size, stride } = &**self.contents.tensors.get(name)?;
        let file = format!("{}/data/{storage}", self.folder);
        let numbers = self.archive.read(bytes, &file).unwrap_or_else(|| Err(format!("there is no '{file}'")));
        Some(numbers.and_then(|numbers| {
            let begin = dtype.size().and_then(|size| offset.checked_mul(size));
            let numbers = begin.and_then(|begin| numbers.get(begin..)).ok_or("it begins beyond its storage")?;
            TensorRef::new(numbers, *dtype, size, stride).map_err(|error| error.to_string())
        }))
    }
}

fn folder(archive: &Archive) -> Option<&str> {
    archive.names().find_map(|name| name.strip_suffix(DESCRIPTION)).filter(|folder| !folder.contains('/'))
}
