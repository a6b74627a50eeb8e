#!/usr/bin/env python3
"""Compare the committed goldens with HookedTransformer, which does not run transformers' code.

    pip install transformer-lens==2.18.0 transformers==4.57.6 torch==2.15.0 numpy==1.26.4 pyarrow==21.0.0
    python check_hooked_transformer.py [-q] [CASE ...]

Needs no network; the CPU build of torch is enough. Use a virtual environment of
its own: TransformerLens 4, for check_transformer_lens.py, has no
HookedTransformer. Version 2 imports transformers, but nothing of it runs here:
this script reads config.json and the safetensors files itself, builds a
HookedTransformerConfig and fills in the weights, without folding or centring
anything. Prints, for every hook point over all layers and both prompts, the
largest error relative to the tensor's largest value, and the ratio of the norms
that is furthest from 1 (-q: one line per case). Masked attention scores have to
be masked in both. The logits of the steered run and all greedy tokens are
compared, too. Exits with 1 when an error is over 1e-4, a greedy token is another,
or a hook point of the golden is missing.

Where HookedTransformer differs, and what is done about it:

- LayerNorm's `hook_normalized` fires after gain and bias, so it is compared with
  golden × gain + bias. RMSNorm's fires before the gain, as in the goldens.
- It has neither `mlp.hook_in` nor `mlp.hook_out`; what the module `mlp` reads
  and yields is taken instead.
- It knows only the `default` and `llama3` kinds of rope. For `linear`, `yarn` and
  `longrope` its tables of sines and cosines are replaced by ones made here; the
  error of the logits with its own tables is printed for comparison.
- Its gated MLP has no biases on the gate and up projections; where a checkpoint
  has them, permanent hooks add them at `mlp.hook_pre` and `mlp.hook_pre_linear`.
"""

import argparse
import json
import math
import re
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from transformer_lens import HookedTransformer, HookedTransformerConfig

HERE = Path(__file__).resolve().parent
LIMIT = 1e-4
CONTEXT = 64
PREFIX = re.compile(r"^(language_model\.model|model\.language_model|model|transformer|gpt_neox)\.")
# Saved buffers, and the image part of multimodal checkpoints.
IGNORED = re.compile(r"(attn|attention)\.(bias|masked_bias)$|rotary_emb\.inv_freq$|vision_tower|multi_modal_projector")
# What HookedTransformer may have beyond the checkpoint: biases, which start as zero, and constants.
OPTIONAL = re.compile(r"\.(_?b_[A-Za-z]+|mask|IGNORE|rotary_sin|rotary_cos)$")


def layer_kinds(config: dict) -> list[str]:
    """For every layer whether its attention has a window."""
    kind, layers = config["model_type"], config["num_hidden_layers"]
    if "layer_types" in config:
        return ["local" if it == "sliding_attention" else "global" for it in config["layer_types"]]
    if kind == "gemma2":
        local = [layer % 2 == 0 for layer in range(layers)]
    elif kind == "gemma3_text":
        pattern = config.get("sliding_window_pattern", 6)
        local = [(layer + 1) % pattern != 0 for layer in range(layers)]
    elif kind in ("mistral", "phi3"):
        local = [config.get("sliding_window") is not None] * layers
    elif config.get("use_sliding_window"):
        local = [layer >= config.get("max_window_layers", 28) for layer in range(layers)]
    else:
        local = [False] * layers
    return ["local" if it else "global" for it in local]


def ropes(config: dict) -> tuple[dict, dict]:
    """Rope parameters of layers without and with a window, in one spelling."""
    newest = config.get("rope_parameters")
    if newest and "full_attention" in newest:
        both = newest["full_attention"], newest["sliding_attention"]
    elif newest:
        both = newest, newest
    else:
        theta = 1e6 if config["model_type"] == "gemma3_text" else 10000.0
        theta = config.get("rope_theta", config.get("rotary_emb_base", theta))
        rope = (config.get("rope_scaling") or {}) | {"rope_theta": theta}
        both = rope, rope
        if config["model_type"] == "gemma3_text":
            both = rope, {"rope_theta": config.get("rope_local_base_freq", 1e4)}
    partial = config.get("partial_rotary_factor", config.get("rotary_pct", 1.0))
    return tuple(
        {"partial_rotary_factor": partial, "kind": rope.get("rope_type", rope.get("type", "default"))} | rope
        for rope in both
    )


def gpt2_config(config: dict) -> dict:
    return dict(
        n_layers=config["n_layer"], d_model=config["n_embd"], n_heads=config["n_head"],
        d_head=config["n_embd"] // config["n_head"], d_mlp=config.get("n_inner") or 4 * config["n_embd"],
        n_ctx=config["n_positions"], act_fn=config["activation_function"], normalization_type="LN",
        eps=config["layer_norm_epsilon"], positional_embedding_type="standard",
        scale_attn_by_inverse_layer_idx=config.get("scale_attn_by_inverse_layer_idx", False),
    )


def rotary_config(config: dict) -> dict:
    """All families but GPT-2."""
    kind = config["model_type"]
    neox, gemma, gemma3 = kind == "gpt_neox", kind.startswith("gemma"), kind == "gemma3_text"
    n_heads = config.get("num_attention_heads", 8 if gemma3 else None)
    d_head = config.get("head_dim") or config["hidden_size"] // n_heads
    rope, local_rope = ropes(config)
    kinds = layer_kinds(config)
    made = dict(
        n_layers=config["num_hidden_layers"], d_model=config["hidden_size"], n_heads=n_heads, d_head=d_head,
        d_mlp=config["intermediate_size"], n_ctx=CONTEXT, normalization_type="LN" if neox else "RMS",
        eps=config.get("layer_norm_eps" if neox else "rms_norm_eps", 1e-6), gated_mlp=not neox,
        act_fn="gelu_pytorch_tanh" if gemma else config["hidden_act"],
        parallel_attn_mlp=neox and config.get("use_parallel_residual", True),
        positional_embedding_type="rotary", rotary_base=rope["rope_theta"],
        rotary_dim=int(d_head * rope["partial_rotary_factor"]),
        use_qk_norm=gemma3 or kind == "qwen3", use_normalization_before_and_after=kind in ("gemma2", "gemma3_text"),
    )
    if not neox:
        made["n_key_value_heads"] = config.get("num_key_value_heads", 4 if gemma3 else n_heads)
    if "local" in kinds:
        made |= dict(use_local_attn=True, attn_types=kinds, window_size=config.get("sliding_window", 4096))
    if kind in ("gemma2", "gemma3_text"):
        made["attn_scale"] = config.get("query_pre_attn_scalar", 256) ** 0.5
        made["attn_scores_soft_cap"] = config.get("attn_logit_softcapping") or -1.0
        made["output_logits_soft_cap"] = config.get("final_logit_softcapping") or -1.0
    if gemma3:
        made["rotary_base_local"] = local_rope["rope_theta"]
    if rope["kind"] == "llama3":
        made |= dict(
            use_NTK_by_parts_rope=True, NTK_by_parts_factor=rope["factor"],
            NTK_by_parts_low_freq_factor=rope["low_freq_factor"],
            NTK_by_parts_high_freq_factor=rope["high_freq_factor"],
            NTK_original_ctx_len=rope["original_max_position_embeddings"],
        )
    return made


def made_tables(config: dict, rope: dict, dim: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sines and cosines of the rope kinds that HookedTransformer does not have."""
    base = rope["rope_theta"]
    frequencies = [base ** (-2 * i / dim) for i in range(dim // 2)]
    factor = 1.0
    if rope["kind"] == "linear":
        frequencies = [frequency / rope["factor"] for frequency in frequencies]
    elif rope["kind"] == "yarn":
        def turning(times: float) -> float:
            """The (fractional) index of the pair that turns so many times over the original length."""
            original = rope["original_max_position_embeddings"]
            return dim * math.log(original / (times * 2 * math.pi)) / (2 * math.log(base))

        def strength(mscale: float) -> float:
            return 0.1 * mscale * math.log(rope["factor"]) + 1 if rope["factor"] > 1 else 1.0

        low, high = turning(rope.get("beta_fast", 32)), turning(rope.get("beta_slow", 1))
        if rope.get("truncate", True):
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, dim - 1)
        ramp = [min(max((i - low) / (high - low), 0), 1) for i in range(dim // 2)]
        frequencies = [
            frequency * (1 - part) + frequency / rope["factor"] * part for frequency, part in zip(frequencies, ramp)
        ]
        factor = strength(rope.get("mscale", 1)) / (strength(rope["mscale_all_dim"]) if "mscale_all_dim" in rope else 1)
        factor = rope.get("attention_factor", factor)
    elif rope["kind"] == "longrope":
        original = config["original_max_position_embeddings"]
        stretched = rope["long_factor" if length > original else "short_factor"]
        frequencies = [frequency / by for frequency, by in zip(frequencies, stretched)]
        factor = math.sqrt(1 + math.log(config["max_position_embeddings"] / original) / math.log(original))
    angles = torch.arange(CONTEXT, dtype=torch.float64)[:, None] * torch.tensor(frequencies * 2, dtype=torch.float64)
    return (angles.sin() * factor).float(), (angles.cos() * factor).float()


def heads(weight: torch.Tensor, count: int) -> torch.Tensor:
    """[heads * d_head, d_model] as [heads, d_model, d_head]."""
    return weight.reshape(count, -1, weight.shape[-1]).transpose(1, 2)


def gpt2_weights(cfg: HookedTransformerConfig, take) -> dict:
    made = {"embed.W_E": take("wte.weight"), "pos_embed.W_pos": take("wpe.weight"),
            "ln_final.w": take("ln_f.weight"), "ln_final.b": take("ln_f.bias")}
    for layer in range(cfg.n_layers):
        theirs, ours = f"h.{layer}.", f"blocks.{layer}."
        for norm in ("1", "2"):
            made[ours + f"ln{norm}.w"] = take(theirs + f"ln_{norm}.weight")
            made[ours + f"ln{norm}.b"] = take(theirs + f"ln_{norm}.bias")
        weights, biases = take(theirs + "attn.c_attn.weight").T.chunk(3), take(theirs + "attn.c_attn.bias").chunk(3)
        for which, weight, bias in zip("QKV", weights, biases):
            made[ours + "attn.W_" + which] = heads(weight, cfg.n_heads)
            made[ours + "attn.b_" + which] = bias.reshape(cfg.n_heads, -1)
        made[ours + "attn.W_O"] = take(theirs + "attn.c_proj.weight").reshape(cfg.n_heads, cfg.d_head, -1)
        made[ours + "attn.b_O"] = take(theirs + "attn.c_proj.bias")
        for which, name in (("in", "c_fc"), ("out", "c_proj")):
            made[ours + "mlp.W_" + which] = take(theirs + f"mlp.{name}.weight")
            made[ours + "mlp.b_" + which] = take(theirs + f"mlp.{name}.bias")
    return made


def neox_weights(cfg: HookedTransformerConfig, take) -> dict:
    made = {"embed.W_E": take("embed_in.weight"), "ln_final.w": take("final_layer_norm.weight"),
            "ln_final.b": take("final_layer_norm.bias")}
    for layer in range(cfg.n_layers):
        theirs, ours = f"layers.{layer}.", f"blocks.{layer}."
        for norm, name in (("ln1", "input_layernorm"), ("ln2", "post_attention_layernorm")):
            made[ours + norm + ".w"] = take(theirs + name + ".weight")
            made[ours + norm + ".b"] = take(theirs + name + ".bias")
        weight = take(theirs + "attention.query_key_value.weight").reshape(cfg.n_heads, 3, cfg.d_head, -1)
        bias = take(theirs + "attention.query_key_value.bias", optional=True)
        for index, which in enumerate("QKV"):
            made[ours + "attn.W_" + which] = weight[:, index].transpose(1, 2)
            if bias is not None:
                made[ours + "attn.b_" + which] = bias.reshape(cfg.n_heads, 3, -1)[:, index]
        made[ours + "attn.W_O"] = take(theirs + "attention.dense.weight").T.reshape(cfg.n_heads, cfg.d_head, -1)
        made[ours + "attn.b_O"] = take(theirs + "attention.dense.bias", optional=True)
        for which, name in (("in", "dense_h_to_4h"), ("out", "dense_4h_to_h")):
            made[ours + "mlp.W_" + which] = take(theirs + f"mlp.{name}.weight").T
            made[ours + "mlp.b_" + which] = take(theirs + f"mlp.{name}.bias")
    return made


def llama_weights(cfg: HookedTransformerConfig, take, gemma: bool) -> dict:
    """Llama and all its relatives. Gemma stores the gains minus one, and scales the embedding."""
    def gain(name: str) -> torch.Tensor:
        return take(name + ".weight") + (1.0 if gemma else 0.0)

    made = {"embed.W_E": take("embed_tokens.weight") * (cfg.d_model**0.5 if gemma else 1.0), "ln_final.w": gain("norm")}
    norms = {"ln1": "input_layernorm", "ln2": "post_attention_layernorm"}
    if cfg.use_normalization_before_and_after:
        norms |= {"ln1_post": "post_attention_layernorm", "ln2": "pre_feedforward_layernorm",
                  "ln2_post": "post_feedforward_layernorm"}
    if cfg.use_qk_norm:
        norms |= {"attn.q_norm": "self_attn.q_norm", "attn.k_norm": "self_attn.k_norm"}
    counts = {"Q": cfg.n_heads, "K": cfg.n_key_value_heads, "V": cfg.n_key_value_heads}
    for layer in range(cfg.n_layers):
        theirs, ours = f"layers.{layer}.", f"blocks.{layer}."
        for norm, name in norms.items():
            made[ours + norm + ".w"] = gain(theirs + name)
        fused = take(theirs + "self_attn.qkv_proj.weight", optional=True)
        parts = fused.split([count * cfg.d_head for count in counts.values()]) if fused is not None else None
        for index, (which, count) in enumerate(counts.items()):
            name, underscore = f"self_attn.{which.lower()}_proj.", "" if which == "Q" else "_"
            weight = parts[index] if parts else take(theirs + name + "weight")
            made[ours + f"attn.{underscore}W_{which}"] = heads(weight, count)
            bias = take(theirs + name + "bias", optional=True)
            if bias is not None:
                made[ours + f"attn.{underscore}b_{which}"] = bias.reshape(count, -1)
        made[ours + "attn.W_O"] = take(theirs + "self_attn.o_proj.weight").T.reshape(cfg.n_heads, cfg.d_head, -1)
        made[ours + "attn.b_O"] = take(theirs + "self_attn.o_proj.bias", optional=True)
        fused = take(theirs + "mlp.gate_up_proj.weight", optional=True)
        gate, up = fused.chunk(2) if fused is not None else (
            take(theirs + "mlp.gate_proj.weight"), take(theirs + "mlp.up_proj.weight"))
        made |= {ours + "mlp.W_gate": gate.T, ours + "mlp.W_in": up.T,
                 ours + "mlp.W_out": take(theirs + "mlp.down_proj.weight").T,
                 ours + "mlp.b_out": take(theirs + "mlp.down_proj.bias", optional=True)}
    return made


def build(folder: Path) -> tuple[HookedTransformer, dict, list[str]]:
    """The model, the (text) config, and the points at which hooks add biases."""
    config = json.loads((folder / "config.json").read_text())
    config = config.get("text_config", config)
    kind = config["model_type"]
    made = gpt2_config(config) if kind == "gpt2" else rotary_config(config)
    cfg = HookedTransformerConfig(
        d_vocab=config["vocab_size"], use_hook_mlp_in=True, default_prepend_bos=False, device="cpu",
        dtype=torch.float32, seed=0, **made,
    )
    tensors = {}
    for file in folder.glob("model*.safetensors"):
        with safe_open(file, "pt") as stored:
            tensors |= {PREFIX.sub("", name): stored.get_tensor(name).float() for name in stored.keys()}

    def take(name: str, optional: bool = False) -> torch.Tensor | None:
        return tensors.pop(name, None) if optional else tensors.pop(name)

    # Without a head of its own, the model's head is the embedding as it is stored.
    tied = tensors.get({"gpt2": "wte.weight", "gpt_neox": "embed_in.weight"}.get(kind, "embed_tokens.weight"))
    if kind == "gpt2":
        weights = gpt2_weights(cfg, take)
    elif kind == "gpt_neox":
        weights = neox_weights(cfg, take)
    else:
        weights = llama_weights(cfg, take, kind.startswith("gemma"))
    head = take("embed_out.weight" if kind == "gpt_neox" else "lm_head.weight", optional=True)
    weights["unembed.W_U"] = (tied if head is None else head).T
    biases = {}
    for layer in range(cfg.n_layers):
        for name, point in (("gate_proj", "hook_pre"), ("up_proj", "hook_pre_linear")):
            biases[f"blocks.{layer}.mlp.{point}"] = take(f"layers.{layer}.mlp.{name}.bias", optional=True)
    biases = {point: bias for point, bias in biases.items() if bias is not None}
    unused = [name for name in tensors if not IGNORED.search(name)]
    assert not unused, unused
    model = HookedTransformer(cfg)
    odd = model.load_state_dict({name: it for name, it in weights.items() if it is not None}, strict=False)
    missing = [name for name in odd.missing_keys if not OPTIONAL.search(name)]
    assert not missing and not odd.unexpected_keys, odd
    for point, bias in biases.items():
        model.add_hook(point, lambda value, hook, bias=bias: value + bias, is_permanent=True)
    return model, config, sorted({point.split(".", 2)[2] for point in biases})


def foreign_ropes(config: dict) -> dict[int, dict]:
    """The layers whose kind of rope HookedTransformer does not have."""
    if config["model_type"] == "gpt2":
        return {}
    chosen = {layer: ropes(config)[kind == "local"] for layer, kind in enumerate(layer_kinds(config))}
    return {layer: rope for layer, rope in chosen.items() if rope["kind"] not in ("default", "llama3")}


def set_tables(model: HookedTransformer, config: dict, length: int) -> None:
    for layer, rope in foreign_ropes(config).items():
        attention = model.blocks[layer].attn
        attention.rotary_sin, attention.rotary_cos = made_tables(config, rope, model.cfg.rotary_dim, length)


def greedy(model: HookedTransformer, config: dict, tokens: torch.Tensor, count: int, hooks: list) -> torch.Tensor:
    """The continuation, with a full run for every token."""
    for _ in range(count):
        set_tables(model, config, len(tokens))
        logits = model.run_with_hooks(tokens[None], fwd_hooks=hooks)
        tokens = torch.cat([tokens, logits[0, -1].argmax()[None]])
    return tokens[-count:]


def run(model: HookedTransformer, tokens: torch.Tensor) -> dict:
    """Every hook point without the batch axis, `mlp.hook_in`, `mlp.hook_out`, `ln_final.hook_out` and `logits`."""
    outputs = {}

    def keep(name: str):
        return lambda module, arguments, output: outputs.__setitem__(name, output)

    def keep_input(name: str):
        return lambda module, arguments: outputs.__setitem__(name, arguments[0])

    handles = [model.ln_final.register_forward_hook(keep("ln_final.hook_out"))]
    for layer, block in enumerate(model.blocks):
        handles.append(block.mlp.register_forward_pre_hook(keep_input(f"blocks.{layer}.mlp.hook_in")))
        handles.append(block.mlp.register_forward_hook(keep(f"blocks.{layer}.mlp.hook_out")))
    outputs["logits"], cache = model.run_with_cache(tokens[None])
    for handle in handles:
        handle.remove()
    return {name: it[0] for name, it in (dict(cache) | outputs).items()}


def compare(name: str, ours: torch.Tensor, theirs: torch.Tensor, norm: torch.nn.Module | None) -> tuple[float, float]:
    """Relative error and ratio of the norms."""
    if norm is not None and hasattr(norm, "b"):
        ours = ours * norm.w + norm.b
    assert theirs.shape == ours.shape, (name, theirs.shape, ours.shape)
    if name.endswith("attn_scores"):
        seen = ours.isfinite()
        assert torch.equal(seen, theirs.isfinite()), f"{name}: not the same mask"
        ours, theirs = ours[seen], theirs[seen]
    return ((ours - theirs).abs().max() / ours.abs().max()).item(), (theirs.norm() / ours.norm()).item()


def nan_last(error: float) -> float:
    return math.inf if math.isnan(error) else error


def from_one(ratio: float) -> float:
    return nan_last(abs(ratio - 1))


@torch.no_grad()
def check(case: str, quiet: bool) -> tuple[bool, bool]:
    """Whether everything agrees, and whether HookedTransformer computed all of it without help."""
    folder = HERE / case
    model, config, biased = build(folder)
    foreign = foreign_ropes(config)
    modules = dict(model.named_modules())
    results, absent, own_error, compared = {}, set(), 0.0, 0
    other = []
    with safe_open(folder / "golden.safetensors", "pt") as golden:
        metadata = golden.metadata()
        added = float(metadata["steer.strength"]) * golden.get_tensor("steer.vector")
        steer = [(metadata["steer.hook_point"], lambda value, hook: value + added)]
        for prompt in ("p0", "p1"):
            tokens = golden.get_tensor(prompt + ".tokens")
            if foreign:
                own = build(folder)[0](tokens[None])[0]
                logits = golden.get_tensor(prompt + ".logits")
                own_error = max(own_error, compare("logits", logits, own, None)[0])
            set_tables(model, config, len(tokens))
            theirs = run(model, tokens)
            theirs["steered.logits"] = model.run_with_hooks(tokens[None], fwd_hooks=steer)[0]
            for which, hooks in (("greedy", []), ("steered.greedy", steer)):
                expected = golden.get_tensor(f"{prompt}.{which}")
                if not torch.equal(greedy(model, config, tokens, len(expected), hooks), expected):
                    other.append(f"{prompt}.{which}")
            for key in golden.keys():
                if not key.startswith(prompt + ".") or key.endswith(("tokens", "greedy")):
                    continue
                name = key.removeprefix(prompt + ".")
                point = re.sub(r"blocks\.\d+\.", "", name)
                if name not in theirs:
                    absent.add(point)
                    continue
                norm = modules[name.removesuffix(".hook_normalized")] if name.endswith(".hook_normalized") else None
                error, ratio = compare(name, golden.get_tensor(key), theirs[name], norm)
                results.setdefault(point, []).append((error, ratio))
                compared += 1
    results = {
        point: (max((error for error, _ in both), key=nan_last), max((ratio for _, ratio in both), key=from_one))
        for point, both in results.items()
    }
    good = not absent and not other and all(error <= LIMIT for error, _ in results.values())
    worst = max(results, key=lambda point: nan_last(results[point][0]))
    furthest = max((ratio for _, ratio in results.values()), key=from_one)
    print(f"{case}: {compared} tensors at {len(results)} points, largest error {results[worst][0]:.1e} ({worst}), "
          f"norm ratio {furthest:.7f}{'' if good else '   DIFFERS'}")
    if foreign:
        kinds = ", ".join(sorted({rope["kind"] for rope in foreign.values()}))
        print(f"  {kinds} tables from this script; with HookedTransformer's own, logits differ by {own_error:.1e}")
    if biased:
        print(f"  biases added by hooks: {', '.join(biased)}")
    if other:
        print(f"  another greedy token: {', '.join(other)}   DIFFERS")
    if absent:
        print(f"  not in HookedTransformer: {', '.join(sorted(absent))}   DIFFERS")
    for point, (error, ratio) in sorted(results.items()):
        if not quiet or not error <= LIMIT:
            print(f"  {point:28} {error:9.1e}  norm ratio {ratio:.7f}{'' if error <= LIMIT else '   DIFFERS'}")
    return good, not foreign and not biased


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-q", "--quiet", action="store_true", help="one line per case, and what differs")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="such as llama/yarn; default: all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cases = arguments.cases or sorted(str(it.parent.relative_to(HERE)) for it in HERE.glob("*/*/golden.safetensors"))
    results = [check(case, arguments.quiet) for case in cases]
    agree = [unaided for good, unaided in results if good]
    print(f"\n{len(agree)} of {len(results)} cases agree within {LIMIT}, {sum(agree)} of them with nothing replaced")
    return 0 if len(agree) == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
