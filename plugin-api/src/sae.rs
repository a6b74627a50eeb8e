//! What the author of an SAE format implements: files become the one form that the host computes with.
//!
//! The form, for a row `x` of the activation at the SAE's hook point, in SAELens's terms:
//!
//! ```text
//! u = norm(site_fix(x));   v = u - b_dec if apply_b_dec_to_input, else u
//! p = v · W_enc + b_enc;   a = activation(p)
//! y = a · W_dec + b_dec (+ u₀ · W_skipᵀ, with u₀ the row before norm);   output = norm⁻¹(y), but of a transcoder y
//! ```
//!
//! Matching pursuit has no `p`: [`Activation::MatchingPursuit`] says how it makes `a` of `v`.

mod normalization;
mod spec;
mod tensors;

use std::path::Path;

pub use self::{
    normalization::Normalization,
    spec::{Activation, Declared, DecoderNorm, SaeSpec, SiteFix},
    tensors::SaeTensor,
};
use crate::{error::Result, tensor::TensorRef};

/// A way to keep SAEs in files, such as SAELens's. Made once, when the plugin is opened.
pub trait SaeFormat: Send + Sync + 'static {
    /// What [`open`](Self::open) makes.
    type Source: SaeSource;

    /// As messages and the API call it: 1 to 64 of `a-z`, `0-9`, `_` and `-`. Asked once.
    fn name(&self) -> &str;

    /// The SAEs of this format in a folder or a repository, of which `files` are all, as paths from its root with `/`
    /// between names. Nothing of them may be here yet: this is also how the host learns what to download.
    fn find(&self, files: &[String]) -> Vec<FoundSae>;

    /// Opens the SAE that [`find`](Self::find) called `id` in the folder `root`. Reads what describes it, and maps the rest.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG`, `INVALID_WEIGHTS` or `IO`, with the field, tensor or file in the message; `UNSUPPORTED` for what
    /// cannot be computed exactly.
    fn open(&self, root: &Path, id: &str) -> Result<Self::Source>;
}

/// An SAE among files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSae {
    /// The folder it is in, from the root; empty for the root itself.
    pub id: String,
    /// The files that [`SaeFormat::open`] reads.
    pub files: Vec<String>,
}

/// An open SAE: its numbers stay where they are until they are used.
pub trait SaeSource: Send + Sync + 'static {
    /// Fixed facts. Asked once.
    fn spec(&self) -> &SaeSpec;

    /// A tensor of the form, in the shape that [`SaeTensor`] says, or `None` if this SAE has none. Views of files are what is
    /// meant: the host takes rows and columns as it needs them.
    ///
    /// # Errors
    ///
    /// `INVALID_WEIGHTS` or `IO`.
    fn tensor(&self, name: SaeTensor) -> Result<Option<TensorRef<'_>>>;
}
