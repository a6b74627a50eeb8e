//! How long an answer took, as llama.cpp tells it.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::generation::Drawn;

/// How long an answer took, in the words of llama.cpp. Others' requests may have had a part of that time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Timings {
    /// Milliseconds until the request was taken into the batch.
    queue_ms: f64,
    /// Tokens of the prompts that were not computed, since a cached prefix had them.
    cache_n: usize,
    /// Those that were.
    prompt_n: usize,
    /// From then until the first token was drawn; of several prompts the longest time.
    prompt_ms: f64,
    prompt_per_token_ms: f64,
    prompt_per_second: f64,
    /// Tokens drawn, of all choices.
    predicted_n: usize,
    /// From the first token of a choice to its last; of several choices the longest time.
    predicted_ms: f64,
    /// As for the next one, without the first tokens, which came with the prompts.
    predicted_per_token_ms: f64,
    /// Of all choices together, without their first tokens.
    predicted_per_second: f64,
}

impl Timings {
    pub(crate) fn new(prompt_tokens: usize, drawn: Drawn) -> Self {
        let Drawn { completion_tokens, cached_tokens, choices, times } = drawn;
        let prompt_n = prompt_tokens.saturating_sub(cached_tokens);
        let further = completion_tokens.saturating_sub(choices as usize);
        let milliseconds = |time: Duration| 1e3 * time.as_secs_f64();
        Self {
            queue_ms: milliseconds(times.waiting),
            cache_n: cached_tokens,
            prompt_n,
            prompt_ms: milliseconds(times.prompt),
            prompt_per_token_ms: ratio(milliseconds(times.prompt), prompt_n as f64),
            prompt_per_second: ratio(prompt_n as f64, times.prompt.as_secs_f64()),
            predicted_n: completion_tokens,
            predicted_ms: milliseconds(times.drawing),
            predicted_per_token_ms: ratio(milliseconds(times.drawing), further as f64),
            predicted_per_second: ratio(further as f64, times.drawing.as_secs_f64()),
        }
    }
}

/// Nothing per nothing is nothing: JSON has no NaN, and Open WebUI no use for null here.
fn ratio(dividend: f64, divisor: f64) -> f64 {
    if divisor > 0.0 { dividend / divisor } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use millm_engine::Times;
    use serde_json::json;

    use super::*;

    #[test]
    fn rates_are_of_what_the_time_was_spent_on() {
        let milliseconds = Duration::from_millis;
        let times = Times { waiting: milliseconds(1), prompt: milliseconds(20), drawing: milliseconds(500) };
        let drawn = Drawn { completion_tokens: 12, cached_tokens: 6, choices: 2, times };
        let expected = json!({
            "queue_ms": 1.0, "cache_n": 6, "prompt_n": 4, "prompt_ms": 20.0, "prompt_per_token_ms": 5.0,
            "prompt_per_second": 200.0, "predicted_n": 12, "predicted_ms": 500.0, "predicted_per_token_ms": 50.0,
            "predicted_per_second": 20.0,
        });
        assert_eq!(serde_json::to_value(Timings::new(10, drawn)).unwrap(), expected);
        let nothing = serde_json::to_value(Timings::new(0, Drawn::default())).unwrap();
        assert!(nothing.as_object().unwrap().values().all(|value| value.as_f64() == Some(0.0)), "{nothing}");
    }
}
