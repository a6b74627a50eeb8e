"""Compares the files beside it with SAELens's loaders for Gemma Scope: `python check.py`, with sae-lens 6.54.12.

The loaders download; here they are given the files. SAELens takes widths from tables by model and folder, so the tables'
numbers are replaced by those of the files.
"""

import pathlib
from unittest.mock import patch

import torch
from safetensors.torch import load_file
from sae_lens import SAE
from sae_lens.loading import pretrained_sae_loaders as loaders
from sae_lens.loading.pretrained_sae_loaders import handle_config_defaulting
from sae_lens.registry import get_sae_class

HERE = pathlib.Path(__file__).parent
CASES = [
    ("gemma-scope-2b-pt-res", "layer_1/width_16k/average_l0_71", loaders.gemma_2_sae_huggingface_loader),
    ("gemma-scope-2b-pt-att", "layer_1/width_16k/average_l0_20", loaders.gemma_2_sae_huggingface_loader),
    ("gemma-scope-2b-pt-transcoders", "layer_1/width_16k/average_l0_41", loaders.gemma_2_transcoder_huggingface_loader),
    ("", "resid_post/layer_1_width_16k_l0_small", loaders.gemma_3_sae_huggingface_loader),
    ("", "transcoder/layer_1_width_16k_l0_big_affine", loaders.gemma_3_sae_huggingface_loader),
]


def local(repo, folder):
    def download(repo_id=None, filename=None, subfolder=None, **_):
        return str(HERE / repo / (subfolder or "") / filename)

    return download


def shapes(repo_id, filename):
    return {name: list(tensor.shape) for name, tensor in load_file(HERE / filename).items()}


for repo, folder, loader in CASES:
    with (
        patch.object(loaders, "hf_hub_download", local(repo, folder)),
        patch.object(loaders, "get_safetensors_tensor_shapes", shapes),
    ):
        config, state, _ = loader(f"google/{repo or 'gemma-scope-2-1b-pt'}", folder)
    config = handle_config_defaulting(config)
    config["d_in"], config["d_sae"] = state["W_enc"].shape
    if "d_out" in config:
        config["d_out"] = state["W_dec"].shape[1]
    sae_class, config_class = get_sae_class(config["architecture"])
    sae: SAE = sae_class(config_class.from_dict(config))
    sae.process_state_dict_for_loading(state)
    sae.load_state_dict(state)
    expected = load_file(HERE / repo / folder / "expected.safetensors")
    sae.turn_off_forward_pass_hook_z_reshaping()
    with torch.no_grad():
        acts = sae.encode(expected["x"])
        out = sae(expected["x"])
    for name, found in [("acts", acts), ("out", out)]:
        error = (found - expected[name]).abs().max() / expected[name].abs().max()
        assert error < 1e-5, (folder, name, error)
        print(f"{repo or 'gemma-scope-2'} {folder} {name}: {error:.1e}")
    assert ((acts > 0) == (expected["acts"] > 0)).all()
