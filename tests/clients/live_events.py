#!/usr/bin/env python3
"""Follow a running server's live events with python-socketio, over both transports.

    python tests/clients/live_events.py --base-url http://127.0.0.1:PORT --model demo

The script loads and unloads a model again and again, follows what the server
says about it, and checks that nothing is missed which `epoch`, `seq` and
`coalesced` do not show: for clients that stay, that are cut off, that stop
reading, and for many at once.

One line `ok <sentence>` per check; the first failure ends the run with status 1.
"""

import argparse
import json
import logging
import multiprocessing
import os
import signal
import socket as sockets
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import engineio
import socketio

ENDED = {"succeeded", "failed", "cancelled", "interrupted"}
LIMIT = 30  # seconds that anything may take
TRANSPORTS = ("websocket", "polling")


class Failed(Exception):
    """A check did not hold."""


def expect(holds, message):
    if not holds:
        raise Failed(message)


def same(what, got, wanted):
    expect(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def until(what, condition, limit=LIMIT):
    """Waits until `condition` returns something, which it returns."""
    deadline = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        expect(time.monotonic() < deadline, f"{limit} s went by without {what}")
        time.sleep(0.01)


# --- The server ----------------------------------------------------------------


class Server:
    def __init__(self, base_url, model, api_key):
        self.url, self.model, self.api_key = base_url.rstrip("/"), model, api_key
        self.auth = {"token": api_key} if api_key else None

    def act(self, what):
        """Loads or unloads the model. Another check may be doing so, or have done it."""
        model = urllib.parse.quote(self.model, safe="")
        request = urllib.request.Request(
            f"{self.url}/api/models/{model}/{what}?wait=30", data=b"{}", headers={"Content-Type": "application/json"}
        )
        if self.api_key:
            request.add_header("Authorization", f"Bearer {self.api_key}")
        try:
            with urllib.request.urlopen(request, timeout=LIMIT) as response:
                return response.status
        except urllib.error.HTTPError as error:
            expect(error.code in (400, 409), f"{what} was answered {error.code}: {error.read()!r}")
            return error.code

    def work(self, follower):
        """Unloads and loads the model, until `follower` has seen both end."""
        for what in ("unload", "load"):
            before = follower.ended()
            self.act(what)
            until(f"the end of an operation to {what}", lambda: follower.ended() > before)


# --- What a client may rely on ---------------------------------------------------


class Engine(engineio.Client):
    """Handles messages one after the other. The library has a thread for each, and so loses their order."""

    def _trigger_event(self, event, *args, **options):
        return super()._trigger_event(event, *args, **{**options, "run_async": False})


class Client(socketio.Client):
    def _engineio_client_class(self):
        return Engine


class Follower:
    """A client of one namespace that checks every message it gets."""

    def __init__(self, server, transport, namespace="/progress", events=("operation",), reconnection=False):
        self.server, self.transport, self.namespace = server, transport, namespace
        self.lock = threading.Lock()
        self.snapshots, self.problems = [], []
        self.epoch = self.seq = None
        self.begun_at = self.counted = 0
        self.events, self.coalesced, self.disconnects = 0, 0, []
        self.states = {}
        self.client = Client(
            reconnection=reconnection, reconnection_delay=0.05, reconnection_delay_max=0.2, randomization_factor=0
        )
        self.client.on("snapshot", self.on_snapshot, namespace=namespace)
        self.client.on("disconnect", self.on_disconnect, namespace=namespace)
        for event in events:
            self.client.on(event, lambda data, event=event: self.on_event(event, data), namespace=namespace)

    def connect(self, auth=..., headers=None):
        self.client.connect(
            self.server.url,
            transports=[self.transport],
            namespaces=[self.namespace],
            auth=self.server.auth if auth is ... else auth,
            headers=headers or {},
            wait_timeout=LIMIT,
        )
        until("a snapshot", lambda: self.snapshots)
        return self

    def ask(self, event, *data):
        return self.client.call(event, *data, namespace=self.namespace, timeout=LIMIT)

    def on_snapshot(self, snapshot):
        with self.lock:
            self.begin(snapshot)
            self.snapshots.append(snapshot)

    def begin(self, snapshot):
        self.epoch, self.seq = snapshot["epoch"], snapshot["seq"]
        self.begun_at, self.counted = self.seq, 0
        self.states = {state["id"]: state for state in snapshot.get("operations", [])}

    def on_event(self, event, data):
        with self.lock:
            if self.seq is None:
                return self.problems.append(f"{event} came before the snapshot")
            if data["seq"] <= self.seq:
                self.problems.append(f"{event} {data['seq']} came after {self.seq}")
            self.events += 1
            self.coalesced += data["coalesced"]
            self.counted += 1 + data["coalesced"]
            self.seq = data["seq"]
            if self.counted > self.seq - self.begun_at:
                self.problems.append(f"{self.counted} states by {self.seq} since {self.begun_at}")
            if event != "operation":
                return
            state = data["operation"]
            before = self.states.get(state["id"])
            if before and before["status"] in ENDED:
                self.problems.append(f"{before} became {state}")
            if before and "n" in state:
                skipped = state["n"] - before["n"] - 1
                if skipped != data["coalesced"]:
                    self.problems.append(f"{skipped} were skipped, not {data['coalesced']}")
            self.states[state["id"]] = state

    def on_disconnect(self, reason):
        self.disconnects.append(reason)

    def ended(self):
        with self.lock:
            return sum(state["status"] in ENDED for state in self.states.values())

    def settled(self):
        """Whether every number since the snapshot is accounted for."""
        with self.lock:
            return self.counted == self.seq - self.begun_at

    def check(self):
        until("a true count", self.settled)
        with self.lock:
            same("problems", self.problems, [])

    def close(self):
        self.client.disconnect()


def truth(server):
    """What a fresh client is told."""
    fresh = Follower(server, "polling").connect()
    fresh.close()
    return fresh.snapshots[0]


def agree(server, follower):
    """What was followed is what a fresh client is told, once nothing changes any more."""

    def equal():
        snapshot = truth(server)
        with follower.lock:
            if (follower.epoch, follower.seq) != (snapshot["epoch"], snapshot["seq"]):
                return False
            for state in snapshot["operations"]:
                same("a followed operation", follower.states.get(state["id"]), state)
            return True

    until("agreement with a fresh client", equal)


# --- Checks ----------------------------------------------------------------------


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


class Relay:
    """Passes connections on to the server, and can cut them all."""

    def __init__(self, server):
        parts = urllib.parse.urlsplit(server.url)
        self.target = (parts.hostname, parts.port or 80)
        self.listener = sockets.create_server(("127.0.0.1", 0))
        self.pairs = []
        threading.Thread(target=self.accept, daemon=True).start()
        # The server compares the origin of pages with the host they call.
        self.server = Server(f"http://127.0.0.1:{self.listener.getsockname()[1]}", server.model, server.api_key)

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
                pair = (client, sockets.create_connection(self.target))
            except OSError:
                return
            self.pairs.append(pair)
            for source, sink in (pair, pair[::-1]):
                threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(sockets.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(sockets.SHUT_RDWR)
                except OSError:
                    pass


    def cut_until(self, condition):
        """Cuts, unless that was enough already: between two polls nobody notices."""
        if not condition():
            self.cut()
            time.sleep(1)
        return condition()


def check_cut(server, transport):
    relay = Relay(server)
    watching = Follower(server, "websocket").connect()
    follower = Follower(relay.server, transport, reconnection=True).connect()
    for times in range(1, 4):
        server.act("unload")
        until("a new snapshot after the cut", lambda: relay.cut_until(lambda: len(follower.snapshots) > times))
        server.act("load")
        server.work(watching)
    same("epochs", {snapshot["epoch"] for snapshot in follower.snapshots}, {follower.epoch})
    numbers = [snapshot["seq"] for snapshot in follower.snapshots]
    same("snapshots in the order of their numbers", numbers, sorted(numbers))
    expect(len(follower.disconnects) >= 3, "the client never noticed that it was cut off")
    agree(server, follower)
    follower.check()
    follower.close()
    watching.close()
    relay.listener.close()


def follow_in_process(server, transport, seconds, flood, pipe):
    """A client in a process of its own, which can be stopped."""
    follower = Follower(server, transport).connect()
    pipe.send("connected")
    deadline = time.monotonic() + seconds
    # In a flood there is always something that comes next.
    while time.monotonic() < deadline or not (flood or follower.settled()):
        time.sleep(0.05)
    pipe.send((follower.problems, follower.events, follower.coalesced, follower.disconnects, follower.seq, follower.epoch))
    follower.close()


def check_pause(server, transport, flood):
    """Stops a client as a debugger does: its kernel still takes what fits."""
    watching = Follower(server, "websocket").connect()
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=follow_in_process, args=(server, transport, 14, flood, there))
    process.start()
    same("first word", here.recv(), "connected")
    os.kill(process.pid, signal.SIGSTOP)
    began, events = time.monotonic(), watching.events
    while time.monotonic() < began + 10:
        if flood:
            time.sleep(0.2)
        else:
            server.work(watching)
    expect(watching.events > events, "others were held up")
    os.kill(process.pid, signal.SIGCONT)
    expect(here.poll(3 * LIMIT), "the client never caught up")
    problems, events, coalesced, disconnects, seq, epoch = here.recv()
    process.join()
    same("problems", problems, [])
    same("connections lost", disconnects, [])
    same("epoch", epoch, watching.epoch)
    if not flood:
        same("last number", seq, watching.seq)
    if flood:
        expect(coalesced > 0, "a client that did not read for 10 s missed nothing of a flood")
    watching.close()
    print(f"   ({transport}: {events} events, {coalesced} states coalesced)")


def check_many(server, transport, count):
    """Fewer of those that poll, which keep this machine busier than the server."""
    count = count if transport == "websocket" else count // 5
    followers = [Follower(server, transport) for _ in range(count)]
    errors, began = [], time.monotonic()

    def connect(part):
        for follower in part:
            try:
                follower.connect()
            except Exception as error:  # noqa: BLE001, whatever it is fails the check
                errors.append(repr(error))

    workers = [threading.Thread(target=connect, args=(followers[k::16],)) for k in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    same("clients that could not connect", errors[:3], [])
    connected = time.monotonic() - began
    server.work(followers[0])
    last = followers[0].seq
    for follower in followers:
        until("the last state at every client", lambda: follower.seq >= last, 2 * LIMIT)
        follower.check()
    followed = time.monotonic() - began - connected
    for follower in followers:
        follower.close()
    print(f"   ({count} connected in {connected:.1f} s, followed in {followed:.1f} s)")


def check_restart(server, transport, command):
    """Kills the server that `command` starts, and starts it again."""
    follower = Follower(server, transport, reconnection=True)
    process = start(server, command)
    try:
        follower.connect()
        server.work(follower)
        first = follower.epoch
        process.send_signal(signal.SIGKILL)
        process.wait()
        count = len(follower.snapshots)
        process = start(server, command)
        until("a snapshot of the new run", lambda: len(follower.snapshots) > count)
        expect(follower.epoch != first, "two runs have one epoch")
        server.work(follower)
        follower.check()
        agree(server, follower)
        # In an orderly way, which must not wait for clients.
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(LIMIT)
        expect(time.monotonic() - began < 5, "clients kept the server from ending")
    finally:
        process.kill()
        process.wait()
        follower.client.reconnection = False
        follower.client.shutdown()


def start(server, command):
    process = subprocess.Popen(command, shell=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ready():
        expect(process.poll() is None, f"{command[0]} ended with {process.returncode}")
        try:
            urllib.request.urlopen(f"{server.url}/readyz", timeout=LIMIT)
            return True
        except urllib.error.HTTPError as error:
            # The server of the unit tests has no such URL.
            return error.code == 404
        except OSError:
            return False

    until("the server", ready)
    return process


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--model", default="demo", help="a model that may be unloaded and loaded")
    parser.add_argument("--api-key")
    parser.add_argument("--clients", type=int, default=1000, help="how many at once [default: 1000]")
    parser.add_argument("--flood", action="store_true", help="the server publishes more than a stopped client can take")
    parser.add_argument("--only", help="run the checks whose sentence has this in it")
    parser.add_argument(
        "--restart", nargs=argparse.REMAINDER, default=[], help="the command that starts the server; no other checks run"
    )
    arguments = parser.parse_args()
    logging.disable()  # the libraries log what checks provoke
    server = Server(arguments.base_url, arguments.model, arguments.api_key)
    if arguments.restart:
        checks = [("a restarted server is noticed, and ends in spite of clients", check_restart, (arguments.restart,))]
    else:
        checks = [
            ("a client follows all operations", check_following, ()),
            ("a client sees what it chose", check_choice, ()),
            ("a client follows the system", check_system, ()),
            ("only the key opens a namespace", check_key, ()),
            ("an unknown namespace is refused", check_namespaces, ()),
            ("a foreign page is refused", check_origin, ()),
            ("a client that is cut off reconnects and misses nothing", check_cut, ()),
            ("a client that stops reading learns what it missed", check_pause, (arguments.flood,)),
            ("many clients follow at once", check_many, (arguments.clients,)),
        ]
    passed = 0
    for sentence, check, more in checks:
        if arguments.only and arguments.only not in sentence:
            continue
        for transport in TRANSPORTS:
            try:
                check(server, transport, *more)
            except Exception as error:  # noqa: BLE001, whatever it is ends the run
                print(f"FAILED {sentence} ({transport}): {error if isinstance(error, Failed) else repr(error)}")
                os._exit(1)
            passed += 1
            print(f"ok {sentence} ({transport})", flush=True)
    print(f"{passed} passed, 0 failed")
    sys.stdout.flush()
    os._exit(0)  # threads of clients would outlive it


if __name__ == "__main__":
    main()
