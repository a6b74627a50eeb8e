"""What the scripts of this folder are made of: checks that run one after the other."""

import argparse
import sys
import time


class Failed(Exception):
    """A check did not hold."""


def expect(holds, message):
    if not holds:
        raise Failed(message)


def same(what, got, wanted):
    expect(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def until(what, condition, limit=30):
    """Waits until `condition` returns something, which it returns."""
    deadline = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        expect(time.monotonic() < deadline, f"{limit} s went by without {what}")
        time.sleep(0.01)


def options(doc):
    """A parser with the options that all scripts have, described by the first line of `doc`."""
    parser = argparse.ArgumentParser(description=doc.split("\n", 1)[0])
    parser.add_argument("--base-url", required=True, help="such as http://127.0.0.1:8080/v1")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--api-key", default="none")
    parser.add_argument("--only", help="run the checks whose sentence has this in it")
    return parser


def run(checks, only=None):
    """Runs pairs of a sentence and a function, which may return figures to print. Does not return."""
    passed = 0
    for sentence, check in checks:
        if only and only not in sentence:
            continue
        try:
            figures = check()
        except Exception as error:  # noqa: BLE001, whatever it is ends the run
            print(f"FAILED {sentence}: {error if isinstance(error, Failed) else repr(error)}", flush=True)
            sys.exit(1)
        passed += 1
        print(f"ok {sentence}" + (f" ({figures})" if figures else ""), flush=True)
    print(f"{passed} passed, 0 failed")
    sys.exit(0)
