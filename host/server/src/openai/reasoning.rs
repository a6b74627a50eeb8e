//! What a chat says of the model's reasoning: how hard it is to think, and where that is shown.

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

impl Reasoning {
    /// Reads the parameters, and hands on to the template what is for it.
    pub(crate) fn read(fields: &mut Fields, input: &mut ChatInput) -> Result<Self, ApiError> {
        if let Some(effort) = fields.string("reasoning_effort")? {
            input.extra.entry("reasoning_effort").or_insert(effort.into());
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
    fn the_effort_is_for_the_template() {
        let mut input = ChatInput::default();
        assert_eq!(read(json!({ "reasoning_effort": "low" }), &mut input), Ok(Reasoning::default()));
        assert_eq!(input.extra["reasoning_effort"], "low");
        // What is meant for the template alone counts more.
        read(json!({ "reasoning_effort": "high" }), &mut input).unwrap();
        assert_eq!(input.extra["reasoning_effort"], "low");
    }

    #[test]
    fn other_values_are_refused_by_name() {
        for (key, value, kind) in [
            ("reasoning_effort", json!(5), Kind::InvalidType),
            ("reasoning_format", json!("xml"), Kind::InvalidValue),
            ("reasoning_format", json!(true), Kind::InvalidType),
            ("include_reasoning", json!("no"), Kind::InvalidType),
        ] {
            let error = read(json!({ key: value }), &mut ChatInput::default()).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(key)), "{value}");
        }
    }
}
