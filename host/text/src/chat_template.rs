mod continuation;
mod environment;
mod python;
mod source;
mod tojson;
mod value;

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use minijinja::{Environment, ErrorKind, Value};
use serde_json::Value as Json;

use crate::error::one_line;
use crate::{ChatInput, SpecialTokens, TemplateError, TextError};
use continuation::Continuation;
use environment::{BoundedOutput, Raised};
use source::Source;
use value::from_json;

/// How a model was taught to read a chat: a Jinja template, run as transformers runs it. Cheap to clone.
///
/// Steps, recursion and the size of the prompt are limited, so a template cannot loop forever. What one filter does, and
/// what is built in memory on the way, is not: a folder is trusted not to double a text forty times, nor to print a
/// namespace that holds itself.
#[derive(Clone)]
pub struct ChatTemplate(Arc<Inner>);

struct Inner {
    /// The default template.
    source: String,
    environment: Environment<'static>,
    special_tokens: SpecialTokens,
}

const DEFAULT: &str = "default";
/// Used in place of the default when a request has tools, as transformers does.
const TOOL_USE: &str = "tool_use";

impl ChatTemplate {
    /// Compiles the folder's template: `chat_template.jinja`, else `chat_template.json`, else the `chat_template` of
    /// `tokenizer_config.json`, which may be a list of named templates. `None` if there is none.
    ///
    /// # Errors
    /// A syntax error, with file and line; a file that cannot be used; a list of templates without a `default`.
    pub fn load(folder: &Path) -> Result<Option<Self>, TextError> {
        let Some(source) = Source::find(folder)? else {
            return Ok(None);
        };
        let mut environment = environment::new();
        let default = source.templates.iter().find(|(name, _)| name == DEFAULT);
        let default = default.map(|(_, text)| text.clone()).unwrap_or_default();
        for (name, text) in source.templates {
            environment::compile(&mut environment, name, source::prepare(&text)).map_err(|error| {
                TextError::TemplateSyntax {
                    path: source.path.clone(),
                    line: error.line().unwrap_or(1),
                    reason: one_line(error.detail().unwrap_or(&error.kind().to_string())),
                }
            })?;
        }
        let special_tokens = SpecialTokens::load(folder)?;
        Ok(Some(Self(Arc::new(Inner { source: default, environment, special_tokens }))))
    }

    /// The template for chats without tools, as it stands in the folder.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The prompt for a chat. It holds special tokens as text, BOS included where the model wants it: tokenize it
    /// without adding any.
    ///
    /// # Errors
    /// The template refuses the chat, or fails; or the final message cannot be continued.
    pub fn render(&self, input: &ChatInput) -> Result<String, TemplateError> {
        if !input.continue_final_message {
            return self.render_messages(input, &input.messages);
        }
        let continuation = Continuation::of(input)?;
        let prompt = self.render_messages(input, continuation.messages())?;
        continuation.cut(prompt)
    }

    fn render_messages(&self, input: &ChatInput, messages: &[Json]) -> Result<String, TemplateError> {
        let special_tokens = self.0.special_tokens.named().map(|(name, text)| (name, Value::from(text)));
        let extra = input.extra.iter().map(|(name, value)| (name.as_str(), from_json(value)));
        let optional = |json: &Option<Json>| json.as_ref().map_or(Value::from(()), from_json);
        let own = [
            ("messages", messages.iter().map(from_json).collect()),
            ("tools", optional(&input.tools)),
            ("documents", optional(&input.documents)),
            ("add_generation_prompt", input.add_generation_prompt.into()),
        ];
        // The last of equal names counts.
        let context = Value::from_pairs(special_tokens.chain(extra).chain(own));
        let tool_use = input.tools.is_some().then(|| self.0.environment.get_template(TOOL_USE).ok()).flatten();
        let mut output = BoundedOutput::default();
        tool_use
            .map_or_else(|| self.0.environment.get_template(DEFAULT), Ok)
            .and_then(|template| template.render_captured_to(context, &mut output).map(drop))
            .map_err(into_template_error)?;
        Ok(output.into_text())
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.environment.templates().map(|(name, _)| name).collect();
        f.debug_struct("ChatTemplate").field("templates", &names).finish_non_exhaustive()
    }
}

fn into_template_error(error: minijinja::Error) -> TemplateError {
    let mut reason = match error.kind() {
        ErrorKind::OutOfFuel => format!("more than {} steps", environment::MAX_STEPS),
        _ => error.to_string(),
    };
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(Raised(message)) = cause.downcast_ref() {
            return TemplateError::Raised(message.clone());
        }
        reason += &format!(": {cause}");
        next = cause.source();
    }
    TemplateError::Render(one_line(reason))
}
