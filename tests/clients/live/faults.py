"""What a client may rely on when it is cut off, stopped or one of many, and when the server dies."""

import multiprocessing
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

from .expect import LIMIT, expect, same, until
from .follower import Follower, agree
from .relay import Relay


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
