//! GPT-2: what its config means and what its checkpoints call their tensors.

mod gpt2;

pub use self::gpt2::Gpt2;

#[cfg(feature = "export")]
millm_plugin_api::export_plugin! {
    name: "gpt2",
    architectures: [Gpt2],
}
