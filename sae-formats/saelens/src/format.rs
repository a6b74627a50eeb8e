use std::{collections::BTreeSet, path::Path};

use millm_plugin_api::{
    error::Result,
    sae::{FoundSae, SaeFormat},
};

use crate::source::Source;

/// SAELens's format.
#[derive(Debug)]
pub struct SaeLens;

pub(crate) const CONFIG: &str = "cfg.json";
pub(crate) const WEIGHTS: &str = "sae_weights.safetensors";
/// Of a checkpoint whose activations are still to be scaled.
pub(crate) const SCALER: &str = "activation_scaler.json";
/// Of a checkpoint that cannot be used as it is.
pub(crate) const WHITENING: &str = "activation_whitening.safetensors";

impl SaeFormat for SaeLens {
    type Source = Source;

    fn name(&self) -> &str {
        "saelens"
    }

    fn find(&self, files: &[String]) -> Vec<FoundSae> {
        let all: BTreeSet<&str> = files.iter().map(String::as_str).collect();
        let folders = all.iter().filter_map(|file| match file.strip_suffix(CONFIG)? {
            "" => Some(""),
            folder => folder.strip_suffix('/'),
        });
        let found = folders.filter_map(|folder| {
            let path = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            let is_there = |name: &str| Some(path(name)).filter(|path| all.contains(path.as_str()));
            let files = [is_there(CONFIG)?, is_there(WEIGHTS)?];
            let files = files.into_iter().chain([SCALER, WHITENING].into_iter().filter_map(is_there)).collect();
            Some(FoundSae { id: folder.to_owned(), files })
        });
        found.collect()
    }

    fn open(&self, root: &Path, id: &str) -> Result<Source> {
        Source::open(&root.join(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_with_a_config_and_weights_are_found() {
        let files = [
            "README.md",
            "cfg.json",
            "sae_weights.safetensors",
            "blocks.8.hook_resid_pre/cfg.json",
            "blocks.8.hook_resid_pre/sae_weights.safetensors",
            "blocks.8.hook_resid_pre/sparsity.safetensors",
            "deep/down/cfg.json",
            "deep/down/activation_scaler.json",
            "deep/down/sae_weights.safetensors",
            "sparsify/cfg.json",
            "sparsify/sae.safetensors",
            "notcfg.json",
        ];
        let found = SaeLens.find(&files.map(str::to_owned));
        let ids: Vec<&str> = found.iter().map(|found| found.id.as_str()).collect();
        assert_eq!(ids, ["blocks.8.hook_resid_pre", "", "deep/down"]);
        assert_eq!(found[1].files, ["cfg.json", "sae_weights.safetensors"]);
        assert_eq!(found[2].files[2], "deep/down/activation_scaler.json");
    }
}
