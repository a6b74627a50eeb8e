#!/usr/bin/env python3
"""Compare millm with transformers on random tiny models (see README.md).

    python fuzz.py --millm PATH [--seed S] [--cases N] [--family F] [--keep FOLDER]

Every case draws a config, weights and prompts, computes the reference with
examples/verify/make_golden.py, and runs `millm verify`. A case ends as one of

    agree      every hook point, the logits and the greedy tokens are right
    refused    millm does not load what transformers runs; the message says why
    DISAGREE   millm computes something else: a bug, printed with a smaller config
    chaotic    float64 differs from float32 as well, so nothing can be said
    invalid    transformers cannot run it either

The same seed makes the same cases. The exit code is 1 if anything disagreed.
"""

import argparse
import copy
import json
import logging
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from fuzz_configs import FAMILIES, draw_config
from make import MAX_ROUNDING, make_golden, randomize

NEW_TOKENS = 12
MAX_LENGTH = 60
# A greedy step decided by less than this part of the largest logit may go either way.
MIN_MARGIN = 1e-3
STORED = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16,
          # Matrices in one type and the rest in another, as some trainers save them.
          "mixed": torch.bfloat16}
# Fields that minimising keeps: without sizes, a model would have billions of weights.
SIZES = ("model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
         "num_key_value_heads", "vocab_size", "tie_word_embeddings", "n_embd", "n_layer", "n_head", "text_config")
# A hostile or huge model would hang here, which is a failure as well.
TIMEOUT = 60


@dataclass(frozen=True)
class Case:
    """What decides everything about a case."""

    family: str
    seed: int
    config: dict
    stored: str
    shards: int
    # Tensor names: as transformers writes them, or as one of the older files has them.
    prefix: str
    buffers: bool
    # Of a tied model: not stored, a copy of the embedding, or another one, which transformers then uses.
    head: str
    lengths: tuple


@dataclass
class Outcome:
    kind: str
    detail: str = ""
    error: float = 0.0


def draw(seed: int, family: str | None) -> Case:
    rng = random.Random(seed)
    family = family or rng.choice(FAMILIES)
    # Lengths come first, since windows and contexts around them are the interesting ones.
    lengths = tuple(rng.randint(1, MAX_LENGTH) for _ in range(2))
    prefixes = {"gpt2": ("", ""), "gemma3": ("language_model.model.", "model.language_model.")}
    return Case(
        family=family, seed=seed, lengths=lengths,
        config=draw_config(rng, family, max(lengths), max(lengths) + NEW_TOKENS),
        stored=rng.choice(sorted(STORED)), shards=rng.choice((1, 1, 1, 3)),
        prefix=rng.choice((*prefixes.get(family, ()), "as written")), buffers=rng.random() < 0.3,
        head=rng.choice(("none",) * 6 + ("copy", "other")),
    )


def text_config(config: dict) -> dict:
    return config["text_config"] if config["model_type"] == "gemma3" else config


def stored(tensor: torch.Tensor, kind: str) -> torch.Tensor:
    kind = "f32" if kind == "mixed" and tensor.dim() == 1 else kind
    # A copy, since tied tensors share memory, and files do not.
    return tensor.to(STORED[kind]).clone()


def tensors_of(case: Case, generator: torch.Generator) -> dict:
    """Random weights under the names that the case asks for."""
    # from_dict edits nested dictionaries.
    config = copy.deepcopy(text_config(case.config))
    model_type = "gemma3_text" if case.family == "gemma3" else case.family
    config = CONFIG_MAPPING[model_type].from_dict(config)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomize(model, 1.0, generator)
    tensors = {name: stored(tensor, case.stored) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        if case.head == "none":
            del tensors["lm_head.weight"]
        elif case.head == "other":
            tensors["lm_head.weight"] = tensors["lm_head.weight"].flip(0).contiguous()
    if case.family == "gpt_neox" and "lm_head.weight" in tensors:
        # In files it has kept its old name.
        tensors["embed_out.weight"] = tensors.pop("lm_head.weight")
    if case.family == "gpt2" and case.prefix == "":
        tensors = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    if case.family == "gemma3":
        prefix = "language_model.model." if case.prefix == "as written" else case.prefix
        lm_head = "language_model.lm_head." if prefix.startswith("language") else "lm_head."
        vision = "" if prefix.startswith("language") else "model."
        tensors = {re.sub(r"^lm_head\.", lm_head, re.sub(r"^model\.", prefix, name)): tensor
                   for name, tensor in tensors.items()}
        tensors[vision + "vision_tower.vision_model.post_layernorm.weight"] = torch.rand(7, generator=generator)
    if case.buffers:
        tensors |= buffers(case, config.num_hidden_layers)
    return tensors


def buffers(case: Case, layers: int) -> dict:
    """What older versions of transformers stored with the weights, wrong, to show that nobody reads it."""
    paths = {"gpt2": ("h.{}.attn.bias", "h.{}.attn.masked_bias"),
             "gpt_neox": tuple("gpt_neox.layers.{}.attention." + name
                               for name in ("bias", "masked_bias", "rotary_emb.inv_freq")),
             "gemma3": ()}
    start = "transformer." if case.family == "gpt2" and case.prefix else ""
    names = paths.get(case.family, ("model.layers.{}.self_attn.rotary_emb.inv_freq",))
    return {start + name.format(layer): torch.full((3,), 7.0) for name in names for layer in range(layers)}


def write_checkpoint(case: Case, folder: Path) -> None:
    tensors = tensors_of(case, torch.Generator().manual_seed(case.seed))
    names = sorted(tensors)
    parts = [names[i::case.shards] for i in range(case.shards)]
    files = ["model.safetensors"]
    if case.shards > 1:
        files = [f"model-{i + 1:05}-of-{case.shards:05}.safetensors" for i in range(case.shards)]
        index = {name: file for part, file in zip(parts, files) for name in part}
        text = json.dumps({"metadata": {}, "weight_map": index})
        (folder / "model.safetensors.index.json").write_text(text)
    for part, file in zip(parts, files):
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(case.config, indent=1))


def relative(x: torch.Tensor, reference: torch.Tensor) -> float:
    both = reference.isfinite() & x.isfinite()
    if not both.any():
        return 0.0
    error = (x[both].double() - reference[both].double()).abs().max()
    return (error / reference[both].double().abs().max().clamp_min(1e-30)).item()


@torch.no_grad()
def greedy(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor | None:
    """The greedy continuation by a full pass per token; None if a step is nearly tied.

    Not `generate`: its caches change the result of LongRoPE and of windows of 1.
    """
    full = tokens
    for _ in range(NEW_TOKENS):
        logits = model(full[None], use_cache=False).logits[0, -1]
        best = logits.topk(2)
        if best.values[0] - best.values[1] < MIN_MARGIN * logits.abs().max():
            return None
        full = torch.cat([full, best.indices[:1]])
    return full[len(tokens):].clone()


@torch.no_grad()
def write_golden(case: Case, folder: Path) -> bool:
    """Write the reference; false if rounding alone decides what comes out."""
    model, model_type = make_golden.load(folder)
    exact = copy.deepcopy(model).double()
    generator = torch.Generator().manual_seed(case.seed + 1)
    tensors = {}
    for number, length in enumerate(case.lengths):
        tokens = torch.randint(0, model.config.vocab_size, (length,), generator=generator)
        store = make_golden.run_prompt(model, model_type, tokens)
        better = make_golden.run_prompt(exact, model_type, tokens)
        if any(relative(store[name], better[name]) > MAX_ROUNDING for name in store):
            return False
        new = greedy(model, tokens)
        store |= {"tokens": tokens} | ({} if new is None else {"greedy": new})
        tensors |= {f"p{number}.{name}": tensor for name, tensor in store.items()}
    make_golden.write_safetensors(folder / "golden.safetensors", tensors, make_golden.metadata_for(model_type))
    return True


def verify(millm: Path, folder: Path) -> Outcome:
    command = [millm, "verify", folder, "--golden", folder / "golden.safetensors", "--json", "--threads", "1"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return Outcome("DISAGREE", "it hangs")
    if done.returncode not in (0, 1) or "panicked" in done.stderr:
        return Outcome("DISAGREE", f"it crashes with {done.returncode}: {done.stderr.strip()[-400:]}")
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        message = done.stderr.strip().replace(str(folder), "MODEL")
        # It has loaded a model of other shapes than transformers has.
        return Outcome("DISAGREE" if "cannot compare" in message else "refused", message)
    errors = [point["relative_error"] for point in report["hook_points"]]
    worst = max(error if error is not None else float("inf") for error in errors)
    bad = [point for point in report["hook_points"] if point["status"] != "verified"]
    if bad:
        detail = f"first at {bad[0]['name']} by {bad[0]['relative_error']} ({len(bad)} of {len(errors)} points)"
        return Outcome("DISAGREE", detail, worst)
    tokens = report.get("greedy") or {"agreeing": 0, "of": 0}
    if done.returncode or tokens["agreeing"] != tokens["of"]:
        return Outcome("DISAGREE", f"greedy tokens: {tokens['agreeing']} of {tokens['of']} agree", worst)
    return Outcome("agree", error=worst)


def run(case: Case, millm: Path, keep: Path | None = None) -> Outcome:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if keep:
            folder = keep / f"{case.family}-{case.seed}"
            folder.mkdir(parents=True, exist_ok=True)
        try:
            write_checkpoint(case, folder)
            if not write_golden(case, folder):
                return Outcome("chaotic")
        except Exception as problem:  # whatever transformers says to a config it does not take
            lines = str(problem).strip().splitlines()
            return Outcome("invalid", f"{type(problem).__name__}: {lines[-1] if lines else ''}")
        return verify(millm, folder)


def minimise(case: Case, millm: Path) -> Case:
    """The same disagreement with fewer fields, one block and one short prompt, as far as that goes."""

    def still(other: Case) -> bool:
        return run(other, millm).kind == "DISAGREE"

    def without(config: dict, path: tuple) -> dict:
        config = copy.deepcopy(config)
        inner = config
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]
        return config

    simple = [{"stored": "f32"}, {"shards": 1}, {"buffers": False}, {"head": "none"}]
    simple += [{"lengths": (length,)} for length in (1, 2, 8, *case.lengths)]
    for change in simple:
        if still(replace(case, **change)):
            case = replace(case, **change)
            if "lengths" in change:
                break
    def paths_in(fields: dict, above: tuple = ()) -> list:
        found = []
        for key, value in fields.items():
            if key not in SIZES:
                found.append((*above, key))
            if isinstance(value, dict):
                found += paths_in(value, (*above, key))
        return found

    for path in paths_in(case.config):
        try:
            other = replace(case, config=without(case.config, path))
        except KeyError:
            continue  # its object has gone already
        if still(other):
            case = other
    return case


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--millm", type=Path, required=True, metavar="PATH")
    parser.add_argument("--seed", type=int, default=0, help="the first case; each has the next number")
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--family", choices=FAMILIES)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the checkpoints of all cases")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity(logging.CRITICAL)

    counts, worst, reasons = defaultdict(Counter), {}, defaultdict(Counter)
    for seed in range(args.seed, args.seed + args.cases):
        case = draw(seed, args.family)
        outcome = run(case, args.millm, args.keep)
        counts[case.family][outcome.kind] += 1
        if outcome.kind == "agree":
            kind = (case.family, case.stored)
            worst[kind] = max(worst.get(kind, (0.0, 0)), (outcome.error, seed))
        else:
            reasons[outcome.kind, case.family][re.sub(r"\d+(\.\d+)?", "#", outcome.detail)[:300]] += 1
        if outcome.kind == "DISAGREE":
            print(f"seed {seed}, {case.family}: {outcome.detail}")
            small = minimise(case, args.millm)
            print(f"    smaller: {run(small, args.millm).detail}; prompts of {small.lengths}, {small.stored}, "
                  f"tied head in the file: {small.head}")
            print(f"    {json.dumps(small.config)}", flush=True)
    for family, kinds in sorted(counts.items()):
        print(f"{family:<12} " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
        for stored in STORED:
            if (family, stored) in worst:
                error, seed = worst[family, stored]
                print(f"    {stored:<5} worst relative error {error:.1e} (seed {seed})")
    for (kind, family), messages in sorted(reasons.items()):
        for message, count in messages.most_common():
            print(f"{kind}, {family}, {count} times: {message}")
    return 1 if any(kinds["DISAGREE"] for kinds in counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
