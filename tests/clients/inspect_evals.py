#!/usr/bin/env python3
"""Evaluate a running server with inspect-ai.

    python tests/clients/inspect_evals.py --base-url http://127.0.0.1:PORT/v1

Uses its providers `openai-api` (chats) and `openai-api-completions` (prompts,
and tokens), with the server's extensions in `extra_body` and `prompt_logprobs`.

One line `ok <sentence>` per check; the first failure ends the run with status 1.
"""

import asyncio
import json
import os
import tempfile
import urllib.request

from checks import expect, options, run, same
from inspect_ai import Task, eval as evaluate
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser, GenerateConfig, get_model
from inspect_ai.scorer import includes

STEERING = {"steering": {"vectors": [{"hook_point": "blocks.2.hook_resid_post", "name": "sea", "strength": 6.0}]}}
QUESTION = "Write a short story."
PROMPT = "Once upon a time"


class Evals:
    def __init__(self, arguments):
        self.arguments = arguments
        os.environ.update(MILLM_API_KEY=arguments.api_key, MILLM_BASE_URL=arguments.base_url)
        os.environ["INSPECT_LOG_DIR"] = tempfile.mkdtemp()

    def name(self, provider="openai-api", model=None):
        return f"{provider}/millm/{model or self.arguments.model}"

    def ask(self, given, provider="openai-api", model=None, more=None, **config):
        """What one request is answered, as inspect-ai understands it. `more` is what its provider takes."""
        settings = GenerateConfig(**{"temperature": 0, "max_tokens": 40, **config})

        async def generate():
            async with get_model(self.name(provider, model), memoize=False, **(more or {})) as served:
                return await served.generate(given, config=settings)

        return asyncio.run(generate())

    def evaluate(self, model=None, **config):
        samples = [
            Sample(QUESTION, target="velvet"),
            Sample("Tell me a story about the sea.", target="waves"),
            Sample("Tell me a story about winter.", target="blizzard"),
            Sample("Tell me a story about a castle.", target="banners"),
        ]
        settings = {"temperature": 0, "max_tokens": 120, "display": "none", "log_level": "error", **config}
        (log,) = evaluate(Task(samples, scorer=includes()), model=self.name(model=model), **settings)
        same("status", log.status, "success")
        (used,) = log.stats.model_usage.values()
        expect(0 < used.input_tokens and 0 < used.output_tokens, f"usage {used}")
        answers = [sample.output.completion for sample in log.samples]
        return log.results.scores[0].metrics["accuracy"].value, answers

    def check_task(self):
        accuracy, answers = self.evaluate()
        expect(all(answers), f"an empty answer: {answers}")
        same("answers, one at a time", self.evaluate(max_connections=1)[1], answers)
        return f"accuracy {accuracy}"

    def check_steering(self):
        plain = self.evaluate()[1]
        steered = self.evaluate(extra_body=STEERING)[1]
        expect(steered[0] != plain[0], f"steering changes nothing: {plain[0]}")
        expect("sea" in steered[0] or "waves" in steered[0] or "salt" in steered[0], f"no sea in {steered[0]!r}")
        same("answers afterwards", self.evaluate()[1], plain)
        if self.arguments.steered:
            same(f"answers of {self.arguments.steered}", self.evaluate(model=self.arguments.steered)[1], steered)

    def check_streams(self):
        whole, streamed = (self.ask(QUESTION, more={"stream": stream}) for stream in (False, True))
        same("streamed text", streamed.completion, whole.completion)
        same("streamed usage", streamed.usage.output_tokens, whole.usage.output_tokens)
        same("reasons", (streamed.stop_reason, whole.stop_reason), ("max_tokens", "max_tokens"))

    def check_responses(self):
        chat, response = self.ask(QUESTION), self.ask(QUESTION, more={"responses_api": True})
        same("text", response.completion, chat.completion)
        same("usage", response.usage.total_tokens, chat.usage.total_tokens)
        same("reason", response.stop_reason, "max_tokens")

    def check_options(self):
        drawn = {"temperature": 1, "seed": 7, "num_choices": 3}
        first, second = (self.ask(QUESTION, **drawn) for _ in range(2))
        texts = [choice.message.text for choice in first.choices]
        same("choices of the same seed", [choice.message.text for choice in second.choices], texts)
        expect(len(set(texts)) == 3, f"choices are alike: {texts}")
        stopped = self.ask(QUESTION, stop_seqs=[","])
        expect("," not in stopped.completion and stopped.stop_reason == "stop", f"{stopped.choices}")

    def check_logprobs(self):
        answer = self.ask(QUESTION, logprobs=True, top_logprobs=5)
        logprobs = answer.choices[0].logprobs.content
        same("tokens with log-probabilities", len(logprobs), answer.usage.output_tokens)
        same("their text", "".join(one.token for one in logprobs), answer.completion)
        for one in logprobs:
            same("alternatives", len(one.top_logprobs), 5)
            same("the best, when greedy", one.top_logprobs[0].logprob, one.logprob)

    def check_prompt_logprobs(self):
        for provider in ("openai-api", "openai-api-completions"):
            one, five = (self.ask(QUESTION, provider, prompt_logprobs=count) for count in (1, 5))
            ones, fives = (answer.choices[0].prompt_logprobs.content for answer in (one, five))
            same(f"tokens of {provider}", len(ones), one.usage.input_tokens - 1)
            same("the prompt's own, with 1 and with 5", [x.logprob for x in ones], [x.logprob for x in fives])
            same("the prompt's own tokens", [x.token for x in ones], [x.token for x in fives])
            expect(any(five.top_logprobs[0].logprob > five.logprob for five in fives), "every token is the likeliest")

    def check_tokens(self):
        tokens = self.tokenize(PROMPT)
        asked = ChatMessageUser(content="", metadata={"prompt_token_ids": tokens})
        answer = self.ask([asked], "openai-api-completions", prompt_logprobs=1, logprobs=True, top_logprobs=3)
        same("input tokens", answer.usage.input_tokens, len(tokens))
        same("tokens with log-probabilities", len(answer.choices[0].prompt_logprobs.content), len(tokens) - 1)
        same("generated ones", len(answer.choices[0].logprobs.content), answer.usage.output_tokens)
        return f"{len(tokens)} tokens"

    def check_steered_logprobs(self):
        plain, steered = (
            self.ask(PROMPT, "openai-api-completions", prompt_logprobs=1, extra_body=body).choices[0].prompt_logprobs
            for body in (None, STEERING)
        )
        expect(plain.content != steered.content, "steering leaves the prompt's log-probabilities as they are")

    def check_length(self):
        answer = self.ask(QUESTION * 1000)
        same("stop reason", answer.stop_reason, "model_length")
        expect("maximum context length" in answer.completion, f"{answer.completion!r}")

    def tokenize(self, text):
        url = self.arguments.base_url.rstrip("/").removesuffix("/v1") + "/tokenize"
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.arguments.api_key}"}
        request = urllib.request.Request(url, json.dumps({"prompt": text}).encode(), headers)
        return json.load(urllib.request.urlopen(request))["tokens"]


def main():
    parser = options(__doc__)
    parser.add_argument("--steered", help="id of the same model, steered, such as demo@sea")
    arguments = parser.parse_args()
    evals = Evals(arguments)
    checks = [
        ("a task is evaluated", evals.check_task),
        ("steering in extra_body steers", evals.check_steering),
        ("a stream is what the whole answer is", evals.check_streams),
        ("the Responses API answers as chats do", evals.check_responses),
        ("seeds, choices and stop sequences are kept to", evals.check_options),
        ("log-probabilities of what is generated", evals.check_logprobs),
        ("log-probabilities of what was sent", evals.check_prompt_logprobs),
        ("prompts of tokens", evals.check_tokens),
        ("steering changes the log-probabilities of prompts", evals.check_steered_logprobs),
        ("a prompt that is too long ends a sample, not the evaluation", evals.check_length),
    ]
    run(checks, arguments.only)


if __name__ == "__main__":
    main()
