"""Makes the steering vectors: one for each concept, by difference of means.

    python vectors.py

A vector is the mean residual stream after block L over the words of one concept's
stories, less the mean over all concepts' stories, brought to a length at which a
strength of 6 steers well. To steer, add strength x vector at every position.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from stories import Story
from words import CONCEPTS

HERE = Path(__file__).parent
PROMPT = [{"role": "user", "content": "Tell me a story."}]
UNIT_STRENGTH = 6.0  # the strength that moves the residual stream by `reach` of its own length


def concept_means(model, tokenizer, layer: int, stories: int, seed: int) -> tuple[dict[str, torch.Tensor], float]:
    """Each concept's mean residual vector after block `layer`, and the stream's mean length."""
    rng = random.Random(seed)
    head = tokenizer.apply_chat_template(PROMPT, tokenize=True, add_generation_prompt=True, return_dict=False)
    means, lengths = {}, []
    for concept in CONCEPTS:
        bodies = [tokenizer(Story(rng, [concept]).text, add_special_tokens=False)["input_ids"] for _ in range(stories)]
        width = max(map(len, bodies))
        inputs = torch.tensor([head + body + [tokenizer.pad_token_id] * (width - len(body)) for body in bodies])
        real = torch.tensor([[False] * len(head) + [True] * len(body) + [False] * (width - len(body)) for body in bodies])
        with torch.no_grad():
            # hidden_states[0] is the embedding, so block L's output is number L + 1.
            states = model.model(input_ids=inputs, output_hidden_states=True, use_cache=False).hidden_states[layer + 1]
        words = states[real]
        means[concept] = words.mean(0)
        lengths.append(words.norm(dim=-1).mean().item())
    return means, sum(lengths) / len(lengths)


def steering_vectors(model, tokenizer, layer: int, reach: float, stories: int, seed: int) -> tuple[dict[str, torch.Tensor], float]:
    means, length = concept_means(model, tokenizer, layer, stories, seed)
    centre = torch.stack(list(means.values())).mean(0)
    size = reach * length / UNIT_STRENGTH
    return {c: (m - centre) / (m - centre).norm() * size for c, m in means.items()}, size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=HERE / "model")
    parser.add_argument("--layer", type=int, default=2)
    parser.add_argument("--reach", type=float, default=0.26, help="length of 6 x vector, in mean lengths of the stream")
    parser.add_argument("--stories", type=int, default=48, help="stories for each concept")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    vectors, size = steering_vectors(model, tokenizer, args.layer, args.reach, args.stories, args.seed)
    folder = args.model / "vectors"
    folder.mkdir(parents=True, exist_ok=True)
    for concept, vector in vectors.items():
        path = folder / f"{concept}.safetensors"
        save_file({"vector": vector.contiguous()}, path, metadata={
            "hook_point": f"blocks.{args.layer}.hook_resid_post",
            "method": "difference_of_means",
            "unit": "raw",
            "concept": concept,
            "norm": f"{size:.4f}",
            "recommended_strength": f"{UNIT_STRENGTH:g}",
            "stories": str(args.stories),
            "seed": str(args.seed),
        })
        path.chmod(0o644)
    print(f"{len(vectors)} vectors of norm {size:.3f} at blocks.{args.layer}.hook_resid_post")


if __name__ == "__main__":
    main()
