"""The tiny checkpoints that make.py makes: one entry per folder under this one.

A case states only what it is there for. `v4` and `v5` below are the spellings
of config.json that transformers 4 and 5 write.
"""

from dataclasses import dataclass

import torch


@dataclass
class Case:
    seed: int
    config: dict
    stored: torch.dtype = torch.float32
    # Old spellings are committed exactly as written in `config`; otherwise
    # config.json is what this transformers version saves.
    verbatim_config: bool = False
    shards: int = 1
    # Hook points of the long prompt beyond make.LONG_PROMPT_POINTS.
    long_prompt_points: tuple = ()
    # How much more the branches add to the stream than usual. With tied
    # embeddings the current token would otherwise predict itself for ever.
    branch_gain: float = 1.0
    # How the tensors of an older file differ from what transformers writes now.
    file: str = ""


def common(model_type: str, architecture: str, changes: dict) -> dict:
    """The config keys that every rotary case shares, in the order real files have them."""
    return {
        "architectures": [architecture],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "max_position_embeddings": 128,
        "model_type": model_type,
        "use_cache": True,
    } | changes


def llama(**changes) -> dict:
    return common("llama", "LlamaForCausalLM", changes)


def mistral(**changes) -> dict:
    return common("mistral", "MistralForCausalLM", changes)


def qwen2(**changes) -> dict:
    return common("qwen2", "Qwen2ForCausalLM", changes)


def qwen3(**changes) -> dict:
    return common("qwen3", "Qwen3ForCausalLM", changes)


def phi3(**changes) -> dict:
    return common("phi3", "Phi3ForCausalLM", {"pad_token_id": 0} | changes)


LLAMA = {
    # v5 spelling; tied embeddings; grouped-query attention.
    "gqa-tied-v5": Case(
        seed=71,
        config=llama(
            hidden_size=36,
            intermediate_size=82,
            num_hidden_layers=3,
            num_attention_heads=6,
            num_key_value_heads=2,
            head_dim=6,
            vocab_size=131,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 2500.0},
            tie_word_embeddings=True,
        ),
    ),
    # v4 spelling; untied head; biases everywhere; head_dim is not
    # hidden_size / heads; an epsilon large enough to matter.
    "mha-untied-v4": Case(
        seed=2,
        verbatim_config=True,
        config=llama(
            attention_bias=True,
            attention_dropout=0.0,
            head_dim=14,
            hidden_size=36,
            intermediate_size=66,
            mlp_bias=True,
            num_attention_heads=4,
            num_hidden_layers=2,
            num_key_value_heads=4,
            pretraining_tp=1,
            rms_norm_eps=1e-2,
            rope_scaling=None,
            rope_theta=700.0,
            tie_word_embeddings=False,
            torch_dtype="float32",
            vocab_size=89,
        ),
    ),
    # Llama 3 rope scaling whose three bands are all populated; three shards.
    "llama3-rope-sharded": Case(
        seed=1,
        verbatim_config=True,
        shards=3,
        config=llama(
            attention_bias=False,
            head_dim=18,
            hidden_size=36,
            intermediate_size=62,
            mlp_bias=False,
            num_attention_heads=4,
            num_hidden_layers=2,
            num_key_value_heads=2,
            rms_norm_eps=1e-5,
            rope_scaling={
                "factor": 8.0,
                "high_freq_factor": 4.0,
                "low_freq_factor": 1.0,
                "original_max_position_embeddings": 32,
                "rope_type": "llama3",
            },
            rope_theta=500000.0,
            tie_word_embeddings=False,
            torch_dtype="float32",
            vocab_size=101,
        ),
    ),
    # The oldest spelling: `type` for the rope kind, and no rope_theta, head_dim,
    # num_key_value_heads or bias keys, so all of these take their defaults.
    "linear-rope-bf16": Case(
        seed=8,
        stored=torch.bfloat16,
        verbatim_config=True,
        config=llama(
            hidden_size=36,
            intermediate_size=74,
            num_attention_heads=3,
            num_hidden_layers=2,
            rms_norm_eps=1e-6,
            rope_scaling={"factor": 2.0, "type": "linear"},
            tie_word_embeddings=False,
            torch_dtype="bfloat16",
            vocab_size=97,
        ),
    ),
    # Multi-query attention stored in float16, v5 spelling.
    "f16": Case(
        seed=1,
        stored=torch.float16,
        config=llama(
            hidden_size=40,
            intermediate_size=70,
            num_hidden_layers=2,
            num_attention_heads=5,
            num_key_value_heads=1,
            head_dim=8,
            vocab_size=103,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            tie_word_embeddings=False,
        ),
    ),
    # YaRN with every optional key at its default; the ramp covers several frequencies.
    "yarn": Case(
        seed=5,
        verbatim_config=True,
        config=llama(
            hidden_size=30,
            intermediate_size=46,
            max_position_embeddings=256,
            num_hidden_layers=2,
            num_attention_heads=3,
            num_key_value_heads=1,
            head_dim=16,
            vocab_size=101,
            rms_norm_eps=1e-5,
            rope_scaling={"factor": 4.0, "original_max_position_embeddings": 64, "rope_type": "yarn"},
            rope_theta=50.0,
            tie_word_embeddings=False,
            torch_dtype="float32",
        ),
    ),
    # YaRN with its optional keys, v5 spelling.
    "yarn-mscale": Case(
        seed=1,
        config=llama(
            hidden_size=30,
            intermediate_size=46,
            max_position_embeddings=256,
            num_hidden_layers=2,
            num_attention_heads=3,
            num_key_value_heads=3,
            head_dim=16,
            vocab_size=101,
            rms_norm_eps=1e-5,
            rope_parameters={
                "beta_fast": 6.0,
                "beta_slow": 0.5,
                "factor": 4.0,
                "mscale": 1.4,
                "mscale_all_dim": 0.6,
                "original_max_position_embeddings": 64,
                "rope_theta": 300.0,
                "rope_type": "yarn",
                "truncate": False,
            },
            tie_word_embeddings=False,
        ),
    ),
    # A window on every layer; v4 spelling.
    "mistral-window": Case(
        seed=5,
        verbatim_config=True,
        config=mistral(
            head_dim=10,
            hidden_size=28,
            intermediate_size=50,
            num_attention_heads=4,
            num_hidden_layers=2,
            num_key_value_heads=2,
            rms_norm_eps=1e-5,
            rope_theta=10000.0,
            sliding_window=8,
            tie_word_embeddings=False,
            torch_dtype="float32",
            vocab_size=101,
        ),
    ),
    # No window, although leaving the key out would mean 4096; v5 spelling.
    "mistral-nowindow": Case(
        seed=3,
        config=mistral(
            head_dim=8,
            hidden_size=24,
            intermediate_size=42,
            num_attention_heads=3,
            num_hidden_layers=2,
            num_key_value_heads=1,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
            sliding_window=None,
            tie_word_embeddings=False,
            vocab_size=101,
        ),
    ),
    # Bias on query, key and value only; a window that is given but not used; v4 spelling.
    "qwen2-bias": Case(
        seed=12,
        branch_gain=3.0,
        verbatim_config=True,
        config=qwen2(
            hidden_size=30,
            intermediate_size=50,
            max_window_layers=1,
            num_attention_heads=3,
            num_hidden_layers=2,
            num_key_value_heads=1,
            rms_norm_eps=1e-6,
            rope_theta=1000000.0,
            sliding_window=8,
            tie_word_embeddings=True,
            torch_dtype="float32",
            use_sliding_window=False,
            vocab_size=101,
        ),
    ),
    # The window on layers 1 and 2 but not on layer 0; v4 spelling.
    "qwen2-sliding": Case(
        seed=4,
        verbatim_config=True,
        config=qwen2(
            hidden_size=24,
            intermediate_size=38,
            max_window_layers=1,
            num_attention_heads=4,
            num_hidden_layers=3,
            num_key_value_heads=2,
            rms_norm_eps=1e-6,
            rope_theta=10000.0,
            sliding_window=8,
            tie_word_embeddings=False,
            torch_dtype="float32",
            use_sliding_window=True,
            vocab_size=101,
        ),
    ),
    # Normalised queries and keys; head_dim is not hidden_size / heads; v4 spelling.
    "qwen3": Case(
        seed=7,
        verbatim_config=True,
        config=qwen3(
            attention_bias=False,
            head_dim=10,
            hidden_size=28,
            intermediate_size=46,
            max_window_layers=2,
            num_attention_heads=4,
            num_hidden_layers=2,
            num_key_value_heads=2,
            rms_norm_eps=1e-3,
            rope_scaling=None,
            rope_theta=1000000.0,
            sliding_window=None,
            tie_word_embeddings=False,
            torch_dtype="float32",
            use_sliding_window=False,
            vocab_size=101,
        ),
    ),
    # Tied, biases on all four projections, YaRN with a given attention factor, v5 spelling.
    "qwen3-tied-v5": Case(
        seed=4,
        branch_gain=3.0,
        config=qwen3(
            attention_bias=True,
            head_dim=12,
            hidden_size=25,
            intermediate_size=42,
            num_attention_heads=3,
            num_hidden_layers=2,
            num_key_value_heads=1,
            rms_norm_eps=1e-6,
            rope_parameters={
                "attention_factor": 0.9,
                "factor": 2.0,
                "original_max_position_embeddings": 64,
                "rope_theta": 100.0,
                "rope_type": "yarn",
            },
            tie_word_embeddings=True,
            vocab_size=101,
        ),
    ),
    # Fused projections and a window on every layer; v4 spelling.
    "phi3-window": Case(
        seed=1,
        verbatim_config=True,
        config=phi3(
            hidden_size=30,
            intermediate_size=46,
            num_attention_heads=3,
            num_hidden_layers=2,
            num_key_value_heads=3,
            original_max_position_embeddings=128,
            rms_norm_eps=1e-5,
            rope_scaling=None,
            rope_theta=10000.0,
            sliding_window=8,
            tie_word_embeddings=False,
            torch_dtype="float32",
            vocab_size=101,
        ),
    ),
    # Short factors for the short prompt, long ones for the long prompt, and a
    # greedy continuation that goes from one to the other; a partial rotation.
    "phi3-longrope": Case(
        seed=4,
        verbatim_config=True,
        long_prompt_points=("blocks.*.attn.hook_rot_*", "blocks.1.attn.hook_pattern"),
        config=phi3(
            hidden_size=32,
            intermediate_size=42,
            max_position_embeddings=96,
            num_attention_heads=2,
            num_hidden_layers=2,
            num_key_value_heads=1,
            original_max_position_embeddings=24,
            partial_rotary_factor=0.75,
            rms_norm_eps=1e-5,
            rope_scaling={
                "long_factor": [1.5, 2.0, 3.0, 5.0, 9.0, 14.0],
                "short_factor": [1.0, 1.1, 1.25, 1.4, 1.7, 2.0],
                "type": "longrope",
            },
            rope_theta=200.0,
            sliding_window=None,
            tie_word_embeddings=False,
            torch_dtype="float32",
            vocab_size=101,
        ),
    ),
}


def gpt2(**changes) -> dict:
    """GPT-2 has its own names for everything; the dropouts matter only in training."""
    return {
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": 0.1,
        "bos_token_id": 1,
        "embd_pdrop": 0.1,
        "eos_token_id": 2,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "model_type": "gpt2",
        "n_positions": 64,
        "resid_pdrop": 0.1,
        "vocab_size": 101,
    } | changes


GPT2 = {
    # What GPT2LMHeadModel saves now.
    "tied-gelu-new": Case(
        seed=11,
        config=gpt2(n_embd=30, n_head=3, n_layer=2),
    ),
    # What the hub's original files are: no prefix, attention mask buffers, n_ctx.
    "bare-names": Case(
        seed=68,
        verbatim_config=True,
        file="gpt2 without prefix, with buffers",
        config=gpt2(n_ctx=64, n_embd=28, n_head=4, n_inner=50, n_layer=2, layer_norm_epsilon=1e-3),
    ),
    # Scores also divided by layer + 1; another activation; a head of its own.
    "scaled-by-layer": Case(
        seed=10,
        verbatim_config=True,
        config=gpt2(
            activation_function="relu",
            n_embd=24,
            n_head=3,
            n_inner=None,
            n_layer=3,
            reorder_and_upcast_attn=True,
            scale_attn_by_inverse_layer_idx=True,
            tie_word_embeddings=False,
        ),
    ),
}


def neox(**changes) -> dict:
    return common("gpt_neox", "GPTNeoXForCausalLM", {"hidden_act": "gelu", "layer_norm_eps": 1e-05} | changes)


NEOX = {
    # As Pythia: parallel branches, a quarter of each head rotated, exact gelu,
    # the old spelling, and the buffers that its files still contain.
    "parallel-quarter": Case(
        seed=13,
        verbatim_config=True,
        file="neox with buffers",
        long_prompt_points=("blocks.1.attn.hook_rot_q",),
        config=neox(
            hidden_size=32,
            intermediate_size=50,
            max_position_embeddings=64,
            num_attention_heads=2,
            num_hidden_layers=2,
            rotary_emb_base=100,
            rotary_pct=0.25,
            tie_word_embeddings=False,
            torch_dtype="float32",
            use_parallel_residual=True,
            vocab_size=112,
        ),
    ),
    # Sequential branches, half of each head rotated, no attention biases, tied, v5 spelling.
    "sequential-tied": Case(
        seed=118,
        config=neox(
            attention_bias=False,
            hidden_act="gelu_fast",
            hidden_size=40,
            intermediate_size=54,
            layer_norm_eps=1e-2,
            num_attention_heads=5,
            num_hidden_layers=2,
            rope_parameters={"partial_rotary_factor": 0.5, "rope_theta": 500.0, "rope_type": "default"},
            tie_word_embeddings=True,
            use_parallel_residual=False,
            vocab_size=101,
        ),
    ),
}


def gemma(**changes) -> dict:
    plain = common("gemma", "GemmaForCausalLM", {"pad_token_id": 0, "rms_norm_eps": 1e-6, "vocab_size": 101})
    return plain | {"hidden_act": "gelu_pytorch_tanh"} | changes


def gemma2(**changes) -> dict:
    plain = common("gemma2", "Gemma2ForCausalLM", {"pad_token_id": 0, "rms_norm_eps": 1e-6, "vocab_size": 101})
    return plain | {"hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh"} | changes


def gemma3(**changes) -> dict:
    plain = common("gemma3_text", "Gemma3ForCausalLM", {"pad_token_id": 0, "rms_norm_eps": 1e-6, "vocab_size": 101})
    del plain["hidden_act"]
    return plain | {"hidden_activation": "gelu_pytorch_tanh"} | changes


def gemma3_multimodal(**text_config) -> dict:
    """The text part may leave out any key whose value is the default."""
    return {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "boi_token_index": 95,
        "eoi_token_index": 96,
        "eos_token_id": [1, 6],
        "image_token_index": 97,
        "initializer_range": 0.02,
        "mm_tokens_per_image": 4,
        "model_type": "gemma3",
        "text_config": {"model_type": "gemma3_text", "vocab_size": 101} | text_config,
        "torch_dtype": "float32",
        "vision_config": {
            "hidden_size": 8,
            "image_size": 28,
            "intermediate_size": 10,
            "model_type": "siglip_vision_model",
            "num_attention_heads": 1,
            "num_hidden_layers": 1,
            "patch_size": 14,
            "vision_use_head": False,
        },
    }


GEMMA = {
    # The original release's spelling: "gelu", which means the tanh form here.
    "gemma1-mqa": Case(
        seed=17,
        branch_gain=3.0,
        verbatim_config=True,
        config=gemma(
            attention_bias=False,
            head_dim=8,
            hidden_act="gelu",
            hidden_activation=None,
            hidden_size=28,
            intermediate_size=50,
            num_attention_heads=5,
            num_hidden_layers=2,
            num_key_value_heads=1,
            rope_scaling=None,
            rope_theta=10000.0,
            torch_dtype="float32",
        ),
    ),
    # One key-value head per head, biases, v5 spelling.
    "gemma1-mha": Case(
        seed=15,
        branch_gain=3.0,
        config=gemma(
            attention_bias=True,
            head_dim=10,
            hidden_size=24,
            intermediate_size=42,
            num_attention_heads=3,
            num_hidden_layers=2,
            num_key_value_heads=3,
            rope_parameters={"rope_theta": 300.0, "rope_type": "default"},
        ),
    ),
    # Both softcaps, low enough to bend scores and logits; the window on layers
    # 0 and 2; a score scale that is not head_dim's; v4 spelling.
    "gemma2-softcaps-window": Case(
        seed=10,
        branch_gain=3.0,
        verbatim_config=True,
        long_prompt_points=("blocks.0.attn.hook_pattern",),
        config=gemma2(
            attn_logit_softcapping=2.5,
            final_logit_softcapping=3.0,
            head_dim=8,
            hidden_size=30,
            intermediate_size=46,
            num_attention_heads=6,
            num_hidden_layers=3,
            num_key_value_heads=2,
            query_pre_attn_scalar=5,
            rope_theta=10000.0,
            sliding_window=8,
            torch_dtype="float32",
        ),
    ),
    # A window longer than any run, layer kinds not alternating, no softcap on the logits; v5 spelling.
    "gemma2-untruncated": Case(
        seed=3,
        branch_gain=3.0,
        config=gemma2(
            attn_logit_softcapping=4.0,
            final_logit_softcapping=None,
            head_dim=12,
            hidden_size=24,
            intermediate_size=38,
            layer_types=["full_attention", "sliding_attention"],
            num_attention_heads=3,
            num_hidden_layers=2,
            num_key_value_heads=1,
            query_pre_attn_scalar=12,
            rope_parameters={"rope_theta": 10000.0, "rope_type": "default"},
            sliding_window=128,
        ),
    ),
    # Two local layers, then a global one with its own rope; v4 spelling; bfloat16.
    "gemma3-text": Case(
        seed=2,
        branch_gain=3.0,
        verbatim_config=True,
        stored=torch.bfloat16,
        long_prompt_points=("blocks.1.attn.hook_pattern", "blocks.2.attn.hook_rot_*"),
        config=gemma3(
            attn_logit_softcapping=None,
            final_logit_softcapping=None,
            head_dim=10,
            hidden_size=28,
            intermediate_size=46,
            num_attention_heads=4,
            num_hidden_layers=3,
            num_key_value_heads=2,
            query_pre_attn_scalar=6,
            rope_local_base_freq=100.0,
            rope_scaling={"factor": 8.0, "rope_type": "linear"},
            rope_theta=5000.0,
            sliding_window=8,
            sliding_window_pattern=3,
            torch_dtype="bfloat16",
        ),
    ),
    # Layer kinds and both ropes spelled out; v5 spelling.
    "gemma3-v5": Case(
        seed=20,
        branch_gain=3.0,
        config=gemma3(
            head_dim=8,
            hidden_size=30,
            intermediate_size=42,
            layer_types=["full_attention", "sliding_attention", "sliding_attention"],
            num_attention_heads=5,
            num_hidden_layers=3,
            num_key_value_heads=1,
            query_pre_attn_scalar=8,
            rope_parameters={
                "full_attention": {"factor": 4.0, "rope_theta": 3000.0, "rope_type": "linear"},
                "sliding_attention": {"rope_theta": 50.0, "rope_type": "default"},
            },
            sliding_window=8,
        ),
    ),
    # As the first multimodal files: `language_model.model.` and as many keys
    # left out as tiny sizes allow. Five local layers, one global.
    "gemma3-multimodal": Case(
        seed=24,
        branch_gain=3.0,
        verbatim_config=True,
        file="multimodal language_model.model.",
        config=gemma3_multimodal(
            head_dim=6,
            hidden_size=24,
            intermediate_size=30,
            num_hidden_layers=6,
            rope_scaling={"factor": 8.0, "rope_type": "linear"},
        ),
    ),
    # The newer prefix `model.language_model.`, with windows that cut.
    "gemma3-multimodal-new": Case(
        seed=12,
        branch_gain=3.0,
        verbatim_config=True,
        file="multimodal model.language_model.",
        config=gemma3_multimodal(
            head_dim=8,
            hidden_size=30,
            intermediate_size=38,
            layer_types=["sliding_attention", "full_attention"],
            num_attention_heads=3,
            num_hidden_layers=2,
            num_key_value_heads=1,
            query_pre_attn_scalar=8,
            rope_parameters={
                "full_attention": {"rope_theta": 1000000.0, "rope_type": "default"},
                "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
            },
            sliding_window=8,
        ),
    ),
}

CASES = {
    f"{family}/{name}": case
    for family, cases in (("llama", LLAMA), ("gemma", GEMMA), ("gpt2", GPT2), ("neox", NEOX))
    for name, case in cases.items()
}
