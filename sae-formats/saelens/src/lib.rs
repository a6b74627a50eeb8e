//! SAEs as SAELens keeps them: a folder with `cfg.json` and `sae_weights.safetensors`, of every generation.
//!
//! * `format`: which folders these are; `files`: what is in them
//! * `config`: fields of a `cfg.json`, which `legacy` brings into the form that version 6 writes
//! * `hook`: where an SAE reads, by a name of TransformerLens or a module of transformers
//! * `describe`: what a config means
//! * `source`: the weights, as the one form that the host computes with
//!
//! Where SAELens itself differs from what its files mean, the module that knows better says so.

mod config;
mod describe;
mod files;
mod format;
mod hook;
mod legacy;
mod source;

use self::format::SaeLens;

millm_plugin_api::export_plugin! {
    name: "saelens",
    sae_formats: [SaeLens],
}
