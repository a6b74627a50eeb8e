use std::path::Path;

use millm_containers::Listing;
use millm_plugin_api::{
    error::Result,
    sae::{FoundSae, SaeFormat},
};

use crate::{
    files::{CONFIG, SCALER, WEIGHTS, WHITENING},
    source::Source,
};

/// SAELens's format.
#[derive(Debug)]
pub(crate) struct SaeLens;

impl SaeFormat for SaeLens {
    type Source = Source;

    fn name(&self) -> &str {
        "saelens"
    }

    fn find(&self, files: &[String]) -> Vec<FoundSae> {
        let listing = Listing::of(files);
        let found = listing.folders_with(CONFIG).into_iter().filter_map(|folder| {
            let file = |name: &str| listing.file(folder, name);
            let needed = [file(CONFIG)?, file(WEIGHTS)?];
            let files = needed.into_iter().chain([SCALER, WHITENING].into_iter().filter_map(file)).collect();
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
        assert_eq!(ids, ["", "blocks.8.hook_resid_pre", "deep/down"]);
        assert_eq!(found[0].files, ["cfg.json", "sae_weights.safetensors"]);
        assert_eq!(found[2].files[2], "deep/down/activation_scaler.json");
    }
}
