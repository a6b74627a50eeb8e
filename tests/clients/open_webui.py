#!/usr/bin/env python3
"""Put Open WebUI in front of a running server, and use it through its own API.

    python tests/clients/open_webui.py --base-url http://127.0.0.1:PORT/v1 --api-key KEY --steered demo@sea

Starts Open WebUI twice, with a data folder that is removed afterwards: with its
default settings, under which it sends 28 tools with every chat, and with those
that the README recommends. The server must require KEY, and serve nobody else.

One line `ok <sentence>` per check; the first failure ends the run with status 1.
"""

import atexit
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

from checks import expect, options, run, same, until

QUESTION = "Write a short story."
TASKS = {"title_generation": True, "tags_generation": True, "follow_up_generation": True}
OFFLINE = {
    "USE_SLIM_DOCKER": "true", "OFFLINE_MODE": "true", "HF_HUB_OFFLINE": "1", "ENABLE_VERSION_UPDATE_CHECK": "False",
    "ENABLE_PIP_INSTALL_FRONTMATTER_REQUIREMENTS": "False", "ENABLE_OLLAMA_API": "False", "WEBUI_AUTH": "False",
    "WEBUI_SECRET_KEY": "test", "ENABLE_PERSISTENT_CONFIG": "False", "RAG_EMBEDDING_ENGINE": "openai",
}
# Greedy, so that answers can be compared; and prompts for titles that fit a tiny model's context.
COMPARABLE = {
    "DEFAULT_MODEL_PARAMS": '{"temperature": 0}', "ENABLE_FOLLOW_UP_GENERATION": "False",
    "TASK_MODEL_PARAMS": '{"max_tokens": 200, "temperature": 0}',
    "TITLE_GENERATION_PROMPT_TEMPLATE": "Tell the title. {{MESSAGES:END:1}}",
    "TAGS_GENERATION_PROMPT_TEMPLATE": "Tell the tags. {{MESSAGES:END:1}}",
}
CONNECTION = {
    "enable": True, "provider": "llama.cpp", "connection_type": "local", "headers": {"X-Millm-Task": "{{TASK}}"},
}
RECOMMENDED = {
    "DEFAULT_MODEL_METADATA": '{"capabilities": {"builtin_tools": false, "usage": true}}',
    "OPENAI_API_CONFIGS": json.dumps({"0": CONNECTION}),
}


def request(url, body=None, key=None, method=None):
    """Status and body of the answer."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=120) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text.decode()


class WebUI:
    """A running Open WebUI, and the server behind it."""

    def __init__(self, arguments, settings):
        self.arguments = arguments
        self.root = arguments.base_url.rstrip("/").removesuffix("/v1")
        self.folder = tempfile.mkdtemp()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        environment = {
            **os.environ, **OFFLINE, **COMPARABLE, **settings, "DATA_DIR": self.folder,
            "OPENAI_API_BASE_URLS": arguments.base_url, "OPENAI_API_KEYS": arguments.api_key,
        }
        command = [Path(sys.executable).parent / "open-webui", "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        with open(Path(self.folder) / "log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, env=environment, cwd=self.folder, stdout=log, stderr=log)
        atexit.register(self.stop)

        def ready():
            expect(self.process.poll() is None, f"Open WebUI ended: {Path(self.folder, 'log').read_text()[-2000:]}")
            try:
                return request(f"http://127.0.0.1:{self.port}/health")[0] == 200
            except OSError:
                time.sleep(0.5)

        until("Open WebUI", ready, 300)
        self.token = None
        self.token = self.call("/api/v1/auths/signin", {"email": "", "password": ""})["token"]
        self.models = [model["id"] for model in self.call("/api/models")["data"]]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, path, body=None, method=None):
        return request(f"http://127.0.0.1:{self.port}{path}", body, self.token, method)

    def call(self, path, body=None):
        status, answer = self.ask(path, body)
        expect(status == 200, f"{path} was answered {status}: {answer}")
        return answer

    def server(self, path):
        status, answer = request(self.root + path, key=self.arguments.api_key)
        same(f"status of {path}", status, 200)
        return answer["data"]

    def say(self, models, content=QUESTION, **more):
        """What its page does when somebody writes: a chat with one answer per model."""
        asked = str(uuid.uuid4())
        answers = [
            {"model_id": model, "message_id": str(uuid.uuid4()), "modelIdx": at} for at, model in enumerate(models)
        ]
        user = {"id": asked, "parentId": None, "role": "user", "content": content, "models": models, "timestamp": 0}
        told = self.call("/api/chat/completions", {
            "model": models[0], "messages": [{"role": "user", "content": content}], "stream": True, "parent_id": None,
            "session_id": "session", "message_ids": answers, "user_message": user, "background_tasks": TASKS, **more,
        })
        expect(told.get("chat_id"), f"no chat: {told}")
        return told

    def answers(self, chat):
        """The answers of a chat in order of their models, once all are done."""

        def done():
            messages = self.call(f"/api/v1/chats/{chat}")["chat"]["history"]["messages"].values()
            found = [one for one in messages if one["role"] == "assistant"]
            found.sort(key=lambda one: one.get("modelIdx", 0))
            return found if all(one.get("done") for one in found) else time.sleep(0.1)

        return until("the answers", done, 60)

    def check_models(self):
        for model in (self.arguments.model, self.arguments.steered):
            expect(model in self.models, f"{model} is not among {self.models}")
        return f"{len(self.models)} models"

    def check_key(self):
        status, answer = self.ask("/openai/verify", {"url": self.arguments.base_url, "key": self.arguments.api_key})
        same("status with the key", status, 200)
        expect(answer["data"], "no models")
        status, answer = self.ask("/openai/verify", {"url": self.arguments.base_url, "key": "wrong"})
        same("status with another key", status, 401)
        expect("Incorrect API key" in answer["error"]["message"], f"{answer}")

    def check_proxy(self):
        body = {"model": self.arguments.model, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 24}
        whole = self.call("/api/chat/completions", {**body, "stream": False})["choices"][0]["message"]["content"]
        lines = self.call("/api/chat/completions", {**body, "stream": True}).splitlines()
        chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])
        same("streamed text", text, whole)

    def check_side_by_side(self):
        models = [self.arguments.model, self.arguments.steered]
        plain, steered = self.answers(self.say(models)["chat_id"])
        for answer in (plain, steered):
            expect(answer["content"] and not answer.get("error"), f"{answer}")
        expect(plain["content"] != steered["content"], "both models say the same")
        same("the answer alone", self.answers(self.say(models[:1])["chat_id"])[0]["content"], plain["content"])
        return f"{plain['content'][:40]}… | {steered['content'][:40]}…"

    def check_error(self):
        (answer,) = self.answers(self.say([self.arguments.model], "story " * 3000)["chat_id"])
        expect("maximum context length" in json.dumps(answer.get("error")), f"the error shown is {answer.get('error')}")

    def check_stop(self):
        # More than a page asks for, so that there is time to stop it.
        told = self.say([self.arguments.model], n=4, ignore_eos=True, max_tokens=480)
        until("the request", lambda: self.server("/api/requests")["items"])
        asked = time.monotonic()
        self.call(f"/api/tasks/chat/{told['chat_id']}/stop", {})
        stopped = time.monotonic()
        until("an end of the request", lambda: not self.server("/api/requests")["items"])
        took = time.monotonic() - stopped
        expect(took < 1, f"the request ended {took:.2f} s after it was stopped")
        return f"{took * 1000:.0f} ms, after {(stopped - asked) * 1000:.0f} ms in Open WebUI"

    def check_left(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = {
            "model": self.arguments.model, "messages": [{"role": "user", "content": QUESTION}], "stream": True, "n": 32,
            "ignore_eos": True, "max_tokens": 480,
        }
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.token}"}
        connection.request("POST", "/api/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        answer.readline()
        expect(self.server("/api/requests")["items"], "the request ended too early for this check")
        began = time.monotonic()
        answer.close()
        connection.close()
        until("an end of the request", lambda: not self.server("/api/requests")["items"])
        took = time.monotonic() - began
        expect(took < 1, f"the request ended {took:.2f} s after its client left")
        return f"{took * 1000:.0f} ms"

    def check_tasks(self):
        """Its tasks answer as the unsteered model does, also for the steered one."""
        for kind in ("title", "tags"):
            texts = []
            for model in (self.arguments.model, self.arguments.steered):
                body = {"model": model, "messages": [{"role": "user", "content": QUESTION}]}
                answer = self.call(f"/api/v1/tasks/{kind}/completions", body)
                same("model that was asked", answer["model"], model)
                texts.append(answer["choices"][0]["message"]["content"])
            same(f"{kind} of the steered model", texts[1], texts[0])

    def check_usage(self):
        body = {"model": self.arguments.model, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0}
        status, whole = request(f"{self.root}/v1/chat/completions", body, self.arguments.api_key)
        same("status", status, 200)
        (answer,) = self.answers(self.say([self.arguments.model])["chat_id"])
        for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
            same(f"{name} that the page shows", answer["usage"][name], whole["usage"][name])

    def check_page(self):
        """What a browser shows, which must be what its API says, and come from nowhere else."""
        models = [self.arguments.model, self.arguments.steered]
        command = ["node", Path(__file__).parent / "open_webui_page.js", f"http://127.0.0.1:{self.port}"]
        command += [self.arguments.chromium, ",".join(models), self.arguments.screenshot]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        same(f"status of the browser, which said {ran.stderr}", ran.returncode, 0)
        shown = json.loads(ran.stdout)
        same("what the page gets from elsewhere", shown["foreign"], [])
        said = [answer["content"] for answer in self.answers(self.say(models)["chat_id"])]
        shown = [" ".join(text.split()) for text in shown["answers"]]
        same("answers", shown, [" ".join(text.split()) for text in said])
        return self.arguments.screenshot

    def check_loading(self):
        model = {"model": self.arguments.model}
        self.call("/openai/models/0/unload", model)
        until("the model to be unloaded", lambda: self.listed() == "unloaded" or time.sleep(0.1))
        self.call("/openai/models/0/load", model)
        until("the model to be loaded", lambda: self.listed() == "loaded" or time.sleep(0.1))
        expect(self.answers(self.say([self.arguments.model])["chat_id"])[0]["content"], "no answer afterwards")

    def listed(self):
        """The state of the model as its catalogue has it."""
        catalog = self.call("/openai/models/0/catalog")["data"]
        (item,) = (one for one in catalog if one["id"] == self.arguments.model)
        return item["status"]["value"]


def main():
    parser = options(__doc__)
    parser.add_argument("--steered", default="demo@sea", help="id of the same model, steered [default: demo@sea]")
    parser.add_argument("--chromium", help="program of a Chromium, which then opens the page of Open WebUI")
    parser.add_argument("--screenshot", default="open_webui.png", help="file for it [default: open_webui.png]")
    arguments = parser.parse_args()
    current = []

    def started(settings):
        def start():
            if current:
                current.pop().stop()
            current.append(WebUI(arguments, settings))

        return start

    def on(check):
        return lambda: check(current[0])

    both = [
        ("it lists the models", on(WebUI.check_models)),
        ("it verifies the key", on(WebUI.check_key)),
        ("it passes chats on", on(WebUI.check_proxy)),
        ("its page shows two models side by side", on(WebUI.check_side_by_side)),
        ("its page shows errors", on(WebUI.check_error)),
    ]
    ours = [
        ("stopping an answer frees its place", on(WebUI.check_stop)),
        ("leaving an answer frees its place", on(WebUI.check_left)),
        ("titles and tags are not steered", on(WebUI.check_tasks)),
        ("usage is counted once", on(WebUI.check_usage)),
        ("it unloads and loads models", on(WebUI.check_loading)),
    ]
    if arguments.chromium:
        ours.append(("a browser shows its page", on(WebUI.check_page)))
    checks = []
    for name, settings, more in (("default", {}, []), ("recommended", RECOMMENDED, ours)):
        checks.append((f"Open WebUI starts with {name} settings", started(settings)))
        chosen = [pair for pair in both + more if not arguments.only or arguments.only in pair[0]]
        checks += [(f"{sentence} ({name} settings)", check) for sentence, check in chosen]
    run(checks)


if __name__ == "__main__":
    main()
