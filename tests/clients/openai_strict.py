#!/usr/bin/env python3
"""Drive a running server with the official OpenAI client in strict mode.

    python tests/clients/openai_strict.py --base-url http://127.0.0.1:PORT/v1

Strict mode makes the client reject any response that does not match OpenAI's
published types. On top of that this script checks what the types cannot say:
that streams add up to the plain responses, that usage is counted right, that
stop strings never leak, that steering changes only the request that asked for
it, and that errors name the parameter at fault.

One line `ok <sentence>` per check; the first failure ends the run with status 1.
"""

import argparse
import asyncio
import math
import re
import struct
import sys
from dataclasses import dataclass, field
from typing import List, Literal, Optional

import openai
from openai import BadRequestError, NotFoundError
from openai.types import Completion, CompletionChoice, CompletionUsage

MESSAGES = [{"role": "user", "content": "Tell me a short story."}]
PROMPT = "Once upon a time"
OTHER_PROMPT = "In the morning"
TOKENS, OTHER_TOKENS = [3, 7, 11, 5], [11, 3]  # ids that every vocabulary has
LENGTH = 32  # tokens per answer, unless a check is about the length
GREEDY = {"temperature": 0, "max_tokens": LENGTH}
NEVER = "\u2603\u2603"  # a string that no answer contains

HOOK_POINT = "blocks.2.hook_resid_post"
VECTOR = {"hook_point": HOOK_POINT, "name": "sea", "strength": 6.0}


def steer(*vectors: dict, **more) -> dict:
    """The extra argument that steers a request."""
    return {"extra_body": {"steering": {"vectors": list(vectors), **more}}}


class Failed(Exception):
    """A check did not hold."""


def expect(holds: bool, message: str) -> None:
    if not holds:
        raise Failed(message)


def same(what: str, got, wanted) -> None:
    expect(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


# --- One view of both endpoints ----------------------------------------------


class StreamedChoice(CompletionChoice):
    finish_reason: Optional[Literal["stop", "length", "content_filter"]]


class StreamedCompletion(Completion):
    """A streamed chunk of the completions endpoint.

    OpenAI sends a null `finish_reason` on every chunk but the last, which its
    own client's types do not allow. This is the same type with that one change.
    """

    choices: List[StreamedChoice]


@dataclass
class Result:
    """What one request answered; lists are in order of choice index."""

    texts: List[str] = field(default_factory=list)
    reasons: List[Optional[str]] = field(default_factory=list)
    usage: Optional[CompletionUsage] = None
    pieces: List[List[str]] = field(default_factory=list)  # streams only
    order: List[int] = field(default_factory=list)  # streams only: index of every text chunk

    @property
    def text(self) -> str:
        return self.texts[0]


def check_usage(usage: Optional[CompletionUsage]) -> None:
    expect(usage is not None, "there is no usage")
    expect(usage.prompt_tokens > 0, "usage counts no prompt tokens")
    same("total_tokens", usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)


class Endpoint:
    """Sends requests and checks everything that holds for any answer."""

    def __init__(self, context: "Context"):
        self.context = context

    def request(self, params: dict) -> dict:
        return {"model": self.context.model, **self.default, **params}

    def ask(self, **params) -> Result:
        answer = self.create(self.context.client, **self.request(params))
        same("model", answer.model, self.context.model)
        same("object", answer.object, self.object)
        result = Result(usage=answer.usage)
        same("choice indexes", [c.index for c in answer.choices], list(range(len(answer.choices))))
        for choice in answer.choices:
            expect(choice.finish_reason in ("stop", "length"), f"finish_reason {choice.finish_reason!r}")
            result.texts.append(self.text_of(choice))
            result.reasons.append(choice.finish_reason)
        check_usage(answer.usage)
        return result

    def stream(self, choices: int = 1, **params) -> Result:
        with_usage = (params.get("stream_options") or {}).get("include_usage", False)
        chunks = list(self.chunks(**self.request(params)))
        expect(len(chunks) > 1, "the stream is a single chunk")
        for what in ("id", "model", "object", "created", "system_fingerprint"):
            same(f"distinct values of {what}", len({getattr(c, what) for c in chunks}), 1)
        same("model", chunks[0].model, self.context.model)
        same("object", chunks[0].object, self.chunk_object)

        result = Result(
            texts=[""] * choices, reasons=[None] * choices, pieces=[[] for _ in range(choices)]
        )
        if with_usage:
            last = chunks.pop()
            same("choices of the last chunk", last.choices, [])
            check_usage(last.usage)
            result.usage = last.usage
            for chunk in chunks:
                expect("usage" in chunk.model_fields_set, "a chunk has no usage key")
        seen = set()
        for chunk in chunks:
            same("usage before the last chunk", chunk.usage, None)
            expect(len(chunk.choices) > 0, "a chunk has no choices")
            for choice in chunk.choices:
                at = choice.index
                expect(0 <= at < choices, f"choice index {at} in a stream of {choices}")
                expect("finish_reason" in choice.model_fields_set, "a chunk has no finish_reason key")
                same(f"finish_reason before the last chunk of choice {at}", result.reasons[at], None)
                if at not in seen:
                    self.check_first(choice)
                    seen.add(at)
                piece = self.piece_of(choice)
                if piece:
                    result.texts[at] += piece
                    result.pieces[at].append(piece)
                    result.order.append(at)
                result.reasons[at] = choice.finish_reason
        for at, reason in enumerate(result.reasons):
            expect(reason in ("stop", "length"), f"choice {at} ends with finish_reason {reason!r}")
        return result


class Chat(Endpoint):
    name, object, chunk_object = "chat", "chat.completion", "chat.completion.chunk"
    default = {"messages": MESSAGES}
    content = "messages"

    @staticmethod
    def create(client, **request):
        return client.chat.completions.create(**request)

    def chunks(self, **request):
        return self.create(self.context.client, stream=True, **request)

    @staticmethod
    def text_of(choice) -> str:
        same("message role", choice.message.role, "assistant")
        return choice.message.content or ""

    @staticmethod
    def check_first(choice) -> None:
        same("role in the first chunk", choice.delta.role, "assistant")

    @staticmethod
    def piece_of(choice) -> Optional[str]:
        return choice.delta.content


class Completions(Endpoint):
    name, object, chunk_object = "completions", "text_completion", "text_completion"
    default = {"prompt": PROMPT}
    content = "prompt"

    @staticmethod
    def create(client, **request):
        return client.completions.create(**request)

    def chunks(self, **request):
        for chunk in self.create(self.context.lenient, stream=True, **request):
            yield StreamedCompletion.model_validate(chunk.to_dict(warnings=False), strict=True)

    @staticmethod
    def text_of(choice) -> str:
        return choice.text

    @staticmethod
    def check_first(choice) -> None:
        pass

    @staticmethod
    def piece_of(choice) -> Optional[str]:
        return choice.text


class Context:
    """The server under test."""

    def __init__(self, base_url: str, api_key: str, model: str):
        options = {"base_url": base_url, "api_key": api_key, "max_retries": 0, "timeout": 120.0}
        self.model = model
        self.client = openai.OpenAI(_strict_response_validation=True, **options)
        self.new_async_client = lambda: openai.AsyncOpenAI(_strict_response_validation=True, **options)
        self.lenient = openai.OpenAI(**options)  # see StreamedCompletion
        self.chat = Chat(self)
        self.completions = Completions(self)


def expect_error(call, kind=BadRequestError, *, param=None, under=None, code=None, mentions=()) -> None:
    """`call` fails with exactly this exception, and its body says what is wrong."""
    try:
        call()
    except openai.APIStatusError as error:
        got = f"{type(error).__name__} {error.body}"
        expect(type(error) is kind, f"expected {kind.__name__}, got {got}")
        try:
            envelope = error.response.json()["error"]
        except (ValueError, KeyError, TypeError):
            envelope = None
        expect(isinstance(envelope, dict), f"the body has no `error` object: {error.response.text!r}")
        missing = {"message", "type", "param", "code"} - envelope.keys()
        expect(not missing, f"the error lacks {sorted(missing)}: {got}")
        expect(bool(envelope["message"]), f"the error has no message: {got}")
        same("error type", error.type, "invalid_request_error")
        if param is not None:
            same("error param", error.param, param)
        if under is not None:
            expect(bool(re.match(rf"{under}($|[.\[])", error.param or "")),
                   f"error param {error.param!r} is not under {under!r}")
        if code is not None:
            same("error code", error.code, code)
        for pattern in mentions:
            expect(bool(re.search(pattern, error.message)), f"the message does not mention {pattern!r}: {got}")
    else:
        raise Failed(f"expected {kind.__name__}, but the request succeeded")


# --- Checks -------------------------------------------------------------------

CHECKS = []


def check(sentence: str):
    """Register a check of the whole server."""

    def register(function):
        CHECKS.append((sentence, function))
        return function

    return register


def check_both(sentence: str):
    """Register a check that is run once on each of the two endpoints."""

    def register(function):
        for name in ("chat", "completions"):
            CHECKS.append((f"{name}: {sentence}", lambda c, name=name: function(c, getattr(c, name))))
        return function

    return register


@check("models: the list contains the model, and it can be retrieved")
def _(c):
    listed = {model.id: model for model in c.client.models.list()}
    expect(c.model in listed, f"{c.model!r} is not among {sorted(listed)}")
    same("retrieved model", c.client.models.retrieve(c.model), listed[c.model])


@check("models: an unknown id, also one with / and @, is a NotFoundError with code model_not_found")
def _(c):
    for name in ("no-such-model", "nobody/no-such-model@0123abc"):
        expect_error(lambda: c.client.models.retrieve(name), NotFoundError,
                     code="model_not_found", mentions=[re.escape(name)])


@check("chat: a plain answer has content, a role, a finish_reason, usage and a system_fingerprint")
def _(c):
    expect(c.chat.ask(**GREEDY).text != "", "the content is empty")
    answer = c.client.chat.completions.create(model=c.model, messages=MESSAGES, **GREEDY)
    expect(isinstance(answer.system_fingerprint, str), f"system_fingerprint {answer.system_fingerprint!r}")


@check("completions: a plain answer has text, a finish_reason and usage")
def _(c):
    expect(c.completions.ask(**GREEDY).text != "", "the text is empty")


@check_both("a stream adds up to the plain greedy answer and ends with its finish_reason")
def _(c, endpoint):
    plain, streamed = endpoint.ask(**GREEDY), endpoint.stream(**GREEDY)
    same("streamed text", streamed.text, plain.text)
    same("streamed finish_reason", streamed.reasons, plain.reasons)
    expect(len(streamed.pieces[0]) > 1, "the whole text came in one chunk")


@check_both("with include_usage a final chunk without choices carries the plain answer's usage")
def _(c, endpoint):
    streamed = endpoint.stream(**GREEDY, stream_options={"include_usage": True})
    same("streamed usage", streamed.usage, endpoint.ask(**GREEDY).usage)


@check_both("a stream is server-sent events that end with [DONE]")
def _(c, endpoint):
    api = {"chat": c.client.chat.completions, "completions": c.client.completions}[endpoint.name]
    with api.with_streaming_response.create(stream=True, **endpoint.request(GREEDY)) as response:
        kind = response.headers.get("content-type", "")
        expect(kind.startswith("text/event-stream"), f"content-type {kind!r}")
        lines = [line for line in response.iter_lines() if line]
    same("last line", lines[-1], "data: [DONE]")
    same("number of [DONE]", lines.count("data: [DONE]"), 1)


@check_both("at temperature 1 the same seed gives the same text, another seed another text")
def _(c, endpoint):
    def sample(seed):
        return endpoint.ask(temperature=1, max_tokens=LENGTH, seed=seed).text

    first = sample(1)
    same("text of the same seed", sample(1), first)
    expect(sample(2) != first, f"seeds 1 and 2 both gave {first!r}")
    same("streamed text of the same seed",
         endpoint.stream(temperature=1, max_tokens=LENGTH, seed=1).text, first)


@check_both("n=3 gives choices 0 to 2, distinct at temperature 1, and usage counts them all")
def _(c, endpoint):
    result = endpoint.ask(n=3, temperature=1, max_tokens=LENGTH, seed=1)
    same("number of choices", len(result.texts), 3)
    same("number of distinct texts", len(set(result.texts)), 3)
    same("prompt tokens", result.usage.prompt_tokens, endpoint.ask(**GREEDY).usage.prompt_tokens)
    used, full = result.usage.completion_tokens, result.reasons.count("length")
    expect(full * LENGTH <= used <= 3 * LENGTH,
           f"completion_tokens {used} for finish reasons {result.reasons}")


@check_both("a stream of n=2 interleaves its choices by index and adds up to the plain answers")
def _(c, endpoint):
    params = {"n": 2, "temperature": 1, "max_tokens": LENGTH, "seed": 1}
    plain, streamed = endpoint.ask(**params), endpoint.stream(choices=2, **params)
    same("streamed texts", streamed.texts, plain.texts)
    same("streamed finish_reasons", streamed.reasons, plain.reasons)
    switches = sum(a != b for a, b in zip(streamed.order, streamed.order[1:]))
    expect(switches > 1, f"the choices came one after the other: {streamed.order}")


def pick_stop(pieces: List[str]) -> str:
    """A string of the answer, not at its start, split between two of its chunks where it first occurs."""
    text, cut, found = "".join(pieces), 0, []
    for piece in pieces[:-1]:
        cut += len(piece)
        for width in (3, 2, 1):
            stop = text[max(cut - width, 0) : cut + width]
            first = text.find(stop)
            if 0 < first < cut < first + len(stop) and stop.strip() and "\ufffd" not in stop:
                found.append(stop)
                break
    expect(bool(found), f"the greedy text is too repetitive to take a stop string from: {text!r}")
    return found[len(found) // 2]


@check_both("a stop string, alone or in a list, ends the text before it and never leaks, streaming or not")
def _(c, endpoint):
    whole = endpoint.stream(**GREEDY)
    stop = pick_stop(whole.pieces[0])
    wanted = whole.text[: whole.text.find(stop)]
    for value in (stop, [stop], [NEVER, stop]):
        for result in (endpoint.ask(**GREEDY, stop=value), endpoint.stream(**GREEDY, stop=value)):
            expect(not any(stop in text for text in result.texts), f"the text contains the stop string {stop!r}")
            # A leaked beginning of the stop string would make the text longer than this.
            same(f"text with stop {value!r}", result.text, wanted)
            same(f"finish_reason with stop {value!r}", result.reasons, ["stop"])


@check_both("a stop string that begins but never completes loses no text, streaming or not")
def _(c, endpoint):
    whole = endpoint.ask(**GREEDY)
    middle = len(whole.text) // 2
    stops = [whole.text[middle : middle + 2] + NEVER, whole.text[-2:] + NEVER]
    for result in (endpoint.ask(**GREEDY, stop=stops), endpoint.stream(**GREEDY, stop=stops)):
        same("text", result.text, whole.text)
        same("finish_reason", result.reasons, whole.reasons)


def check_limit(endpoint, key: str) -> None:
    request = {"temperature": 0, key: 5}
    result = endpoint.ask(**request)
    same("completion_tokens", result.usage.completion_tokens, 5)
    same("finish_reason", result.reasons, ["length"])
    expect(endpoint.ask(**GREEDY).text.startswith(result.text.rstrip("\ufffd")),
           f"{result.text!r} is not the start of the longer answer")
    streamed = endpoint.stream(**request, stream_options={"include_usage": True})
    same("streamed answer", (streamed.text, streamed.usage), (result.text, result.usage))


@check_both("max_tokens=5 gives 5 completion tokens and finish_reason length")
def _(c, endpoint):
    check_limit(endpoint, "max_tokens")


@check("chat: max_completion_tokens=5 gives 5 completion tokens and finish_reason length")
def _(c):
    check_limit(c.chat, "max_completion_tokens")


def check_prompts(c, one, other) -> None:
    """A list of two prompts answers like each alone; with n, choice p*n+k is the k-th of prompt p."""
    singles = [c.completions.ask(**GREEDY, prompt=prompt) for prompt in (one, other)]
    a, b = (single.text for single in singles)
    expect(a != b, f"two prompts gave the same text {a!r}, so their order cannot be checked")
    for n in (1, 2):
        params = {**GREEDY, "prompt": [one, other], "n": n}
        result = c.completions.ask(**params)
        same(f"texts with n={n}", result.texts, [a] * n + [b] * n)
        used = result.usage
        same(f"prompt_tokens with n={n}", used.prompt_tokens, sum(s.usage.prompt_tokens for s in singles))
        same(f"completion_tokens with n={n}", used.completion_tokens,
             n * sum(s.usage.completion_tokens for s in singles))
        streamed = c.completions.stream(choices=2 * n, stream_options={"include_usage": True}, **params)
        same(f"streamed texts with n={n}", streamed.texts, result.texts)
        same(f"streamed usage with n={n}", streamed.usage, used)


@check("completions: a list of strings is answered in order, choice p*n+k, streaming or not")
def _(c):
    check_prompts(c, PROMPT, OTHER_PROMPT)
    same("text of a list of one", c.completions.ask(**GREEDY, prompt=[PROMPT]).text,
         c.completions.ask(**GREEDY).text)


@check("completions: a list of token ids is one prompt, taken as it is, streaming or not")
def _(c):
    plain = c.completions.ask(**GREEDY, prompt=TOKENS)
    same("number of choices", len(plain.texts), 1)
    same("prompt_tokens", plain.usage.prompt_tokens, len(TOKENS))
    same("streamed text", c.completions.stream(**GREEDY, prompt=TOKENS).text, plain.text)


@check("completions: a list of lists of token ids is answered in order, choice p*n+k, streaming or not")
def _(c):
    check_prompts(c, TOKENS, OTHER_TOKENS)


@check_both("a steering vector changes the greedy text, the same way when streaming")
def _(c, endpoint):
    steered = endpoint.ask(**GREEDY, **steer(VECTOR))
    expect(steered.text != endpoint.ask(**GREEDY).text, f"steering did not change {steered.text!r}")
    same("streamed text", endpoint.stream(**GREEDY, **steer(VECTOR)).text, steered.text)


@check_both("a steering vector of strength 0 changes nothing, streaming or not")
def _(c, endpoint):
    plain, zero = endpoint.ask(**GREEDY), steer({**VECTOR, "strength": 0.0})
    same("answer", endpoint.ask(**GREEDY, **zero), plain)
    same("streamed text", endpoint.stream(**GREEDY, **zero).text, plain.text)


@check("async client: concurrent requests, steered and not, answer exactly as they do alone")
def _(c):
    variants = [{}, steer(VECTOR), steer({**VECTOR, "strength": 0.0}), steer({**VECTOR, "strength": -6.0})]
    alone = [c.chat.ask(**GREEDY, **extra).text for extra in variants]

    async def together():
        async with c.new_async_client() as client:

            async def plain(extra):
                answer = await client.chat.completions.create(**c.chat.request(GREEDY), **extra)
                return answer.choices[0].message.content

            async def streamed(extra):
                stream = await client.chat.completions.create(stream=True, **c.chat.request(GREEDY), **extra)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return await asyncio.gather(*map(plain, variants), *map(streamed, variants))

    same("concurrent answers", asyncio.run(together()), alone + alone)


@check_both("an unknown model is a NotFoundError with code model_not_found")
def _(c, endpoint):
    for name in ("no-such-model", "nobody/no-such-model@0123abc"):
        expect_error(lambda: endpoint.ask(model=name), NotFoundError,
                     code="model_not_found", mentions=[re.escape(name)])


@check_both("temperature=3 is a BadRequestError that names temperature, streaming or not")
def _(c, endpoint):
    expect_error(lambda: endpoint.ask(temperature=3), param="temperature")
    expect_error(lambda: endpoint.stream(temperature=3), param="temperature")


@check("chat: no messages is a BadRequestError that names messages")
def _(c):
    expect_error(lambda: c.chat.ask(messages=[]), param="messages")


@check("chat: an unknown role is a BadRequestError that names messages[0].role")
def _(c):
    expect_error(lambda: c.chat.ask(messages=[{"role": "narrator", "content": "Hello"}]),
                 param="messages[0].role")


@check_both("an unknown hook point is a BadRequestError that suggests the right one")
def _(c, endpoint):
    wrong = {**VECTOR, "hook_point": "blocks.2.hook_resid_pots"}
    expect_error(lambda: endpoint.ask(**steer(wrong)), under="steering",
                 mentions=[re.escape(HOOK_POINT)])


@check_both("an unknown steering key, outer or inner, is a BadRequestError that names it")
def _(c, endpoint):
    expect_error(lambda: endpoint.ask(**steer(VECTOR, strenght=2.0)), under="steering", mentions=["strenght"])
    expect_error(lambda: endpoint.ask(**steer({**VECTOR, "strenght": 2.0})), under="steering",
                 mentions=["strenght"])


@check_both("an inline vector of the wrong length is a BadRequestError that says how long it was")
def _(c, endpoint):
    short = {"hook_point": HOOK_POINT, "values": [0.5, -0.5, 0.25], "strength": 1.0}
    expect_error(lambda: endpoint.ask(**steer(short)), under="steering", mentions=[r"\b3\b"])


@check_both("an unknown vector name is a BadRequestError that names it")
def _(c, endpoint):
    unknown = {**VECTOR, "name": "no-such-vector"}
    expect_error(lambda: endpoint.ask(**steer(unknown)), under="steering", mentions=["no-such-vector"])


@check_both("a prompt beyond the context is a BadRequestError with code context_length_exceeded")
def _(c, endpoint):
    text = "sea and shore " * 20_000
    content = text if endpoint.content == "prompt" else [{"role": "user", "content": text}]
    expect_error(lambda: endpoint.ask(**{endpoint.content: content}), code="context_length_exceeded")


@check_both("stream_options without stream is a BadRequestError that names stream_options")
def _(c, endpoint):
    expect_error(lambda: endpoint.ask(stream_options={"include_usage": True}), param="stream_options")


def embed(c, text, **more) -> List[List[float]]:
    """The vectors of an input. Left alone, the client asks for base64, which its own types then reject."""
    answer = c.client.embeddings.create(model=c.model, input=text, encoding_format="float", **more)
    same("object", answer.object, "list")
    same("indexes", [item.index for item in answer.data], list(range(len(answer.data))))
    expect(answer.usage.prompt_tokens > 0, "usage counts no tokens")
    same("total_tokens", answer.usage.total_tokens, answer.usage.prompt_tokens)
    return [item.embedding for item in answer.data]


def single(number: float) -> float:
    """The float32 that a decimal was written for."""
    return struct.unpack("<f", struct.pack("<f", number))[0]


@check("embeddings: base64, which the client asks for by itself, and float are the same numbers")
def _(c):
    encoded = c.lenient.embeddings.create(model=c.model, input=[PROMPT, OTHER_PROMPT])
    plain = embed(c, [PROMPT, OTHER_PROMPT])
    same("numbers", [list(item.embedding) for item in encoded.data], [[single(x) for x in row] for row in plain])


@check("embeddings: a list answers like its texts alone, in order, and tokens are taken as they are")
def _(c):
    [one], [other] = embed(c, PROMPT), embed(c, OTHER_PROMPT)
    expect(one != other, "two texts have the same vector")
    same("vectors of a list", embed(c, [PROMPT, OTHER_PROMPT, PROMPT]), [one, other, one])
    same("vectors of token lists", embed(c, [TOKENS, OTHER_TOKENS]), embed(c, TOKENS) + embed(c, OTHER_TOKENS))


@check("embeddings: only `steering` in the body changes a vector, and `normalize` only its length")
def _(c):
    [plain], [steered] = embed(c, PROMPT), embed(c, PROMPT, **steer(VECTOR))
    expect(plain != steered, "steering changed nothing")
    same("vector of strength 0", embed(c, PROMPT, **steer({**VECTOR, "strength": 0.0})), [plain])
    [unit] = embed(c, PROMPT, extra_body={"normalize": True})
    length = math.hypot(*plain)
    expect(abs(math.hypot(*unit) - 1) < 1e-6, f"length {math.hypot(*unit)}")
    expect(all(abs(x / length - u) < 1e-6 for x, u in zip(plain, unit)), "another direction")


@check("embeddings: errors name input, dimensions and hook_point")
def _(c):
    expect_error(lambda: embed(c, ""), param="input")
    expect_error(lambda: embed(c, [PROMPT, ""]), param="input[1]")
    expect_error(lambda: embed(c, PROMPT, dimensions=3), param="dimensions", code="unsupported_value")
    expect_error(lambda: embed(c, "sea and shore " * 20_000), param="input", code="context_length_exceeded")
    expect_error(lambda: embed(c, PROMPT, extra_body={"hook_point": "blocks.2.hook_resid_pots"}),
                 param="hook_point", mentions=[re.escape(HOOK_POINT)])
    same("vectors with the right dimensions", embed(c, PROMPT, dimensions=len(embed(c, PROMPT)[0])), embed(c, PROMPT))


RESPONSE = {"input": MESSAGES[0]["content"], "temperature": 0, "max_output_tokens": LENGTH}


@check("responses: the answer is that of the chat, with its usage and its end")
def _(c):
    chat, answer = c.chat.ask(**GREEDY), c.client.responses.create(model=c.model, **RESPONSE)
    same("text", answer.output_text, chat.text)
    status = {"stop": "completed", "length": "incomplete"}[chat.reasons[0]]
    same("status", (answer.status, answer.output[0].status), (status, status))
    same("usage", (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens),
         (chat.usage.prompt_tokens, chat.usage.completion_tokens, chat.usage.total_tokens))
    items = [{"role": "user", "content": [{"type": "input_text", "text": RESPONSE["input"]}]}]
    listed = c.client.responses.create(model=c.model, **{**RESPONSE, "input": items})
    same("text of items", listed.output_text, chat.text)
    steered = c.client.responses.create(model=c.model, **RESPONSE, **steer(VECTOR)).output_text
    same("steered text", steered, c.chat.ask(**GREEDY, **steer(VECTOR)).text)


@check("responses: what was said comes back as input, and a stream adds up to the plain answer")
def _(c):
    first = c.client.responses.create(model=c.model, **RESPONSE)
    said = [{"role": "user", "content": RESPONSE["input"]}, *first.output, {"role": "user", "content": "Another."}]
    request = {**RESPONSE, "input": said, "instructions": "Tell stories.", "metadata": {"run": "1"}}
    plain = c.client.responses.create(model=c.model, **request)
    same("metadata and instructions", (plain.metadata, plain.instructions), ({"run": "1"}, "Tell stories."))
    events = list(c.client.responses.create(model=c.model, stream=True, **request))
    same("sequence numbers", [event.sequence_number for event in events], list(range(len(events))))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    same("streamed text", "".join(deltas), plain.output_text)
    same("last event", events[-1].type, f"response.{plain.status}")
    same("text of the last event", events[-1].response.output_text, plain.output_text)
    # The client's own helper knows only answers that are complete.
    request.pop("max_output_tokens")
    whole = c.client.responses.create(model=c.model, **request)
    with c.client.responses.stream(model=c.model, **request) as stream:
        same("text by the client's own helper", stream.get_final_response().output_text, whole.output_text)


@check("responses: what is thought is an item of its own, streamed like a message, and comes back as input")
def _(c):
    # What follows the tag is the model's own, unless the form is one of the whole text.
    thinks = {"reasoning_format": "deepseek", "guided_regex": "<think>Waves[.]</think>The sea[.]"}
    request = {**RESPONSE, "reasoning": {"effort": "low"}, "extra_body": thinks}
    plain = c.client.responses.create(model=c.model, **request)
    same("type of the first item", plain.output[0].type, "reasoning")
    expect(plain.output[0].content[0].text != "", "nothing was thought")
    same("effort", plain.reasoning.effort, "low")
    expect(plain.usage.output_tokens_details.reasoning_tokens > 0, "no tokens were for reasoning")
    events = list(c.client.responses.create(model=c.model, stream=True, **request))
    same("sequence numbers", [event.sequence_number for event in events], list(range(len(events))))
    same("types of streamed items", [item.type for item in events[-1].response.output],
         [item.type for item in plain.output])
    for at, item in enumerate(events[-1].response.output):
        text = plain.output[at].content[0]
        own = [event for event in events if getattr(event, "output_index", None) == at]
        deltas = [event.delta for event in own if event.type == f"response.{text.type}.delta"]
        same(f"streamed {text.type}", "".join(deltas), text.text)
        same(f"ends of {text.type}", (own[0].type, own[-1].type, own[-1].item),
             ("response.output_item.added", "response.output_item.done", item))
    said = [{"role": "user", "content": RESPONSE["input"]}, *plain.output, {"role": "user", "content": "Another."}]
    expect(c.client.responses.create(model=c.model, input=said).output_text != "", "no answer to what comes back")


@check("responses: what needs a store, and what is no text, is a BadRequestError that names it")
def _(c):
    def respond(**more):
        return c.client.responses.create(**{"model": c.model, **RESPONSE, **more})

    image = [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,", "detail": "auto"}]}]
    expect_error(lambda: respond(previous_response_id="resp_1"), param="previous_response_id",
                 code="unsupported_parameter")
    expect_error(lambda: respond(background=True), param="background", code="unsupported_parameter")
    expect_error(lambda: respond(input=image), param="input[0].content[0].type", code="unsupported_value")
    expect_error(lambda: respond(temperature=3), param="temperature")
    expect_error(lambda: respond(input="sea and shore " * 20_000), param="input", code="context_length_exceeded")
    expect_error(lambda: respond(model="no-such-model"), NotFoundError, code="model_not_found")


@check_both("after all of this the plain greedy answer is still the same")
def _(c, endpoint):
    before = endpoint.ask(**GREEDY)
    expect_error(lambda: endpoint.ask(temperature=3))
    endpoint.ask(**GREEDY, **steer(VECTOR))
    same("answer", endpoint.ask(**GREEDY), before)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--base-url", required=True, help="for example http://127.0.0.1:8080/v1")
    parser.add_argument("--api-key", default="unused", help="if the server requires one")
    parser.add_argument("--model", default="demo", help="model id to test (default: %(default)s)")
    args = parser.parse_args()

    context = Context(args.base_url, args.api_key, args.model)
    for passed, (sentence, function) in enumerate(CHECKS):
        try:
            function(context)
        except (Failed, openai.OpenAIError, ValueError) as error:  # ValueError: not JSON, or not its type
            reason = str(error)
            if not isinstance(error, Failed):
                reason = f"{type(error).__name__}: {reason}"
            if isinstance(error, openai.APIResponseValidationError):
                reason += f"\n  {error.__cause__}\n  in {error.body}"
            print(f"FAILED {sentence}\n  {reason}\n{passed} passed, 1 failed")
            return 1
        print(f"ok {sentence}", flush=True)
    print(f"{len(CHECKS)} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
