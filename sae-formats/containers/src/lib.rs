//! Files of named tensors. A [`Container`] is mapped, and its tensors are views of the file where their numbers lie in it as
//! they are: opening one of 20 GB reads its list of contents.
//!
//! * `container`: one of the kinds, told apart by their first bytes
//! * `safetensors`, `npz`, `torch`, `gguf`: the kinds
//! * `archive`: the zip that the latter two are
//! * `npy`: the head of an array in an npz
//! * `json`, `listing`: the config beside a container, and what there is in a folder
//! * `pickle`: what a PyTorch file says of its tensors, read without running anything
//!
//! Files are hostile until proven otherwise: no length of theirs is believed before memory is taken for it.

mod archive;
mod container;
mod error;
mod gguf;
mod json;
mod listing;
mod npy;
mod npz;
mod pickle;
mod safetensors;
mod torch;

pub use container::Container;
pub use error::ContainerError;
pub use json::read_json;
pub use listing::Listing;
