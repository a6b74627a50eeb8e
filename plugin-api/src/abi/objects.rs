//! The trait objects that cross the boundary, and what stands behind them on the plugin's side.

use abi_stable::{
    sabi_trait,
    sabi_trait::prelude::TD_Opaque,
    sabi_types::RMut,
    std_types::{RBox, RResult, RSlice, RString, RVec},
};

use super::{
    guard::{Guarded, contain},
    raw_tensor::RawTensor,
    services::{self, BoxedServices},
    spec::SpecAbi,
    types::{BatchAbi, ErrorAbi, LoadAbi, PagesAbi},
};
use crate::{
    architecture::{Architecture, Model},
    error::{PluginError, Result},
    hook::{HookId, HookVisitor},
    spec::{LoadOptions, ModelFiles},
    tensor::TensorMut,
};

mod model;
pub mod sae;

type Answer<T> = RResult<T, ErrorAbi>;

fn answer<T>(result: Result<T>) -> Answer<T> {
    result.map_err(ErrorAbi::from).into()
}

/// The plugin's object behind a [`LoadedArchitecture`](crate::loaded::LoadedArchitecture).
#[sabi_trait]
pub trait ArchitectureAbi: Send + Sync + 'static {
    fn model_types(&self) -> RResult<RVec<RString>, ErrorAbi>;
    #[sabi(last_prefix_field)]
    fn load(&self, request: LoadAbi, services: BoxedServices) -> RResult<BoxedModel, ErrorAbi>;
}

/// The plugin's object behind a [`LoadedModel`](crate::loaded::LoadedModel).
///
/// Sequences are numbers on this side of the boundary: a number of another model, or of a dropped sequence, is an
/// error instead of a wrong pointer.
#[sabi_trait]
pub trait ModelAbi: Send + Sync + 'static {
    fn spec(&self) -> RResult<SpecAbi, ErrorAbi>;
    fn pages(&self) -> RResult<PagesAbi, ErrorAbi>;
    fn sequence_new(&self, expected: usize) -> RResult<u64, ErrorAbi>;
    fn sequence_len(&self, sequence: u64) -> RResult<usize, ErrorAbi>;
    fn sequence_truncate(&self, sequence: u64, len: usize) -> RResult<(), ErrorAbi>;
    fn sequence_fork(&self, sequence: u64, len: usize) -> RResult<u64, ErrorAbi>;
    fn sequence_bytes(&self, sequence: u64) -> RResult<usize, ErrorAbi>;
    fn sequence_drop(&self, sequence: u64) -> RResult<(), ErrorAbi>;
    fn unembed(&self, resid: RSlice<'_, f32>, logits: RawTensor) -> RResult<(), ErrorAbi>;
    #[sabi(last_prefix_field)]
    fn forward(&self, batch: BatchAbi<'_>, visitor: BorrowedVisitor<'_>, logits: RawTensor) -> RResult<(), ErrorAbi>;
}

/// The host's object behind [`Hooks`](crate::Hooks).
#[sabi_trait]
pub trait VisitorAbi {
    #[sabi(last_prefix_field)]
    fn visit(&mut self, point: u32, first_row: usize, activation: RawTensor) -> RResult<(), ErrorAbi>;
}

pub type BoxedArchitecture = ArchitectureAbi_TO<RBox<()>>;
pub type BoxedModel = ModelAbi_TO<RBox<()>>;
pub type BorrowedVisitor<'a> = VisitorAbi_TO<'a, RMut<'a, ()>>;

/// An author's architecture as the host will see it.
pub fn erase_architecture<A: Architecture>(architecture: A) -> BoxedArchitecture {
    ArchitectureAbi_TO::from_value(Guarded::new(architecture, "the architecture"), TD_Opaque)
}

impl<A: Architecture> ArchitectureAbi for Guarded<A> {
    fn model_types(&self) -> Answer<RVec<RString>> {
        answer(self.call(|architecture| Ok(architecture.model_types().into_iter().map(RString::from).collect())))
    }

    fn load(&self, request: LoadAbi, services: BoxedServices) -> Answer<BoxedModel> {
        let files = ModelFiles { folder: path_from_bytes(request.folder.into()) };
        let options = LoadOptions { kv_bytes: request.kv_bytes };
        let host = services::import(services);
        // A panic in `load` leaves nothing behind but `&self`, so it does not poison the architecture.
        let model = self
            .get()
            .and_then(|architecture| contain("the architecture", || architecture.load(&files, &options, &host)));
        answer(model.map(erase_model))
    }
}

/// An author's model as the host will see it.
pub fn erase_model<M: Model>(model: M) -> BoxedModel {
    ModelAbi_TO::from_value(model::ExportedModel::new(model), TD_Opaque)
}

#[cfg(unix)]
pub fn path_to_bytes(path: &std::path::Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}

#[cfg(unix)]
fn path_from_bytes(bytes: Vec<u8>) -> std::path::PathBuf {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(bytes).into()
}

/// Wraps the host's visitor, so that neither its panics nor its lifetime reach the plugin.
pub struct ExportedVisitor<'a>(pub &'a mut dyn HookVisitor);

impl VisitorAbi for ExportedVisitor<'_> {
    fn visit(&mut self, point: u32, first_row: usize, activation: RawTensor) -> Answer<()> {
        // SAFETY: `ImportedVisitor` below lends a live tensor for the length of this call.
        let activation = unsafe { TensorMut::from_raw(activation) };
        answer(contain("the host's hook", || self.0.visit(HookId(point), first_row, activation)))
    }
}

/// The plugin's side of the same.
struct ImportedVisitor<'a>(BorrowedVisitor<'a>);

impl HookVisitor for ImportedVisitor<'_> {
    fn visit(&mut self, point: HookId, first_row: usize, activation: TensorMut<'_>) -> Result<()> {
        self.0.visit(point.0, first_row, activation.raw).into_result().map_err(PluginError::from)
    }
}
