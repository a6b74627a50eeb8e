//! One rule of a selector.

use std::collections::{BTreeMap, HashSet};

use millm_engine::Rules;
use serde_json::Value;

use crate::{
    error::{ApiError, Kind},
    fields::{clip, integer, wrong_type},
};

/// Some positions of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    All,
    /// Wherever one of these stands.
    Tokens(HashSet<u32>),
    /// Negative ones count from the end. Each distinct one with the index where it first stands in the list at the
    /// path: a list may be long, and is held against every prompt.
    Positions(String, BTreeMap<i128, usize>),
    /// From the first, to before the second.
    Window(String, usize, usize),
}

impl Rule {
    /// The word `all`.
    pub(super) fn all(value: Value, path: &str) -> Result<Self, ApiError> {
        if value == "all" {
            return Ok(Self::All);
        }
        let message = format!("Invalid '{path}': the only value is 'all'.");
        Err(ApiError::at(Kind::InvalidSelector, path, message).with("expected", "all"))
    }

    /// A list of token ids.
    pub(super) fn tokens(list: &[Value], path: &str) -> Result<Self, ApiError> {
        let token = |(index, value)| {
            let number = integer(value).and_then(|number| u32::try_from(number).ok());
            number.ok_or_else(|| wrong_type(&format!("{path}[{index}]"), "a token id", value))
        };
        list.iter().enumerate().map(token).collect::<Result<_, _>>().map(Self::Tokens)
    }

    /// A list of positions.
    pub(super) fn positions(list: &[Value], path: String) -> Result<Self, ApiError> {
        let mut positions = BTreeMap::new();
        for (index, value) in list.iter().enumerate() {
            let position =
                integer(value).ok_or_else(|| wrong_type(&format!("{path}[{index}]"), "an integer", value))?;
            positions.entry(position).or_insert(index);
        }
        Ok(Self::Positions(path, positions))
    }

    /// A list of generated tokens by their number, which nobody can count from the end.
    pub(super) fn steps(list: &[Value], path: String) -> Result<Self, ApiError> {
        let steps = Self::positions(list, path)?;
        if let Self::Positions(path, positions) = &steps
            && let Some((position, index)) = positions.range(..0).min_by_key(|(_, index)| **index)
        {
            let path = format!("{path}[{index}]");
            let message = format!(
                "Invalid '{path}': generated tokens are counted from 0, and nobody knows their end, but got {position}."
            );
            return Err(ApiError::at(Kind::InvalidSelector, path, message));
        }
        Ok(steps)
    }

    /// Wherever one of these stands.
    pub(super) fn of_tokens(ids: impl Iterator<Item = u32>) -> Self {
        Self::Tokens(ids.collect())
    }

    /// Adds what it chooses to what the engine is told.
    pub(super) fn add_to(&self, rules: &mut Rules) {
        match self {
            Self::All => rules.all = true,
            Self::Tokens(ids) => rules.tokens.extend(ids),
            // One that no sequence has chooses nothing.
            Self::Positions(_, positions) => {
                rules.positions.extend(positions.keys().filter_map(|position| i64::try_from(*position).ok()));
            }
            Self::Window(_, start, end) => rules.windows.push(*start..*end),
        }
    }

    /// Two bounds.
    pub(super) fn window(list: &[Value], path: String) -> Result<Self, ApiError> {
        let bound = |value: &Value| integer(value).and_then(|number| usize::try_from(number).ok());
        match list {
            [start, end] => match (bound(start), bound(end)) {
                (Some(start), Some(end)) if start < end => Ok(Self::Window(path, start, end)),
                _ => {
                    let [start, end] = [start, end].map(|bound| clip(&bound.to_string()));
                    let message = format!(
                        "Invalid '{path}': expected two integers 0 <= start < end, but got [{start}, {end}]. The window \
                         ends before its end."
                    );
                    Err(ApiError::at(Kind::InvalidSelector, path, message))
                }
            },
            other => {
                let message =
                    format!("Invalid '{path}': expected [start, end], but got an array of {} elements.", other.len());
                Err(ApiError::at(Kind::InvalidSelector, path, message))
            }
        }
    }

    /// Sets the marks of its positions.
    pub(super) fn mark(&self, tokens: &[u32], prompt: &str, marks: &mut [bool]) -> Result<(), ApiError> {
        match self {
            Self::All => marks.fill(true),
            Self::Tokens(wanted) => {
                marks.iter_mut().zip(tokens).for_each(|(mark, token)| *mark |= wanted.contains(token));
            }
            Self::Positions(path, positions) => {
                let count = tokens.len() as i128;
                let beyond = positions.range(..-count).chain(positions.range(count..));
                if let Some((position, first)) = beyond.min_by_key(|(_, first)| **first) {
                    return Err(outside(&format!("{path}[{first}]"), *position, -count, prompt, tokens.len()));
                }
                for position in positions.keys() {
                    let index = if *position < 0 { count + position } else { *position };
                    marks[index as usize] = true;
                }
            }
            Self::Window(path, start, end) => match marks.get_mut(*start..*end) {
                Some(marks) => marks.fill(true),
                None => return Err(outside(path, *end as i128 - 1, 0, prompt, tokens.len())),
            },
        }
        Ok(())
    }
}

fn outside(path: &str, found: i128, minimum: i128, prompt: &str, count: usize) -> ApiError {
    let maximum = count as i128 - 1;
    let message = format!(
        "Invalid '{path}': position {found} is not in '{prompt}', which has {count} tokens. Expected {minimum} to \
         {maximum}."
    );
    // Numbers this far from any prompt need not be exact.
    let number = |number: i128| Value::from(number.clamp(i64::MIN.into(), i64::MAX.into()) as i64);
    let error = ApiError::at(Kind::InvalidSelector, path, message);
    error.with("minimum", number(minimum)).with("maximum", number(maximum)).with("found", number(found))
}
