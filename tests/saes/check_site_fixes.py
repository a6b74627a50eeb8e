#!/usr/bin/env python3
"""Check that the site fixes are what TransformerLens does to a model.

    pip install transformer-lens==2.18.0 transformers==4.57.6 torch==2.15.0 numpy==1.26.4 pyarrow==21.0.0
    python check_site_fixes.py

SAEs trained on a HookedTransformer as `from_pretrained` makes it have seen
activations of processed weights (`fold_ln`, `center_writing_weights`,
`fold_value_biases`). For golden checkpoints, this processes the weights, runs the
model, and compares its activations with those of the golden file, which are raw,
after the fix that the host applies:

- `center`, for models with LayerNorm: the row's mean is taken away, at
  `hook_embed`, `hook_pos_embed`, the residual stream, `hook_attn_out` and
  `hook_mlp_out`. Other models' streams are left as they are;
- `minus_value_bias`: `ln1.b @ W_V + b_V` is taken away from `attn.hook_z`.

Prints the largest error relative to the tensor's largest value, with the fix and
without it. Exits with 1 if the first is over 1e-5.
"""

import sys
from pathlib import Path

import torch
from safetensors import safe_open

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
sys.path.insert(0, str(GOLDEN))
from check_hooked_transformer import build  # noqa: E402

LIMIT = 1e-5
CASES = ["gpt2/tied-gelu-new", "gpt2/scaled-by-layer", "neox/parallel-quarter", "neox/sequential-tied",
         "llama/qwen2-bias", "llama/gqa-tied-v5"]
WRITTEN = ("hook_embed", "hook_pos_embed", "hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out",
           "hook_mlp_out")


def value_bias(model, layer: int) -> torch.Tensor:
    """[n_heads, d_head], from the raw weights."""
    attention, norm = model.blocks[layer].attn, model.blocks[layer].ln1
    bias = attention.b_V
    if hasattr(norm, "b"):
        bias = bias + torch.einsum("d,hdv->hv", norm.b, attention.W_V)
    return bias


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return ((found - expected).abs().max() / expected.abs().max()).item()


@torch.no_grad()
def check(case: str) -> bool:
    model, _, _ = build(GOLDEN / case)
    biases = [value_bias(model, layer) for layer in range(model.cfg.n_layers)]
    centred = model.cfg.normalization_type == "LN"
    model.process_weights_(fold_ln=True, center_writing_weights=centred)
    worst = {}
    with safe_open(GOLDEN / case / "golden.safetensors", "pt") as golden:
        tokens = golden.get_tensor("p1.tokens")
        _, cache = model.run_with_cache(tokens[None])
        for key in golden.keys():
            name = key.removeprefix("p1.")
            site = name.split(".", 2)[2] if name.startswith("blocks.") else name
            if not key.startswith("p1.") or (site not in WRITTEN and site != "attn.hook_z"):
                continue
            if name not in cache:
                print(f"  {name} is not in HookedTransformer")
                continue
            raw = golden.get_tensor(key)
            if site == "attn.hook_z":
                fixed = raw - biases[int(name.split(".")[1])]
            else:
                fixed = raw - raw.mean(-1, keepdim=True) if centred else raw
            both = error(fixed, cache[name][0]), error(raw, cache[name][0])
            worst[site] = tuple(map(max, worst.get(site, (0.0, 0.0)), both))
    print(case)
    for site, (fixed, raw) in sorted(worst.items()):
        print(f"  {site:16} {fixed:9.1e}  without the fix {raw:9.1e}{'' if fixed <= LIMIT else '   DIFFERS'}")
    return "attn.hook_z" in worst and all(fixed <= LIMIT for fixed, _ in worst.values())


if __name__ == "__main__":
    torch.set_num_threads(1)
    results = [check(case) for case in CASES]
    print(f"{sum(results)} of {len(results)} cases agree within {LIMIT}")
    sys.exit(0 if all(results) else 1)
