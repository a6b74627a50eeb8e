//! What a folder of SAELens has.

/// What describes the SAE.
pub(crate) const CONFIG: &str = "cfg.json";
/// Its tensors.
pub(crate) const WEIGHTS: &str = "sae_weights.safetensors";
/// Of a checkpoint whose activations are still to be scaled.
pub(crate) const SCALER: &str = "activation_scaler.json";
/// Of a checkpoint that cannot be used as it is.
pub(crate) const WHITENING: &str = "activation_whitening.safetensors";
