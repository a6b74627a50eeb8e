#!/usr/bin/env python3
"""Measure what an idle server adds to the engine's own work, as a client sees it.

    python tests/clients/overhead.py --base-url http://127.0.0.1:PORT/v1

Time to first token: from sending a streamed chat to reading its first text,
less the time that the engine took for the prompt, which the last chunk tells
(`timings.prompt_ms`). And the time of `GET /v1/models`. Needs nothing but
Python. The machine should do nothing else.

Prints the figures, in milliseconds; a median over 3 ms and a 99th percentile of
the list over 5 ms end the run with status 1.
"""

import http.client
import json
import time
import urllib.parse

from checks import expect, options, run


class Server:
    """One connection that is kept, as clients keep it."""

    def __init__(self, arguments):
        self.model = arguments.model
        url = urllib.parse.urlsplit(arguments.base_url)
        self.path = url.path.rstrip("/")
        self.connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
        self.headers = {"content-type": "application/json", "authorization": f"Bearer {arguments.api_key}"}

    def models(self):
        """The milliseconds that a list takes."""
        began = time.perf_counter()
        self.connection.request("GET", f"{self.path}/models", headers=self.headers)
        answer = self.connection.getresponse()
        answer.read()
        expect(answer.status == 200, f"status {answer.status}")
        return (time.perf_counter() - began) * 1000

    def chat(self, number):
        """Until the first text, and the timings."""
        body = {
            "model": self.model, "messages": [{"role": "user", "content": f"Write story {number}."}], "max_tokens": 4,
            "temperature": 0, "stream": True, "stream_options": {"include_usage": True},
        }
        data = json.dumps(body).encode()
        began = time.perf_counter()
        self.connection.request("POST", f"{self.path}/chat/completions", data, self.headers)
        answer = self.connection.getresponse()
        first = timings = None
        while line := answer.readline():
            if first is None and b'"content":"' in line and b'"content":""' not in line:
                first = (time.perf_counter() - began) * 1000
            if b'"timings"' in line:
                timings = json.loads(line.removeprefix(b"data: "))["timings"]
        expect(first is not None and timings is not None, "no text, or no timings")
        return first, timings


def spread(values):
    """Median, 95th and 99th percentile."""
    values = sorted(values)
    return [values[min(len(values) - 1, len(values) * percent // 100)] for percent in (50, 95, 99)]


def told(name, values):
    return f"{name} " + ", ".join(f"p{at} {value:.2f}" for at, value in zip((50, 95, 99), spread(values)))


def main():
    parser = options(__doc__)
    parser.add_argument("--chats", type=int, default=200)
    parser.add_argument("--lists", type=int, default=1000)
    arguments = parser.parse_args()
    server = Server(arguments)
    for number in range(20):  # until caches are warm
        server.chat(number)
        server.models()

    def first_token():
        measured = [server.chat(number) for number in range(20, 20 + arguments.chats)]
        over = [first - timings["prompt_ms"] for first, timings in measured]
        waited = [timings["queue_ms"] for _, timings in measured]
        whole = [first for first, _ in measured]
        figures = {"first token": whole, "over the engine's prefill": over, "of which queued": waited}
        print("; ".join(told(name, values) for name, values in figures.items()))
        median = spread(over)[0]
        expect(median <= 3, f"{median:.2f} ms over the engine's own prefill at the median")

    def lists():
        times = [server.models() for _ in range(arguments.lists)]
        print(told("list of models", times))
        expect(spread(times)[2] < 5, f"{spread(times)[2]:.2f} ms for the list of models at the 99th percentile")

    run([("the first token comes in time", first_token), ("the list of models comes in time", lists)], arguments.only)


if __name__ == "__main__":
    main()
