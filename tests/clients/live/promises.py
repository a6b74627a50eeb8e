"""What a client may rely on while all is well."""

import json
import time
import urllib.error
import urllib.request

import socketio

from .expect import LIMIT, Failed, expect, same, until
from .follower import Follower, agree


def check_following(server, transport):
    follower = Follower(server, transport).connect()
    for _ in range(3):
        server.work(follower)
    follower.check()
    agree(server, follower)
    follower.close()


def check_choice(server, transport):
    watching = Follower(server, transport).connect()
    follower = Follower(server, transport).connect()
    answer = follower.ask("subscribe", {"operations": []})
    same("operations", answer["operations"], [])
    events = follower.events
    server.work(watching)
    time.sleep(0.3)
    same("events of what was not chosen", follower.events, events)
    answer = follower.ask("unsubscribe")
    with follower.lock:
        follower.begin(answer)
    server.work(follower)
    follower.check()
    known = list(follower.states)[0]
    answer = follower.ask("subscribe", {"operations": [known]})
    same("chosen operations", [state["id"] for state in answer["operations"]], [known])
    for wrong in ({"operations": "a"}, {"operations": [1]}, {"rooms": []}, [], "all", None):
        answer = follower.ask("subscribe", wrong)
        expect(set(answer) == {"error"} and answer["error"]["message"], f"{wrong!r} was answered {answer!r}")
    watching.close()
    follower.close()


def check_system(server, transport):
    follower = Follower(server, transport, "/system", ("model", "plugin", "metrics")).connect()
    snapshot = follower.snapshots[0]
    same("lists", sorted(snapshot), ["epoch", "metrics", "models", "plugins", "seq"])
    for name in ("memory_total_bytes", "memory_available_bytes", "process_resident_bytes", "uptime_seconds"):
        expect(isinstance(snapshot["metrics"][name], int), f"{name} is {snapshot['metrics'].get(name)!r}")
    events = follower.events
    until("two measurements", lambda: follower.events >= events + 2)
    follower.check()
    answer = follower.ask("subscribe", {"events": ["plugin"]})
    same("lists", sorted(answer), ["epoch", "plugins", "seq"])
    events = follower.events
    time.sleep(4.5)
    same("events of what was not chosen", follower.events, events)
    follower.close()


def check_key(server, transport):
    if server.api_key:
        for auth, words in ((None, "API key is required"), ({"token": "wrong"}, "Incorrect API key")):
            refused = Follower(server, transport)
            reasons = []
            refused.client.on("connect_error", lambda data, reasons=reasons: reasons.append(data), namespace="/progress")
            try:
                refused.connect(auth=auth)
            except socketio.exceptions.ConnectionError:
                pass
            else:
                raise Failed(f"auth {auth!r} was let in")
            expect(words in json.dumps(reasons), f"auth {auth!r}: {reasons!r}")
            same("snapshots without a key", refused.snapshots, [])
            refused.close()
        Follower(server, transport).connect(auth={}, headers={"Authorization": f"Bearer {server.api_key}"}).close()
    Follower(server, transport).connect().close()


def check_namespaces(server, transport):
    for namespace in ("/", "/nowhere"):
        client = socketio.Client(reconnection=False)
        try:
            client.connect(server.url, transports=[transport], namespaces=[namespace], auth=server.auth)
        except socketio.exceptions.ConnectionError:
            client.disconnect()
        else:
            raise Failed(f"there is a namespace {namespace}")


def check_origin(server, transport):
    url = f"{server.url}/socket.io/?EIO=4&transport={transport}"
    for origin, refused in (("http://evil.example", True), ("null", True), (server.url, False)):
        request = urllib.request.Request(url, headers={"Origin": origin})
        if transport == "websocket":
            request.add_header("Connection", "Upgrade")
            request.add_header("Upgrade", "websocket")
            request.add_header("Sec-WebSocket-Version", "13")
            request.add_header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            if not refused:
                continue  # every other check connects like that
        try:
            status = urllib.request.urlopen(request, timeout=LIMIT).status
        except urllib.error.HTTPError as error:
            status = error.code
        same(f"status for {origin}", status, 403 if refused else 200)
