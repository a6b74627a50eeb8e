//! Which positions of a request are meant.
//!
//! The language is EasySteer's `apply`: the union of what is included, minus the union of what is excluded.

mod rule;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use millm_engine::{Chosen, Selection};
use millm_text::Tokenizer;
use serde_json::Value;

use self::rule::Rule;
use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip, wrong_type},
};

/// A choice of positions, the same for every prompt it is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    /// Where it is in the request.
    path: String,
    prompt: Choice,
    generation: Choice,
}

/// What is included, and what of that is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Choice {
    include: Vec<Rule>,
    exclude: Vec<Rule>,
}

/// The rules' names, for including and for excluding.
type Names = [(&'static str, &'static str); 4];
const PROMPT: Names = [
    ("prompt", "exclude_prompt"),
    ("prompt_tokens", "exclude_prompt_tokens"),
    ("prompt_positions", "exclude_prompt_positions"),
    ("prompt_window", "exclude_prompt_window"),
];
const GENERATION: Names = [
    ("generation", "exclude_generation"),
    ("generation_tokens", "exclude_generation_tokens"),
    ("generation_positions", "exclude_generation_positions"),
    ("generation_window", "exclude_generation_window"),
];

impl Selector {
    /// Reads the field `key` about prompts: an object of rules, `"all"`, or a list of positions. Absent, it is all positions.
    ///
    /// # Errors
    ///
    /// A rule that does not exist, has a wrong type, or is about generated tokens.
    pub(crate) fn read(fields: &mut Fields, key: &'static str) -> Result<Self, ApiError> {
        let path = fields.path(key);
        let of = |rule| Choice { include: vec![rule], exclude: Vec::new() };
        let prompt = match fields.take(key) {
            None => of(Rule::All),
            Some(value @ Value::String(_)) => of(Rule::all(value, &path)?),
            Some(Value::Array(list)) => of(Rule::positions(&list, path.clone())?),
            Some(value @ Value::Object(_)) => {
                let mut rules = Fields::of(value, path.clone())?;
                refuse_generation(&rules)?;
                let prompt = Choice::read(&mut rules, &PROMPT)?;
                rules.deny_rest()?;
                prompt
            }
            Some(other) => return Err(wrong_type(&path, "an object, an array of positions or 'all'", &other)),
        };
        Ok(Self { path, prompt, generation: Choice::default() })
    }

    /// Reads the field `apply`, about prompts and what is generated: an object of rules. Absent, it is everything, and `None`.
    ///
    /// # Errors
    ///
    /// A rule that does not exist or has a wrong type; and if it can choose nothing, whatever the tokens are.
    pub(crate) fn read_apply(fields: &mut Fields, tokenizer: &Tokenizer) -> Result<Option<Self>, ApiError> {
        const KEY: &str = "apply";
        let path = fields.path(KEY);
        let Some(mut rules) = fields.object(KEY)? else { return Ok(None) };
        let (mut prompt, mut generation) = (Choice::read(&mut rules, &PROMPT)?, Choice::read(&mut rules, &GENERATION)?);
        if let Some(word) = rules.string("special_tokens")? {
            if word != "skip" {
                let path = rules.path("special_tokens");
                let message = format!("Invalid '{path}': the only value is 'skip', but got '{}'.", clip(&word));
                return Err(ApiError::at(Kind::InvalidSelector, path, message).with("expected", "skip"));
            }
            // Those alone are left out that are meant to begin and end things.
            if prompt.include.is_empty() && generation.include.is_empty() {
                (prompt.include, generation.include) = (vec![Rule::All], vec![Rule::All]);
            }
            let special = Rule::of_tokens(tokenizer.special_ids());
            prompt.exclude.push(special.clone());
            generation.exclude.push(special);
        }
        rules.deny_rest()?;
        let all = |rules: &[Rule]| rules.contains(&Rule::All);
        let none = |choice: &Choice| choice.include.is_empty() || all(&choice.exclude);
        if none(&prompt) && none(&generation) {
            let message = format!(
                "Invalid '{path}': it selects nothing; include something, such as \"prompt\": \"all\" or \"generation\": \
                 \"all\"."
            );
            return Err(ApiError::at(Kind::InvalidSelector, path, message));
        }
        Ok(Some(Self { path, prompt, generation }))
    }

    /// For the engine.
    pub(crate) fn selection(&self) -> Selection {
        let rules = |rules: &[Rule]| {
            let mut all = millm_engine::Rules::default();
            rules.iter().for_each(|rule| rule.add_to(&mut all));
            all
        };
        Selection::Chosen(Arc::new(Chosen {
            prompt: rules(&self.prompt.include),
            generation: rules(&self.generation.include),
            exclude_prompt: rules(&self.prompt.exclude),
            exclude_generation: rules(&self.generation.exclude),
        }))
    }

    /// The positions in a prompt of these tokens, ascending, at least one. `prompt` is where the prompt is in the
    /// request.
    ///
    /// # Errors
    ///
    /// A position that the prompt has not, or nothing is selected.
    pub(crate) fn positions(&self, tokens: &[u32], prompt: &str) -> Result<Vec<usize>, ApiError> {
        let selected = self.marked(tokens, prompt)?;
        if selected.is_empty() {
            let path = &self.path;
            let includes_none = self.prompt.include.is_empty();
            let why = if includes_none { "; it includes none, such as by \"prompt\": \"all\"" } else { "" };
            let message = format!("Invalid '{path}': it selects no position of '{prompt}'{why}.");
            return Err(ApiError::at(Kind::InvalidSelector, path.as_str(), message));
        }
        Ok(selected)
    }

    /// Refuses positions that a prompt of these tokens has not. `prompt` is where it is in the request.
    ///
    /// # Errors
    ///
    /// `InvalidSelector`.
    pub(crate) fn check(&self, tokens: &[u32], prompt: &str) -> Result<(), ApiError> {
        self.marked(tokens, prompt).map(drop)
    }

    fn marked(&self, tokens: &[u32], prompt: &str) -> Result<Vec<usize>, ApiError> {
        let marked = |rules: &[Rule]| {
            let mut marks = vec![false; tokens.len()];
            rules.iter().try_for_each(|rule| rule.mark(tokens, prompt, &mut marks)).map(|()| marks)
        };
        let (include, exclude) = (marked(&self.prompt.include)?, marked(&self.prompt.exclude)?);
        Ok((0..tokens.len()).filter(|index| include[*index] && !exclude[*index]).collect())
    }
}

impl Choice {
    fn read(fields: &mut Fields, names: &Names) -> Result<Self, ApiError> {
        let is_generation = *names == GENERATION;
        let mut choice = Self::default();
        for (index, (included, excluded)) in names.iter().enumerate() {
            for (key, into) in [(*included, &mut choice.include), (*excluded, &mut choice.exclude)] {
                let path = fields.path(key);
                let Some(value) = fields.take(key) else { continue };
                let rule = match (index, value) {
                    (0, value) => Rule::all(value, &path)?,
                    (1, Value::Array(list)) => Rule::tokens(&list, &path)?,
                    (2, Value::Array(list)) if is_generation => Rule::steps(&list, path)?,
                    (2, Value::Array(list)) => Rule::positions(&list, path)?,
                    (_, Value::Array(list)) => Rule::window(&list, path)?,
                    (_, other) => return Err(wrong_type(&path, "an array", &other)),
                };
                into.push(rule);
            }
        }
        Ok(choice)
    }
}

fn refuse_generation(fields: &Fields) -> Result<(), ApiError> {
    let mut names = GENERATION.iter().flat_map(|(include, exclude)| [include, exclude]);
    let Some(key) = names.find(|key| fields.has(key)) else { return Ok(()) };
    let path = fields.path(key);
    let message = format!("Invalid '{path}': only prompts are read here, there are no generated tokens.");
    Err(ApiError::at(Kind::InvalidSelector, path, message))
}
