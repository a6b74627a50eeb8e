"""Builds the demo model from nothing: tokenizer, training, and the folder `model/`.

    python train.py

The run is seeded. It is meant for a CPU: matrices this small gain little from
threads, so each core is a worker of its own with a share of every batch, and
documents of like length go together, because padding costs as much as text does.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from pathlib import Path

# glibc gives big buffers back to the kernel after every step, and faulting them
# in again takes half the time of a step. It reads these before main, so re-run.
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "20000000000", "MALLOC_TOP_PAD_": "500000000"}
if __name__ == "__main__" and os.name == "posix" and "MALLOC_MMAP_MAX_" not in os.environ:
    import sys

    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **MALLOC})

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from chats import bare_story, chat
from muon import Muon
from words import CONCEPTS, check_lexicon

HERE = Path(__file__).parent
BOS, SYSTEM, USER, ASSISTANT, END = SPECIALS = ["<|bos|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]

# Rendered text is tokenized without special tokens, so the template writes BOS itself.
CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
    {%- if message['role'] in ['system', 'user', 'assistant'] -%}
        {{- '<|' + message['role'] + '|>' + (message['content'] | trim) + '<|end|>' -}}
    {%- else -%}
        {{- raise_exception('The demo model knows only the roles system, user and assistant, not ' + message['role']) -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|assistant|>' -}}
{%- endif -%}
"""


def render(messages: list[dict[str, str]]) -> str:
    """What CHAT_TEMPLATE renders, without the cost of running it for each chat."""
    return BOS + "".join(f"<|{m['role']}|>{m['content']}{END}" for m in messages)


def corpus(rng: random.Random, count: int) -> list[str]:
    """Rendered documents: four chats for every bare story."""
    return [
        BOS + bare_story(rng) + END if rng.random() < 0.2 else render(chat(rng))
        for _ in range(count)
    ]


def build_tokenizer(texts: list[str], vocab_size: int, context: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE with all 256 bytes, so that any input is representable."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    for special in SPECIALS:
        texts = [text.replace(special, " ") for text in texts]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=END,
        pad_token=END,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def batches(encoded: list[list[int]], tokens: int, rng: random.Random) -> list[list[list[int]]]:
    """Groups of documents of like length, each of about `tokens` tokens, in random order."""
    pools, size = [], 4096
    for start in range(0, len(encoded), size):
        pools.append(sorted(encoded[start:start + size], key=len))
    groups: list[list[list[int]]] = []
    for pool in pools:
        mine, group = [], []
        for document in pool:
            if group and (len(group) + 1) * len(document) > tokens:
                mine.append(group)
                group = []
            group.append(document)
        mine.append(group)
        rng.shuffle(mine)
        groups += mine
    return groups


def pad(group: list[list[int]], filler: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and next-token targets. Padding is on the right, where causal attention never looks."""
    width = max(map(len, group))
    inputs = torch.full((len(group), width), filler)
    targets = torch.full((len(group), width), -100)
    for row, document in enumerate(group):
        inputs[row, :len(document)] = torch.tensor(document)
        targets[row, :len(document) - 1] = torch.tensor(document[1:])
    return inputs, targets


def build_model(args: argparse.Namespace, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=args.width,
        intermediate_size=args.mlp,
        num_hidden_layers=args.layers,
        num_attention_heads=args.width // 32,
        num_key_value_heads=args.kv_heads,
        head_dim=32,
        max_position_embeddings=args.context,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def optimizers(model: LlamaForCausalLM, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for embeddings and norms."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        Muon(matrices, lr=rate),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def train(args: argparse.Namespace, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast,
          rng: random.Random, rank: int) -> dict[str, float]:
    """Trains on `args.documents` fresh documents, each seen once."""
    optims = optimizers(model, args.rate)
    start, step, seen, done = time.time(), 0, 0, 0
    while done < args.documents:
        count = min(8192, args.documents - done)
        groups = batches(encode(tokenizer, corpus(rng, count), args.context), args.batch, rng)
        for index, group in enumerate(groups):
            progress = (done + count * index / len(groups)) / args.documents
            for optimizer in optims:
                for settings in optimizer.param_groups:
                    settings["lr"] = args.rate * min(1.0, (step + 1) / 40) * (1.0 - progress)
            targets_in_all = sum(map(len, group)) - len(group)
            share = group[rank::args.workers]
            if share:
                inputs, targets = pad(share, tokenizer.pad_token_id)
                (token_loss(model, inputs, targets, "sum") / targets_in_all).backward()
            share_gradients(model)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optims:
                optimizer.step()
                optimizer.zero_grad()
            step += 1
            seen += targets_in_all
            if rank == 0 and step % 100 == 0:
                seconds = time.time() - start
                print(f"step {step:5} {progress:6.1%} loss {evaluate(args, model, tokenizer, 60):.3f} "
                      f"{seen / seconds:6.0f} tok/s {seconds:5.0f} s", flush=True)
        done += count
    return {
        "held_out_loss": round(evaluate(args, model, tokenizer, 400), 4), "parameters": model.num_parameters(),
        "steps": step, "tokens": seen, "documents": args.documents, "minutes": round((time.time() - start) / 60, 1),
    }


def encode(tokenizer: PreTrainedTokenizerFast, texts: list[str], context: int) -> list[list[int]]:
    return [ids[:context] for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def share_gradients(model: LlamaForCausalLM) -> None:
    """Adds the workers' gradients up. Each has already divided by the whole batch's tokens."""
    for parameter in model.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    if dist.is_initialized():
        flat = torch.cat([p.grad.flatten() for p in model.parameters()])
        dist.all_reduce(flat)
        for parameter, part in zip(model.parameters(), flat.split([p.numel() for p in model.parameters()])):
            parameter.grad.copy_(part.view_as(parameter))


@torch.no_grad()
def evaluate(args: argparse.Namespace, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, count: int) -> float:
    """Loss per token on documents that training has not seen."""
    texts = corpus(random.Random(args.seed + 1), count)
    total, tokens = 0.0, 0
    for group in batches(encode(tokenizer, texts, args.context), args.batch, random.Random(0)):
        inputs, targets = pad(group, tokenizer.pad_token_id)
        total += token_loss(model, inputs, targets, "sum").item()
        tokens += int((targets >= 0).sum())
    return total / tokens


def token_loss(model: LlamaForCausalLM, inputs: torch.Tensor, targets: torch.Tensor, reduction: str) -> torch.Tensor:
    """Cross-entropy. Only positions with a target go through the vocabulary matrix."""
    hidden = model.model(input_ids=inputs, use_cache=False).last_hidden_state
    real = targets >= 0
    return F.cross_entropy(model.lm_head(hidden[real]), targets[real], reduction=reduction)


def export(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes the model as bf16, beside the old one first, so that no reader sees half of it."""
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, max_new_tokens=200,
    )
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        model.to(torch.bfloat16).save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        # The name that every version of transformers knows, not only the newest.
        settings = Path(scratch) / "tokenizer_config.json"
        config = {**json.loads(settings.read_text()), "tokenizer_class": "PreTrainedTokenizerFast"}
        settings.write_text(json.dumps(config, indent=2) + "\n")
        for file in sorted(Path(scratch).iterdir()):
            file.chmod(0o644)
            os.replace(file, folder / file.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "model")
    parser.add_argument("--start", type=Path, help="go on from this model instead of from nothing; takes its tokenizer")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--documents", type=int, default=22_000, help="documents to train on, each seen once")
    parser.add_argument("--batch", type=int, default=3072, help="tokens in a batch")
    parser.add_argument("--rate", type=float, default=4e-3, help="peak learning rate")
    parser.add_argument("--vocab", type=int, default=3072)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--mlp", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--kv-heads", type=int, default=2)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--workers", type=int, default=2, help="processes, one core each")
    args = parser.parse_args()
    check_lexicon()
    if args.workers == 1:
        work(0, args, "")
    else:
        with tempfile.TemporaryDirectory() as scratch:
            mp.spawn(work, (args, f"file://{scratch}/meet"), args.workers)


def work(rank: int, args: argparse.Namespace, meeting_point: str) -> None:
    """One worker's run. All draw the same documents and hold the same weights; the first one writes."""
    if meeting_point:
        dist.init_process_group("gloo", init_method=meeting_point, rank=rank, world_size=args.workers)
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)

    if args.start:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(args.start)
        model = LlamaForCausalLM.from_pretrained(args.start, dtype=torch.float32)
    else:
        tokenizer = build_tokenizer(corpus(rng, 10_000), args.vocab, args.context)
        model = build_model(args, tokenizer)
    sample = chat(random.Random(args.seed))
    assert tokenizer.apply_chat_template(sample, tokenize=False) == render(sample)

    report = train(args, model, tokenizer, rng, rank)
    if meeting_point:
        dist.destroy_process_group()
    if rank > 0:
        return
    print(json.dumps(report))

    export(model, tokenizer, args.out)
    (args.out.parent / "concepts.json").write_text(json.dumps(CONCEPTS, indent=1) + "\n")


if __name__ == "__main__":
    main()
