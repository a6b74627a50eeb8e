use std::{collections::BTreeSet, path::Path};

use millm_plugin_api::{
    error::Result,
    sae::{FoundSae, SaeFormat},
};

use crate::source::Source;

/// Google's format, both generations.
#[derive(Debug)]
pub struct GemmaScope;

/// The weights of Gemma Scope 1, and of 2.
pub(crate) const FIRST: &str = "params.npz";
pub(crate) const SECOND: &str = "params.safetensors";
pub(crate) const CONFIG: &str = "config.json";

impl SaeFormat for GemmaScope {
    type Source = Source;

    fn name(&self) -> &str {
        "gemma-scope"
    }

    fn find(&self, files: &[String]) -> Vec<FoundSae> {
        let all: BTreeSet<&str> = files.iter().map(String::as_str).collect();
        let found = all.iter().filter_map(|file| {
            let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
            let config = if folder.is_empty() { CONFIG.to_owned() } else { format!("{folder}/{CONFIG}") };
            let has_config = all.contains(config.as_str());
            let mut files = vec![(*file).to_owned()];
            match name {
                FIRST => {}
                SECOND if has_config => files.push(config),
                _ => return None,
            }
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
