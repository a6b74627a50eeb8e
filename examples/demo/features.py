"""Says what the features of the demo SAE are about, and measures all that the README says of it.

    python features.py            # measures, and writes features.jsonl and explanations.jsonl
    python features.py --check    # measures again, compares with the files, and steers

Whether a feature detects a concept is judged by whole stories: a story has the
concept if the feature's largest activation over the story's tokens is above a
threshold. The threshold is chosen on one set of stories, and F1 measured on another.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from check import Row, answers, grammar_rates, prompts_for, summary
from sae import FOLDER, HERE, LAYER, Figures, Sae, held_out, load_sae, measure, residuals
from stories import Story
from vectors import PROMPT
from words import CONCEPTS

CHOICE_SEED, TEST_SEED, STORIES = 41, 42, 100  # stories of each concept, twice
ENOUGH = 0.8  # F1 of a feature that is said to be about a concept
BOUNDS = {"fraction_of_variance_explained": 0.9, "l0": 40.0, "dead": 0.1, "concepts": 16}
EXAMPLE_PROMPT, EXAMPLE_STRENGTH = "Write a short story.", 6.0


@dataclass
class Label:
    """A feature that detects a concept."""

    feature: int
    concept: str
    f1: float
    threshold: float
    peak: float  # mean of its largest activations in the concept's stories


def story_peaks(model, tokenizer, sae: Sae, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest activation of each feature in each story, [stories, features], and each story's concept."""
    rng = random.Random(seed)
    head = tokenizer.apply_chat_template(PROMPT, tokenize=True, add_generation_prompt=True, return_dict=False)
    peaks, concepts = [], []
    for number, concept in enumerate(CONCEPTS):
        texts = [Story(rng, [concept]).text for _ in range(STORIES)]
        documents = [head + ids for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
        peaks += [sae.encode(words[len(head):]).amax(0) for words in residuals(model, LAYER, documents)]
        concepts += [number] * STORIES
    return torch.stack(peaks), torch.tensor(concepts)


def best_thresholds(peaks: torch.Tensor, concepts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For each feature and concept, [features, concepts]: the best F1, and the threshold that has it."""
    wanted = F.one_hot(concepts, len(CONCEPTS)).float()
    values, order = peaks.sort(0, descending=True)
    scores, thresholds = [], []
    for column, stories in zip(values.T, order.T):
        hits, taken = wanted[stories].cumsum(0), torch.arange(1, len(column) + 1)[:, None]
        f1 = 2 * hits / (taken + wanted.sum(0))
        below = torch.cat([column[1:], torch.zeros(1)])
        f1[column <= below] = 0.0  # no threshold comes between equals, or below zero
        best, at = f1.max(0)
        scores.append(best)
        thresholds.append((column[at] + below[at]) / 2)
    return torch.stack(scores), torch.stack(thresholds)


def f1_score(said: torch.Tensor, true: torch.Tensor) -> float:
    return (2 * (said & true).sum() / (said.sum() + true.sum())).item()


def find_labels(choice: tuple[torch.Tensor, torch.Tensor], test: tuple[torch.Tensor, torch.Tensor]) -> list[Label]:
    """Every feature that detects a concept in both sets of stories, by concept, the most active first."""
    scores, thresholds = best_thresholds(*choice)
    peaks, concepts = test
    labels = []
    for number, concept in enumerate(CONCEPTS):
        own = concepts == number
        for feature in (scores[:, number] >= ENOUGH).nonzero()[:, 0].tolist():
            threshold = thresholds[feature, number].item()
            f1 = f1_score(peaks[:, feature] > threshold, own)
            if f1 >= ENOUGH:
                labels.append(Label(feature, concept, f1, threshold, choice[0][choice[1] == number, feature].mean().item()))
    return sorted(labels, key=lambda label: (list(CONCEPTS).index(label.concept), -label.peak))


def feature_rows(frequency: torch.Tensor, largest: torch.Tensor) -> list[dict]:
    """Rows of features.jsonl, in Neuronpedia's names."""
    return [{"index": str(index), "maxActApprox": round(peak, 4), "frac_nonzero": round(share, 6)}
            for index, (peak, share) in enumerate(zip(largest.tolist(), frequency.tolist()))]


def explanation_rows(labels: list[Label]) -> list[dict]:
    """Rows of explanations.jsonl, in Neuronpedia's names; `f1` and `threshold` are ours."""
    return [{"index": str(label.feature), "description": label.concept, "typeName": "concept-f1", "explanationModelName": None,
             "f1": round(label.f1, 4), "threshold": round(label.threshold, 4)} for label in labels]


def write_rows(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path.chmod(0o644)


def differences(path: Path, rows: list[dict]) -> list[str]:
    """What the file says otherwise than these rows. Numbers may differ by a percent, as other CPUs add in other orders."""
    committed = [json.loads(line) for line in path.read_text().splitlines()]
    found = [] if len(committed) == len(rows) else [f"{path.name}: {len(rows)} rows measured, {len(committed)} in the file"]
    for old, new in zip(committed, rows):
        same = old.keys() == new.keys() and all(
            abs(old[key] - value) <= 0.01 * abs(value) + 2e-5 if isinstance(value, float) else old[key] == value
            for key, value in new.items())
        if not same:
            found.append(f"{path.name}: {new} measured, {old} in the file")
    return found


def shortcomings(figures: Figures, features: int, labels: list[Label]) -> list[str]:
    """The bounds that do not hold."""
    concepts, dead = len({label.concept for label in labels}), figures.num_dead_features / features
    claims = [
        (figures.fraction_of_variance_explained >= BOUNDS["fraction_of_variance_explained"], "variance explained"),
        (10.0 <= figures.l0 <= BOUNDS["l0"], "features per token"),
        (dead <= BOUNDS["dead"], "dead features"),
        (concepts >= BOUNDS["concepts"], "concepts with a feature"),
    ]
    return [f"{name}: out of bounds" for holds, name in claims if not holds]


def steer(model, tokenizer, sae: Sae, labels: list[Label], strength: float, seed: int) -> None:
    """Prints what adding each concept's first feature does, against a random direction of the same length."""
    first = {label.concept: label for label in reversed(labels)}
    concepts = [concept for concept in CONCEPTS if concept in first]
    generator = torch.Generator().manual_seed(seed)
    nothing = torch.zeros(sae.W_dec.size(1))
    directions = {
        "none": dict.fromkeys(concepts, nothing),
        "steered": {concept: strength * sae.W_dec[first[concept].feature] for concept in concepts},
        "random": {concept: strength * F.normalize(torch.randn(nothing.shape, generator=generator), dim=0) for concept in concepts},
    }
    columns, rates = [], []
    for name, added in directions.items():
        rows = [Row(concept, prompt, added[concept]) for concept in concepts for prompt in prompts_for(concept)]
        # Unsteered, a prompt that several concepts share has one answer.
        once = {(row.prompt, id(row.added)): row for row in rows}
        said = dict(zip(once, answers(model, tokenizer, LAYER, list(once.values()), 0.0, seed)))
        texts = [said[row.prompt, id(row.added)] for row in rows]
        columns.append(summary(concepts, rows, texts))
        rates.append(f"{name}: {grammar_rates(texts)} parse")
    print("| concept | feature | F1 | words: none | words: steered | words: random |\n|---|---|---|---|---|---|")
    for concept in concepts:
        label = first[concept]
        counts = " | ".join(f"{column[concept]:.1f}" for column in columns)
        print(f"| {concept} | {label.feature} | {label.f1:.2f} | {counts} |")
    means = [sum(column.values()) / len(column) for column in columns]
    print("| **mean** | | | " + " | ".join(f"**{mean:.1f}**" for mean in means) + " |\n\n" + "\n".join(rates))


def show(model, tokenizer, sae: Sae, feature: int, strength: float) -> None:
    """Prints one answer, greedy, with one feature added."""
    text, = answers(model, tokenizer, LAYER, [Row("", EXAMPLE_PROMPT, strength * sae.W_dec[feature])], 0.0, 0)
    print(f"\nFeature {feature} x {strength:g}:\n\n> **{EXAMPLE_PROMPT}** {text}")


def compare_with_sae_lens(folder: Path, sae: Sae, data: torch.Tensor) -> None:
    from sae_lens import SAE

    other = SAE.load_from_disk(folder)
    with torch.no_grad():
        ours, theirs = sae.encode(data), other.encode(data)
        apart = (sae.decode(ours) - other.decode(theirs)).abs().max().item()
    print(f"SAELens reads a {type(other).__name__}: activations differ by {(ours - theirs).abs().max():.1e}, "
          f"reconstructions by {apart:.1e}, over {len(data)} tokens")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=HERE / "model")
    parser.add_argument("--sae", type=Path, default=FOLDER)
    parser.add_argument("--check", action="store_true", help="write nothing; compare with the files, and steer")
    parser.add_argument("--sae-lens", action="store_true", help="compare with SAELens's own encoder, if that is installed")
    parser.add_argument("--strength", type=float, default=5.0, help="length of what is added")
    parser.add_argument("--example", type=int, default=392, help="the feature whose answer is printed")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    sae = load_sae(args.sae)
    data = held_out(model, tokenizer, LAYER)
    figures, frequency, largest = measure(sae, data)
    choice, test = (story_peaks(model, tokenizer, sae, seed) for seed in (CHOICE_SEED, TEST_SEED))
    labels = find_labels(choice, test)
    largest = torch.stack([largest, choice[0].amax(0), test[0].amax(0)]).amax(0)
    files = {
        args.sae / "features.jsonl": feature_rows(frequency, largest),
        args.sae / "explanations.jsonl": explanation_rows(labels),
    }
    print(json.dumps({**asdict(figures), "concepts": len({label.concept for label in labels}), "labels": len(labels),
                      "length_of_stream": round(data.norm(dim=1).mean().item(), 2)}), flush=True)
    if args.sae_lens:
        compare_with_sae_lens(args.sae, sae, data[:20_000])
    complaints = shortcomings(figures, len(frequency), labels)
    if args.check:
        complaints += [line for path, rows in files.items() for line in differences(path, rows)]
        steer(model, tokenizer, sae, labels, args.strength, args.seed)
        show(model, tokenizer, sae, args.example, EXAMPLE_STRENGTH)
    else:
        for path, rows in files.items():
            write_rows(path, rows)
    if complaints:
        raise SystemExit("\n".join(complaints))


if __name__ == "__main__":
    main()
