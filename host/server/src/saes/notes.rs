//! What is said of features in files beside an SAE's weights: `features.jsonl` and `explanations.jsonl`, lines of JSON with
//! Neuronpedia's field names, as its exports have them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::Path,
};

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What is said of a feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct Note {
    /// What it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// The largest activation that was seen.
    #[serde(rename = "maxActApprox", skip_serializing_if = "Option::is_none")]
    pub(crate) max_activation: Option<f64>,
    /// On which part of all tokens it was active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frac_nonzero: Option<f64>,
}

/// Of two lines about a feature, what the later one says counts.
const FILES: [&str; 2] = ["features.jsonl", "explanations.jsonl"];
/// A file of all that Neuronpedia knows of a million features is larger, and is no file for this.
const MAX_BYTES: u64 = 256 << 20;
const MAX_LINE: u64 = 1 << 20;
const MAX_DESCRIPTION: usize = 2000;

/// What the files in the folder say of features below `d_sae`. Lines that say nothing that can be used are skipped.
pub(super) fn read(folder: &Path, d_sae: u32) -> BTreeMap<u32, Note> {
    let mut notes = BTreeMap::new();
    for name in FILES {
        let path = folder.join(name);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() && metadata.len() <= MAX_BYTES => {}
            Ok(_) => {
                tracing::warn!(path = %path.display(), "not read: it is no file of at most {MAX_BYTES} bytes");
                continue;
            }
            Err(_) => continue,
        }
        match File::open(&path) {
            Ok(file) => add(BufReader::new(file), d_sae, &mut notes),
            Err(error) => tracing::warn!(path = %path.display(), "cannot be read: {error}"),
        }
    }
    notes
}

fn add(mut lines: impl BufRead, d_sae: u32, notes: &mut BTreeMap<u32, Note>) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let Ok(said) = serde_json::from_slice::<Value>(&line) else { continue };
        // Neuronpedia writes it as a text.
        let index = said["index"].as_u64().or_else(|| said["index"].as_str()?.parse().ok());
        let Some(index) = index.and_then(|index| u32::try_from(index).ok()).filter(|index| *index < d_sae) else {
            continue;
        };
        let note: &mut Note = notes.entry(index).or_default();
        let number = |key: &str| said[key].as_f64().filter(|number| number.is_finite() && *number >= 0.0);
        note.max_activation = number("maxActApprox").or(note.max_activation);
        note.frac_nonzero = number("frac_nonzero").or(note.frac_nonzero);
        if let Some(description) = said["description"].as_str().filter(|text| !text.is_empty()) {
            note.description = Some(description.chars().take(MAX_DESCRIPTION).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_neuronpedia_are_read_and_what_is_none_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let features = "{\"index\": \"3\", \"maxActApprox\": 12.5, \"frac_nonzero\": 0.25, \"tokens\": []}\n\
                        no json\n\n[1]\n{\"index\": 9, \"maxActApprox\": 1}\n{\"index\": \"-1\"}\n{\"maxActApprox\": 3}\n\
                        {\"index\": 4, \"maxActApprox\": \"NaN\", \"frac_nonzero\": -1}";
        fs::write(folder.path().join("features.jsonl"), features).unwrap();
        let explanations =
            "{\"index\": \"3\", \"description\": \"sea\", \"authorId\": \"x\"}\n{\"index\": 3, \"description\": \"\"}";
        fs::write(folder.path().join("explanations.jsonl"), explanations).unwrap();
        let notes = read(folder.path(), 8);
        let sea = Note { description: Some("sea".into()), max_activation: Some(12.5), frac_nonzero: Some(0.25) };
        assert_eq!(notes, BTreeMap::from([(3, sea), (4, Note::default())]));
        assert!(read(Path::new("/nowhere"), 8).is_empty());
    }
}
