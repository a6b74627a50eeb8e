//! Llama and the architectures that follow it: what their configs mean and what their checkpoints call their tensors.

mod family;
mod llama;

pub use self::llama::Llama;

#[cfg(feature = "export")]
millm_plugin_api::export_plugin! {
    name: "llama",
    architectures: [Llama],
}
