//! How fast a model runs, by `millm bench`. How fast that is, is not tested.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use millm_tests::folders::{bundle, copy_files, demo_model};
use serde_json::Value;

fn bench(model: &Path, more: &[&str]) -> Output {
    let data = tempfile::tempdir().unwrap();
    let mut command = Command::new(bundle().join("millm"));
    command.arg("bench").arg(model).args(more).current_dir(data.path());
    command.env("MILLM_DATA_DIR", data.path()).env("TMPDIR", data.path()).env_remove("DATABASE_URL");
    let output = command.output().unwrap();
    let left: Vec<_> = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("millm-bench-")), "{left:?}");
    output
}

const QUICK: [&str; 8] = ["--prompt-tokens", "48", "--generate-tokens", "64", "--sequences", "1,3", "--repeats", "2"];

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Whether two numbers are the same but for rounding.
fn same(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs())
}

#[test]
fn every_number_of_a_report_follows_from_the_others() {
    let output = bench(&demo_model(), &[&QUICK[..], &["--dtype", "bf16,f32", "--json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |value: &Value, name: &str| value[name].as_f64().unwrap_or_else(|| panic!("no {name} in {value}"));
    let machine = &report["machine"];
    let (bandwidth, peak) = (number(machine, "read_bytes_per_second"), number(machine, "flops_per_second"));
    assert!(bandwidth > 1e6 && peak > 1e6 && number(machine, "threads") >= 1.0, "{machine}");
    assert_eq!(report["repeats"], 2);

    let models = report["models"].as_array().unwrap();
    let names = |model: &Value| (model["model"].clone(), model["dtype"].clone(), model["converted_from"].clone());
    let stored = ("model".into(), "bfloat16".into(), Value::Null);
    let converted = ("model".into(), "float32".into(), "bfloat16".into());
    assert_eq!(models.iter().map(names).collect::<Vec<_>>(), [stored, converted]);
    for (model, width) in models.iter().zip([2.0, 4.0]) {
        let costs = &model["costs"];
        // The demo: six blocks of 128 × 128 for queries and outputs, 128 × 64 for keys and values, three of 128 × 256 for
        // the MLP; a head that is the embedding, 3072 × 128; norms, kept in f32, two per block and the last.
        let blocks = 6.0 * (2.0 * 128.0 * 128.0 + 2.0 * 128.0 * 64.0 + 3.0 * 128.0 * 256.0);
        let head = 3072.0 * 128.0;
        let norms = 13.0 * 128.0;
        assert_eq!(number(model, "n_params"), blocks + head + norms);
        assert_eq!(number(costs, "block_weights"), blocks);
        assert_eq!(number(costs, "head_weights"), head);
        assert_eq!(number(costs, "weight_bytes_per_step"), width * (blocks + head) + 4.0 * norms);
        assert_eq!(number(costs, "key_value_bytes_per_position"), 6.0 * 2.0 * 64.0 * 4.0);
        assert_eq!(number(costs, "attention_flops_per_key"), 6.0 * 4.0 * 128.0);

        let found = model["measurements"].as_array().unwrap();
        let tests: Vec<_> = found.iter().map(|found| found["test"].as_str().unwrap()).collect();
        assert_eq!(tests, ["prompt", "decode", "decode", "first_token"]);
        for spread in found.iter().flat_map(|found| [&found["seconds"], &found["tokens_per_second"]]) {
            if !spread.is_null() {
                let [low, middle, high] = ["lower_quartile", "median", "upper_quartile"].map(|at| number(spread, at));
                assert!(0.0 < low && low <= middle && middle <= high, "{spread}");
            }
        }
        let prompt = &found[0];
        assert_eq!(prompt["prompt_tokens"], 48);
        let flops = 2.0 * (48.0 * blocks + head) + 6.0 * 4.0 * 128.0 * 48.0 * 49.0 / 2.0;
        assert!(same(number(prompt, "flops"), flops), "{prompt}");
        let per_second = number(prompt, "flops_per_second");
        assert!(same(per_second, flops / number(&prompt["seconds"], "median")), "{prompt}");
        assert!(same(number(prompt, "fraction_of_flops"), per_second / peak), "{prompt}");
        for (decode, sequences) in found[1..3].iter().zip([1.0, 3.0]) {
            assert_eq!((number(decode, "sequences"), number(decode, "generated_tokens")), (sequences, 64.0));
            // Tokens 33 to 96 of each sequence are computed, and see as many keys.
            let keys = 64.5;
            let speed = number(&decode["tokens_per_second"], "median");
            let bytes = number(costs, "weight_bytes_per_step") + sequences * keys * 6.0 * 2.0 * 64.0 * 4.0;
            assert!(same(number(decode, "read_bytes_per_step"), bytes), "{decode}");
            let per_second = number(decode, "read_bytes_per_second");
            assert!(same(per_second, bytes * speed / sequences), "{decode}");
            assert!(same(number(decode, "fraction_of_read_bandwidth"), per_second / bandwidth), "{decode}");
            let flops = 2.0 * (blocks + head) + keys * 6.0 * 4.0 * 128.0;
            assert!(same(number(decode, "flops_per_token"), flops), "{decode}");
            let per_second = number(decode, "flops_per_second");
            assert!(same(per_second, flops * speed), "{decode}");
            assert!(same(number(decode, "fraction_of_flops"), per_second / peak), "{decode}");
        }
        assert_eq!(found[3]["prompt_tokens"], 32);
    }
}

#[test]
fn people_get_a_table_with_a_row_for_everything_that_was_measured() {
    let output = bench(&demo_model(), &["--sequences", "2", "--repeats", "1", "--dtype", "f16"]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for part in [
        " threads, ",
        "\nmodel, float16 (converted from bfloat16): ",
        " of them read per step\ntest ",
        "\nprompt of 511 ",
        "\ndecode, 2 at once ",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert!(said.lines().last().unwrap().starts_with("first token of 32 "), "{said}");
}

#[test]
fn what_cannot_be_measured_is_refused_with_the_reason() {
    let refused = |model: &Path, more: &[&str], parts: &[&str]| {
        let output = bench(model, more);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        parts.iter().for_each(|part| assert!(said.contains(part), "no {part:?} in {said}"));
    };
    let demo = &demo_model();
    refused(demo, &["--repeats", "0"], &["repeats must be at least 1"]);
    refused(demo, &["--sequences", "4,0"], &["every number of sequences must be at least 1"]);
    refused(demo, &["--prompt-tokens", "512"], &["a prompt of 512 tokens with 1 after it", "context of 512"]);
    refused(demo, &["--generate-tokens", "480"], &["a prompt of 32 tokens with 481 after it", "context of 512"]);
    refused(demo, &["--sequences", "1000000"], &["1000000 sequences of 97 tokens need more", "kv-cache-mib"]);
    refused(Path::new("nobody/nothing"), &[], &["\"nobody/nothing\" is neither a folder nor in the hub's cache"]);
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), &[], &["has no file of weights", folder.path().to_str().unwrap()]);
    let foreign = folder.path().join("foreign");
    copy_files(demo, &foreign);
    fs::write(foreign.join("config.json"), "{\"model_type\": \"mamba\"}").unwrap();
    refused(&foreign, &[], &["cannot measure", "mamba"]);
    refused(&foreign, &["--dtype", "f16"], &["cannot measure", "mamba"]);
}
