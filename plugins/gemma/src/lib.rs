//! Gemma, Gemma 2, and the text part of Gemma 3: what their configs mean and what their checkpoints call their tensors.

mod family;
mod gemma;

pub use self::gemma::Gemma;

#[cfg(feature = "export")]
millm_plugin_api::export_plugin! {
    name: "gemma",
    architectures: [Gemma],
}
