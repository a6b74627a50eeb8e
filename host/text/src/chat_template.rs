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
use serde_json::{Value as Json, json};

use crate::error::one_line;
use crate::{CallSyntax, ChatInput, ReasoningTags, SpecialTokens, TemplateError, TextError};
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
    takes_tools: bool,
    call_syntax: Option<CallSyntax>,
    reasoning_tags: Option<ReasoningTags>,
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
        let with_tools = source.templates.iter().find(|(name, _)| name == TOOL_USE).map_or(&default, |(_, text)| text);
        let call_syntax = CallSyntax::of(with_tools);
        let reasoning_tags = ReasoningTags::of(with_tools);
        let mut reads_tools = false;
        for (name, text) in source.templates {
            let names_tools =
                environment::compile(&mut environment, &name, source::prepare(&text)).map_err(|error| {
                    TextError::TemplateSyntax {
                        path: source.path.clone(),
                        line: error.line().unwrap_or(1),
                        reason: one_line(error.detail().unwrap_or(&error.kind().to_string())),
                    }
                })?;
            reads_tools |= names_tools && (name == DEFAULT || name == TOOL_USE);
        }
        let special_tokens = SpecialTokens::load(folder)?;
        let mut inner =
            Inner { source: default, environment, special_tokens, takes_tools: false, call_syntax, reasoning_tags };
        inner.takes_tools = reads_tools && inner.shows_tools();
        Ok(Some(Self(Arc::new(inner))))
    }

    /// The template for chats without tools, as it stands in the folder.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Whether the model is told of the tools of a chat. A template may read them only to refuse them, so it was tried.
    pub fn takes_tools(&self) -> bool {
        self.0.takes_tools
    }

    /// How the template has the model call tools, if it is a way that is known here.
    pub fn call_syntax(&self) -> Option<CallSyntax> {
        self.0.call_syntax
    }

    /// What the template knows to be around reasoning.
    pub fn reasoning_tags(&self) -> Option<ReasoningTags> {
        self.0.reasoning_tags
    }

    /// The prompt for a chat. It holds special tokens as text, BOS included where the model wants it: tokenize it
    /// without adding any.
    ///
    /// # Errors
    /// The template refuses the chat, or fails; or the final message cannot be continued.
    pub fn render(&self, input: &ChatInput) -> Result<String, TemplateError> {
        if !input.continue_final_message {
            return self.0.render(input, &input.messages);
        }
        let continuation = Continuation::of(input)?;
        let prompt = self.0.render(input, continuation.messages())?;
        continuation.cut(prompt)
    }
}

impl Inner {
    /// Whether a prompt shows the name of a tool, with the model's own chat or with a system message.
    fn shows_tools(&self) -> bool {
        const NAME: &str = "probe_7c1e";
        let parameters = json!({ "type": "object", "properties": {} });
        let function = json!({ "name": NAME, "description": "d", "parameters": parameters });
        let user = json!({ "role": "user", "content": "u" });
        let chats = [vec![user.clone()], vec![json!({ "role": "system", "content": "s" }), user]];
        chats.into_iter().any(|messages| {
            let tools = Some(json!([{ "type": "function", "function": function }]));
            let input = ChatInput { messages, tools, add_generation_prompt: true, ..ChatInput::default() };
            self.render(&input, &input.messages).is_ok_and(|prompt| prompt.contains(NAME))
        })
    }

    fn render(&self, input: &ChatInput, messages: &[Json]) -> Result<String, TemplateError> {
        let special_tokens = self.special_tokens.named().map(|(name, text)| (name, Value::from(text)));
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
        let tool_use = input.tools.is_some().then(|| self.environment.get_template(TOOL_USE).ok()).flatten();
        let mut output = BoundedOutput::default();
        tool_use
            .map_or_else(|| self.environment.get_template(DEFAULT), Ok)
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
