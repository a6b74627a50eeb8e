"""Writes the folders beside it with SAELens: `pip install sae-lens==6.54.12`, then `python make.py`.

Each is an SAE as the library saves it, and `expected.safetensors` with rows `x`, the activations `acts` and the
reconstruction `out` that the library computes for them. `legacy/*` are configs of earlier versions over the same weights.
"""

import json
import pathlib
import shutil

import torch
from safetensors.torch import load_file, save_file
from sae_lens.saes import sae as base
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.gated_sae import GatedSAE, GatedSAEConfig
from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig
from sae_lens.saes.matryoshka_batchtopk_sae import (
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
)
from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig
from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig
from sae_lens.saes.transcoder import (
    JumpReLUSkipTranscoder,
    JumpReLUSkipTranscoderConfig,
    JumpReLUTranscoder,
    JumpReLUTranscoderConfig,
    SkipTranscoder,
    SkipTranscoderConfig,
    Transcoder,
    TranscoderConfig,
)
from sae_lens.saes import AbsTopKSAE, AbsTopKSAEConfig

HERE = pathlib.Path(__file__).parent
D_IN, D_SAE, D_OUT, ROWS = 24, 60, 20, 7

metadata = dict(
    model_name="gpt2-small",
    hook_name="blocks.3.hook_resid_post",
    prepend_bos=True,
    context_size=128,
    sae_lens_training_version="6.54.12",
)


def rows(width, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(ROWS, width, generator=generator) * 2 + 0.3


def fill(sae, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(sae.named_parameters()):
        values = torch.randn(parameter.shape, generator=generator)
        if name == "threshold":
            values = values.abs() * 1.5
        elif not name.startswith("W"):
            values = values * 0.5
        else:
            values = values / parameter.shape[0] ** 0.5
        parameter.data.copy_(values.to(parameter.dtype))


def write(name, sae, seed, x=None):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    sae.save_model(str(folder))
    sae = base.SAE.load_from_disk(str(folder)) if not isinstance(sae, base.TrainingSAE) else sae
    expect(folder, sae, rows(D_IN, seed) if x is None else x)


def expect(folder, sae, x):
    with torch.no_grad():
        acts = sae.encode(x)
        if "skip" in sae.cfg.architecture():
            out = sae.decode(acts) + x @ sae.W_skip.T
        else:
            out = sae.decode(acts)
    if acts.ndim == x.ndim and acts.shape[0] == x.shape[0]:
        save_file({"x": x.contiguous(), "acts": acts.float().contiguous(), "out": out.float().contiguous()}, folder / "expected.safetensors")


def config(cls, **more):
    fields = dict(d_in=D_IN, d_sae=D_SAE, metadata=base.SAEMetadata(**metadata))
    fields.update(more)
    return cls(**fields)


def main():
    cases = [
        ("standard", StandardSAE, config(StandardSAEConfig)),
        ("standard-no-b-dec", StandardSAE, config(StandardSAEConfig, apply_b_dec_to_input=False)),
        ("constant-norm-rescale", StandardSAE, config(StandardSAEConfig, normalize_activations="constant_norm_rescale")),
        ("layer-norm", StandardSAE, config(StandardSAEConfig, normalize_activations="layer_norm")),
        ("average-only-in", StandardSAE, config(StandardSAEConfig, normalize_activations="expected_average_only_in")),
        ("bfloat16", StandardSAE, config(StandardSAEConfig)),
        ("gated", GatedSAE, config(GatedSAEConfig)),
        ("jumprelu", JumpReLUSAE, config(JumpReLUSAEConfig)),
        ("jumprelu-no-b-dec", JumpReLUSAE, config(JumpReLUSAEConfig, apply_b_dec_to_input=False)),
        ("topk", TopKSAE, config(TopKSAEConfig, k=5)),
        ("topk-rescaled", TopKSAE, config(TopKSAEConfig, k=5, rescale_acts_by_decoder_norm=True)),
        ("topk-layer-norm", TopKSAE, config(TopKSAEConfig, k=5, normalize_activations="layer_norm")),
        ("abstopk", AbsTopKSAE, config(AbsTopKSAEConfig, k=5)),
        ("transcoder", Transcoder, config(TranscoderConfig, d_out=D_OUT, apply_b_dec_to_input=False)),
        ("skip-transcoder", SkipTranscoder, config(SkipTranscoderConfig, d_out=D_OUT, apply_b_dec_to_input=False)),
        ("jumprelu-transcoder", JumpReLUTranscoder, config(JumpReLUTranscoderConfig, d_out=D_OUT, apply_b_dec_to_input=False)),
        ("jumprelu-skip-transcoder", JumpReLUSkipTranscoder, config(JumpReLUSkipTranscoderConfig, d_out=D_OUT, apply_b_dec_to_input=False)),
    ]
    for seed, (name, cls, cfg) in enumerate(cases):
        sae = cls(cfg)
        fill(sae, seed)
        write(name, sae, 100 + seed)
    # In the file as bfloat16, and computed in float32 as the config says.
    folder = HERE / "bfloat16"
    weights = {name: tensor.bfloat16() for name, tensor in load_file(folder / "sae_weights.safetensors").items()}
    save_file(weights, folder / "sae_weights.safetensors")
    expect(folder, base.SAE.load_from_disk(str(folder)), rows(D_IN, 105))

    # Trained with a batch of k, served with a threshold.
    for seed, (name, cls, cfg) in enumerate(
        [
            ("batchtopk", BatchTopKTrainingSAE, config(BatchTopKTrainingSAEConfig, k=5, rescale_acts_by_decoder_norm=True)),
            (
                "matryoshka-batchtopk",
                MatryoshkaBatchTopKTrainingSAE,
                config(MatryoshkaBatchTopKTrainingSAEConfig, k=5, matryoshka_widths=[10, 30, D_SAE]),
            ),
        ]
    ):
        sae = cls(cfg)
        fill(sae, 50 + seed)
        sae.topk_threshold.fill_(0.6)
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        sae.save_inference_model(str(folder))
        expect(folder, base.SAE.load_from_disk(str(folder)), rows(D_IN, 150 + seed))

    legacy()


def legacy():
    """Configs as versions before 6 wrote them, over the weights that are saved already."""
    flat = {
        "model_name": "gpt2-small",
        "hook_point": "blocks.{layer}.hook_resid_pre",
        "hook_point_layer": 8,
        "hook_point_head_index": None,
        "d_in": D_IN,
        "d_sae": D_SAE,
        "dtype": "torch.float32",
        "device": "cuda",
        "l1_coefficient": 8e-5,
        "lr": 0.0004,
    }
    cases = {
        "v2": ("standard", {"normalize_activations": False}),
        "v3-topk": (
            "topk-layer-norm",
            {
                "architecture": "standard",
                "activation_fn_str": "topk",
                "activation_fn_kwargs": {"k": 5},
                "normalize_activations": "layer_norm",
                "hook_point": "blocks.8.hook_resid_post",
            },
        ),
        "v5-jumprelu": (
            "jumprelu-no-b-dec",
            {
                "architecture": "jumprelu",
                "sae_lens_training_version": "4.4.5",
                "sae_lens_version": "5.11.0",
                "hook_name": "blocks.8.hook_mlp_out",
                "apply_b_dec_to_input": False,
                "finetuning_scaling_factor": False,
                "normalize_activations": "none",
            },
        ),
    }
    for name, (weights, more) in cases.items():
        folder = HERE / "legacy" / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(HERE / weights, folder)
        (folder / "cfg.json").write_text(json.dumps({**flat, **more}))
        x = load_file(folder / "expected.safetensors")["x"]
        expect(folder, base.SAE.load_from_disk(str(folder)), x)


main()
