use std::sync::Arc;

use millm_engine::{HookPointError, Interventions, hook_points::resolve};
use millm_plugin_api::{HookId, HookSite, ModelSpec, RowShape};
use millm_store::PrependBos;

use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip},
    models::{Model, Models},
    openai::{
        ignored::Ignored,
        prompt::{self, Prompt},
        steering::{Steering, SteeringHeaders},
    },
};

/// What is asked for besides the texts.
#[derive(Debug)]
pub(super) struct Asked {
    /// What the request calls the model.
    pub(super) id: String,
    pub(super) model: Arc<Model>,
    /// Whose rows make the vector.
    pub(super) point: HookId,
    pub(super) pooling: Pooling,
    pub(super) normalize: bool,
    pub(super) encoding: Encoding,
    /// None but those of the body and of the model's id: a vector says what a text means to the model, however a client has it
    /// steered when it talks.
    pub(super) interventions: Interventions,
    pub(super) ignored: Ignored,
}

/// How the rows of a text become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    Mean,
    Last,
}

/// How a vector is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Float,
    /// Little-endian f32 in base64, which is what the official clients ask for.
    Base64,
}

impl Pooling {
    /// Positions whose mean is wanted, of a text of so many tokens.
    pub(super) fn positions(self, tokens: usize) -> Vec<usize> {
        match self {
            Self::Mean => (0..tokens).collect(),
            Self::Last => vec![tokens.saturating_sub(1)],
        }
    }
}

impl Asked {
    /// Takes the body apart. Yields the texts in tokens, each of them no longer than the model's context; that takes as
    /// long as they are large.
    pub(super) fn read(body: &[u8], models: &Models) -> Result<(Self, Vec<Vec<u32>>), ApiError> {
        let mut fields = Fields::parse(body)?;
        let id = fields.string("model")?;
        let id = fields.require("model", id)?;
        let named = models.named(&id)?;
        let (model, prepend_bos) = (Arc::clone(&named.model), named.prepend_bos);
        let spec = model.engine.spec();
        let texts = texts(&mut fields)?;
        let (point, width) = point(&mut fields, spec)?;
        dimensions(&mut fields, width)?;
        let asked = Self {
            id,
            point,
            pooling: word(&mut fields, "pooling", [("mean", Pooling::Mean), ("last", Pooling::Last)])?,
            normalize: fields.flag("normalize")?,
            encoding: word(&mut fields, "encoding_format", [("float", Encoding::Float), ("base64", Encoding::Base64)])?,
            interventions: Steering::read(&mut fields, &named, &SteeringHeaders::default())?.interventions,
            ignored: Ignored::of(fields)?,
            model,
        };
        let tokens = texts.into_iter().map(|text| tokens(text, &asked.model, prepend_bos)).collect::<Result<_, _>>()?;
        Ok((asked, tokens))
    }
}

/// Reads `input`: a text or tokens, or a list of either. None is empty.
fn texts(fields: &mut Fields) -> Result<Vec<Prompt>, ApiError> {
    let input = fields.take("input");
    let texts = prompt::parse(fields.require("input", input)?, "input")?;
    match texts.iter().find(|text| text.is_empty()) {
        // Of a tokenizer that begins every text, it would have a vector, and that of nothing.
        Some(empty) => {
            let message = format!("Invalid '{}': empty string. Expected at least one character.", empty.path());
            Err(ApiError::at(Kind::InvalidValue, empty.path(), message))
        }
        None => Ok(texts),
    }
}

fn tokens(text: Prompt, model: &Model, prepend_bos: PrependBos) -> Result<Vec<u32>, ApiError> {
    let path = text.path().to_owned();
    let tokens = text.into_given(model, prepend_bos)?.tokens;
    let (n_ctx, found) = (model.engine.n_ctx(), tokens.len());
    if found <= n_ctx {
        return Ok(tokens);
    }
    // Clients recognise the beginning of this sentence.
    let message = format!(
        "This model's maximum context length is {n_ctx} tokens. However, your {path} resulted in {found} tokens. Please \
         reduce the length of the {path}."
    );
    Err(ApiError::at(Kind::ContextLength, path, message))
}

/// Reads `hook_point`, and says how wide it is there. By default what the last norm yields.
fn point(fields: &mut Fields, spec: &ModelSpec) -> Result<(HookId, usize), ApiError> {
    const KEY: &str = "hook_point";
    let name = fields.string(KEY)?;
    let last = HookSite::FINAL_OUT;
    let name = name.as_deref().unwrap_or(last.as_str());
    let found = resolve(spec, name)
        .map_err(|error: HookPointError| ApiError::at(Kind::from(&error), KEY, format!("Invalid '{KEY}': {error}")))?;
    let [id] = found[..] else {
        let message = format!("Invalid '{KEY}': '{}' names {} hook points. Expected one.", clip(name), found.len());
        return Err(ApiError::at(Kind::InvalidValue, KEY, message));
    };
    match spec.hook_points[id.0 as usize].row {
        RowShape::Flat { width } => Ok((id, width as usize)),
        RowShape::Heads { .. } | RowShape::Keys { .. } => {
            let message = format!(
                "Unsupported value: '{KEY}' does not support '{}', whose rows have heads. Rows of one axis are supported.",
                clip(name)
            );
            Err(ApiError::at(Kind::UnsupportedValue, KEY, message))
        }
    }
}

/// Reads `dimensions`, which may only say what is so anyway: a cut vector would mean something else.
fn dimensions(fields: &mut Fields, width: usize) -> Result<(), ApiError> {
    let asked = fields.integer("dimensions", 1..=i128::MAX)?;
    match asked.filter(|asked| *asked != width as i128) {
        None => Ok(()),
        Some(asked) => {
            let message = format!(
                "Unsupported value: 'dimensions' does not support {asked} with this model, whose vectors have {width}."
            );
            Err(ApiError::at(Kind::UnsupportedValue, "dimensions", message))
        }
    }
}

/// Reads one of two words, the first of which is the default.
fn word<T: Copy>(fields: &mut Fields, key: &'static str, words: [(&str, T); 2]) -> Result<T, ApiError> {
    let Some(word) = fields.string(key)? else { return Ok(words[0].1) };
    words.into_iter().find(|(known, _)| *known == word).map(|(_, meaning)| meaning).ok_or_else(|| {
        let known = words.map(|(known, _)| known).join("' and '");
        let message = format!("Invalid value: '{}'. Supported values are: '{known}'.", clip(&word));
        ApiError::at(Kind::InvalidValue, key, message)
    })
}

#[cfg(test)]
mod tests {
    use millm_plugin_api::HookPointSpec;
    use serde_json::{Value, json};

    use super::*;

    fn spec() -> ModelSpec {
        let hook = |name: &str, row| HookPointSpec::new(name.parse().unwrap(), row);
        let flat = |width| RowShape::Flat { width };
        let hook_points = vec![
            hook("hook_embed", flat(2)),
            hook("blocks.0.hook_resid_post", flat(2)),
            hook("blocks.0.attn.hook_z", RowShape::Heads { heads: 2, d_head: 1 }),
            hook("blocks.1.hook_resid_post", flat(2)),
            hook("blocks.1.mlp.hook_post", flat(8)),
            hook("ln_final.hook_out", flat(2)),
        ];
        ModelSpec { n_layers: 2, hook_points, ..ModelSpec::default() }
    }

    fn fields(value: Value) -> Fields {
        Fields::of(value, String::new()).unwrap()
    }

    #[test]
    fn a_vector_comes_from_the_last_norm_unless_a_hook_point_is_named() {
        let at = |name: Value| point(&mut fields(json!({ "hook_point": name })), &spec());
        assert_eq!(at(json!(null)), Ok((HookId(5), 2)));
        assert_eq!(at(json!("blocks.1.mlp.hook_post")), Ok((HookId(4), 8)));
        for (name, kind) in [
            (json!("blocks.0.hook_resid_pots"), Kind::UnknownHookPoint),
            (json!("blocks.*.hook_resid_post"), Kind::InvalidValue),
            (json!("blocks.0.attn.hook_z"), Kind::UnsupportedValue),
            (json!(5), Kind::InvalidType),
        ] {
            let error = at(name.clone()).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some("hook_point")), "{name}");
        }
        let bare = ModelSpec { hook_points: spec().hook_points[..5].to_vec(), ..spec() };
        let error = point(&mut fields(json!({})), &bare).unwrap_err();
        assert!(error.message.contains("\"ln_final.hook_out\""), "{}", error.message);
    }

    #[test]
    fn dimensions_may_only_be_those_that_there_are() {
        let check = |value: Value| dimensions(&mut fields(json!({ "dimensions": value })), 128);
        assert_eq!((check(json!(null)), check(json!(128))), (Ok(()), Ok(())));
        for (value, kind) in [
            (json!(64), Kind::UnsupportedValue),
            (json!(u64::MAX), Kind::UnsupportedValue),
            (json!(0), Kind::IntegerBelowMin),
            (json!("128"), Kind::InvalidType),
        ] {
            let error = check(value.clone()).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some("dimensions")), "{value}");
        }
    }

    #[test]
    fn an_empty_text_is_refused_by_its_path() {
        let read = |input: Value| texts(&mut fields(json!({ "input": input })));
        assert_eq!(read(json!(["a", "b"])).unwrap().len(), 2);
        for (input, kind, param) in [
            (json!(null), Kind::MissingParameter, "input"),
            (json!(""), Kind::InvalidValue, "input"),
            (json!(["a", ""]), Kind::InvalidValue, "input[1]"),
            (json!([]), Kind::EmptyArray, "input"),
            (json!([[1], []]), Kind::EmptyArray, "input[1]"),
            (json!(["a", 1]), Kind::InvalidType, "input[1]"),
            (json!({ "text": "a" }), Kind::InvalidType, "input"),
            (json!(vec!["a"; 2049]), Kind::ArrayTooLong, "input"),
        ] {
            let error = read(input.clone()).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{input}");
        }
    }

    #[test]
    fn a_word_that_is_not_known_is_refused_with_those_that_are() {
        let read = |value: Value| word(&mut fields(json!({ "pooling": value })), "pooling", [("mean", 1), ("last", 2)]);
        assert_eq!((read(json!(null)), read(json!("last"))), (Ok(1), Ok(2)));
        let error = read(json!("cls")).unwrap_err();
        assert_eq!(error.message, "Invalid value: 'cls'. Supported values are: 'mean' and 'last'.");
    }

    #[test]
    fn positions_are_those_of_the_text() {
        assert_eq!(Pooling::Mean.positions(3), [0, 1, 2]);
        assert_eq!(Pooling::Last.positions(3), [2]);
    }
}
