//! What was found.

use serde::Serialize;

use crate::{costs::Costs, machine::Machine, plan::Plan, spread::Spread};

/// One thing that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "test", rename_all = "snake_case")]
pub enum Measurement {
    /// How long a prompt takes.
    Prompt(Prompt),
    /// How fast sequences go on.
    Decode(Decode),
    /// How long one waits for the first token of a short prompt.
    FirstToken(FirstToken),
}

/// A prompt alone, from its submission to the first token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prompt {
    /// Its tokens.
    pub prompt_tokens: usize,
    /// Time to its first token.
    pub seconds: Spread,
    /// Its tokens over that time.
    pub tokens_per_second: Spread,
    /// Operations that it takes.
    pub flops: Option<f64>,
    /// Operations per second, at the median.
    pub flops_per_second: Option<f64>,
    /// That over what the machine can do.
    pub fraction_of_flops: Option<f64>,
}

/// Sequences that decode at once, once all of them have their first token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decode {
    /// How many.
    pub sequences: u32,
    /// Tokens of the prompt of each.
    pub prompt_tokens: usize,
    /// Tokens of each after its first.
    pub generated_tokens: usize,
    /// Of all sequences together.
    pub tokens_per_second: Spread,
    /// Bytes that a step reads: weights, keys and values.
    pub read_bytes_per_step: Option<f64>,
    /// Bytes read per second, at the median.
    pub read_bytes_per_second: Option<f64>,
    /// That over what the machine can do.
    pub fraction_of_read_bandwidth: Option<f64>,
    /// Operations per token.
    pub flops_per_token: Option<f64>,
    /// Operations per second, at the median.
    pub flops_per_second: Option<f64>,
    /// That over what the machine can do.
    pub fraction_of_flops: Option<f64>,
}

/// A short prompt alone, from its submission to the first token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FirstToken {
    /// Its tokens.
    pub prompt_tokens: usize,
    /// Time to its first token.
    pub seconds: Spread,
}

impl Prompt {
    pub(crate) fn of(prompt_tokens: usize, seconds: Vec<f64>, costs: Option<&Costs>, machine: &Machine) -> Self {
        let speeds = seconds.iter().map(|seconds| prompt_tokens as f64 / seconds).collect();
        let seconds = Spread::of(seconds);
        let flops = costs.map(|costs| costs.prompt_flops(prompt_tokens));
        let flops_per_second = flops.map(|flops| flops / seconds.median);
        Self {
            prompt_tokens,
            seconds,
            tokens_per_second: Spread::of(speeds),
            flops,
            flops_per_second,
            fraction_of_flops: flops_per_second.map(|flops| flops / machine.flops_per_second),
        }
    }
}

impl Decode {
    /// `speeds` are tokens per second of all sequences together.
    pub(crate) fn of(
        sequences: u32,
        generated_tokens: usize,
        speeds: Vec<f64>,
        costs: Option<&Costs>,
        machine: &Machine,
    ) -> Self {
        let tokens_per_second = Spread::of(speeds);
        // The first of them sees the prompt and the token before it, the last one all but itself.
        let keys = Plan::CONTEXT as f64 + (generated_tokens as f64 + 1.0) / 2.0;
        let read_bytes_per_step = costs.map(|costs| costs.decode_bytes_per_step(sequences, keys));
        let steps_per_second = tokens_per_second.median / f64::from(sequences);
        let read_bytes_per_second = read_bytes_per_step.map(|bytes| bytes * steps_per_second);
        let flops_per_token = costs.map(|costs| costs.decode_flops_per_token(keys));
        let flops_per_second = flops_per_token.map(|flops| flops * tokens_per_second.median);
        Self {
            sequences,
            prompt_tokens: Plan::CONTEXT,
            generated_tokens,
            tokens_per_second,
            read_bytes_per_step,
            read_bytes_per_second,
            fraction_of_read_bandwidth: read_bytes_per_second.map(|bytes| bytes / machine.read_bytes_per_second),
            flops_per_token,
            flops_per_second,
            fraction_of_flops: flops_per_second.map(|flops| flops / machine.flops_per_second),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Machine =
        Machine { threads: 2, instruction_set: "avx2", read_bytes_per_second: 1e4, flops_per_second: 1e5 };
    const COSTS: Costs = Costs {
        weight_bytes_per_step: 1000,
        block_weights: 400,
        head_weights: 100,
        key_value_bytes_per_position: 10,
        attention_flops_per_key: 4,
    };

    #[test]
    fn decoding_reads_the_weights_once_per_step_and_multiplies_once_per_token() {
        // Three tokens of two sequences; the middle one of the timed rows sees 32 + 2 keys.
        let found = Decode::of(2, 3, vec![3.0, 6.0, 2.0], Some(&COSTS), &MACHINE);
        assert_eq!(found.tokens_per_second, Spread { median: 3.0, lower_quartile: 2.5, upper_quartile: 4.5 });
        assert_eq!(found.read_bytes_per_step, Some(1000.0 + 2.0 * 34.0 * 10.0));
        assert_eq!(found.read_bytes_per_second, Some(1680.0 * 1.5));
        assert_eq!(found.fraction_of_read_bandwidth, Some(0.252));
        assert_eq!(found.flops_per_token, Some(1000.0 + 34.0 * 4.0));
        assert_eq!(found.flops_per_second, Some(1136.0 * 3.0));
        assert_eq!(found.fraction_of_flops, Some(0.03408));
    }

    #[test]
    fn a_prompt_multiplies_the_weights_with_each_of_its_tokens() {
        let found = Prompt::of(10, vec![0.5], Some(&COSTS), &MACHINE);
        assert_eq!((found.tokens_per_second.median, found.flops), (20.0, Some(8000.0 + 200.0 + 220.0)));
        assert_eq!((found.flops_per_second, found.fraction_of_flops), (Some(16840.0), Some(0.1684)));
    }

    #[test]
    fn without_costs_only_time_is_told() {
        let found = Decode::of(1, 1, vec![1.0], None, &MACHINE);
        assert_eq!((found.read_bytes_per_step, found.fraction_of_flops), (None, None));
        let found = serde_json::to_value(Measurement::Decode(found)).unwrap();
        assert_eq!((&found["test"], &found["flops_per_second"]), (&"decode".into(), &serde_json::Value::Null));
    }
}
