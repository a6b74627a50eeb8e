//! The Llama architecture: what its `config.json` means and what its checkpoints call their tensors.

mod llama;

pub use self::llama::Llama;

#[cfg(feature = "export")]
millm_plugin_api::export_plugin! {
    name: "llama",
    architectures: [Llama],
}
