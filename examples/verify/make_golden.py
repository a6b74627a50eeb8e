#!/usr/bin/env python3
"""Write what Hugging Face transformers computes for a checkpoint, for `millm verify`.

    python make_golden.py MODEL_FOLDER [-o golden.safetensors]
        [--prompt TEXT ...] [--token-ids 1,2,3 ...] [--greedy N]
        [--hook-points all | residual | PATTERN ...]

The model runs on the CPU in float32 with eager attention, whatever the stored
type of its weights. --prompt uses the folder's tokenizer with its usual special
tokens; --token-ids are used as they are. With neither, the only prompt is the
beginning-of-sequence token, if the config names one, and 12 token ids at a fixed
stride. PATTERN is a hook point name in which * stands for anything, such as
'blocks.3.hook_resid_post' or 'blocks.*.attn.hook_z'. The logits are always
written. README.md next to this file describes the layout of the file.

Needs transformers 5 and safetensors; tested with transformers 5.23.
"""

import argparse
import json
import struct
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

FORMAT = "millm-golden-1"
RESIDUAL = ("hook_embed", "hook_pos_embed", "blocks.*.hook_resid_*", "blocks.*.hook_attn_out",
            "blocks.*.hook_mlp_out")
# The text part of a multimodal checkpoint is loaded as a text model: both
# prefixes that such files have had become the text model's own.
MULTIMODAL_PREFIXES = {r"^language_model\.model\.": "model.", r"^model\.language_model\.": "model.",
                       r"^language_model\.lm_head\.": "lm_head."}
# Tensors without a place in the text model: buffers that older versions saved, and images.
IGNORED_TENSORS = ("*.attn.bias", "*.masked_bias", "*.attention.bias", "*.rotary_emb.inv_freq",
                   "*vision_tower.*", "*multi_modal_projector.*")


@dataclass(frozen=True)
class Family:
    """Where one architecture keeps its modules. Paths in a block are relative to the block."""

    blocks: str = "model.layers"
    embed: str = "model.embed_tokens"
    final_norm: str = "model.norm"
    pos_embed: str | None = None
    ln1: str = "input_layernorm"
    ln2: str = "post_attention_layernorm"
    attention: str = "self_attn"
    # Separate projections, or one fused projection of query, key and value ...
    projections: tuple = ("q_proj", "k_proj", "v_proj")
    # ... whose rows are grouped by head first instead of by kind first.
    heads_first: bool = False
    attention_output: str = "self_attn.o_proj"
    # The modules whose outputs are added to the residual stream.
    attention_added: str = "self_attn.o_proj"
    mlp_added: str = "mlp"
    mlp_pre: str = "mlp.gate_proj"
    # One projection makes the gate and, after it, the other factor.
    gate_and_up: bool = False
    mlp_output: str = "mlp.down_proj"
    rotary: bool = True


LLAMA = Family()
# Gemma 2 and 3 normalise what both branches add to the stream.
GEMMA2 = Family(
    ln2="pre_feedforward_layernorm",
    attention_added="post_attention_layernorm",
    mlp_added="post_feedforward_layernorm",
)
FAMILIES = {
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "gemma": LLAMA,
    "gemma2": GEMMA2,
    "gemma3_text": GEMMA2,
    "gemma3": GEMMA2,
    "phi3": replace(LLAMA, projections=("qkv_proj",), mlp_pre="mlp.gate_up_proj", gate_and_up=True),
    "gpt2": Family(
        blocks="transformer.h", embed="transformer.wte", pos_embed="transformer.wpe",
        final_norm="transformer.ln_f", ln1="ln_1", ln2="ln_2",
        attention="attn", projections=("c_attn",), attention_output="attn.c_proj",
        attention_added="attn.c_proj", mlp_pre="mlp.c_fc", mlp_output="mlp.c_proj", rotary=False,
    ),
    "gpt_neox": Family(
        blocks="gpt_neox.layers", embed="gpt_neox.embed_in", final_norm="gpt_neox.final_layer_norm",
        attention="attention", projections=("query_key_value",), heads_first=True,
        attention_output="attention.dense", attention_added="attention.dense",
        mlp_pre="mlp.dense_h_to_4h", mlp_output="mlp.dense_4h_to_h",
    ),
}


class Unsupported(Exception):
    """The checkpoint is not one that this script can make a golden from."""


def load(folder: Path) -> tuple[torch.nn.Module, str]:
    """The checkpoint as a float32 model with eager attention, and its model type."""
    config = AutoConfig.from_pretrained(folder)
    model_type = config.model_type
    if model_type not in FAMILIES:
        raise Unsupported(f"model type {model_type!r} is not one of {', '.join(sorted(FAMILIES))}")
    options = {}
    if model_type == "gemma3":
        config = config.text_config
        options["key_mapping"] = MULTIMODAL_PREFIXES
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=torch.float32, attn_implementation="eager",
        output_loading_info=True, **options,
    )
    # A missing tensor would silently be random.
    for what in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        names = [str(name) for name in info.get(what, ())]
        if what == "unexpected_keys":
            names = [n for n in names if not any(fnmatchcase("." + n, i) for i in IGNORED_TENSORS)]
        if names:
            raise Unsupported(f"the checkpoint has {what.replace('_', ' ')}: {sorted(names)[:8]}")
    model.float().eval()
    # Repetition penalties and stop tokens from generation_config.json would
    # change what greedy means.
    model.generation_config = GenerationConfig()
    for module in model.modules():
        # This GPT-2 option only orders half precision arithmetic differently,
        # and goes past the function that `recording` listens to.
        if getattr(module, "reorder_and_upcast_attn", False):
            module.reorder_and_upcast_attn = False
    return model, model_type


def normalised(norm: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What `norm` does to `x` before its gain and bias, in float32."""
    x = x.float()
    if isinstance(norm, torch.nn.LayerNorm):
        x = x - x.mean(-1, keepdim=True)
        eps = norm.eps
    else:
        eps = norm.variance_epsilon if hasattr(norm, "variance_epsilon") else norm.eps
    return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + eps)


@contextmanager
def recording(model: torch.nn.Module, model_type: str, store: dict):
    """Put every hook point into `store`, under its TransformerLens name, as the model runs."""
    family, config, handles = FAMILIES[model_type], model.config, []
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads

    def keep(name, tensor):
        store[name] = tensor.float().clone().contiguous()

    def on_output(module, *names, change=lambda x: x):
        def hook(_module, _args, output):
            for name in names:
                keep(name, change((output[0] if isinstance(output, tuple) else output)[0]))

        handles.append(module.register_forward_hook(hook))

    def on_input(module, *names, change=lambda x: x):
        def hook(_module, args):
            for name in names:
                keep(name, change(args[0][0]))

        handles.append(module.register_forward_pre_hook(hook))

    def on_norm(module, name):
        on_input(module, name, change=lambda x: normalised(module, x))

    def record_projections(block, prefix):
        attention = block.get_submodule(family.attention)
        names = [prefix + "attn.hook_" + letter for letter in "qkv"]
        if len(family.projections) == 3:
            for name, path, count in zip(names, family.projections, (heads, kv_heads, kv_heads)):
                on_output(attention.get_submodule(path), name, change=lambda x, n=count: x.unflatten(-1, (n, -1)))
            return

        def hook(_module, _args, output):
            x = output[0]
            if family.heads_first:
                parts = x.unflatten(-1, (heads, 3, -1)).unbind(-2)
            else:
                size = x.shape[-1] // (heads + 2 * kv_heads)
                parts = x.unflatten(-1, (-1, size)).split([heads, kv_heads, kv_heads], dim=-2)
            for name, part in zip(names, parts):
                keep(name, part)

        handles.append(attention.get_submodule(family.projections[0]).register_forward_hook(hook))

    blocks = model.get_submodule(family.blocks)
    parallel = getattr(config, "use_parallel_residual", False)
    on_output(model.get_submodule(family.embed), "hook_embed")
    if family.pos_embed:
        on_output(model.get_submodule(family.pos_embed), "hook_pos_embed")
    on_norm(model.get_submodule(family.final_norm), "ln_final.hook_normalized")
    on_output(model.get_submodule(family.final_norm), "ln_final.hook_out")
    for index, block in enumerate(blocks):
        at, part = f"blocks.{index}.", block.get_submodule
        on_input(block, at + "hook_resid_pre")
        on_output(block, at + "hook_resid_post")
        on_norm(part(family.ln1), at + "ln1.hook_normalized")
        on_norm(part(family.ln2), at + "ln2.hook_normalized")
        on_input(part(family.ln2), at + "hook_mlp_in", *([] if parallel else [at + "hook_resid_mid"]))
        on_output(part(family.attention_added), at + "hook_attn_out")
        on_output(part(family.mlp_added), at + "hook_mlp_out")
        on_input(part("mlp"), at + "mlp.hook_in")
        on_output(part("mlp"), at + "mlp.hook_out")
        record_projections(block, at)
        on_input(part(family.attention_output), at + "attn.hook_z", change=lambda x: x.unflatten(-1, (heads, -1)))
        gate = (lambda x: x.chunk(2, dim=-1)[0]) if family.gate_and_up else (lambda x: x)
        on_output(part(family.mlp_pre), at + "mlp.hook_pre", change=gate)
        on_input(part(family.mlp_output), at + "mlp.hook_post")

    # Scores and rotated queries and keys exist only as arguments and local
    # variables of the modeling module's eager attention.
    modeling = sys.modules[type(blocks[0].get_submodule(family.attention)).__module__]
    eager = modeling.eager_attention_forward

    def attention(module, query, key, value, mask, **options):
        output, pattern = eager(module, query, key, value, mask, **options)
        at = f"blocks.{module.layer_idx}.attn.hook_"
        if family.rotary:
            keep(at + "rot_q", query[0].transpose(0, 1))
            keep(at + "rot_k", key[0].transpose(0, 1))
        keys = key.repeat_interleave(heads // key.shape[1], dim=1)
        scores = query @ keys.transpose(-1, -2) * options["scaling"]
        if (cap := options.get("softcap")) is not None:
            scores = cap * torch.tanh(scores / cap)
        length = scores.shape[-1]
        hidden = torch.ones(length, length, dtype=torch.bool).triu(1) if mask is None else mask < 0
        scores = scores.masked_fill(hidden, -torch.inf)
        torch.testing.assert_close(scores.softmax(-1), pattern, rtol=0, atol=1e-5)
        keep(at + "attn_scores", scores[0])
        keep(at + "pattern", pattern[0])
        return output, pattern

    modeling.eager_attention_forward = attention
    try:
        yield
    finally:
        modeling.eager_attention_forward = eager
        for handle in handles:
            handle.remove()


def check_invariants(store: dict) -> None:
    """The recorded tensors fit together, so every name is on the tensor that it should be on."""

    def same(name, value):
        error = (store[name] - value).abs().max().item()
        assert error <= 1e-5 * max(1.0, value.abs().max().item()), f"{name} is off by {error:.1e}"

    previous = store["hook_embed"] + store.get("hook_pos_embed", 0)
    for index in range(sum(name.endswith("hook_resid_pre") for name in store)):
        at = f"blocks.{index}."
        same(at + "hook_resid_pre", previous)
        middle = previous + store[at + "hook_attn_out"]
        if at + "hook_resid_mid" in store:
            same(at + "hook_resid_mid", middle)
        same(at + "hook_resid_post", middle + store[at + "hook_mlp_out"])
        pattern, values = store[at + "attn.hook_pattern"], store[at + "attn.hook_v"]
        values = values.repeat_interleave(len(pattern) // values.shape[1], dim=1)
        same(at + "attn.hook_z", torch.einsum("hqk,khd->qhd", pattern, values))
        previous = store[at + "hook_resid_post"]


@torch.no_grad()
def run_prompt(model: torch.nn.Module, model_type: str, tokens: torch.Tensor) -> dict:
    """Every hook point and the logits for one prompt."""
    store = {}
    with recording(model, model_type, store):
        logits = model(tokens[None], use_cache=False).logits[0].float().clone()
    check_invariants(store)
    return store | {"logits": logits}


@torch.no_grad()
def greedy(model: torch.nn.Module, tokens: torch.Tensor, count: int) -> torch.Tensor:
    """`count` new tokens, as `generate` finds them; end-of-sequence tokens do not stop it."""
    full = model.generate(tokens[None], attention_mask=torch.ones_like(tokens)[None], do_sample=False, use_cache=False,
                          max_new_tokens=count, pad_token_id=0)
    return full[0, len(tokens):].clone()


def select(store: dict, patterns: list[str]) -> dict:
    """The tensors that the user asked for; the logits always."""
    known = {"all": ("*",), "residual": RESIDUAL}
    wanted = [single for pattern in patterns for single in known.get(pattern, (pattern,))]
    chosen = {name: tensor for name, tensor in store.items()
              if name == "logits" or any(fnmatchcase(name, pattern) for pattern in wanted)}
    for pattern in patterns:
        if pattern not in known and not any(fnmatchcase(name, pattern) for name in store):
            raise Unsupported(f"no hook point of this model matches {pattern!r}")
    return chosen


def default_prompt(config) -> torch.Tensor:
    start = getattr(config, "bos_token_id", None)
    start = [] if start is None or start >= config.vocab_size else [start]
    return torch.tensor(start + [(13 + 7919 * k) % config.vocab_size for k in range(12)])


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


def metadata_for(model_type: str) -> dict:
    return {"format": FORMAT, "model_type": model_type, "transformers": transformers.__version__,
            "torch": torch.__version__.split("+")[0]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL_FOLDER")
    parser.add_argument("-o", "--output", type=Path, default=Path("golden.safetensors"))
    parser.add_argument("--prompt", action="append", default=[], metavar="TEXT")
    parser.add_argument("--token-ids", action="append", default=[], metavar="1,2,3")
    parser.add_argument("--greedy", type=int, default=0, metavar="N", help="also N greedy tokens per prompt")
    parser.add_argument("--hook-points", nargs="+", default=["all"], metavar="PATTERN")
    args = parser.parse_args()
    try:
        if not (args.model / "config.json").is_file():
            raise Unsupported(f"{args.model} has no config.json")
        model, model_type = load(args.model)
        vocabulary = model.config.vocab_size
        prompts = []
        if args.prompt:
            tokenizer = AutoTokenizer.from_pretrained(args.model)
            prompts += [torch.tensor(tokenizer(text)["input_ids"]) for text in args.prompt]
        prompts += [torch.tensor([int(i) for i in ids.split(",")]) for ids in args.token_ids]
        tensors = {}
        for number, tokens in enumerate(prompts or [default_prompt(model.config)]):
            if not len(tokens) or tokens.min() < 0 or tokens.max() >= vocabulary:
                raise Unsupported(f"prompt {number} is empty or has ids outside 0..{vocabulary - 1}")
            chosen = select(run_prompt(model, model_type, tokens), args.hook_points)
            chosen["tokens"] = tokens
            if args.greedy:
                chosen["greedy"] = greedy(model, tokens, args.greedy)
            tensors |= {f"p{number}.{name}": tensor for name, tensor in chosen.items()}
    except Unsupported as error:
        print(f"make_golden.py: {error}", file=sys.stderr)
        return 1
    write_safetensors(args.output, tensors, metadata_for(model_type))
    print(f"{args.output}: {len(tensors)} tensors, {args.output.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
