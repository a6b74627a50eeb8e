"""Writes the folders beside it: `python make.py`, with NumPy, PyTorch and safetensors.

Random weights in the files of Gemma Scope 1 and 2, and `expected.safetensors` with rows `x`, and the activations `acts` and the
output `out` that the equations of their papers give in float64.
"""

import json
import pathlib
import shutil

import numpy as np
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
D_IN, D_SAE, ROWS = 24, 60, 7


def weights(seed, d_out=D_IN):
    random = np.random.default_rng(seed)
    normal = lambda *shape: random.standard_normal(shape).astype("<f4")
    return {
        "W_enc": normal(D_IN, D_SAE) / 5,
        "W_dec": normal(D_SAE, d_out) / 8,
        "b_enc": normal(D_SAE) / 4,
        "b_dec": normal(d_out) / 4,
        "threshold": np.abs(normal(D_SAE)),
    }


def expect(folder, seed, w, skip=None):
    x = (np.random.default_rng(100 + seed).standard_normal((ROWS, D_IN)) * 2).astype("<f4")
    w = {name: array.astype(np.float64) for name, array in w.items()}
    pre = x.astype(np.float64) @ w["W_enc"] + w["b_enc"]
    acts = np.where(pre > w["threshold"], np.maximum(pre, 0), 0)
    out = acts @ w["W_dec"] + w["b_dec"]
    if skip is not None:
        out += x.astype(np.float64) @ skip.astype(np.float64)
    tensors = {"x": x, "acts": acts.astype("<f4"), "out": out.astype("<f4")}
    save_file({name: torch.from_numpy(array) for name, array in tensors.items()}, folder / "expected.safetensors")


def first(seed, name, compressed=False):
    folder = HERE / name
    folder.mkdir(parents=True)
    w = weights(seed)
    (np.savez_compressed if compressed else np.savez)(folder / "params.npz", **w)
    expect(folder, seed, w)


def second(seed, name, config, d_out=D_IN, affine=False):
    folder = HERE / name
    folder.mkdir(parents=True)
    w = weights(seed, d_out)
    tensors = {name.lower(): torch.from_numpy(array) for name, array in w.items()}
    skip = None
    if affine:
        skip = np.random.default_rng(200 + seed).standard_normal((D_IN, d_out)).astype("<f4") / 5
        tensors["affine_skip_connection"] = torch.from_numpy(skip)
    save_file(tensors, folder / "params.safetensors")
    fixed = {"model_name": "google/gemma-3-1b-pt", "architecture": "jump_relu", "width": D_SAE, "l0": 60}
    (folder / "config.json").write_text(json.dumps({**fixed, "affine_connection": affine, "type": "sae", **config}))
    expect(folder, seed, w, skip)


for old in HERE.iterdir():
    if old.is_dir():
        shutil.rmtree(old)
first(0, "gemma-scope-2b-pt-res/layer_1/width_16k/average_l0_71")
first(1, "gemma-scope-2b-pt-att/layer_1/width_16k/average_l0_20", compressed=True)
first(2, "gemma-scope-2b-pt-transcoders/layer_1/width_16k/average_l0_41")
layer = "model.layers.1."
second(3, "resid_post/layer_1_width_16k_l0_small", {"hf_hook_point_in": layer + "output", "hf_hook_point_out": layer + "output"})
places = {
    "hf_hook_point_in": layer + "pre_feedforward_layernorm.output",
    "hf_hook_point_out": layer + "post_feedforward_layernorm.output",
}
second(4, "transcoder/layer_1_width_16k_l0_big_affine", places, affine=True)
