"""Random configs for fuzz.py: every field that decides what a supported model computes.

A config may be one that transformers cannot run; fuzz.py finds out.
"""

import random

ROTARY = ("llama", "mistral", "qwen2", "qwen3", "phi3", "gemma", "gemma2", "gemma3_text", "gemma3")
FAMILIES = (*ROTARY, "gpt2", "gpt_neox")
ACTIVATIONS = ("silu", "swish", "gelu", "gelu_python", "gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh",
               "gelu_accurate", "gelu_fast", "relu")
GEMMA_ACTIVATIONS = ("gelu_pytorch_tanh", "gelu_new", "gelu_fast", "silu", "relu", "gelu_python")
# What the config classes assume; such a field may be left out.
DEFAULTS = {
    "attention_bias": False, "mlp_bias": False, "hidden_act": "silu", "hidden_activation": "gelu_pytorch_tanh",
    "use_sliding_window": False, "max_window_layers": 28, "query_pre_attn_scalar": 256,
    "sliding_window_pattern": 6, "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False,
    "use_parallel_residual": True, "activation_function": "gelu_new", "n_inner": None,
}


def draw_config(rng: random.Random, family: str, longest: int, needed: int) -> dict:
    """A config for prompts of up to `longest` tokens and contexts of `needed`."""
    config = {"gpt2": gpt2, "gpt_neox": neox}.get(family, rotary)(rng, family, longest, needed)
    config |= {"vocab_size": rng.randint(17, 140), "tie_word_embeddings": rng.random() < 0.5}
    tied = not family.startswith("gpt_neox") and (family == "gpt2" or family.startswith("gemma"))
    if config["tie_word_embeddings"] == tied and rng.random() < 0.5:
        del config["tie_word_embeddings"]
    for key, value in DEFAULTS.items():
        neox_default = {"attention_bias": True, "hidden_act": "gelu"} if family == "gpt_neox" else {}
        default = neox_default.get(key, value)
        if family == "gemma" and key == "hidden_act":
            default = "gelu_pytorch_tanh"
        if key in config and config[key] == default and rng.random() < 0.5:
            del config[key]
    config["torch_dtype" if rng.random() < 0.5 else "dtype"] = "bfloat16"
    if family == "gemma3":
        return multimodal(rng, config)
    # The default padding token of Phi-3 is beyond such a small vocabulary.
    return config | {"model_type": family, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def multimodal(rng: random.Random, config: dict) -> dict:
    """The text config within the multimodal one."""
    tied = config.get("tie_word_embeddings", True)
    outer = {"model_type": "gemma3", "text_config": config | {"model_type": "gemma3_text"},
             "vision_config": {"hidden_size": 8, "model_type": "siglip_vision_model", "num_attention_heads": 2,
                               "intermediate_size": 8, "num_hidden_layers": 1, "image_size": 28, "patch_size": 14}}
    # Both levels say the same; where they differ, versions of transformers do too.
    if not tied or rng.random() < 0.5:
        outer["tie_word_embeddings"] = tied
    return outer


def epsilon(rng: random.Random) -> float:
    return rng.choice((1e-12, 1e-8, 1e-6, 1e-5, 1e-3, 0.1, 2.0))


def theta(rng: random.Random) -> float | int:
    return rng.choice((2.0, 37.5, 10000, 10000.0, 1e6, 5e5, 1e8))


def gpt2(rng: random.Random, family: str, longest: int, needed: int) -> dict:
    heads = rng.choice((1, 2, 3, 5))
    config = {
        "n_embd": heads * rng.choice((1, 2, 5, 7, 8, 16)), "n_head": heads, "n_layer": rng.randint(1, 3),
        "n_positions": needed + rng.randint(0, 40), "n_inner": rng.choice((None, 1, 13, 40)),
        "activation_function": rng.choice(ACTIVATIONS), "scale_attn_weights": rng.random() < 0.7,
        "scale_attn_by_inverse_layer_idx": rng.random() < 0.4,
        "reorder_and_upcast_attn": rng.random() < 0.3,
    }
    if rng.random() < 0.7:
        config["layer_norm_epsilon"] = epsilon(rng)
    if rng.random() < 0.15:
        # Names that transformers takes as well.
        aliases = {"n_embd": "hidden_size", "n_head": "num_attention_heads", "n_layer": "num_hidden_layers",
                   "n_positions": "max_position_embeddings"}
        chosen = [name for name in aliases if rng.random() < 0.5]
        config |= {aliases[name]: config.pop(name) for name in chosen}
    return config


def neox(rng: random.Random, family: str, longest: int, needed: int) -> dict:
    heads, head_dim = rng.choice((1, 2, 3, 5)), rng.choice((4, 6, 7, 8, 9, 12, 15, 16))
    config = {
        "hidden_size": heads * head_dim, "num_attention_heads": heads, "num_hidden_layers": rng.randint(1, 3),
        "intermediate_size": rng.randint(1, 70), "max_position_embeddings": needed + rng.randint(0, 60),
        "hidden_act": rng.choice(ACTIVATIONS), "use_parallel_residual": rng.random() < 0.5,
        "attention_bias": rng.random() < 0.7,
    }
    if rng.random() < 0.7:
        config["layer_norm_eps"] = epsilon(rng)
    part = rng.choice((None, 0.25, 0.5, 0.3, 0.4, 0.75, 1.0))
    names = {"theta": "rotary_emb_base", "part": "rotary_pct"}
    return config | rope_fields(rng, family, head_dim, part, config["max_position_embeddings"], longest, names)


def rotary(rng: random.Random, family: str, longest: int, needed: int) -> dict:
    """Llama and whoever follows it, and Gemma."""
    gemma = family.startswith("gemma")
    kv_heads, group = rng.choice((1, 1, 2, 3)), rng.choice((1, 1, 2, 3, 5))
    heads = kv_heads * group
    head_dim = rng.choice((2, 4, 6, 8, 10, 14, 16))
    # Phi-3 checks its factors against hidden_size / heads, whatever head_dim says.
    given = rng.random() < (0.1 if family == "phi3" else 0.6) or family == "qwen3" or gemma
    config = {
        "hidden_size": heads * (rng.choice((2, 3, 5, 8)) if given else head_dim),
        "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "num_hidden_layers": rng.randint(1, 4), "intermediate_size": rng.randint(1, 70),
        "max_position_embeddings": needed + rng.randint(0, 60),
    }
    if given:
        config["head_dim"] = head_dim
        if family not in ("llama", "gemma2", "gemma3_text", "gemma3") and rng.random() < 0.3:
            config["hidden_size"] += 1
        if (gemma or family == "qwen3") and rng.random() < 0.1:
            head_dim = 256 if gemma else 128
            del config["head_dim"]
    elif family in ("llama", "mistral") and rng.random() < 0.3:
        config["head_dim"] = None
    if group == 1 and family in ("llama", "phi3", "qwen2", "qwen3") and rng.random() < 0.5:
        config["num_key_value_heads"] = None
        if family in ("llama", "phi3") and rng.random() < 0.5:
            del config["num_key_value_heads"]
    if rng.random() < 0.7:
        config["rms_norm_eps"] = epsilon(rng)
    if family in ("llama", "qwen3") or gemma:
        config["attention_bias"] = rng.random() < 0.4
    if family == "llama":
        config["mlp_bias"] = rng.random() < 0.4
    if gemma:
        name = "hidden_act" if family == "gemma" else "hidden_activation"
        config[name] = rng.choice(GEMMA_ACTIVATIONS + (("gelu",) if family == "gemma" else ()))
    else:
        config["hidden_act"] = "silu"
    config |= windows(rng, family, config["num_hidden_layers"], longest)
    if family == "gemma2":
        for name in ("attn_logit_softcapping", "final_logit_softcapping"):
            if rng.random() < 0.8:
                config[name] = rng.choice((None, 0.1, 1.0, 5.0, 50.0, 1e6))
    if family in ("gemma3", "gemma3_text") and rng.random() < 0.4:
        config["final_logit_softcapping"] = rng.choice((None, 0.5, 5.0, 1e6))
    if family in ("gemma2", "gemma3", "gemma3_text"):
        config["query_pre_attn_scalar"] = rng.choice((1, 7, head_dim, 64, 256))
    if family in ("gemma3", "gemma3_text"):
        return config | gemma3_ropes(rng, head_dim, config, longest)
    part = rng.choice((None, None, 0.75, 0.5, 0.3, 1.0)) if family == "phi3" else None
    names = {"theta": "rope_theta", "part": "partial_rotary_factor"}
    return config | rope_fields(rng, family, head_dim, part, config["max_position_embeddings"], longest, names)


def windows(rng: random.Random, family: str, layers: int, longest: int) -> dict:
    config = {}
    window = rng.choice((1, 2, rng.randint(1, longest + 5), rng.randint(1, longest + 5), 4096))
    if family in ("mistral", "phi3"):
        return {} if rng.random() < 0.2 else {"sliding_window": rng.choice((None, window, window))}
    if family in ("qwen2", "qwen3"):
        config = {"use_sliding_window": rng.random() < 0.7, "sliding_window": rng.choice((window, window, None)),
                  "max_window_layers": rng.choice((0, 0, 1, 2, layers, layers + 3, 28))}
        sliding = config["use_sliding_window"] and config["sliding_window"] is not None
    elif family in ("gemma2", "gemma3", "gemma3_text"):
        config = {} if rng.random() < 0.1 else {"sliding_window": window}
        sliding = True
        if family != "gemma2":
            config["sliding_window_pattern"] = rng.choice((1, 2, 3, 6))
    else:
        return config
    if rng.random() < 0.4:
        kinds = ("sliding_attention", "full_attention") if sliding else ("full_attention",)
        config["layer_types"] = [rng.choice(kinds) for _ in range(layers)]
    return config


def scaling(rng: random.Random, family: str, rotary_dim: int, n_ctx: int, longest: int) -> dict:
    """A rope kind and its parameters, without its base."""
    kinds = ["default", "linear", "llama3", "yarn", "longrope"]
    kind = rng.choice(["default", "longrope"] if family == "phi3" else kinds)
    factor = rng.choice((1.0, 1.3, 2, 4.0, 8.0, 33.3))
    original = rng.choice((rng.randint(2, longest + 5), rng.randint(2, longest + 5), 16, 512))
    if kind == "linear":
        return {"rope_type": kind, "factor": factor}
    if kind == "llama3":
        low = rng.choice((0.5, 1, 1.0, 1.7))
        high = low + rng.choice((0.01, 1.0, 3, 40.0))
        return {"rope_type": kind, "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
                "original_max_position_embeddings": original}
    if kind == "yarn":
        given = {"attention_factor": rng.choice((0.3, 1.0, 1.9)), "beta_fast": rng.choice((0.5, 1, 3.0, 32, 64)),
                 "beta_slow": rng.choice((0.1, 1, 4.0)), "mscale": rng.choice((0.0, 0.7, 1.0)),
                 "mscale_all_dim": rng.choice((0.0, 0.4, 1.0)), "truncate": rng.random() < 0.5}
        result = {"rope_type": kind, "factor": factor, "original_max_position_embeddings": original}
        return result | {key: value for key, value in given.items() if rng.random() < 0.4}
    if kind == "longrope":
        count = rotary_dim // 2
        result = {"rope_type": kind, "short_factor": [round(rng.uniform(0.7, 3.0), 3) for _ in range(count)],
                  "long_factor": [round(rng.uniform(0.7, 9.0), 3) for _ in range(count)],
                  "original_max_position_embeddings": original}
        given = {"factor": factor, "attention_factor": rng.choice((0.6, 1.0, 1.4))}
        return result | {key: value for key, value in given.items() if rng.random() < 0.3}
    return {"rope_type": kind}


def rope_fields(rng: random.Random, family: str, head_dim: int, part: float | None, n_ctx: int, longest: int,
                names: dict) -> dict:
    """A rope in the spelling of transformers 5, or in one of the older ones."""
    rotary_dim = int(head_dim * (part or (0.25 if family == "gpt_neox" else 1.0)))
    rope = scaling(rng, family, rotary_dim, n_ctx, longest)
    outside = {}
    if family == "phi3":
        if rope["rope_type"] == "longrope":
            # Where Phi-3 has it; there it counts.
            outside["original_max_position_embeddings"] = rope["original_max_position_embeddings"]
    elif "original_max_position_embeddings" in rope and rng.random() < 0.15:
        outside["original_max_position_embeddings"] = rng.randint(2, longest + 5)
    base = theta(rng) if rng.random() < 0.8 else None
    if rng.random() < 0.5:
        rope |= {} if base is None else {"rope_theta": base}
        rope |= {} if part is None else {"partial_rotary_factor": part}
        return outside | ({} if rope == {"rope_type": "default"} and rng.random() < 0.5 else {"rope_parameters": rope})
    outside |= {} if base is None else {names["theta"]: base}
    outside |= {} if part is None else {names["part"]: part}
    return outside | older_scaling(rng, rope, family)


def older_scaling(rng: random.Random, rope: dict, family: str) -> dict:
    kind = rope.pop("rope_type")
    if kind == "default":
        return rng.choice(({}, {"rope_scaling": None}, {"rope_scaling": {"type": "default"}}))
    if family == "phi3":
        kind = rng.choice(("longrope", "su", "yarn"))
    return {"rope_scaling": {rng.choice(("type", "rope_type")): kind} | rope}


def gemma3_ropes(rng: random.Random, head_dim: int, config: dict, longest: int) -> dict:
    """One rope for the global blocks, and one for those with a window."""
    n_ctx = config["max_position_embeddings"]
    full = scaling(rng, "gemma3", head_dim, n_ctx, longest)
    bases = [theta(rng) if rng.random() < 0.7 else None for _ in range(2)]
    if rng.random() < 0.5:
        sliding = scaling(rng, "gemma3", head_dim, n_ctx, longest)
        for rope, base in zip((full, sliding), bases):
            rope |= {} if base is None else {"rope_theta": base}
        return {"rope_parameters": {"full_attention": full, "sliding_attention": sliding}}
    names = ("rope_theta", "rope_local_base_freq")
    outside = {name: base for name, base in zip(names, bases) if base is not None}
    return outside | older_scaling(rng, full, "gemma3")
