#!/usr/bin/env python3
"""Compare the committed goldens with TransformerLens, hook point by hook point.

    pip install transformer-lens==4.3.0 transformers==5.23.0 torch==2.15.0
    python check_transformer_lens.py [CASE ...]

Needs no network. The checkpoints are wrapped in a TransformerBridge without any
weight processing (`boot_transformers(..., hf_model=...)`). A bridge runs the
transformers modules for part of its work; check_hooked_transformer.py compares
with an implementation that does not. Prints, for every hook point over all layers
and prompts, the largest error relative to the largest value, and the ratio of the
norms that is furthest from 1; exits with 1 when an error is over 1e-4. Points
that a bridge does not have under the golden's name are listed, not counted as
errors. Cases that TransformerLens is known not to load are counted for
themselves, neither as agreeing nor as errors.
"""

import logging
import re
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors import safe_open
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformer_lens.model_bridge import TransformerBridge

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "examples" / "verify"))

import make_golden  # noqa: E402  (found through the line above)

DEFAULT_CASES = (
    "gpt2/tied-gelu-new", "gpt2/scaled-by-layer", "neox/parallel-quarter", "neox/sequential-tied",
    "llama/gqa-tied-v5", "llama/mistral-window", "llama/qwen2-bias", "llama/qwen3", "llama/phi3-longrope",
    "gemma/gemma1-mqa", "gemma/gemma2-softcaps-window", "gemma/gemma3-text",
)
NOT_LOADABLE = {"neox/sequential-tied": "its NeoX adapter requires attention biases"}
LIMIT = 1e-4


def tokenizer(folder: str):
    """TransformerLens insists on a tokenizer with a beginning-of-sequence token, saved somewhere."""
    words = Tokenizer(models.WordLevel({f"w{number}": number for number in range(80)}, "w0"))
    PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="w1", eos_token="w2", pad_token="w0", unk_token="w0"
    ).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def unbatched(name: str, ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Their tensor in our shape: they have a batch axis, and sometimes heads before positions."""
    theirs = theirs.float()
    if theirs.dim() == ours.dim() + 1:
        theirs = theirs[0]
    elif theirs.dim() == ours.dim() and theirs.shape[0] == 1 and theirs.numel() == ours.numel():
        theirs = theirs.reshape(ours.shape)
    if theirs.shape != ours.shape and theirs.dim() == 3 and theirs.transpose(0, 1).shape == ours.shape:
        theirs = theirs.transpose(0, 1)
    if theirs.dim() == 3 and "hook_rot" in name and theirs.shape[1] > ours.shape[1]:
        # Their keys are already repeated for every query head of a group.
        theirs = theirs[:, :: theirs.shape[1] // ours.shape[1]]
    return theirs


@torch.no_grad()
def check(case: str, words) -> bool | None:
    """Whether everything agrees; None if the case cannot be loaded."""
    folder = HERE / case
    model, _ = make_golden.load(folder)
    try:
        bridge = TransformerBridge.boot_transformers(
            str(folder), hf_model=model, dtype=torch.float32, device="cpu", tokenizer=words
        )
    except AssertionError:
        assert case in NOT_LOADABLE, case
        print(f"\n{case}: not loadable, {NOT_LOADABLE[case]}")
        return None
    bridge.set_use_hook_mlp_in(True)
    results, absent, shapes = {}, set(), {}
    with safe_open(folder / "golden.safetensors", "pt") as golden:
        for prompt in ("p0", "p1"):
            logits, cache = bridge.run_with_cache(golden.get_tensor(prompt + ".tokens")[None])
            for key in golden.keys():
                if not key.startswith(prompt + ".") or re.search(r"tokens|greedy|steered", key):
                    continue
                name = key.removeprefix(prompt + ".")
                point = re.sub(r"blocks\.\d+\.", "", name)
                if name != "logits" and name not in cache:
                    absent.add(point)
                    continue
                ours = golden.get_tensor(key)
                theirs = unbatched(name, ours, logits if name == "logits" else cache[name])
                if theirs.shape != ours.shape:
                    shapes[point] = f"{list(theirs.shape)} for {list(ours.shape)}"
                    continue
                if point.endswith("attn_scores"):
                    seen = ours.isfinite()
                    ours, theirs = ours[seen], theirs[seen]
                error = ((ours - theirs).abs().max() / ours.abs().max()).item()
                ratio = (theirs.norm() / ours.norm()).item()
                results.setdefault(point, []).append((error, ratio))
    good = True
    print(f"\n{case} ({type(bridge.adapter).__name__})")
    for point, both in sorted(results.items()):
        within = all(error <= LIMIT for error, _ in both)
        good &= within
        error, ratio = max(error for error, _ in both), max((ratio for _, ratio in both), key=lambda it: abs(it - 1))
        print(f"  {point:28} {error:9.1e}  norm ratio {ratio:.6f}{'' if within else '   DIFFERS'}")
    for point, shape in sorted(shapes.items()):
        good = False
        print(f"  {point:28} shape {shape}   DIFFERS")
    if absent:
        print(f"  not in this bridge: {', '.join(sorted(absent))}")
    return good


def main() -> int:
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        words = tokenizer(scratch)
        results = [check(case, words) for case in sys.argv[1:] or DEFAULT_CASES]
    loaded = [good for good in results if good is not None]
    unloaded = len(results) - len(loaded)
    print(f"\n{sum(loaded)} of {len(loaded)} loaded cases agree within {LIMIT}, {unloaded} not loadable")
    return 0 if loaded and all(loaded) else 1


if __name__ == "__main__":
    sys.exit(main())
