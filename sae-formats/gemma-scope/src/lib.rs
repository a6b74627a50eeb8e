//! Google's SAEs for Gemma 2 (`params.npz`) and Gemma 3 (`params.safetensors` with a `config.json`).
//!
//! * `format`: which folders these are; `files`: what is in them
//! * `first`: where an SAE of Gemma Scope 1 belongs, which only the names of its folders say
//! * `second`: what a config of Gemma Scope 2 says
//! * `source`: the weights, as the one form that the host computes with
//!
//! Where SAELens reads other hook points than the files mean, the files are followed: a transcoder of Gemma Scope 2 reads the
//! output of a norm with its gain, which is `mlp.hook_in` and not `hook_mlp_in`.

mod files;
mod first;
mod format;
mod second;
mod source;

use self::format::GemmaScope;

millm_plugin_api::export_plugin! {
    name: "gemma-scope",
    sae_formats: [GemmaScope],
}
