#!/usr/bin/env python3
"""Make the tiny random Llama checkpoints and their golden tensors (see README.md).

    python make_llama.py           write llama/<case>/ next to this file
    python make_llama.py --check   regenerate elsewhere and compare with the committed files

The reference is Hugging Face transformers on the CPU: eager attention, float32
arithmetic, whatever the type of the stored weights.
"""

import argparse
import copy
import json
import math
import shutil
import struct
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
import transformers
from safetensors import safe_open
from transformers import LlamaConfig, LlamaForCausalLM

OUT = Path(__file__).resolve().parent / "llama"
PROMPT_LENGTHS = (37, 11)
NEW_TOKENS = 24
STEER_LAYER = 1
STEER_STRENGTH = 3.5
# A greedy reference is only portable if no step is close to a tie.
MIN_GREEDY_MARGIN = 1e-2
# How far another float32 attention kernel may move a logit.
MAX_ROUNDING = 2e-5


@dataclass
class Case:
    seed: int
    config: dict
    stored: torch.dtype = torch.float32
    # Old spellings are committed exactly as written in `config`; otherwise
    # config.json is what this transformers version saves.
    verbatim_config: bool = False
    shards: int = 1


def base(**changes) -> dict:
    """The config keys that every case shares, in the order real files have them."""
    common = {
        "architectures": ["LlamaForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "max_position_embeddings": 128,
        "model_type": "llama",
        "use_cache": True,
    }
    return common | changes


CASES = {
    # transformers 5 spelling; tied embeddings; grouped-query attention.
    "gqa-tied-v5": Case(
        seed=71,
        config=base(
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
    # transformers 4 spelling; untied head; biases everywhere; head_dim is not
    # hidden_size / heads; an epsilon large enough to matter.
    "mha-untied-v4": Case(
        seed=2,
        verbatim_config=True,
        config=base(
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
        config=base(
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
        config=base(
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
    # Multi-query attention stored in float16, transformers 5 spelling.
    "f16": Case(
        seed=1,
        stored=torch.float16,
        config=base(
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
}


def randomize(model: LlamaForCausalLM, generator: torch.Generator) -> None:
    """Fill every weight, large enough that attention and activations are far from trivial."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("norm.weight"):
                weight.uniform_(0.4, 1.6, generator=generator)
            elif name.endswith(".bias"):
                weight.normal_(0.0, 0.2, generator=generator)
            else:
                fan_in = weight.shape[1]
                sharper = any(part in name for part in ("q_proj", "k_proj", "lm_head"))
                gain = 1.5 if sharper else 1.0
                weight.normal_(0.0, gain / math.sqrt(fan_in), generator=generator)
        if model.config.tie_word_embeddings:
            model.model.embed_tokens.weight.mul_(2.0)  # it is the head as well


def write_checkpoint(case: Case, folder: Path, generator: torch.Generator) -> None:
    """Write the checkpoint as transformers writes it, then restore an old config spelling."""
    # from_dict edits nested dictionaries, which would spoil an old spelling.
    model = LlamaForCausalLM(LlamaConfig.from_dict(copy.deepcopy(case.config)))
    randomize(model, generator)
    model.to(case.stored)
    bytes_stored = sum(p.numel() * p.element_size() for p in model.parameters())
    limit = bytes_stored + 1 if case.shards == 1 else int(bytes_stored / case.shards * 1.15)
    model.save_pretrained(folder, max_shard_size=limit)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if case.verbatim_config:
        (folder / "config.json").write_text(json.dumps(case.config, indent=2) + "\n")
    found = len(list(folder.glob("*.safetensors")))
    assert found == case.shards, f"{found} shards instead of {case.shards}"


def load_reference(folder: Path) -> LlamaForCausalLM:
    """Load the checkpoint the ordinary way, as float32 with eager attention."""
    model, info = LlamaForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    problems = {what: names for what, names in info.items() if names}
    assert not problems, f"the checkpoint does not load cleanly: {problems}"
    assert all(p.dtype == torch.float32 for p in model.parameters())
    model.generation_config.eos_token_id = None  # greedy runs never stop early
    return model.eval()


def capture_hook_points(model: LlamaForCausalLM, store: dict) -> list:
    """Record every hook point, under its TransformerLens name, into `store` as the model runs."""

    def output_of(name):
        def hook(_module, _args, output):
            store[name] = (output[0] if isinstance(output, tuple) else output)[0].clone()

        return hook

    def input_of(name):
        def hook(_module, args):
            store[name] = args[0][0].clone()

        return hook

    handles = [model.model.embed_tokens.register_forward_hook(output_of("hook_embed"))]
    for index, layer in enumerate(model.model.layers):
        prefix = f"blocks.{index}.hook_"
        handles += [
            layer.register_forward_pre_hook(input_of(prefix + "resid_pre")),
            layer.self_attn.register_forward_hook(output_of(prefix + "attn_out")),
            layer.post_attention_layernorm.register_forward_pre_hook(input_of(prefix + "resid_mid")),
            layer.mlp.register_forward_hook(output_of(prefix + "mlp_out")),
            layer.register_forward_hook(output_of(prefix + "resid_post")),
        ]
    return handles


def greedy(model: LlamaForCausalLM, tokens: torch.Tensor) -> torch.Tensor:
    """Greedy continuation through the key-value cache, checked against one full forward pass."""
    full = model.generate(
        tokens[None],
        attention_mask=torch.ones_like(tokens)[None],
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        pad_token_id=0,
    )[0]
    new = full[len(tokens) :]
    assert len(new) == NEW_TOKENS
    logits = model(full[None, :-1], use_cache=False).logits[0, len(tokens) - 1 :]
    best = logits.topk(2).values
    assert torch.equal(logits.argmax(-1), new), "cached and full greedy decoding disagree"
    margin = (best[:, 0] - best[:, 1]).min().item()
    assert margin > MIN_GREEDY_MARGIN, f"a greedy step is nearly tied ({margin:.1e}): change the seed"
    assert len(set(new.tolist())) > 4, "the greedy continuation is a short loop: change the seed"
    return new.clone()


def check_hook_points(store: dict, layers: int) -> None:
    """The residual stream adds up, so every name is on the tensor that it should be on."""
    close = torch.testing.assert_close
    previous = store["hook_embed"]
    for index in range(layers):
        at = {name: store[f"blocks.{index}.hook_{name}"] for name in
              ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")}
        close(at["resid_pre"], previous, rtol=0, atol=0)
        close(at["resid_mid"], at["resid_pre"] + at["attn_out"], rtol=1e-6, atol=1e-6)
        close(at["resid_post"], at["resid_mid"] + at["mlp_out"], rtol=1e-6, atol=1e-6)
        previous = at["resid_post"]


def check_not_degenerate(model: LlamaForCausalLM, tokens: torch.Tensor) -> None:
    """Attention is neither uniform nor one-hot, and llama3 scaling uses all its branches."""
    for probabilities in model(tokens[None], output_attentions=True).attentions:
        peak = probabilities[0, :, 8:].max(-1).values.mean().item()
        assert 0.2 < peak < 0.95, f"degenerate attention (mean peak {peak:.2f})"

    rope = model.config.rope_parameters
    if rope["rope_type"] == "llama3":
        dim = model.config.head_dim
        waves = [2 * math.pi * rope["rope_theta"] ** (i / dim) for i in range(0, dim, 2)]
        low, high = (rope["original_max_position_embeddings"] / rope[k] for k in
                     ("low_freq_factor", "high_freq_factor"))
        bands = [sum(w < high for w in waves), sum(high < w < low for w in waves),
                 sum(w > low for w in waves)]
        assert all(bands), f"a llama3 band is empty: {bands}"


def check_not_chaotic(model: LlamaForCausalLM, tokens: torch.Tensor, logits: torch.Tensor) -> None:
    """Another order of float32 operations gives nearly the same logits."""
    model.set_attn_implementation("sdpa")
    worst = (model(tokens[None], use_cache=False).logits[0] - logits).abs().max().item()
    model.set_attn_implementation("eager")
    assert worst < MAX_ROUNDING, f"rounding alone moves the logits by {worst:.1e}"


def golden_tensors(model: LlamaForCausalLM, generator: torch.Generator) -> dict:
    """Prompts, hook points, logits and greedy continuations, plain and steered."""
    vocab, layers = model.config.vocab_size, model.config.num_hidden_layers
    tensors = {"steer.vector": 0.4 * torch.randn(model.config.hidden_size, generator=generator)}

    def steer(_module, _args, output):
        return output + STEER_STRENGTH * tensors["steer.vector"]

    for number, length in enumerate(PROMPT_LENGTHS):
        tokens = torch.randint(0, vocab, (length,), generator=generator)
        tokens[length // 3], tokens[length // 2] = 0, vocab - 1
        check_not_degenerate(model, tokens)
        prompt = f"p{number}."
        tensors[prompt + "tokens"] = tokens

        store = {}
        handles = capture_hook_points(model, store)
        tensors[prompt + "logits"] = model(tokens[None], use_cache=False).logits[0].clone()
        for handle in handles:
            handle.remove()
        check_hook_points(store, layers)
        check_not_chaotic(model, tokens, tensors[prompt + "logits"])
        tensors |= {prompt + name: value for name, value in store.items()}
        tensors[prompt + "greedy"] = greedy(model, tokens)

        handle = model.model.layers[STEER_LAYER].register_forward_hook(steer)
        tensors[prompt + "steered.logits"] = model(tokens[None], use_cache=False).logits[0].clone()
        tensors[prompt + "steered.greedy"] = greedy(model, tokens)
        handle.remove()
        assert not torch.equal(tensors[prompt + "greedy"], tensors[prompt + "steered.greedy"])
    return tensors


def write_safetensors(path: Path, tensors: dict, metadata: dict) -> None:
    """Write a safetensors file whose bytes depend on nothing but its contents.

    The library's own writer does not promise an order for the metadata.
    """
    kinds = {torch.float32: "F32", torch.int64: "I64"}
    # Widest type first keeps every tensor aligned, as the library does.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header, end = {"__metadata__": dict(sorted(metadata.items()))}, 0
    for name in names:
        start, end = end, end + tensors[name].numel() * tensors[name].element_size()
        header[name] = {
            "dtype": kinds[tensors[name].dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            file.write(tensors[name].contiguous().numpy().tobytes())


@torch.no_grad()
def make_case(name: str, folder: Path) -> None:
    case = CASES[name]
    generator = torch.Generator().manual_seed(case.seed)
    folder.mkdir(parents=True)
    write_checkpoint(case, folder, generator)
    metadata = {
        "case": name,
        "seed": str(case.seed),
        "steer.hook_point": f"blocks.{STEER_LAYER}.hook_resid_post",
        "steer.strength": str(STEER_STRENGTH),
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
        "safetensors": safetensors.__version__,
    }
    tensors = golden_tensors(load_reference(folder), generator)
    write_safetensors(folder / "golden.safetensors", tensors, metadata)


def make_all(root: Path) -> None:
    for name in CASES:
        make_case(name, root / name)


def contents(root: Path) -> dict:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def largest_difference(one: Path, other: Path) -> float:
    """Largest absolute difference between two golden files; infinite if not comparable."""
    with safe_open(one, "pt") as a, safe_open(other, "pt") as b:
        if sorted(a.keys()) != sorted(b.keys()):
            return math.inf
        worst = 0.0
        for name in a.keys():
            x, y = a.get_tensor(name), b.get_tensor(name)
            exact = x.dtype == torch.int64
            if x.shape != y.shape or x.dtype != y.dtype or (exact and not torch.equal(x, y)):
                return math.inf
            worst = max(worst, (x.double() - y.double()).abs().max().item())
        return worst


def check(committed: Path, fresh: Path) -> bool:
    """Checkpoints must be byte for byte the same; goldens may differ by another CPU's rounding."""
    old, new = contents(committed), contents(fresh)
    good = True
    for path in sorted(old.keys() | new.keys()):
        if old.get(path) == new.get(path):
            continue
        if path.endswith("golden.safetensors") and path in old and path in new:
            worst = largest_difference(committed / path, fresh / path)
            print(f"{path}: largest difference {worst:.1e}")
            good &= worst < 1e-4
        else:
            print(f"{path}: differs")
            good = False
    print(f"{len(new)} files checked: {'ok' if good else 'NOT the same'}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed files")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.disable_progress_bar()

    with tempfile.TemporaryDirectory() as scratch:
        first, second = Path(scratch, "first"), Path(scratch, "second")
        make_all(first)
        if args.check:
            return 0 if check(OUT, first) else 1
        make_all(second)
        assert contents(first) == contents(second), "two runs wrote different bytes"
        shutil.rmtree(OUT, ignore_errors=True)
        shutil.copytree(first, OUT)
    files = contents(OUT)
    for path, data in files.items():
        print(f"{len(data):>8}  {path}")
    print(f"{sum(map(len, files.values())):>8}  total")
    return 0


if __name__ == "__main__":
    sys.exit(main())
