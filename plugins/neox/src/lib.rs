//! GPT-NeoX, and so Pythia: what its config means and what its checkpoints call their tensors.

mod neox;

pub use self::neox::Neox;

#[cfg(feature = "export")]
millm_plugin_api::export_plugin! {
    name: "neox",
    architectures: [Neox],
}
