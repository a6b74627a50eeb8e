"""What checks are made of."""

import time

LIMIT = 30  # seconds that anything may take


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
