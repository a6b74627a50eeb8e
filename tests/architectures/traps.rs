//! What implementations of these families get wrong, each with a fixture in which it shows: the same weights under a
//! config that differs in that one respect yield other logits.

use serde_json::{Value, json};

use crate::{
    altered::altered,
    probe::Probe,
    support::{Golden, run},
};
use millm_plugin_api::HookSet;

/// Largest difference of logits between the reference and the model under the altered config, on its longer prompt.
fn difference(name: &str, changes: Value) -> f32 {
    let golden = Golden::of(name);
    let model = altered(name, changes).unwrap();
    let tokens = golden.tokens("p0.tokens");
    let sequence = model.new_sequence(tokens.len()).unwrap();
    let logits = run(&model, &sequence, &tokens, &HookSet::new(), &mut Probe::new(model.spec(), 0));
    let reference = golden.f32("p0.logits");
    assert!(logits.len() == reference.len() && logits.iter().all(|logit| logit.is_finite()), "{name}");
    let pairs = logits.iter().zip(reference);
    pairs.fold(0.0, |max, (found, expected)| max.max((found - expected).abs()))
}

#[track_caller]
fn shows(name: &str, changes: Value) {
    let unaltered = difference(name, json!({}));
    let altered = difference(name, changes.clone());
    assert!(unaltered < 1e-4 && altered > 1e-3, "{name} with {changes}: {altered}, without: {unaltered}");
}

#[test]
fn a_window_of_w_keys_counts_the_query_itself() {
    for name in ["llama/mistral-window", "llama/phi3-window", "llama/qwen2-sliding", "gemma/gemma2-softcaps-window"] {
        shows(name, json!({ "sliding_window": 9 }));
        shows(name, json!({ "sliding_window": 7 }));
    }
}

#[test]
fn windows_alternate_as_the_config_says() {
    shows(
        "gemma/gemma2-softcaps-window",
        json!({ "layer_types": ["full_attention", "sliding_attention", "full_attention"] }),
    );
    shows("gemma/gemma3-text", json!({ "sliding_window_pattern": 2 }));
    shows("llama/qwen2-sliding", json!({ "max_window_layers": 2 }));
    shows("llama/qwen2-sliding", json!({ "use_sliding_window": false }));
}

#[test]
fn softcaps_bend_scores_and_logits() {
    shows("gemma/gemma2-softcaps-window", json!({ "attn_logit_softcapping": null }));
    shows("gemma/gemma2-softcaps-window", json!({ "final_logit_softcapping": null }));
}

#[test]
fn scores_are_scaled_by_query_pre_attn_scalar_and_not_by_the_head() {
    shows("gemma/gemma2-softcaps-window", json!({ "query_pre_attn_scalar": 8 }));
    shows("gemma/gemma3-text", json!({ "query_pre_attn_scalar": 10 }));
    shows("gpt2/scaled-by-layer", json!({ "scale_attn_by_inverse_layer_idx": false }));
    shows("gpt2/tied-gelu-new", json!({ "scale_attn_weights": false }));
}

#[test]
fn local_and_global_blocks_have_their_own_rope() {
    shows("gemma/gemma3-text", json!({ "rope_local_base_freq": 5000.0 }));
    shows("gemma/gemma3-text", json!({ "rope_theta": 100.0 }));
    shows("gemma/gemma3-text", json!({ "rope_scaling": null }));
    shows("gemma/gemma3-v5", json!({ "rope_parameters.sliding_attention.rope_theta": 3000.0 }));
    shows("gemma/gemma3-v5", json!({ "rope_parameters.full_attention.factor": 1.0 }));
}

#[test]
fn every_kind_of_rope_scaling_is_its_own() {
    shows("llama/linear-rope-bf16", json!({ "rope_scaling": null }));
    shows("llama/llama3-rope-sharded", json!({ "rope_parameters.rope_type": "default", "rope_scaling": null }));
    shows("llama/yarn", json!({ "rope_scaling.beta_slow": 4.0 }));
    shows("llama/yarn", json!({ "rope_scaling.attention_factor": 1.0 }));
    shows("llama/yarn-mscale", json!({ "rope_parameters.truncate": true }));
    shows("llama/yarn-mscale", json!({ "rope_parameters.mscale": null }));
    shows("llama/phi3-longrope", json!({ "original_max_position_embeddings": 48 }));
    shows("llama/phi3-longrope", json!({ "rope_scaling.attention_factor": 1.0 }));
}

#[test]
fn only_a_part_of_a_head_turns() {
    shows("neox/sequential-tied", json!({ "rope_parameters.partial_rotary_factor": 1.0 }));
    shows("neox/parallel-quarter", json!({ "rotary_pct": 0.5 }));
}

#[test]
fn parallel_branches_read_the_same_stream() {
    shows("neox/parallel-quarter", json!({ "use_parallel_residual": false }));
    shows("neox/sequential-tied", json!({ "use_parallel_residual": true }));
}

#[test]
fn gelu_is_exact_or_by_tanh_and_gemma_1_means_tanh() {
    shows("neox/parallel-quarter", json!({ "hidden_act": "gelu_new" }));
    shows("gpt2/tied-gelu-new", json!({ "activation_function": "gelu" }));
    shows("gemma/gemma2-softcaps-window", json!({ "hidden_activation": "gelu" }));
    assert!(difference("gemma/gemma1-mqa", json!({ "hidden_act": "gelu_pytorch_tanh" })) < 1e-4);
}

#[test]
fn use_sliding_window_without_a_window_is_no_window() {
    let without = difference("llama/qwen2-sliding", json!({ "use_sliding_window": false }));
    let null = difference("llama/qwen2-sliding", json!({ "sliding_window": null }));
    assert!(without > 1e-3 && null == without, "{without} {null}");
}

#[test]
fn a_tied_config_does_not_hide_a_head_of_its_own() {
    for name in ["llama/mha-untied-v4", "gpt2/scaled-by-layer", "neox/parallel-quarter"] {
        assert!(difference(name, json!({ "tie_word_embeddings": true })) < 1e-4, "{name}");
    }
}

#[test]
fn gpt_2_knows_the_names_that_others_have_for_its_sizes() {
    let renamed = json!({ "n_head": null, "num_attention_heads": 4, "n_embd": null, "hidden_size": 28 });
    assert!(difference("gpt2/bare-names", renamed) < 1e-4);
}

#[test]
fn epsilon_is_read_under_the_family_s_own_name() {
    shows("gpt2/bare-names", json!({ "layer_norm_epsilon": 1e-5 }));
    shows("llama/qwen3", json!({ "rms_norm_eps": 1e-6 }));
}
