//! What was found, for people, line by line as it comes.

use crate::{
    machine::Machine,
    measurement::{Decode, FirstToken, Measurement, Prompt},
    report::ModelReport,
    spread::Spread,
};

/// What the machine can do.
pub fn machine(machine: &Machine) -> String {
    let Machine { threads, instruction_set, read_bytes_per_second, flops_per_second } = machine;
    let (bytes, flops) = (read_bytes_per_second / 1e9, flops_per_second / 1e9);
    format!("{threads} threads, {instruction_set}: read {bytes:.1} GB/s, compute {flops:.0} GFLOP/s\n")
}

/// What comes before the rows of a model.
pub fn heading(report: &ModelReport) -> String {
    let ModelReport { model, dtype, converted_from, n_params, costs, costs_unknown, .. } = report;
    let converted = converted_from.map_or(String::new(), |stored| format!(" (converted from {stored})"));
    let read = match (costs, costs_unknown) {
        (Some(costs), _) => format!("{:.1} MB of them read per step", costs.weight_bytes_per_step as f64 / 1e6),
        (None, Some(reason)) => format!("what a step reads is not known: {reason}"),
        (None, None) => "what a step reads is not known".to_owned(),
    };
    let millions = *n_params as f64 / 1e6;
    let titles = row("test", "tokens/s", "quartiles", ["GB/s", "%", "GFLOP/s", "%"].map(str::to_owned));
    format!("\n{model}, {dtype}{converted}: {millions:.1} M weights, {read}\n{titles}")
}

/// One result.
pub fn measurement(found: &Measurement) -> String {
    let number = |number: Option<f64>, scale: f64, digits: usize| {
        number.map_or_else(|| "-".to_owned(), |number| format!("{:.digits$}", number / scale))
    };
    match found {
        Measurement::Prompt(Prompt {
            prompt_tokens, tokens_per_second, flops_per_second, fraction_of_flops, ..
        }) => row(
            &format!("prompt of {prompt_tokens}"),
            &format!("{:.1}", tokens_per_second.median),
            &quartiles(tokens_per_second, 1.0),
            ["-".into(), "-".into(), number(*flops_per_second, 1e9, 1), number(*fraction_of_flops, 0.01, 0)],
        ),
        Measurement::Decode(Decode {
            sequences,
            tokens_per_second,
            read_bytes_per_second,
            fraction_of_read_bandwidth,
            flops_per_second,
            fraction_of_flops,
            ..
        }) => row(
            &format!("decode, {sequences} at once"),
            &format!("{:.1}", tokens_per_second.median),
            &quartiles(tokens_per_second, 1.0),
            [
                number(*read_bytes_per_second, 1e9, 1),
                number(*fraction_of_read_bandwidth, 0.01, 0),
                number(*flops_per_second, 1e9, 1),
                number(*fraction_of_flops, 0.01, 0),
            ],
        ),
        Measurement::FirstToken(FirstToken { prompt_tokens, seconds }) => row(
            &format!("first token of {prompt_tokens}"),
            &format!("{:.1} ms", seconds.median * 1e3),
            &quartiles(seconds, 1e3),
            ["-"; 4].map(str::to_owned),
        ),
    }
}

fn quartiles(spread: &Spread, scale: f64) -> String {
    format!("{:.1} to {:.1}", spread.lower_quartile * scale, spread.upper_quartile * scale)
}

fn row(test: &str, speed: &str, quartiles: &str, [bytes, of_bytes, flops, of_flops]: [String; 4]) -> String {
    format!("{test:18}  {speed:>10}  {quartiles:>18}  {bytes:>6}  {of_bytes:>4}  {flops:>7}  {of_flops:>4}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::costs::Costs;

    const MACHINE: Machine =
        Machine { threads: 2, instruction_set: "avx2", read_bytes_per_second: 1.25e10, flops_per_second: 1e11 };
    const COSTS: Costs = Costs {
        weight_bytes_per_step: 100_000_000,
        block_weights: 20_000_000,
        head_weights: 5_000_000,
        key_value_bytes_per_position: 1000,
        attention_flops_per_key: 1000,
    };

    fn report() -> ModelReport {
        ModelReport {
            model: "a/b".into(),
            model_type: "gpt2".into(),
            dtype: "bfloat16",
            converted_from: Some("float32"),
            n_params: 25_000_000,
            costs: Some(COSTS),
            costs_unknown: None,
            measurements: Vec::new(),
        }
    }

    #[test]
    fn rows_have_speeds_and_what_of_the_machine_they_are() {
        assert_eq!(machine(&MACHINE), "2 threads, avx2: read 12.5 GB/s, compute 100 GFLOP/s\n");
        let head = heading(&report());
        let expected = "\na/b, bfloat16 (converted from float32): 25.0 M weights, 100.0 MB of them read per step\n";
        assert!(head.starts_with(expected), "{head}");
        let decode = Measurement::Decode(Decode::of(4, 10, vec![80.0], Some(&COSTS), &MACHINE));
        let columns = row("decode, 4 at once", "80.0", "80.0 to 80.0", ["2.0", "16", "4.0", "4"].map(str::to_owned));
        assert_eq!(measurement(&decode), columns);
        let prompt = Measurement::Prompt(Prompt::of(100, vec![0.1], Some(&COSTS), &MACHINE));
        let columns = row("prompt of 100", "1000.0", "1000.0 to 1000.0", ["-", "-", "40.2", "40"].map(str::to_owned));
        assert_eq!(measurement(&prompt), columns);
    }

    #[test]
    fn what_is_not_known_is_a_dash_with_the_reason_above() {
        let head = heading(&ModelReport { costs: None, costs_unknown: Some("a reason".into()), ..report() });
        assert!(
            head.contains("\na/b, bfloat16 (converted") && head.contains("step reads is not known: a reason"),
            "{head}"
        );
        let decode = measurement(&Measurement::Decode(Decode::of(1, 1, vec![1.0], None, &MACHINE)));
        assert!(decode.trim_end().ends_with("-     -        -     -"), "{decode}");
        let seconds = Spread { median: 0.0123, lower_quartile: 0.01, upper_quartile: 0.02 };
        let first = measurement(&Measurement::FirstToken(FirstToken { prompt_tokens: 32, seconds }));
        assert!(first.starts_with("first token of 32 ") && first.contains("12.3 ms") && first.contains("10.0 to 20.0"));
    }
}
