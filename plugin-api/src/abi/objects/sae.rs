//! An SAE format and an SAE of a plugin: how they cross, and what stands behind them on the plugin's side.

use abi_stable::{
    sabi_trait,
    sabi_trait::prelude::TD_Opaque,
    std_types::{RBox, ROption, RResult, RStr, RString, RVec},
};

use super::{
    super::{
        guard::{Guarded, contain},
        raw_tensor::RawTensor,
        sae::{FoundSaeAbi, SaeSpecAbi},
        types::ErrorAbi,
    },
    Answer, answer, path_from_bytes,
};
use crate::sae::{SaeFormat, SaeSource, SaeTensor};

/// The plugin's object behind a [`LoadedSaeFormat`](crate::loaded::LoadedSaeFormat).
#[sabi_trait]
pub trait SaeFormatAbi: Send + Sync + 'static {
    fn name(&self) -> RResult<RString, ErrorAbi>;
    fn find(&self, files: RVec<RString>) -> RResult<RVec<FoundSaeAbi>, ErrorAbi>;
    #[sabi(last_prefix_field)]
    fn open(&self, root: RVec<u8>, id: RStr<'_>) -> RResult<BoxedSae, ErrorAbi>;
}

/// The plugin's object behind a [`LoadedSae`](crate::loaded::LoadedSae).
#[sabi_trait]
pub trait SaeAbi: Send + Sync + 'static {
    fn spec(&self) -> RResult<SaeSpecAbi, ErrorAbi>;
    /// The tensor lives as long as this object.
    #[sabi(last_prefix_field)]
    fn tensor(&self, name: u16) -> RResult<ROption<RawTensor>, ErrorAbi>;
}

pub type BoxedSaeFormat = SaeFormatAbi_TO<RBox<()>>;
pub type BoxedSae = SaeAbi_TO<RBox<()>>;

/// An author's SAE format as the host will see it.
pub fn erase_sae_format<F: SaeFormat>(format: F) -> BoxedSaeFormat {
    SaeFormatAbi_TO::from_value(Guarded::new(format, "the SAE format"), TD_Opaque)
}

impl<F: SaeFormat> SaeFormatAbi for Guarded<F> {
    fn name(&self) -> Answer<RString> {
        answer(self.call(|format| Ok(format.name().into())))
    }

    // Neither of these leaves anything behind, so a panic in one does not poison the format.
    fn find(&self, files: RVec<RString>) -> Answer<RVec<FoundSaeAbi>> {
        let files: Vec<String> = files.into_iter().map(String::from).collect();
        let found = self.get().and_then(|format| contain("the SAE format", || Ok(format.find(&files))));
        answer(found.map(|found| found.into_iter().map(FoundSaeAbi::from).collect()))
    }

    fn open(&self, root: RVec<u8>, id: RStr<'_>) -> Answer<BoxedSae> {
        let root = path_from_bytes(root.into());
        let sae = self.get().and_then(|format| contain("the SAE format", || format.open(&root, id.as_str())));
        answer(sae.map(|sae| SaeAbi_TO::from_value(Guarded::new(sae, "the SAE"), TD_Opaque)))
    }
}

impl<S: SaeSource> SaeAbi for Guarded<S> {
    fn spec(&self) -> Answer<SaeSpecAbi> {
        answer(self.call(|sae| Ok(sae.spec().into())))
    }

    fn tensor(&self, name: u16) -> Answer<ROption<RawTensor>> {
        answer(self.call(|sae| Ok(sae.tensor(SaeTensor(name))?.map(|tensor| tensor.raw()).into())))
    }
}
