use std::path::Path;

use serde_json::Value;

use crate::TextError;
use crate::json_file::JsonFile;

/// What the model's authors recommend for sampling: the defaults where a request is silent.
///
/// Ranges are not checked here; the sampler refuses what it cannot use, whoever asked for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationConfig {
    /// The tokens that end a text. From `generation_config.json`, else `config.json`; empty if neither names one.
    pub eos_token_ids: Vec<u32>,
    /// `Some(false)` asks for greedy decoding, whatever the fields below say.
    pub do_sample: Option<bool>,
    /// Divisor of the logits.
    pub temperature: Option<f32>,
    /// How many of the most likely tokens may be sampled. The hub writes 0 for "all".
    pub top_k: Option<u32>,
    /// Smallest set of tokens whose probabilities reach this sum.
    pub top_p: Option<f32>,
    /// Least probability, relative to the most likely token.
    pub min_p: Option<f32>,
    /// Divides the logits of tokens that occurred; 1 changes nothing.
    pub repetition_penalty: Option<f32>,
}

impl GenerationConfig {
    /// Reads `generation_config.json`, and the end-of-text tokens from `config.json` if it names none. Absent files
    /// and null fields leave fields empty; unknown fields are ignored.
    ///
    /// # Errors
    /// A file that is not JSON, or a field above with a type that it cannot have.
    pub fn load(folder: &Path) -> Result<Self, TextError> {
        let mut config = match JsonFile::open(folder.join("generation_config.json"))? {
            Some(file) => Self::read(&file)?,
            None => Self::default(),
        };
        if config.eos_token_ids.is_empty()
            && let Some(file) = JsonFile::open(folder.join("config.json"))?
        {
            config.eos_token_ids = model_eos(&file)?;
        }
        Ok(config)
    }

    fn read(file: &JsonFile) -> Result<Self, TextError> {
        let number = |field| file.read(field, "a number", |value| value.as_f64().map(|x| x as f32));
        Ok(Self {
            eos_token_ids: file.read("eos_token_id", TOKEN_IDS, token_ids)?.unwrap_or_default(),
            do_sample: file.read("do_sample", "true or false", Value::as_bool)?,
            temperature: number("temperature")?,
            top_k: file.read("top_k", "an integer from 0", |value| value.as_u64()?.try_into().ok())?,
            top_p: number("top_p")?,
            min_p: number("min_p")?,
            repetition_penalty: number("repetition_penalty")?,
        })
    }
}

const TOKEN_IDS: &str = "a token id or a list of token ids";

/// Multimodal models keep the language model's fields in `text_config`.
fn model_eos(file: &JsonFile) -> Result<Vec<u32>, TextError> {
    if let Some(ids) = file.read("eos_token_id", TOKEN_IDS, token_ids)? {
        return Ok(ids);
    }
    match file.get("text_config").and_then(|text| text.get("eos_token_id")) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(ids) => token_ids(ids).ok_or_else(|| file.wrong_type("text_config.eos_token_id", TOKEN_IDS)),
    }
}

fn token_ids(value: &Value) -> Option<Vec<u32>> {
    let id = |value: &Value| value.as_u64()?.try_into().ok();
    match value {
        Value::Array(ids) => ids.iter().map(id).collect(),
        other => Some(vec![id(other)?]),
    }
}
