"""Trains the demo SAE on the residual stream and writes it as SAELens writes one.

    python sae.py

Training is BatchTopK: of a batch's activations the largest k per token stay. What
is written is the JumpReLU SAE that this becomes when the mean cut of the batches is
every feature's threshold. The tokens are fresh documents of the kind that the model
was trained on, and answers of the model itself. `features.py` says what was learned.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Iterator

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from chats import chat
from check import Row, answers
from train import batches, corpus, encode, pad, render

HERE = Path(__file__).parent
LAYER = 2
FOLDER = HERE / "model" / "saes" / f"demo-l{LAYER}"
HELD_OUT_SEED, HELD_OUT_DOCUMENTS = 31, 3000
FORMAT_VERSION = "6.54.12"  # of SAELens, whose cfg.json and tensors these are
DEAD_AFTER = 100_000  # tokens without the feature, before it is given other work
REVIVED = 64  # dead features that may help with one token


@dataclass
class Sae:
    """A JumpReLU SAE, with the names and shapes that its file has."""

    W_enc: torch.Tensor  # [d_in, d_sae]
    b_enc: torch.Tensor  # [d_sae]
    W_dec: torch.Tensor  # [d_sae, d_in], rows of length 1
    b_dec: torch.Tensor  # [d_in]
    threshold: torch.Tensor  # [d_sae]

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        pre = torch.addmm(self.b_enc, x - self.b_dec, self.W_enc)
        return pre.relu() * (pre > self.threshold)

    def decode(self, activations: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.b_dec, activations, self.W_dec)


def load_sae(folder: Path) -> Sae:
    return Sae(**load_file(folder / "sae_weights.safetensors"))


@torch.no_grad()
def residuals(model, layer: int, documents: list[list[int]]) -> Iterator[torch.Tensor]:
    """The stream after block `layer`, [tokens, d_model], document by document. Sorts them by length."""
    class Reached(Exception):
        pass

    def take(_, __, output: torch.Tensor):
        raise Reached(output)

    hook = model.model.layers[layer].register_forward_hook(take)
    try:
        for group in batches(documents, 8192, random.Random(0)):
            try:
                model.model(input_ids=pad(group, 0)[0], use_cache=False)
            except Reached as reached:
                yield from (row[:len(document)] for row, document in zip(reached.args[0], group))
    finally:
        hook.remove()


def tokens(model, layer: int, documents: list[list[int]]) -> torch.Tensor:
    """All residual vectors but those of BOS: it is three times as long as the rest, and always the same."""
    return torch.cat([document[1:] for document in residuals(model, layer, documents)])


def own_answers(model, tokenizer, count: int, seed: int) -> list[str]:
    """Rendered chats in which the model has answered, sampled at temperature 1."""
    rng, texts = random.Random(seed), []
    nothing = torch.zeros(model.config.hidden_size)
    while len(texts) < count:
        prompts = [next(m["content"] for m in chat(rng) if m["role"] == "user") for _ in range(min(128, count - len(texts)))]
        rows = [Row("", prompt, nothing) for prompt in prompts]
        for prompt, answer in zip(prompts, answers(model, tokenizer, 0, rows, 1.0, seed + len(texts))):
            texts.append(render([{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]))
    return texts


def train(data: torch.Tensor, args: argparse.Namespace) -> Sae:
    """Adam on the mean squared error; features that have died learn from what the others leave over."""
    width = data.size(1)
    b_dec = data.mean(0)
    W_dec = F.normalize(torch.randn(args.features, width), dim=1)
    sae = Sae(W_dec.T.clone(), torch.zeros(args.features), W_dec, b_dec, torch.zeros(args.features))
    weights = [weight.requires_grad_() for weight in (sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec)]
    optimizer = torch.optim.Adam(weights, lr=args.rate, fused=True)
    silent = torch.zeros(args.features)
    steps, start, order, mean_cut = args.tokens // args.batch, time.time(), torch.empty(0, dtype=torch.long), None
    for step in range(steps):
        progress = step / steps
        optimizer.param_groups[0]["lr"] = args.rate * min(1.0, (step + 1) / 200, (1.0 - progress) / 0.3)
        if len(order) < args.batch:
            order = torch.randperm(len(data))
        taken, order = order[:args.batch], order[args.batch:]
        x = data[taken]
        pre = torch.addmm(sae.b_enc, x - sae.b_dec, sae.W_enc)
        # Starting with many features and ending with few keeps them alive.
        cut = batch_cut(pre.detach(), args.k + (5 * args.k) * max(0.0, 1.0 - progress / 0.1))
        mean_cut = cut if mean_cut is None else 0.99 * mean_cut + 0.01 * cut
        activations = pre * (pre > cut)
        error = sae.decode(activations) - x
        loss = error.pow(2).sum(1).mean()
        silent = torch.where((activations > 0).any(0), 0.0, silent + args.batch)
        dead = (silent > DEAD_AFTER).nonzero()[:, 0]
        if len(dead):
            top = pre[:, dead].topk(min(REVIVED, len(dead)), dim=1)
            left = torch.zeros(len(x), len(dead)).scatter(1, top.indices, top.values) @ sae.W_dec[dead] + error.detach()
            loss = loss + min(1.0, len(dead) / REVIVED) * left.pow(2).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        with torch.no_grad():
            # Rows stay on the sphere: what would only change their length is no direction to go.
            sae.W_dec.grad -= (sae.W_dec.grad * sae.W_dec).sum(1, keepdim=True) * sae.W_dec
            optimizer.step()
            sae.W_dec.copy_(F.normalize(sae.W_dec, dim=1))
        if step % 1000 == 0:
            print(f"step {step:6} {progress:6.1%} error {error.pow(2).sum(1).mean():8.2f} cut {cut:.2f} dead {len(dead)} "
                  f"{args.batch * (step + 1) / (time.time() - start):6.0f} tok/s", flush=True)
    sae.threshold.fill_(mean_cut)
    return Sae(*(weight.detach().contiguous() for weight in vars(sae).values()))


def batch_cut(pre: torch.Tensor, k: float) -> torch.Tensor:
    """The activation that k per token exceed, from a quarter of the batch: sorting is what costs time."""
    some = pre[:len(pre) // 4]
    return some.flatten().topk(int(k * len(some)), sorted=False).values.min().clamp(min=0.0)


@dataclass
class Figures:
    """How well an SAE does on tokens it has not seen."""

    tokens: int
    fraction_of_variance_explained: float
    l0: float
    num_dead_features: int


@torch.no_grad()
def measure(sae: Sae, data: torch.Tensor) -> tuple[Figures, torch.Tensor, torch.Tensor]:
    """The figures, and for each feature how often it is active and its largest activation."""
    mean, left, total = data.mean(0), 0.0, 0.0
    active, largest = torch.zeros(len(sae.b_enc)), torch.zeros(len(sae.b_enc))
    for x in data.split(8192):
        activations = sae.encode(x)
        left += (x - sae.decode(activations)).pow(2).sum().item()
        total += (x - mean).pow(2).sum().item()
        active += (activations > 0).sum(0)
        largest = torch.maximum(largest, activations.amax(0))
    figures = Figures(len(data), 1 - left / total, active.sum().item() / len(data), int((active == 0).sum()))
    return figures, active / len(data), largest


def held_out(model, tokenizer, layer: int) -> torch.Tensor:
    documents = corpus(random.Random(HELD_OUT_SEED), HELD_OUT_DOCUMENTS)
    return tokens(model, layer, encode(tokenizer, documents, model.config.max_position_embeddings))


def export(sae: Sae, figures: Figures, frequency: torch.Tensor, bos: int, args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    save_file(vars(sae), args.out / "sae_weights.safetensors")
    save_file({"sparsity": torch.log10(frequency + 1e-10)}, args.out / "sparsity.safetensors")
    config = {
        "architecture": "jumprelu", "d_in": sae.W_dec.size(1), "d_sae": sae.W_dec.size(0),
        "dtype": "float32", "device": "cpu",
        "apply_b_dec_to_input": True, "normalize_activations": "none", "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": FORMAT_VERSION,
            "sae_lens_training_version": None,  # trained by this script
            "model_name": "demo", "model_class_name": "HookedTransformer",
            "model_from_pretrained_kwargs": {"center_writing_weights": False},
            "hook_name": f"blocks.{args.layer}.hook_resid_post", "hook_head_index": None,
            "dataset_path": f"fresh documents of train.py (seed {args.seed}) and answers of the model",
            "context_size": 512, "prepend_bos": True, "seqpos_slice": [None], "exclude_special_tokens": [bos],
            "sequence_separator_token": None, "disable_concat_sequences": True,
            "training_architecture": "batchtopk",
            "training_architecture_details": {
                "k": args.k, "tokens": args.tokens, "batch": args.batch, "rate": args.rate, "seed": args.seed,
                "documents": args.documents, "answers": args.answers,
            },
            **{name: round(figure, 4) for name, figure in asdict(figures).items() if name != "tokens"},
        },
    }
    (args.out / "cfg.json").write_text(json.dumps(config, indent=2) + "\n")
    for file in args.out.iterdir():
        file.chmod(0o644)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=HERE / "model")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--layer", type=int, default=LAYER)
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--k", type=float, default=12.0, help="features per token, on average over a batch")
    parser.add_argument("--documents", type=int, default=16_000)
    parser.add_argument("--answers", type=int, default=512, help="chats that the model answers itself")
    parser.add_argument("--tokens", type=int, default=8_000_000, help="to train on; the documents come round again")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    start = time.time()

    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    texts = corpus(random.Random(args.seed), args.documents) + own_answers(model, tokenizer, args.answers, args.seed)
    data = tokens(model, args.layer, encode(tokenizer, texts, model.config.max_position_embeddings))
    print(f"{len(data)} tokens of length {data.norm(dim=1).mean():.1f} after {time.time() - start:.0f} s", flush=True)
    sae = train(data, args)
    figures, frequency, _ = measure(sae, held_out(model, tokenizer, args.layer))
    export(sae, figures, frequency, tokenizer.bos_token_id, args)
    print(json.dumps({**asdict(figures), "minutes": round((time.time() - start) / 60, 1)}))


if __name__ == "__main__":
    main()
