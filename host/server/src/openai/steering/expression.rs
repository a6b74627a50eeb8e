//! All of a request's steering in one line, as clients can send it that have a field for a text only: the part of saklas's
//! language that has the same meaning here.
//!
//! ```text
//! line    = term (("+" | "-") term)*          term  = [number ["*"]] name ["@" when]
//! name    = vector | sae "/" feature          when  = phase ["&" gate] | gate
//! phase   = "both" | "prompt" | "generated" | "first:" n | "after:" n
//! gate    = "when:" sae "/" feature (">" | "<") number
//! ```
//!
//! `sae` is the id of an SAE, or the word for the only one. A term without a number has saklas's 0.5. Numbers are strengths in
//! raw units, where saklas's are shares of its own scale. A gate without a phase is about generated tokens, as there.

use serde_json::{Map, Value, json};

use crate::{
    error::{ApiError, Kind},
    fields::clip,
};

/// A line has no more.
const MAX_BYTES: usize = 16 << 10;
const DEFAULT: f64 = 0.5;

/// The interventions that a line, which stands at `path`, asks for.
pub(super) fn read(line: &str, path: &str) -> Result<Vec<Value>, ApiError> {
    if line.len() > MAX_BYTES {
        let message = format!("Invalid '{path}': a line of at most {MAX_BYTES} bytes is supported.");
        return Err(ApiError::at(Kind::StringTooLong, path, message));
    }
    let mut rest = line.trim();
    let mut edits = Vec::new();
    while !rest.is_empty() {
        let (negative, term) = match rest.as_bytes()[0] {
            b'+' | b'-' => (rest.starts_with('-'), rest[1..].trim_start()),
            _ if edits.is_empty() => (false, rest),
            _ => return Err(wrong(path, rest, "between terms there is '+' or '-'")),
        };
        let (edit, left) = self::term(term, negative, path)?;
        edits.push(edit);
        rest = left.trim_start();
    }
    Ok(edits)
}

/// A term, and what follows it.
fn term<'a>(text: &'a str, negative: bool, path: &str) -> Result<(Value, &'a str), ApiError> {
    let (number, rest) = number(text);
    let rest = rest.trim_start();
    let rest = if number.is_some() { rest.strip_prefix('*').unwrap_or(rest).trim_start() } else { rest };
    let (name, mut rest) = split(rest, |letter| letter.is_ascii_alphanumeric() || "_-./:".contains(letter));
    if name.is_empty() {
        let mean = "mean ablation needs a mean, which is not known here";
        return Err(wrong(path, text, if rest.starts_with('!') { mean } else { "a name is missing" }));
    }
    if let Some(next) = rest.trim_start().bytes().next().filter(|next| b"!~|%[".contains(next)) {
        return Err(wrong(path, text, &format!("'{}' has no exact counterpart here", char::from(next))));
    }
    let strength = number.unwrap_or(DEFAULT) * if negative { -1.0 } else { 1.0 };
    let mut edit = Map::from_iter([("op".to_owned(), json!("add")), ("strength".to_owned(), json!(strength))]);
    match name.rsplit_once('/') {
        None => drop(edit.insert("vector".to_owned(), json!(name))),
        Some((sae, feature)) => {
            feature_of(&mut edit, sae, feature)
                .ok_or_else(|| wrong(path, text, "'/' stands between an SAE and a feature"))?;
        }
    }
    if let Some(after) = rest.strip_prefix('@') {
        let (trigger, left) = split(after, |letter| letter.is_ascii_alphanumeric() || "_-./:&<>".contains(letter));
        rest = left;
        triggered(&mut edit, trigger).map_err(|why| wrong(path, text, why))?;
    }
    Ok((Value::Object(edit), rest))
}

/// Says when a term acts.
fn triggered(edit: &mut Map<String, Value>, trigger: &str) -> Result<(), &'static str> {
    let (phase, gate) = match trigger.split_once('&') {
        Some((phase, gate)) => (Some(phase), Some(gate)),
        None if trigger.starts_with("when:") => (None, Some(trigger)),
        None => (Some(trigger), None),
    };
    let counted = |text: &str| text.parse::<u32>().map_err(|_| "a number of tokens is missing");
    let apply = match phase {
        Some("both") => None,
        Some("prompt") => Some(json!({ "prompt": "all" })),
        Some("generated") | None => Some(json!({ "generation": "all" })),
        Some(phase) => match phase.split_once(':') {
            Some(("first", count)) => Some(json!({ "generation_window": [0, counted(count)?] })),
            Some(("after", count)) => {
                let count = counted(count)?;
                let all = json!({ "generation": "all" });
                Some(if count == 0 {
                    all
                } else {
                    json!({ "generation": "all", "exclude_generation_window": [0, count] })
                })
            }
            _ => return Err("a phase is 'both', 'prompt', 'generated', 'first:N' or 'after:N'"),
        },
    };
    edit.extend(apply.map(|apply| ("apply".to_owned(), apply)));
    let Some(gate) = gate else { return Ok(()) };
    let gate = gate.strip_prefix("when:").ok_or("behind '&' there is 'when:'")?;
    let at = gate.find(['<', '>']).ok_or("a gate compares by '>' or '<'")?;
    let (probe, bound) = gate.split_at(at);
    let key = if bound.starts_with('>') { "above" } else { "below" };
    let bound: f64 = bound[1..].parse().map_err(|_| "a gate compares with a number, by '>' or '<'")?;
    let mut when = Map::from_iter([(key.to_owned(), json!(bound))]);
    let (sae, feature) = probe.rsplit_once('/').ok_or("a gate is on a feature of an SAE, as in 'when:sae/12>0.5'")?;
    feature_of(&mut when, sae, feature).ok_or("a gate is on a feature of an SAE, as in 'when:sae/12>0.5'")?;
    edit.insert("when".to_owned(), Value::Object(when));
    Ok(())
}

/// Names a feature. `sae` is saklas's word for the only SAE.
fn feature_of(into: &mut Map<String, Value>, sae: &str, feature: &str) -> Option<()> {
    let feature: u32 = feature.parse().ok()?;
    if sae.is_empty() {
        return None;
    }
    into.extend((sae != "sae").then(|| ("sae".to_owned(), json!(sae))));
    into.insert("feature".to_owned(), json!(feature));
    Some(())
}

/// The number that a text begins with, if that is not the beginning of a name.
fn number(text: &str) -> (Option<f64>, &str) {
    let sign = usize::from(text.starts_with(['+', '-']));
    let digits = text[sign..].find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let (number, rest) = text.split_at(digits.map_or(text.len(), |digits| sign + digits));
    match number.parse().ok().filter(|_| rest.is_empty() || rest.starts_with([' ', '*', '!'])) {
        Some(number) => (Some(number), rest),
        None => (None, text),
    }
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|letter| !belongs(letter)).unwrap_or(text.len()))
}

fn wrong(path: &str, at: &str, why: &str) -> ApiError {
    let message = format!("Invalid '{path}': {why}, at '{}'.", clip(at));
    ApiError::at(Kind::InvalidValue, path, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Value, ApiError> {
        super::read(line, "steering").map(Value::from)
    }

    fn add(strength: f64, rest: Value) -> Value {
        let mut edit = Map::from_iter([("op".to_owned(), json!("add")), ("strength".to_owned(), json!(strength))]);
        edit.extend(rest.as_object().unwrap().clone());
        Value::Object(edit)
    }

    #[test]
    fn a_line_is_a_sum_of_terms() {
        let all = || json!({ "generation": "all" });
        for (line, expected) in [
            ("", json!([])),
            ("sea", json!([add(0.5, json!({ "vector": "sea" }))])),
            (
                "0.3 warm + 0.2 sae/9143",
                json!([add(0.3, json!({ "vector": "warm" })), add(0.2, json!({ "feature": 9143 }))]),
            ),
            ("2*sea - 1.5 * my-sae/7", {
                json!([add(2.0, json!({ "vector": "sea" })), add(-1.5, json!({ "sae": "my-sae", "feature": 7 }))])
            }),
            ("-sea", json!([add(-0.5, json!({ "vector": "sea" }))])),
            ("1 sea@both", json!([add(1.0, json!({ "vector": "sea" }))])),
            ("1 sea@prompt", json!([add(1.0, json!({ "vector": "sea", "apply": { "prompt": "all" } }))])),
            ("1 sea@generated+1 x", {
                json!([add(1.0, json!({ "vector": "sea", "apply": all() })), add(1.0, json!({ "vector": "x" }))])
            }),
            ("1 sea@first:5", json!([add(1.0, json!({ "vector": "sea", "apply": { "generation_window": [0, 5] } }))])),
            ("1 sea@after:5", {
                let apply = json!({ "generation": "all", "exclude_generation_window": [0, 5] });
                json!([add(1.0, json!({ "vector": "sea", "apply": apply }))])
            }),
            ("0.3 sea@when:sae/12>0.4", {
                let when = json!({ "above": 0.4, "feature": 12 });
                json!([add(0.3, json!({ "vector": "sea", "apply": all(), "when": when }))])
            }),
            ("0.3 sea@prompt&when:my-sae/12<1", {
                let when = json!({ "below": 1.0, "sae": "my-sae", "feature": 12 });
                json!([add(0.3, json!({ "vector": "sea", "apply": { "prompt": "all" }, "when": when }))])
            }),
        ] {
            assert_eq!(read(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn what_means_something_else_there_is_refused() {
        for (line, mention) in [
            ("!sea", "mean ablation"),
            ("0.5 !sea", "mean ablation"),
            ("sea~fire", "'~'"),
            ("0.7 emotions%0.3,0.8", "'%'"),
            ("sea fire", "between terms"),
            ("sea +", "name is missing"),
            ("+", "name is missing"),
            ("sea@thinking", "a phase is"),
            ("sea@first", "a phase is"),
            ("sea@first:x", "number of tokens"),
            ("sea@when:angry.calm>0.4", "on a feature"),
            ("sea@when:sae/1>=0.4", "compares with a number"),
            ("sea@when:sae/1", "compares by"),
            ("ns/warm", "between an SAE and a feature"),
            ("/3", "between an SAE and a feature"),
            ("sea, fire", "between terms"),
            ("é", "name is missing"),
        ] {
            let error = read(line).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (Kind::InvalidValue, Some("steering")), "{line}");
            assert!(error.message.contains(mention), "{line}: {}", error.message);
        }
        assert_eq!(read(&"sea+".repeat(10_000)).unwrap_err().kind, Kind::StringTooLong);
    }
}
