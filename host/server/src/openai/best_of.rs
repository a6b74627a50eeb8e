//! `best_of`: more choices are computed than are shown.

use super::generation::Choice;
use crate::{
    error::{ApiError, Kind},
    fields::Fields,
};

/// How many choices are computed for each prompt, so that `shown` can be shown. `streamed`: they are shown as they come.
pub(crate) fn read(fields: &mut Fields, shown: u32, streamed: bool) -> Result<u32, ApiError> {
    // OpenAI allows 0, and some clients send it for none.
    let Some(best_of) = fields.integer("best_of", 0..=128)?.filter(|best_of| *best_of > 0) else {
        return Ok(shown);
    };
    let best_of = best_of as u32;
    let problem = match best_of.cmp(&shown) {
        std::cmp::Ordering::Less => format!("it must not be less than 'n', which is {shown}"),
        std::cmp::Ordering::Greater if streamed => "the best is not known while they are streamed".to_owned(),
        _ => return Ok(best_of),
    };
    Err(ApiError::at(Kind::InvalidValue, "best_of", format!("Invalid 'best_of': {problem}.")))
}

/// The `shown` best of every `computed` choices, best first: those whose tokens were the most probable on average. Of equals
/// the first.
pub(crate) fn select(choices: Vec<Choice>, computed: u32, shown: u32) -> Vec<Choice> {
    if computed == shown {
        return choices;
    }
    let mut choices = choices.into_iter();
    let mut selected = Vec::new();
    while choices.len() > 0 {
        let mut some: Vec<Choice> = choices.by_ref().take(computed as usize).collect();
        some.sort_by(|a, b| mean_logprob(b).total_cmp(&mean_logprob(a)));
        some.truncate(shown as usize);
        selected.append(&mut some);
    }
    selected
}

fn mean_logprob(choice: &Choice) -> f64 {
    let sum: f64 = choice.logprobs.iter().map(|found| f64::from(found.logprob)).sum();
    sum / choice.logprobs.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use millm_engine::{FinishReason, TokenLogprob};
    use serde_json::json;

    use super::*;

    #[test]
    fn at_least_as_many_are_computed_as_are_shown() {
        let check = |best_of, n, streamed| {
            let mut fields = Fields::of(json!({ "best_of": best_of }), String::new()).unwrap();
            read(&mut fields, n, streamed).map_err(|error| error.kind)
        };
        assert_eq!([check(json!(null), 2, true), check(json!(0), 2, true), check(json!(2), 2, true)], [Ok(2); 3]);
        assert_eq!(check(json!(3), 2, false), Ok(3));
        assert_eq!(check(json!(3), 2, true), Err(Kind::InvalidValue));
        assert_eq!(check(json!(1), 2, false), Err(Kind::InvalidValue));
        assert_eq!(check(json!(-1), 1, false), Err(Kind::IntegerBelowMin));
        assert_eq!(check(json!(129), 1, false), Err(Kind::IntegerAboveMax));
    }

    #[test]
    fn the_most_probable_per_token_are_the_best() {
        let choice = |text: &str, logprobs: &[f32]| Choice {
            steered: None,
            text: text.into(),
            pieces: Vec::new(),
            reason: FinishReason::Stop,
            logprobs: logprobs
                .iter()
                .map(|&logprob| TokenLogprob { token: 1, logprob, rank: 1, top: vec![] })
                .collect(),
        };
        let choices = vec![
            choice("a", &[-1.0, -1.0]),
            choice("b", &[-1.5]),
            choice("c", &[-0.5, -0.5, -0.5]),
            choice("d", &[-2.0]),
            choice("e", &[-2.0]),
            choice("f", &[-9.0]),
        ];
        let selected = select(choices.clone(), 3, 2);
        assert_eq!(selected.iter().map(|choice| choice.text.as_str()).collect::<String>(), "cade");
        assert_eq!(select(choices.clone(), 3, 3), choices);
    }
}
