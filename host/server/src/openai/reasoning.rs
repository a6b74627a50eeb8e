//! What a chat says of the model's reasoning: how hard it is to think, and where that is shown. Also how much is to be said in
//! the end.

use millm_text::ChatInput;

use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip},
};

/// Where reasoning is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reasoning {
    pub(crate) format: ReasoningFormat,
    /// Whether it is left out of the answer once it is told from the rest.
    pub(crate) hidden: bool,
}

/// llama.cpp's `reasoning_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ReasoningFormat {
    /// In `reasoning_content`, if the chat template knows tags for it.
    #[default]
    Auto,
    /// In `reasoning_content`, whatever the template knows.
    Deepseek,
    /// In the content, tags and all.
    None,
}

/// Parameters that do nothing but tell the template something.
const FOR_THE_TEMPLATE: [&str; 2] = ["reasoning_effort", "verbosity"];

impl Reasoning {
    /// Reads the parameters, and hands on to the template what is for it.
    pub(crate) fn read(fields: &mut Fields, input: &mut ChatInput) -> Result<Self, ApiError> {
        for key in FOR_THE_TEMPLATE {
            if let Some(word) = fields.string(key)? {
                input.extra.entry(key).or_insert(word.into());
            }
        }
        let format = match fields.string("reasoning_format")?.as_deref() {
            None | Some("auto") => ReasoningFormat::Auto,
            Some("deepseek") => ReasoningFormat::Deepseek,
            Some("none") => ReasoningFormat::None,
            Some(other) => {
                let known = "'auto', 'deepseek', 'none'";
                let message = format!("Invalid value: '{}'. Supported values are: {known}.", clip(other));
                return Err(ApiError::at(Kind::InvalidValue, "reasoning_format", message));
            }
        };
        Ok(Self { format, hidden: !fields.bool("include_reasoning")?.unwrap_or(true) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value, input: &mut ChatInput) -> Result<Reasoning, ApiError> {
        Reasoning::read(&mut Fields::of(value, String::new())?, input)
    }

    #[test]
    fn effort_and_verbosity_are_for_the_template() {
        for key in ["reasoning_effort", "verbosity"] {
            let mut input = ChatInput::default();
            assert_eq!(read(json!({ key: "low" }), &mut input), Ok(Reasoning::default()));
            assert_eq!(input.extra[key], "low");
            assert_eq!(input.extra.len(), 1);
            // What is meant for the template alone counts more.
            read(json!({ key: "high" }), &mut input).unwrap();
            assert_eq!(input.extra[key], "low");
        }
    }

    #[test]
    fn other_values_are_refused_by_name() {
        for (key, value, kind) in [
            ("reasoning_effort", json!(5), Kind::InvalidType),
            ("verbosity", json!(["low"]), Kind::InvalidType),
            ("reasoning_format", json!("xml"), Kind::InvalidValue),
            ("reasoning_format", json!(true), Kind::InvalidType),
            ("include_reasoning", json!("no"), Kind::InvalidType),
        ] {
            let error = read(json!({ key: value }), &mut ChatInput::default()).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(key)), "{value}");
        }
    }
}
