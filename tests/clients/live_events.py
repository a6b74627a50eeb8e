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
import logging
import os
import sys

from live.expect import Failed
from live.faults import check_cut, check_many, check_pause, check_restart
from live.follower import Server
from live.promises import check_choice, check_following, check_key, check_namespaces, check_origin, check_system

TRANSPORTS = ("websocket", "polling")


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
