#!/usr/bin/env python3
"""Make the golden table of sampling: what may be drawn from a row of logits, and how likely, by transformers.

    python sampling.py            write host/engine/src/sampling/golden.json
    python sampling.py --check    compare with the committed file

The logits processors of transformers run in float64, in the order that its
generate() gives the warpers; those that move single scores come before, in the
order of vLLM. OpenAI's two penalties, which transformers does not have, are the
formula of its API reference. Every number of a case is exact in float32, since
that is what requests and models have. A case where another rounding could decide
otherwise is refused.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from transformers import (
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

TABLE = Path(__file__).resolve().parents[2] / "host" / "engine" / "src" / "sampling" / "golden.json"
VOCABULARY = 48
# How many token ids each case has in its prompt, and how many it has drawn.
PROMPT, DRAWN = 6, 9
STOP = [3, 17]
# How far the temperature is changed to see whether a case is close to another outcome.
NUDGE = 1e-6

CASES = {
    "nothing": {},
    "cold": {"temperature": 0.3},
    "hot": {"temperature": 1.9},
    "top_k": {"top_k": 7},
    "top_k of one": {"top_k": 1},
    "top_k beyond the vocabulary": {"top_k": 1000},
    "top_p": {"top_p": 0.9},
    "small top_p": {"top_p": 0.05},
    "min_p": {"min_p": 0.08},
    "typical_p": {"typical_p": 0.9},
    "small typical_p": {"typical_p": 0.2},
    "hot typical_p": {"temperature": 1.7, "typical_p": 0.5},
    "repetition": {"repetition_penalty": 1.4},
    "welcome repetition": {"repetition_penalty": 0.6},
    "presence": {"presence_penalty": 1.1},
    "frequency": {"frequency_penalty": 0.7},
    "negative penalties": {"presence_penalty": -0.8, "frequency_penalty": -0.3},
    "bias": {"logit_bias": [[5, 6.5], [1, -3.0], [40, 100.0], [41, 98.5]]},
    "ban": {"logit_bias": [[token, -100.0] for token in range(12)]},
    "min_tokens not reached": {"min_tokens": 10},
    "min_tokens reached": {"min_tokens": 9},
    "all filters": {"temperature": 1.3, "top_k": 30, "top_p": 0.95, "min_p": 0.02, "typical_p": 0.9},
    "all penalties": {"repetition_penalty": 1.2, "presence_penalty": 0.4, "frequency_penalty": 0.25},
    "everything": {
        "temperature": 0.8,
        "top_k": 25,
        "top_p": 0.92,
        "min_p": 0.01,
        "typical_p": 0.85,
        "repetition_penalty": 1.15,
        "presence_penalty": -0.5,
        "frequency_penalty": 0.3,
        "logit_bias": [[2, 4.0], [17, 9.0], [30, -2.5]],
        "min_tokens": 20,
    },
}


class OpenAiPenalties:
    """https://platform.openai.com/docs/advanced-usage: mu[j] - c[j] * alpha_frequency - (c[j] > 0) * alpha_presence."""

    def __init__(self, frequency: float, presence: float):
        self.frequency, self.presence = frequency, presence

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        count = torch.bincount(input_ids[0, PROMPT:], minlength=scores.shape[-1])
        return scores - count * self.frequency - (count > 0) * self.presence


def float32(value: float) -> float:
    """The float64 that a request's float32 is."""
    return torch.tensor(value, dtype=torch.float32).item()


def processors(case: dict, nudge: float) -> LogitsProcessorList:
    """What transformers would run for a case."""
    value = {key: float32(value) for key, value in case.items() if isinstance(value, float)}
    found = LogitsProcessorList()
    if "min_tokens" in case:
        found.append(MinNewTokensLengthLogitsProcessor(PROMPT, case["min_tokens"], STOP))
    if "logit_bias" in case:
        found.append(SequenceBiasLogitsProcessor({(token,): bias for token, bias in case["logit_bias"]}))
    if "repetition_penalty" in case:
        found.append(RepetitionPenaltyLogitsProcessor(value["repetition_penalty"]))
    found.append(OpenAiPenalties(value.get("frequency_penalty", 0.0), value.get("presence_penalty", 0.0)))
    found.append(TemperatureLogitsWarper(value.get("temperature", 1.0) * (1.0 + nudge)))
    if "top_k" in case:
        found.append(TopKLogitsWarper(case["top_k"]))
    if "top_p" in case:
        found.append(TopPLogitsWarper(value["top_p"]))
    if "min_p" in case:
        found.append(MinPLogitsWarper(value["min_p"]))
    if "typical_p" in case:
        found.append(TypicalLogitsWarper(value["typical_p"]))
    return found


def probabilities(case: dict, row: dict, nudge: float = 0.0) -> list[list]:
    """Every token that may be drawn, by ascending id, with its probability."""
    logits = torch.tensor([row["logits"]], dtype=torch.float32).double()
    scores = processors(case, nudge)(torch.tensor([row["prompt"] + row["drawn"]]), logits)
    found = torch.softmax(scores, dim=-1)[0]
    kept = torch.isfinite(scores[0])
    return [[token, float(f"{found[token].item():.8g}")] for token in range(VOCABULARY) if kept[token]]


def table() -> dict:
    """All cases for a wide and a narrow row."""
    generator = torch.Generator().manual_seed(5)
    rows = {}
    for name, spread in {"wide": 2.5, "narrow": 0.7}.items():
        logits = spread * torch.randn(VOCABULARY, generator=generator)
        ids = torch.randint(VOCABULARY, (PROMPT + DRAWN,), generator=generator).tolist()
        # Something is drawn more than once, and is also in the prompt.
        ids[-1] = ids[-2] = ids[0]
        logits = [round(logit, 4) for logit in logits.tolist()]
        # transformers leaves the order of equals to torch.sort, which leaves it open.
        if len(set(logits)) < VOCABULARY:
            sys.exit(f"{name}: two logits are equal; change the seed of the rows")
        rows[name] = {"logits": logits, "prompt": ids[:PROMPT], "drawn": ids[PROMPT:]}
    cases = []
    for row, content in rows.items():
        for name, case in CASES.items():
            expected = probabilities(case, content)
            for nudge in (-NUDGE, NUDGE):
                if [token for token, _ in probabilities(case, content, nudge)] != [token for token, _ in expected]:
                    sys.exit(f"{row}, {name}: rounding decides what is kept; change the case")
            cases.append({"name": name, "row": row, "sampling": case, "expected": expected})
    return {"stop": STOP, "rows": rows, "cases": cases}


def text(value: dict) -> str:
    """One line per row and case."""
    lines = lambda items: ",\n".join(f"    {item}" for item in items)  # noqa: E731
    rows = lines(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in value["rows"].items())
    cases = lines(map(json.dumps, value["cases"]))
    return f'{{\n  "stop": {json.dumps(value["stop"])},\n  "rows": {{\n{rows}\n  }},\n  "cases": [\n{cases}\n  ]\n}}\n'


def main() -> None:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    made = text(table())
    if not parser.parse_args().check:
        TABLE.write_text(made)
    elif TABLE.read_text() != made:
        sys.exit(f"{TABLE}: differs from what transformers says now")


if __name__ == "__main__":
    main()
