use std::path::Path;

use millm_containers::Listing;
use millm_plugin_api::{
    error::Result,
    sae::{FoundSae, SaeFormat},
};

use crate::{
    files::{CONFIG, FIRST, SECOND},
    source::Source,
};

/// Google's format, both generations.
#[derive(Debug)]
pub(crate) struct GemmaScope;

impl SaeFormat for GemmaScope {
    type Source = Source;

    fn name(&self) -> &str {
        "gemma-scope"
    }

    fn find(&self, files: &[String]) -> Vec<FoundSae> {
        let listing = Listing::of(files);
        let found = |folder: &str, names: &[&str]| {
            let files = names.iter().map(|name| listing.file(folder, name)).collect::<Option<_>>()?;
            Some(FoundSae { id: folder.to_owned(), files })
        };
        let first = listing.folders_with(FIRST).into_iter().filter_map(|folder| found(folder, &[FIRST]));
        let second = listing.folders_with(SECOND).into_iter().filter_map(|folder| found(folder, &[SECOND, CONFIG]));
        first.chain(second).collect()
    }

    fn open(&self, root: &Path, id: &str) -> Result<Source> {
        Source::open(&root.join(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_with_parameters_are_found() {
        let files = [
            "layer_20/width_16k/average_l0_71/params.npz",
            "embedding/width_4k/average_l0_21/params.npz",
            "resid_post/layer_12_width_16k_l0_small/config.json",
            "resid_post/layer_12_width_16k_l0_small/params.safetensors",
            "other/params.safetensors",
            "clt/layer_0.safetensors",
            "README.md",
        ];
        let found = GemmaScope.find(&files.map(str::to_owned));
        let ids: Vec<&str> = found.iter().map(|found| found.id.as_str()).collect();
        let expected = [
            "embedding/width_4k/average_l0_21",
            "layer_20/width_16k/average_l0_71",
            "resid_post/layer_12_width_16k_l0_small",
        ];
        assert_eq!(ids, expected);
        assert_eq!(found[2].files.len(), 2);
    }
}
