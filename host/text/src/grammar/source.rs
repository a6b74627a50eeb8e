use llguidance::api::TopLevelGrammar;
use serde_json::{Value, json};

use super::{GrammarError, json::with_options};

/// The deepest nesting of a Lark grammar. JSON and regular expressions have limits of their own.
const MAX_DEPTH: usize = 100;

/// What a text has to be, whole.
#[derive(Clone, Debug, PartialEq)]
pub enum GrammarSource {
    /// A JSON text that this JSON Schema allows. Objects have the listed properties in the order of the list. A keyword
    /// that cannot be enforced is refused; references lead to the schema itself (`#/...`).
    ///
    /// Between its parts the text may have a space, or a line break with an indentation, which is bounded, since small models
    /// like to write white space for ever.
    JsonSchema(Value),
    /// A text that this regular expression matches from end to end. The syntax is that of Rust's `regex`, without
    /// look-around, references and word boundaries.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A text that this grammar yields from `start`, in Lark syntax as [llguidance] reads it, where `%json {...}` stands for
    /// the texts of a JSON schema and `<|name|>` or `<[5]>` for a token.
    ///
    /// [llguidance]: https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
    Lark(String),
}

impl GrammarSource {
    /// Any JSON object.
    pub fn json_object() -> Self {
        Self::JsonSchema(json!({"type": "object"}))
    }

    /// What stands for the texts of a JSON schema inside of a [Lark](Self::Lark) grammar, with white space between their
    /// parts bounded as in [`JsonSchema`](Self::JsonSchema): `%json {...}`.
    ///
    /// # Errors
    /// The schema is neither an object nor `true`, or has options for the compiler.
    pub(super) fn json_part(schema: &Value) -> Result<String, GrammarError> {
        Ok(format!("%json {}", with_options(schema)?))
    }

    /// As the compiler reads it, with its length in bytes.
    pub(super) fn lower(&self) -> Result<(TopLevelGrammar, usize), GrammarError> {
        Ok(match self {
            Self::JsonSchema(schema) => {
                (TopLevelGrammar::from_json_schema(with_options(schema)?), schema.to_string().len())
            }
            Self::Regex(regex) => (TopLevelGrammar::from_regex(without_anchors(regex)), regex.len()),
            Self::Choice(choices) if choices.is_empty() => return Err(GrammarError::NoChoice),
            Self::Choice(choices) => {
                let regex = choices.iter().map(|choice| literal(choice)).collect::<Vec<_>>().join("|");
                (TopLevelGrammar::from_regex(&regex), regex.len())
            }
            Self::Lark(lark) if is_gbnf(lark) => return Err(GrammarError::Gbnf),
            Self::Lark(lark) if depth(lark) > MAX_DEPTH => return Err(GrammarError::TooDeep { limit: MAX_DEPTH }),
            Self::Lark(lark) => (TopLevelGrammar::from_lark(lark.clone()), lark.len()),
        })
    }
}

/// Everything is matched from end to end, so these say nothing.
fn without_anchors(regex: &str) -> &str {
    let rest = regex.strip_prefix('^').unwrap_or(regex);
    match rest.strip_suffix('$') {
        // An even number of backslashes escapes itself.
        Some(body) if body.chars().rev().take_while(|c| *c == '\\').count() % 2 == 0 => body,
        _ => rest,
    }
}

/// A regular expression for `text` alone.
fn literal(text: &str) -> String {
    // Behind a backslash these two are borders of words.
    let special = |c: char| c.is_ascii_punctuation() && c != '<' && c != '>';
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// How deep brackets are nested at most. Those in quotes count, too, which only matters to grammars of nothing but brackets.
fn depth(lark: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in lark.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// llama.cpp's syntax, in which rules are written with `::=`.
fn is_gbnf(text: &str) -> bool {
    text.lines().any(|line| {
        let name = line.split_once("::=").map_or("", |(name, _)| name.trim());
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    })
}
