#!/usr/bin/env python3
"""Run the tasks of lm_eval_tasks/ with lm-eval against a running server.

    python tests/clients/lm_harness.py --base-url http://127.0.0.1:PORT/v1

With `--transformers FOLDER` of the model that is served (needs torch,
transformers and accelerate), every log-probability and every result is held
against what transformers computes.

One line `ok <sentence>` per check; the first failure ends the run with status 1.
"""

import contextlib
import io
import logging
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TASKS = Path(__file__).resolve().parent / "lm_eval_tasks"
NAMES = ("millm_places", "millm_continuations", "millm_stories")
TOLERANCE = 1e-4  # of one token's log-probability

os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")
os.environ.setdefault("HF_DATASETS_CACHE", tempfile.mkdtemp())
os.chdir(ROOT)  # the tasks name their files from here

from checks import expect, options, run, same  # noqa: E402
from lm_eval import simple_evaluate  # noqa: E402
from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402


class Recorded(LocalCompletionsAPI):
    """Keeps what it asked and was answered: tokens and log-probabilities."""

    seen = {}

    @staticmethod
    def parse_logprobs(outputs, tokens=None, ctxlens=None, **more):
        answers = outputs if isinstance(outputs, list) else [outputs]
        choices = [choice for answer in answers for choice in sorted(answer["choices"], key=lambda c: c["index"])]
        for sent, choice in zip(tokens, choices, strict=True):
            logprobs = choice["logprobs"]
            for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
                same(f"length of {name}", len(logprobs[name]), len(sent) + 1)
            same("the first log-probability", logprobs["token_logprobs"][0], None)
            if isinstance(sent[0], int):
                Recorded.seen[tuple(sent)] = logprobs["token_logprobs"][1:-1]
        return LocalCompletionsAPI.parse_logprobs(outputs, tokens=tokens, ctxlens=ctxlens, **more)


class Harness:
    def __init__(self, arguments):
        self.arguments = arguments
        self.seen = {}  # of the model that is not steered
        os.environ["OPENAI_API_KEY"] = arguments.api_key

    def arguments_of(self, model, route="completions", **more):
        """The model arguments of lm-eval, as one would write them on its command line."""
        auth = {} if self.arguments.api_key == "none" else {"auth_token": self.arguments.api_key}
        url = f"{self.arguments.base_url.rstrip('/')}/{route}"
        return {"model": model, "base_url": url, "max_length": self.arguments.max_length, **auth, **more}

    @cache
    def samples(self, model, chat=False, **more):
        served = LocalChatCompletion if chat else Recorded
        route, names = ("chat/completions", NAMES[1:2]) if chat else ("completions", NAMES)
        lm = served(**self.arguments_of(model, route, **more))
        if not chat:
            same("the tokenizer that lm-eval found", lm.tokenizer_backend, "remote")
        Recorded.seen.clear()
        answers = evaluate(lm, names, chat)
        if model == self.arguments.model:
            self.seen.update(Recorded.seen)
        return answers

    def check_results(self):
        results = self.samples(self.arguments.model)
        for name in NAMES:
            expect(results[name], f"{name} has no samples")
        return ", ".join(f"{name} {number:.4g}" for name, number in self.results.items())

    def check_batches(self):
        alone = self.samples(self.arguments.model)
        for more in ({"batch_size": 8}, {"num_concurrent": 8}, {"num_concurrent": 4, "batch_size": 3}):
            same(f"results with {more}", self.samples(self.arguments.model, **more), alone)

    def check_chat(self):
        (answers,) = self.samples(self.arguments.model, chat=True).values()
        expect(all(text for _, text in answers), f"an empty answer: {answers}")
        at_once = self.samples(self.arguments.model, chat=True, num_concurrent=8)
        same("answers, asked all at once", at_once, {NAMES[1]: answers})

    def check_steered(self):
        plain = self.samples(self.arguments.model)
        steered = self.samples(self.arguments.steered)
        for name in NAMES:
            expect(steered[name] != plain[name], f"{name} is answered as by {self.arguments.model}")
        same("steered results in batches", self.samples(self.arguments.steered, batch_size=8), steered)

    def check_command(self):
        arguments = ",".join(f"{name}={value}" for name, value in self.arguments_of(self.arguments.model).items())
        program = Path(sys.executable).parent / "lm_eval"
        command = [program, "run", "--model", "local-completions", "--model_args", arguments]
        command += ["--tasks", ",".join(NAMES), "--include_path", TASKS, "--batch_size", "4"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        same(f"status of lm_eval, which said {ran.stderr[-2000:]}", ran.returncode, 0)
        for name in NAMES:
            expect(name in ran.stdout, f"lm_eval told no result of {name}: {ran.stdout}")

    def check_logprobs(self):
        import torch
        from transformers import AutoModelForCausalLM

        self.samples(self.arguments.model)
        model = AutoModelForCausalLM.from_pretrained(
            self.arguments.transformers, dtype=torch.float32, attn_implementation="eager"
        )
        furthest = count = 0
        for tokens, logprobs in self.seen.items():
            with torch.no_grad():
                logits = model(torch.tensor([tokens])).logits[0, :-1]
            wanted = logits.log_softmax(-1).gather(1, torch.tensor(tokens[1:])[:, None])[:, 0]
            difference = (torch.tensor(logprobs) - wanted).abs().max().item()
            expect(difference <= TOLERANCE, f"{difference} from transformers, for {tokens}")
            furthest, count = max(furthest, difference), count + len(logprobs)
        return f"{count} tokens of {len(self.seen)} prompts, at most {furthest:.1e} apart"

    def check_backend(self):
        from lm_eval.models.huggingface import HFLM

        hf = HFLM(
            pretrained=self.arguments.transformers, dtype="float32", attn_implementation="eager", device="cpu",
            max_length=self.arguments.max_length - 2,  # lm-eval takes two from that of a served model
            prefix_token_id=self.prefix_token(), add_bos_token=False,  # as with the tokenizer of a server
        )
        theirs, ours = evaluate(hf, NAMES), self.samples(self.arguments.model)
        same("generated texts", ours[NAMES[1]], theirs[NAMES[1]])
        for name in (NAMES[0], NAMES[2]):
            for (doc, mine), (_, other) in zip(ours[name], theirs[name], strict=True):
                for a, b in zip(mine, other, strict=True):
                    expect(abs(a - b) <= 1e-5 * max(100, abs(b)), f"{name} {doc}: served {mine}, transformers {other}")

    def prefix_token(self):
        return Recorded(**self.arguments_of(self.arguments.model)).prefix_token_id


def evaluate(lm, names, chat=False):
    """For each task the answers in order, as pairs of a document's number and numbers, or a text."""
    with contextlib.redirect_stderr(io.StringIO()):  # it shows progress there
        told = simple_evaluate(
            lm, tasks=list(names), task_manager=TaskManager(include_path=str(TASKS)), bootstrap_iters=0,
            apply_chat_template=chat,
        )
    results = told["results"]
    Harness.results = {name: next(v for v in results[name].values() if isinstance(v, float)) for name in names}
    answers = {}
    for name in names:
        rows = sorted(told["samples"][name], key=lambda sample: sample["doc_id"])
        answers[name] = [(row["doc_id"], plain(row["filtered_resps"])) for row in rows]
    return answers


def plain(responses):
    """Texts as they are, and of pairs (log-likelihood, is greedy) both as numbers."""
    if isinstance(responses[0], str):
        return responses[0]
    return [float(number) for pair in responses for number in (pair if isinstance(pair, (tuple, list)) else (pair,))]


def main():
    parser = options(__doc__)
    parser.add_argument("--max-length", type=int, default=512, help="the model's context length [default: 512]")
    parser.add_argument("--steered", help="id of the same model, steered, such as demo@sea")
    parser.add_argument("--transformers", metavar="FOLDER", help="the folder of the model that is served")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    harness = Harness(arguments)
    checks = [
        ("lm-eval finds the remote tokenizer and runs all kinds of tasks", harness.check_results),
        ("results do not depend on batches and on what runs at once", harness.check_batches),
        ("chats are evaluated", harness.check_chat),
        ("the command of lm-eval runs", harness.check_command),
    ]
    if arguments.steered:
        checks.append(("a steered model scores differently", harness.check_steered))
    if arguments.transformers:
        checks.append(("log-probabilities are those of transformers", harness.check_logprobs))
        checks.append(("results are those of lm-eval's own transformers", harness.check_backend))
    run(checks, arguments.only)


if __name__ == "__main__":
    main()
