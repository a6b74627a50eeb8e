"""A server, and clients that hold everything it tells them against what it promises."""

import threading
import urllib.error
import urllib.parse
import urllib.request

import engineio
import socketio

from .expect import LIMIT, expect, same, until

ENDED = {"succeeded", "failed", "cancelled", "interrupted"}


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
