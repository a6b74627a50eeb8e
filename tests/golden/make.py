#!/usr/bin/env python3
"""Make the tiny random checkpoints of cases.py and their golden tensors (see README.md).

    python make.py [CASE ...]            write <family>/<case>/ next to this file
    python make.py --check [CASE ...]    regenerate elsewhere and compare with the committed files
    python make.py --find-seed CASE ...  print the first seed that every check accepts

A CASE is a name such as llama/yarn; none means all. The goldens come from
examples/verify/make_golden.py, the script that users make theirs with.
"""

import argparse
import copy
import json
import logging
import math
import re
import shutil
import sys
import tempfile
from pathlib import Path

import safetensors
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Gemma3ForConditionalGeneration
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "examples" / "verify"))

import make_golden  # noqa: E402  (found through the line above)
from cases import CASES, Case  # noqa: E402

PROMPT_LENGTHS = (37, 11)
# The short prompt has every hook point; all of the long one's would be megabytes.
LONG_PROMPT_POINTS = ("blocks.*.hook_resid_post",)
NEW_TOKENS = 24
STEER_LAYER = 1
STEER_STRENGTH = 3.5
# A greedy reference is only portable if no step is close to a tie.
MIN_GREEDY_MARGIN = 1e-2
# How far float64 arithmetic may move a logit.
MAX_ROUNDING = 2e-5
# How far a change of a fifth in half of any tensor must move some logit.
MIN_EFFECT = 2e-3


def randomize(model: torch.nn.Module, branch_gain: float, generator: torch.Generator) -> None:
    """Fill every weight, large enough that attention and activations are far from trivial."""
    gemma = model.config.model_type.startswith("gemma")
    # What writes to the residual stream: in Gemma 2 and 3 it is normalised before that.
    writers = r"(o_proj|down_proj|c_proj|\.dense|dense_4h_to_h)\.weight"
    if any("post_feedforward" in name for name, _ in model.named_parameters()):
        writers = r"post_(attention|feedforward)_layernorm"
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(".bias"):
                weight.normal_(0.0, 0.2, generator=generator)
            elif weight.dim() == 1:
                low, high = (1.2, 2.2) if re.search("[qk]_norm", name) else (0.4, 1.6)
                weight.uniform_(low, high, generator=generator)
                if re.search("[qk]_norm", name):
                    # Normalised queries and keys cannot otherwise make up for an unusual scale.
                    scalar = getattr(model.config, "query_pre_attn_scalar", model.config.head_dim)
                    weight.mul_((scalar / model.config.head_dim) ** 0.25)
                if re.search(writers, name):
                    weight.mul_(branch_gain)
                if gemma:
                    weight.sub_(1.0)  # the gain is one more than the weight
            else:
                # GPT-2 keeps its matrices with the inputs first.
                conv1d = model.config.model_type == "gpt2" and ".c_" in name
                fan_in = weight.shape[0 if conv1d else 1]
                sharper = any(part in name for part in
                              ("q_proj", "k_proj", "lm_head", "qkv_proj", "c_attn", "query_key_value"))
                gain = 1.5 if sharper else 1.0
                weight.normal_(0.0, gain / math.sqrt(fan_in), generator=generator)
                if re.search(writers, name):
                    weight.mul_(branch_gain)
        if model.config.tie_word_embeddings and not gemma:
            model.get_input_embeddings().weight.mul_(2.0)  # it is the head as well


def new_model(case: Case) -> torch.nn.Module:
    # from_dict edits nested dictionaries, which would spoil an old spelling.
    config = copy.deepcopy(case.config)
    config = config.get("text_config", config)
    return AutoModelForCausalLM.from_config(CONFIG_MAPPING[config["model_type"]].from_dict(config),
                                            dtype=torch.float32)


def write_checkpoint(case: Case, folder: Path, generator: torch.Generator) -> None:
    """Write the checkpoint as transformers writes it, then restore an older file's ways."""
    model = new_model(case)
    randomize(model, case.branch_gain, generator)
    model.to(case.stored)
    bytes_stored = sum(p.numel() * p.element_size() for p in model.parameters())
    limit = bytes_stored + 1 if case.shards == 1 else int(bytes_stored / case.shards * 1.15)
    model.save_pretrained(folder, max_shard_size=limit)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if case.verbatim_config:
        (folder / "config.json").write_text(json.dumps(case.config, indent=2) + "\n")
    found = len(list(folder.glob("*.safetensors")))
    assert found == case.shards, f"{found} shards instead of {case.shards}"
    if case.file:
        file = folder / "model.safetensors"
        save_file(older_tensors(case, load_file(file), generator), file, metadata={"format": "pt"})


def older_tensors(case: Case, tensors: dict, generator: torch.Generator) -> dict:
    """The tensors under the names of an older file, with what else such a file contains."""
    if case.file.startswith("multimodal "):
        prefix = case.file.split()[1]
        tensors = {re.sub(r"^model\.", prefix, name): tensor for name, tensor in tensors.items()}
        vision = "model." if prefix.startswith("model.") else ""
        width = case.config["vision_config"]["hidden_size"]
        text_width = case.config["text_config"]["hidden_size"]
        return tensors | {
            vision + "vision_tower.vision_model.post_layernorm.weight": torch.rand(width, generator=generator),
            vision + "multi_modal_projector.mm_input_projection_weight":
                torch.randn(width, text_width, generator=generator),
        }
    if case.file == "gpt2 without prefix, with buffers":
        tensors = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
        size, path, kind = case.config["n_ctx"], "h.{}.attn.", torch.float32
        layers = case.config["n_layer"]
    else:
        assert case.file == "neox with buffers"
        size, path, kind = case.config["max_position_embeddings"], "gpt_neox.layers.{}.attention.", torch.bool
        layers = case.config["num_hidden_layers"]
        assert "embed_out.weight" in tensors
    for layer in range(layers):
        at = path.format(layer)
        tensors[at + "bias"] = torch.ones(size, size).tril().to(kind)[None, None]
        tensors[at + "masked_bias"] = torch.tensor(-1e9 if kind == torch.bool else -1e4)
        if kind == torch.bool:
            tensors[at + "rotary_emb.inv_freq"] = torch.tensor([1.0, 0.5])  # wrong, to show that nobody reads it
    return tensors


def check_greedy(model: torch.nn.Module, tokens: torch.Tensor, new: torch.Tensor) -> None:
    """The cached continuation is that of full forward passes, is no short loop, and meets no tie."""
    assert len(new) == NEW_TOKENS
    full = torch.cat([tokens, new])
    rope = getattr(model.config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "longrope":
        # The length of the whole input decides the factors for all of it.
        logits = torch.stack([model(full[None, :end], use_cache=False).logits[0, -1]
                              for end in range(len(tokens), len(full))])
        original = model.config.original_max_position_embeddings
        assert len(tokens) > original or len(tokens) < original - 4 < len(full) - 8
    else:
        logits = model(full[None, :-1], use_cache=False).logits[0, len(tokens) - 1:]
    best = logits.topk(2).values
    assert torch.equal(logits.argmax(-1), new), "cached and full greedy decoding disagree"
    margin = (best[:, 0] - best[:, 1]).min().item()
    assert margin > MIN_GREEDY_MARGIN, f"a greedy step is nearly tied ({margin:.1e}): change the seed"
    assert len(set(new.tolist())) > 4, "the greedy continuation is a short loop: change the seed"


def check_not_degenerate(model: torch.nn.Module, store: dict) -> None:
    """Attention is neither uniform nor one-hot, softcaps bend, llama3 scaling uses all its branches."""
    config = model.config
    for name, tensor in store.items():
        if name.endswith("hook_pattern"):
            peak = tensor[:, 8:].max(-1).values.mean().item()
            assert 0.2 < peak < 0.95, f"degenerate attention (mean peak {peak:.2f})"
        cap = getattr(config, "attn_logit_softcapping", None)
        if cap and name.endswith("hook_attn_scores"):
            sizes = tensor[tensor.isfinite()].abs() / cap
            assert sizes.max() > 0.8 and sizes.median() < 0.8, f"scores are {sizes.median():.2f} of the softcap"
    if cap := getattr(config, "final_logit_softcapping", None):
        sizes = store["logits"].abs() / cap
        assert sizes.max() > 0.8 and sizes.median() < 0.8, f"logits are {sizes.median():.2f} of the softcap"
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "llama3":
        dim = config.head_dim
        waves = [2 * math.pi * rope["rope_theta"] ** (i / dim) for i in range(0, dim, 2)]
        low, high = (rope["original_max_position_embeddings"] / rope[k] for k in
                     ("low_freq_factor", "high_freq_factor"))
        bands = [sum(w < high for w in waves), sum(high < w < low for w in waves),
                 sum(w > low for w in waves)]
        assert all(bands), f"a llama3 band is empty: {bands}"


def check_sensible(model: torch.nn.Module, tokens: torch.Tensor, logits: torch.Tensor) -> None:
    """Rounding hardly moves the logits, and every single tensor of the checkpoint does."""
    exact = copy.deepcopy(model).double()
    worst = (exact(tokens[None], use_cache=False).logits[0] - logits).abs().max().item()
    assert worst < MAX_ROUNDING, f"rounding alone moves the logits by {worst:.1e}"
    for name, weight in model.named_parameters():
        original = weight.data
        # Not all alike: a normalisation would undo that.
        weight.data = original * (1 - 0.2 * (torch.arange(original.shape[-1]) % 2))
        effect = (model(tokens[None], use_cache=False).logits[0] - logits).abs().max().item()
        weight.data = original
        assert effect > MIN_EFFECT, f"{name} hardly matters ({effect:.1e})"


def check_multimodal(folder: Path, tokens: torch.Tensor, logits: torch.Tensor) -> None:
    """The multimodal class, given text only, computes what the text part alone does."""
    model = Gemma3ForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    worst = (model(input_ids=tokens[None], use_cache=False).logits[0] - logits).abs().max().item()
    assert worst < 1e-6, f"the multimodal model differs by {worst:.1e}"


def golden_tensors(case: Case, folder: Path, generator: torch.Generator) -> tuple[dict, str]:
    """Prompts, hook points, logits and greedy continuations, plain and steered."""
    model, model_type = make_golden.load(folder)
    vocab = model.config.vocab_size
    tensors = {"steer.vector": 0.4 * torch.randn(model.config.hidden_size, generator=generator)}

    def steer(_module, _args, output):
        return output + STEER_STRENGTH * tensors["steer.vector"]

    steered_block = model.get_submodule(make_golden.FAMILIES[model_type].blocks)[STEER_LAYER]
    for number, length in enumerate(PROMPT_LENGTHS):
        tokens = torch.randint(0, vocab, (length,), generator=generator)
        tokens[length // 3], tokens[length // 2] = 0, vocab - 1
        prompt = f"p{number}."
        store = make_golden.run_prompt(model, model_type, tokens)
        logits = store["logits"]
        check_not_degenerate(model, store)
        check_sensible(model, tokens, logits)
        if model_type == "gemma3":
            check_multimodal(folder, tokens, logits)
        if number == 0:
            store = make_golden.select(store, [*LONG_PROMPT_POINTS, *case.long_prompt_points])
        store["tokens"] = tokens
        store["greedy"] = make_golden.greedy(model, tokens, NEW_TOKENS)
        check_greedy(model, tokens, store["greedy"])

        handle = steered_block.register_forward_hook(steer)
        store["steered.logits"] = model(tokens[None], use_cache=False).logits[0].clone()
        store["steered.greedy"] = make_golden.greedy(model, tokens, NEW_TOKENS)
        check_greedy(model, tokens, store["steered.greedy"])
        handle.remove()
        assert not torch.equal(store["greedy"], store["steered.greedy"])
        tensors |= {prompt + name: tensor for name, tensor in store.items()}
    return tensors, model_type


@torch.no_grad()
def make_case(name: str, folder: Path, seed: int | None = None) -> None:
    case = CASES[name]
    seed = case.seed if seed is None else seed
    generator = torch.Generator().manual_seed(seed)
    folder.mkdir(parents=True)
    write_checkpoint(case, folder, generator)
    tensors, model_type = golden_tensors(case, folder, generator)
    metadata = make_golden.metadata_for(model_type) | {
        "case": name.split("/")[1],
        "seed": str(seed),
        "steer.hook_point": f"blocks.{STEER_LAYER}.hook_resid_post",
        "steer.strength": str(STEER_STRENGTH),
        "safetensors": safetensors.__version__,
    }
    make_golden.write_safetensors(folder / "golden.safetensors", tensors, metadata)


def find_seed(name: str) -> None:
    reasons = {}
    for seed in range(1, 400):
        with tempfile.TemporaryDirectory() as scratch:
            try:
                make_case(name, Path(scratch, "case"), seed)
                print(f"{name}: seed {seed}")
                return
            except AssertionError as problem:
                reason = re.sub(r"\d", "#", str(problem).splitlines()[0])[:60]
                reasons[reason] = reasons.get(reason, 0) + 1
                # A reason that holds for every seed needs another config instead.
                if seed == 40:
                    print(f"{name}: {reasons}", file=sys.stderr)
    print(f"{name}: no seed found; {reasons}")


def make_all(names: list[str], root: Path) -> None:
    for name in names:
        try:
            make_case(name, root / name)
        except Exception as problem:
            problem.add_note(f"in case {name}")
            raise


def contents(root: Path, names: list[str]) -> dict:
    files = [path for name in names for path in sorted((root / name).glob("*")) if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def largest_difference(one: Path, other: Path) -> float:
    """Largest absolute difference between two golden files; infinite if not comparable."""
    with safe_open(one, "pt") as a, safe_open(other, "pt") as b:
        if sorted(a.keys()) != sorted(b.keys()):
            return math.inf
        worst = 0.0
        for name in a.keys():
            x, y = a.get_tensor(name), b.get_tensor(name)
            if x.shape != y.shape or x.dtype != y.dtype:
                return math.inf
            if x.dtype == torch.int64:
                if not torch.equal(x, y):
                    return math.inf
                continue
            if not torch.equal(x.isinf(), y.isinf()):
                return math.inf
            # Masked scores are -inf in both.
            both = x.isfinite()
            worst = max(worst, (x[both].double() - y[both].double()).abs().max().item())
        return worst


def check(names: list[str], fresh: Path) -> bool:
    """Checkpoints must be byte for byte the same; goldens may differ by another CPU's rounding."""
    old, new = contents(HERE, names), contents(fresh, names)
    good = True
    for path in sorted(old.keys() | new.keys()):
        if old.get(path) == new.get(path):
            continue
        if path.endswith("golden.safetensors") and path in old and path in new:
            worst = largest_difference(HERE / path, fresh / path)
            print(f"{path}: largest difference {worst:.1e}")
            good &= worst < 1e-4
        else:
            print(f"{path}: differs")
            good = False
    print(f"{len(new)} files checked: {'ok' if good else 'NOT the same'}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--check", action="store_true", help="compare with the committed files")
    parser.add_argument("--find-seed", action="store_true", help="search, and write nothing")
    args = parser.parse_args()
    names = args.cases or list(CASES)
    if unknown := [name for name in names if name not in CASES]:
        parser.error(f"no such case: {', '.join(unknown)}")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.disable_progress_bar()
    # A loading report for every missing vision tensor would hide what matters.
    transformers.utils.logging.set_verbosity(logging.ERROR)

    if args.find_seed:
        for name in names:
            find_seed(name)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        first, second = Path(scratch, "first"), Path(scratch, "second")
        make_all(names, first)
        if args.check:
            return 0 if check(names, first) else 1
        make_all(names, second)
        assert contents(first, names) == contents(second, names), "two runs wrote different bytes"
        for name in names:
            shutil.rmtree(HERE / name, ignore_errors=True)
            shutil.copytree(first / name, HERE / name)
    files = contents(HERE, names)
    for path, data in files.items():
        print(f"{len(data):>8}  {path}")
    print(f"{sum(map(len, files.values())):>8}  total")
    return 0


if __name__ == "__main__":
    sys.exit(main())
