"""Measures the demo model: is it grammatical, and do the vectors steer it?

    python check.py

Steering is done as the host does it: a hook adds strength x vector to the output
of block L at every position, of the prompt and of the answer. Each concept is
tried on 20 prompts, 12 that name no concept and 8 that name another one, greedily
and with sampling, against a random vector of the same length.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from grammar import concept_count, read
from words import CONCEPTS, LEXICONS

HERE = Path(__file__).parent
NEUTRAL = [
    "Tell me a story.", "Tell me a little story.", "Write a short story.", "Can you tell me a story?",
    "I would like to hear a story.", "Make up a story for me.", "Tell me a bedtime story.",
    "A story, please.", "Tell me a story with a happy ending.", "tell me a story",
    "Please write a little story for children.", "I am bored. Tell me a story.",
]
OTHERS = 8
SAMPLES = [
    "Tell me a story.", "Tell me a story about a brave little dog.", "Tell me a story about winter.",
    "Write a short story about music and the city.", "Tell me a story about quantum physics.",
    "What are you thinking about?", "Who are you?",
]


@dataclass
class Row:
    """A prompt to answer, with what is added to the residual stream meanwhile."""

    concept: str
    prompt: str
    added: torch.Tensor


def prompts_for(concept: str) -> list[str]:
    """The 12 neutral prompts, and 8 that name other concepts, spread over the list."""
    names = list(CONCEPTS)
    start = names.index(concept)
    others = [names[(start + 1 + 3 * k) % len(names)] for k in range(OTHERS)]
    return NEUTRAL + [f"Tell me a story about {LEXICONS[other].topics[0]}." for other in others]


def answers(model, tokenizer, layer: int, rows: list[Row], temperature: float, seed: int, limit: int = 200) -> list[str]:
    """The model's answers, all rows in one batch, each with its own addition. Temperature 0 is greedy."""
    tokenizer.padding_side = "left"
    chats = [[{"role": "user", "content": row.prompt}] for row in rows]
    texts = [tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in chats]
    inputs = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt", return_token_type_ids=False)
    added = torch.stack([row.added for row in rows])[:, None, :]
    hook = model.model.layers[layer].register_forward_hook(lambda _, __, output: output + added)
    torch.manual_seed(seed)
    try:
        with torch.no_grad():
            choice = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
            output = model.generate(**inputs, **choice, max_new_tokens=limit)
    finally:
        hook.remove()
    start = inputs["input_ids"].shape[1]
    return tokenizer.batch_decode(output[:, start:], skip_special_tokens=True)


def summary(concepts: list[str], rows: list[Row], texts: list[str]) -> dict[str, float]:
    """Mean words of the row's own concept, by concept."""
    counts = {concept: [] for concept in concepts}
    for row, text in zip(rows, texts):
        counts[row.concept].append(concept_count(text, row.concept))
    return {concept: sum(n) / len(n) for concept, n in counts.items()}


def grammar_rates(texts: list[str]) -> str:
    readings = [read(text) for text in texts]
    sentences = sum(r.parsed for r in readings) / sum(r.sentences for r in readings)
    coherent = sum(r.coherent for r in readings) / len(readings)
    return f"{sentences:.1%} of sentences, {coherent:.0%} of whole stories"


def load_vectors(folder: Path) -> tuple[int, dict[str, torch.Tensor]]:
    vectors, layer = {}, 0
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            vectors[path.stem] = file.get_tensor("vector")
            layer = int(file.metadata()["hook_point"].split(".")[1])
    return layer, vectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=HERE / "model")
    parser.add_argument("--strength", type=float, default=6.0)
    parser.add_argument("--concepts", nargs="*", default=list(CONCEPTS))
    parser.add_argument("--sweep", type=float, nargs="*", default=[2, 4, 6, 8, 10, 12], help="strengths for the second table")
    parser.add_argument("--temperature", type=float, default=0.7, help="for the sampled columns")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    layer, vectors = load_vectors(args.model / "vectors")
    generator = torch.Generator().manual_seed(args.seed)
    zero = torch.zeros(model.config.hidden_size)

    def rows_with(strength: float, random_direction: bool = False) -> list[Row]:
        rows = []
        for concept in args.concepts:
            vector = vectors[concept]
            if random_direction:
                noise = torch.randn(vector.shape, generator=generator)
                vector = noise / noise.norm() * vector.norm()
            rows += [Row(concept, prompt, strength * vector) for prompt in prompts_for(concept)]
        return rows

    columns, notes = [], []
    for temperature in (0.0, args.temperature):
        for label, rows in [("unsteered", rows_with(0.0)), ("steered", rows_with(args.strength)),
                            ("random", rows_with(args.strength, random_direction=True))]:
            texts = answers(model, tokenizer, layer, rows, temperature, args.seed)
            columns.append(summary(args.concepts, rows, texts))
            neutral, named = ([concept_count(t, r.concept) for r, t in zip(rows, texts) if (r.prompt in NEUTRAL) == wanted]
                              for wanted in (True, False))
            notes.append(f"| {f'sampled at {temperature:g}' if temperature else 'greedy'}, {label} | {sum(neutral) / len(neutral):.1f} "
                         f"| {sum(named) / len(named):.1f} | {grammar_rates(texts)} |")
    plain = answers(model, tokenizer, layer, rows_with(0.0), 1.0, args.seed)
    notes.append(f"| sampled at 1, unsteered | | | {grammar_rates(plain)} |")
    print("| concept | greedy: none | greedy: steered | greedy: random | sampled: none | sampled: steered | sampled: random |")
    print("|---|---|---|---|---|---|---|")
    for concept in args.concepts:
        print(f"| {concept} | " + " | ".join(f"{column[concept]:.1f}" for column in columns) + " |")
    means = [sum(column.values()) / len(column) for column in columns]
    print("| **mean** | " + " | ".join(f"**{mean:.1f}**" for mean in means) + " |")
    print("\n| answers | own words, neutral prompts | own words, prompts that name another concept | that parse |\n"
          "|---|---|---|---|\n" + "\n".join(notes))

    print("\n| strength | own words, greedy | sentences and stories that parse |\n|---|---|---|")
    for strength in args.sweep:
        rows = rows_with(strength)[::3]
        texts = answers(model, tokenizer, layer, rows, 0.0, args.seed)
        counts = [concept_count(text, row.concept) for row, text in zip(rows, texts)]
        print(f"| {strength:g} | {sum(counts) / len(counts):.1f} | {grammar_rates(texts)} |", flush=True)

    for strength in (0.0, args.strength):
        rows = [Row("sea", prompt, strength * vectors.get("sea", zero)) for prompt in SAMPLES]
        print(f"\nGreedy, sea x {strength:g}:\n")
        for row, text in zip(rows, answers(model, tokenizer, layer, rows, 0.0, args.seed)):
            print(f"> **{row.prompt}** {text}\n>")


if __name__ == "__main__":
    main()
