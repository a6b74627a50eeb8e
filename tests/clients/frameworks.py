#!/usr/bin/env python3
"""Talk to a running server through LiteLLM and LangChain.

    python tests/clients/frameworks.py --base-url http://127.0.0.1:PORT/v1

One line `ok <sentence>` per check; the first failure ends the run with status 1.
"""

import os
from functools import partial

os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", LANGCHAIN_TRACING_V2="false")

import litellm  # noqa: E402  (must not ask the network for prices)
import openai  # noqa: E402
from checks import expect, options, run, same  # noqa: E402
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage  # noqa: E402
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings  # noqa: E402

STEERING = {"steering": {"vectors": [{"hook_point": "blocks.2.hook_resid_post", "name": "sea", "strength": 6.0}]}}
QUESTION = "Write a short story."
MESSAGES = [{"role": "user", "content": QUESTION}]
PROMPT = "Once upon a time"
LONG = "story " * 5000
GREEDY = {"temperature": 0, "max_tokens": 24}


class Lite:
    """Checks with LiteLLM. `provider` is what it calls a kind of server."""

    def __init__(self, arguments, provider):
        litellm.suppress_debug_info = True
        litellm.num_retries = 0
        self.model = f"{provider}/{arguments.model}"
        self.steered = f"{provider}/{arguments.steered}" if arguments.steered else None
        self.server = {"api_base": arguments.base_url, "api_key": arguments.api_key}

    def ask(self, **more):
        return litellm.completion(**{"model": self.model, "messages": MESSAGES, **GREEDY, **self.server, **more})

    def check_chat(self):
        answer = self.ask()
        text = answer.choices[0].message.content
        same("tokens", answer.usage.completion_tokens, GREEDY["max_tokens"])
        same("reason", answer.choices[0].finish_reason, "length")
        chunks = list(self.ask(stream=True, stream_options={"include_usage": True}))
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        same("streamed text", streamed, text)
        same("usage of the stream", chunks[-1].usage.total_tokens, answer.usage.total_tokens)
        steered = self.ask(extra_body=STEERING).choices[0].message.content
        expect(steered != text, "steering changes nothing")
        if self.steered:
            same("text of the steered model", self.ask(model=self.steered).choices[0].message.content, steered)
        return text[:30] + "…"

    def check_completions(self):
        name = self.model.replace("openai/", "text-completion-openai/")
        answer = litellm.text_completion(model=name, prompt=PROMPT, **GREEDY, **self.server)
        expect(answer.choices[0].text, "no text")

    def check_embeddings(self):
        answer = litellm.embedding(model=self.model, input=["The waves rolled in.", "Snow."], **self.server)
        same("embeddings", len(answer.data), 2)
        expect(answer.usage.prompt_tokens > 0, "no usage")

    def check_errors(self):
        long = [{"role": "user", "content": LONG}]
        for stream in (False, True):
            ask = partial(self.ask, messages=long, stream=stream)
            refused(litellm.ContextWindowExceededError, lambda ask=ask: list(ask()))
        refused(litellm.NotFoundError, lambda: self.ask(model=self.model.split("/")[0] + "/none"))
        refused(litellm.BadRequestError, lambda: self.ask(temperature=3))


class Lang:
    """Checks with LangChain."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.server = {"base_url": arguments.base_url, "api_key": arguments.api_key, "max_retries": 0}

    def chat(self, **more):
        return ChatOpenAI(**{"model": self.arguments.model, **GREEDY, **self.server, **more})

    def check_chat(self):
        answer = self.chat().invoke(QUESTION)
        same("tokens", answer.usage_metadata["output_tokens"], GREEDY["max_tokens"])
        chunks = list(self.chat(stream_usage=True).stream(QUESTION))
        same("streamed text", "".join(chunk.content for chunk in chunks), answer.content)
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        same("usage of the stream", whole.usage_metadata["total_tokens"], answer.usage_metadata["total_tokens"])
        talk = [SystemMessage("Be brief."), HumanMessage(QUESTION), AIMessage("Why?"), HumanMessage("Please.")]
        expect(self.chat().invoke(talk).content, "no answer to a talk")
        same("answers to a batch", [one.content for one in self.chat().batch([QUESTION] * 4)], [answer.content] * 4)
        steered = self.chat(extra_body=STEERING).invoke(QUESTION).content
        expect(steered != answer.content, "steering changes nothing")
        if self.arguments.steered:
            same("text of the steered model", self.chat(model=self.arguments.steered).invoke(QUESTION).content, steered)

    def check_logprobs(self):
        answer = self.chat(logprobs=True, top_logprobs=3).invoke(QUESTION)
        tokens = answer.response_metadata["logprobs"]["content"]
        same("text of the tokens", "".join(token["token"] for token in tokens), answer.content)

    def check_completions(self):
        served = OpenAI(model=self.arguments.model, **GREEDY, **self.server)
        text = served.invoke(PROMPT)
        same("streamed text", "".join(served.stream(PROMPT)), text)

    def check_embeddings(self):
        # Without this it would send the tokens of another model.
        served = OpenAIEmbeddings(model=self.arguments.model, check_embedding_ctx_length=False, **self.server)
        first, second = served.embed_documents(["The waves rolled in.", "Snow."])
        expect(first != second and len(first) == len(second), "embeddings are alike, or differ in length")
        same("the same text alone", len(served.embed_query("Snow.")), len(second))

    def check_errors(self):
        error = refused(openai.BadRequestError, lambda: self.chat().invoke(LONG))
        same("code", error.code, "context_length_exceeded")
        refused(openai.NotFoundError, lambda: self.chat(model="none").invoke(QUESTION))


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    except Exception as error:  # noqa: BLE001, whatever else it is is named
        expect(False, f"{type(error).__name__} instead of {kind.__name__}: {error}")
    expect(False, f"no {kind.__name__}")


def main():
    parser = options(__doc__)
    parser.add_argument("--steered", help="id of the same model, steered, such as demo@sea")
    arguments = parser.parse_args()
    checks = []
    for provider in ("openai", "hosted_vllm"):
        lite = Lite(arguments, provider)
        checks.append((f"LiteLLM chats as {provider}", lite.check_chat))
        checks.append((f"LiteLLM knows errors as {provider}, a context that is exceeded among them", lite.check_errors))
    lite, lang = Lite(arguments, "openai"), Lang(arguments)
    checks += [
        ("LiteLLM completes prompts", lite.check_completions),
        ("LangChain chats", lang.check_chat),
        ("LangChain gets log-probabilities", lang.check_logprobs),
        ("LangChain completes prompts", lang.check_completions),
        ("LangChain knows errors", lang.check_errors),
        ("LiteLLM embeds", lite.check_embeddings),
        ("LangChain embeds", lang.check_embeddings),
    ]
    run(checks, arguments.only)


if __name__ == "__main__":
    main()
