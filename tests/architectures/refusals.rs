//! Configs and weights that do not fit: refused when the model is loaded, with the field, the expected and the found.

use serde_json::json;

use crate::{altered::refusal, support::case};

#[test]
fn sizes_that_the_weights_do_not_have_are_refused() {
    for (name, changes, parts) in [
        (
            "llama/mha-untied-v4",
            json!({ "vocab_size": 90 }),
            ["embed_tokens.weight should have shape [90", "found [89"],
        ),
        (
            "llama/mha-untied-v4",
            json!({ "intermediate_size": 7 }),
            ["gate_proj.weight should have shape [7", "found ["],
        ),
        ("gpt2/bare-names", json!({ "n_positions": 65 }), ["wpe.weight should have shape [65, 28]", "found [64, 28]"]),
        ("gpt2/bare-names", json!({ "n_inner": null }), ["c_fc.weight should have shape [28, 112]", "found [28, 50]"]),
        (
            "neox/parallel-quarter",
            json!({ "hidden_size": 34 }),
            ["embed_in.weight should have shape [112, 34]", "found [112, 32]"],
        ),
        ("gemma/gemma3-v5", json!({ "head_dim": 10 }), ["q_proj.weight should have shape [50, 30]", "found [40, 30]"]),
        ("llama/phi3-window", json!({ "num_key_value_heads": 1 }), ["qkv_proj.weight should have shape [", "found ["]),
    ] {
        let message = refusal(name, changes);
        assert!(parts.iter().all(|part| message.contains(part)), "{name}: {message}");
    }
}

#[test]
fn a_block_too_many_or_too_few_is_refused() {
    for (name, field, layers, prefix) in [
        ("llama/mha-untied-v4", "num_hidden_layers", 2, "model.layers."),
        ("gemma/gemma1-mqa", "num_hidden_layers", 2, "model.layers."),
        ("gpt2/bare-names", "n_layer", 2, "h."),
        ("neox/parallel-quarter", "num_hidden_layers", 2, "gpt_neox.layers."),
    ] {
        let more = refusal(name, json!({ field: layers + 1 }));
        assert!(more.contains(&format!("the tensor {prefix}{layers}.")) && more.contains("is missing"), "{more}");
        let fewer = refusal(name, json!({ field: layers - 1 }));
        assert!(fewer.contains("have no place") && fewer.contains(&format!("{prefix}{}.", layers - 1)), "{fewer}");
    }
}

#[test]
fn tensors_that_the_config_denies_are_refused() {
    let bias = refusal("llama/mha-untied-v4", json!({ "attention_bias": false }));
    assert!(bias.contains("have no place") && bias.contains("bias"), "{bias}");
    let tied = refusal("llama/gqa-tied-v5", json!({ "tie_word_embeddings": false }));
    assert!(tied.contains("lm_head.weight") && tied.contains("is missing"), "{tied}");
    let norms = refusal("llama/qwen3", json!({ "model_type": "llama" }));
    assert!(norms.contains("have no place") && norms.contains("k_norm"), "{norms}");
}

#[test]
fn fields_that_make_no_sense_are_named_with_what_was_found() {
    for (name, changes, expected) in [
        ("llama/mistral-window", json!({ "sliding_window": 0 }), "sliding_window must be a whole number from 1"),
        ("llama/mistral-window", json!({ "sliding_window": "8" }), "sliding_window must be a whole number from 1"),
        (
            "llama/mha-untied-v4",
            json!({ "num_hidden_layers": 5000 }),
            "num_hidden_layers must be at most 4096, found 5000",
        ),
        ("llama/mha-untied-v4", json!({ "hidden_size": -4 }), "hidden_size must be a whole number"),
        ("llama/gqa-tied-v5", json!({ "num_key_value_heads": 4 }), "is not a multiple of num_key_value_heads 4"),
        ("llama/gqa-tied-v5", json!({ "rms_norm_eps": 0 }), "rms_norm_eps must be a positive number, found 0"),
        ("llama/f16", json!({ "head_dim": 7 }), "head_dim 7 must be even"),
        ("gemma/gemma3-v5", json!({ "layer_types": ["full_attention"] }), "layer_types must have 3 entries, found 1"),
        ("gemma/gemma3-v5", json!({ "layer_types": ["a", "b", "c"] }), "layer_types \"a\" is not supported"),
        ("gemma/gemma3-v5", json!({ "sliding_window": null }), "sliding_window is missing"),
        (
            "gemma/gemma3-text",
            json!({ "sliding_window_pattern": 0 }),
            "sliding_window_pattern must be a whole number from 1",
        ),
        (
            "llama/phi3-longrope",
            json!({ "rope_scaling.short_factor": [1.0] }),
            "short_factor must have 6 numbers, found 1",
        ),
        (
            "llama/phi3-longrope",
            json!({ "rope_scaling.long_factor": [1, 1, 0, 1, 1, 1] }),
            "long_factor must be a list of positive",
        ),
        ("neox/parallel-quarter", json!({ "rotary_pct": 1.5 }), "rotary_pct 1.5 makes 24 of the 16 dimensions"),
        ("neox/parallel-quarter", json!({ "rotary_pct": 1e300 }), "rotary_pct must be a positive number"),
        ("neox/parallel-quarter", json!({ "rotary_pct": 1e30 }), "of the 16 dimensions of a head turn"),
        (
            "gemma/gemma2-softcaps-window",
            json!({ "final_logit_softcapping": 1e-50 }),
            "final_logit_softcapping must be a positive",
        ),
        ("llama/phi3-longrope", json!({ "original_max_position_embeddings": 1 }), "must be at least 2, found 1"),
        (
            "gpt2/bare-names",
            json!({ "num_attention_heads": 7 }),
            "n_head 4 and num_attention_heads 7 contradict each other",
        ),
        ("neox/parallel-quarter", json!({ "rotary_pct": 0.01 }), "rotary_pct 0.01 makes 0 of the 16 dimensions"),
        ("neox/parallel-quarter", json!({ "num_attention_heads": 3 }), "is not a multiple of num_attention_heads 3"),
        ("gpt2/bare-names", json!({ "n_head": 3 }), "n_embd 28 is not a multiple of n_head 3"),
        ("llama/yarn", json!({ "rope_theta": 1.0 }), "rope_theta must be above 1, found 1"),
    ] {
        let message = refusal(name, changes);
        assert!(message.contains("config.json") && message.contains(expected), "{name}: {message}");
    }
}

#[test]
fn what_is_not_computed_exactly_is_refused_instead_of_nearly_computed() {
    for (name, changes, expected) in [
        ("llama/yarn", json!({ "rope_scaling.rope_type": "dynamic" }), "rope_type \"dynamic\" is not supported"),
        (
            "llama/yarn",
            json!({ "rope_scaling.rope_type": "proportional" }),
            "is not supported; there are default, linear",
        ),
        ("llama/mha-untied-v4", json!({ "hidden_act": "mish" }), "hidden_act \"mish\" is not supported"),
        ("llama/mistral-window", json!({ "layer_types": ["full_attention"] }), "layer_types makes it a ministral"),
        ("neox/parallel-quarter", json!({ "head_dim": 8 }), "head_dim is not hidden_size / num_attention_heads"),
        (
            "gemma/gemma3-text",
            json!({ "rope_scaling": { "type": "linear", "factor": 2 } }),
            "type without rope_type is ignored",
        ),
        ("gemma/gemma3-v5", json!({ "rope_parameters.full_attention.truncate": false }), "truncate is not read"),
        ("gemma/gemma3-v5", json!({ "original_max_position_embeddings": 8 }), "outside rope_parameters"),
        ("llama/mha-untied-v4", json!({ "partial_rotary_factor": 0.5 }), "partial_rotary_factor is not 1"),
        (
            "gpt2/bare-names",
            json!({ "activation_function": "gelu_10" }),
            "activation_function \"gelu_10\" is not supported",
        ),
        ("gpt2/bare-names", json!({ "add_cross_attention": true }), "add_cross_attention true is not supported"),
        ("gemma/gemma3-v5", json!({ "use_bidirectional_attention": true }), "use_bidirectional_attention true is not"),
        (
            "gemma/gemma3-v5",
            json!({ "attn_logit_softcapping": 50.0 }),
            "attn_logit_softcapping is read but not applied",
        ),
        ("gemma/gemma1-mqa", json!({ "hidden_activation": "relu" }), "contradict each other"),
        ("gemma/gemma1-mqa", json!({ "final_logit_softcapping": 30.0 }), "is not known to gemma"),
        ("llama/mha-untied-v4", json!({ "model_type": "bert" }), "bert"),
    ] {
        let message = refusal(name, changes);
        assert!(message.contains(expected), "{name}: {message}");
    }
}

#[test]
fn a_prompt_beyond_the_context_is_refused() {
    let model = crate::support::load(&case("llama/phi3-longrope"), 1).unwrap();
    let spec = model.spec();
    assert_eq!((spec.n_ctx, spec.n_ctx_short), (96, Some(24)));
    // A sequence that was made for a short text does not grow into a long one.
    let short = model.new_sequence(24).unwrap();
    let tokens = vec![1; 25];
    let step = millm_plugin_api::loaded::Step {
        tokens: &tokens,
        sequences: &[(&short, 25)],
        logit_rows: &[],
        wanted: &millm_plugin_api::HookSet::new(),
    };
    let error = model.forward(&step, &mut crate::probe::Probe::new(spec, 0), &mut []).unwrap_err();
    assert!(error.message.contains("cannot grow beyond"), "{error}");
}
