"""Writes the folders beside it with SAELens: `pip install sae-lens==6.54.12`, then `python make.py`.

Each is an SAE as the library saves it, with all parameters random, and `expected.safetensors` with rows `x`, the activations
`acts` and the output `out` that the library computes for them. Every architecture comes with every norm, with and without
`b_dec` in its input, which a transcoder never has. `legacy/*` are configs of earlier versions over the same weights.
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
from sae_lens.saes.matching_pursuit_sae import MatchingPursuitSAE, MatchingPursuitSAEConfig
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
D_IN, D_SAE, D_OUT, ROWS = 16, 40, 12, 6

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
        elif isinstance(sae, MatchingPursuitSAE):
            # Steps along rows that are longer than √2 lead away.
            lengths = torch.rand(len(values), 1, generator=generator) * 0.4 + 0.8
            values = values / values.norm(dim=-1, keepdim=True) * lengths
        else:
            values = values / parameter.shape[0] ** 0.5
        parameter.data.copy_(values.to(parameter.dtype))


def write(name, sae, x):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    sae.save_model(str(folder))
    expect(folder, x)


def expect(folder, x):
    """As the library computes what is in a folder, a row for each position."""
    sae = base.SAE.load_from_disk(str(folder))
    with torch.no_grad():
        tensors = {"x": x, "acts": sae.encode(x), "out": sae(x)}
    tensors = {name: tensor.float().reshape(len(x), -1).contiguous() for name, tensor in tensors.items()}
    save_file(tensors, folder / "expected.safetensors")


def config(cls, **more):
    fields = dict(d_in=D_IN, d_sae=D_SAE, metadata=base.SAEMetadata(**metadata))
    fields.update(more)
    return cls(**fields)


SAES = [
    ("standard", StandardSAE, StandardSAEConfig, {}),
    ("gated", GatedSAE, GatedSAEConfig, {}),
    ("jumprelu", JumpReLUSAE, JumpReLUSAEConfig, {}),
    ("topk", TopKSAE, TopKSAEConfig, {"k": 5}),
    ("topk-rescaled", TopKSAE, TopKSAEConfig, {"k": 5, "rescale_acts_by_decoder_norm": True}),
    ("abstopk", AbsTopKSAE, AbsTopKSAEConfig, {"k": 5}),
    ("abstopk-rescaled", AbsTopKSAE, AbsTopKSAEConfig, {"k": 5, "rescale_acts_by_decoder_norm": True}),
    ("matching-pursuit", MatchingPursuitSAE, MatchingPursuitSAEConfig, {}),
]
TRANSCODERS = [
    ("transcoder", Transcoder, TranscoderConfig),
    ("skip-transcoder", SkipTranscoder, SkipTranscoderConfig),
    ("jumprelu-transcoder", JumpReLUTranscoder, JumpReLUTranscoderConfig),
    ("jumprelu-skip-transcoder", JumpReLUSkipTranscoder, JumpReLUSkipTranscoderConfig),
]
# The last one scales nothing until its factor is folded into the weights.
NORMS = ["none", "constant_norm_rescale", "layer_norm", "expected_average_only_in"]


def cases():
    """Every architecture under every norm, by name, and then what is special."""
    for norm in NORMS:
        suffix = "" if norm == "none" else "-" + norm.replace("_", "-")
        for name, cls, config_of, more in SAES:
            for subtracts in (True, False):
                cfg = config(config_of, normalize_activations=norm, apply_b_dec_to_input=subtracts, **more)
                yield name + suffix + ("" if subtracts else "-no-b-dec"), cls, cfg
        for name, cls, config_of in TRANSCODERS:
            cfg = config(config_of, normalize_activations=norm, apply_b_dec_to_input=False, d_out=D_OUT)
            yield name + suffix, cls, cfg
    for name, more in [
        ("three-steps", {"max_iterations": 3}),
        ("near-enough", {"residual_threshold": 4.2}),
        ("repeats", {"residual_threshold": 0.0, "max_iterations": 40, "stop_on_duplicate_support": False}),
        ("repeats-until-near", {"residual_threshold": 2.5, "max_iterations": 40, "stop_on_duplicate_support": False}),
    ]:
        yield f"matching-pursuit-{name}", MatchingPursuitSAE, config(MatchingPursuitSAEConfig, **more)


def main():
    for seed, (name, cls, cfg) in enumerate(cases()):
        sae = cls(cfg)
        fill(sae, seed)
        write(name, sae, rows(D_IN, 1000 + seed))
    folded()
    heads()
    narrow()
    trained()
    legacy()


def folded():
    """What the library folds into weights."""
    for seed, (name, cls, config_of, more) in enumerate(SAES):
        sae = cls(config(config_of, normalize_activations="expected_average_only_in", **more))
        fill(sae, 200 + seed)
        sae.fold_activation_norm_scaling_factor(0.7)
        write(f"{name}-folded-scale", sae, rows(D_IN, 1200 + seed))
    # Of the others it is refused.
    for seed, name in enumerate(["standard", "gated", "jumprelu", "topk-rescaled", "abstopk-rescaled"]):
        _, cls, config_of, more = next(case for case in SAES if case[0] == name)
        sae = cls(config(config_of, **more))
        fill(sae, 220 + seed)
        sae.fold_W_dec_norm()
        write(f"{name}-folded-norms", sae, rows(D_IN, 1220 + seed))
    for seed, (name, cls, config_of) in enumerate(TRANSCODERS):
        sae = cls(config(config_of, apply_b_dec_to_input=False, d_out=D_OUT))
        fill(sae, 240 + seed)
        sae.fold_W_dec_norm()
        write(f"{name}-folded-norms", sae, rows(D_IN, 1240 + seed))


def heads():
    """A point with heads, whose rows are one after the other."""
    at_z = base.SAEMetadata(**{**metadata, "hook_name": "blocks.3.attn.hook_z"})
    for seed, norm in enumerate(["none", "layer_norm"]):
        cfg = config(StandardSAEConfig, normalize_activations=norm, reshape_activations="hook_z", metadata=at_z)
        sae = StandardSAE(cfg)
        fill(sae, 300 + seed)
        write("hook-z" if norm == "none" else "hook-z-layer-norm", sae, rows(D_IN, 1300 + seed).reshape(ROWS, 4, -1))


def narrow():
    """In the file in 16 bits, and computed in float32 as the config says."""
    for seed, (name, cls, cfg) in enumerate(
        [
            ("bfloat16", StandardSAE, config(StandardSAEConfig)),
            ("float16", TopKSAE, config(TopKSAEConfig, k=5, rescale_acts_by_decoder_norm=True)),
            ("bfloat16-matching-pursuit", MatchingPursuitSAE, config(MatchingPursuitSAEConfig)),
            (
                "float16-skip-transcoder",
                JumpReLUSkipTranscoder,
                config(JumpReLUSkipTranscoderConfig, apply_b_dec_to_input=False, d_out=D_OUT),
            ),
        ]
    ):
        sae = cls(cfg)
        fill(sae, 400 + seed)
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        sae.save_model(str(folder))
        dtype = getattr(torch, name.split("-")[0])
        weights = {name: tensor.to(dtype) for name, tensor in load_file(folder / "sae_weights.safetensors").items()}
        save_file(weights, folder / "sae_weights.safetensors")
        expect(folder, rows(D_IN, 1400 + seed))


def trained():
    """Trained with a batch of k, served with a threshold."""
    for seed, (name, cls, cfg) in enumerate(
        [
            ("batchtopk", BatchTopKTrainingSAE, config(BatchTopKTrainingSAEConfig, k=5, rescale_acts_by_decoder_norm=True)),
            (
                "matryoshka-batchtopk",
                MatryoshkaBatchTopKTrainingSAE,
                config(MatryoshkaBatchTopKTrainingSAEConfig, k=5, matryoshka_widths=[10, 20, D_SAE]),
            ),
        ]
    ):
        sae = cls(cfg)
        fill(sae, 500 + seed)
        sae.topk_threshold.fill_(0.6)
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        sae.save_inference_model(str(folder))
        # The library writes its fields in the order of a set.
        path = folder / "cfg.json"
        path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
        expect(folder, rows(D_IN, 1500 + seed))


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
        expect(folder, x)


main()
