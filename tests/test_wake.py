"""A signal ends the wait whatever it interrupts."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

from drumwatchd.wake import Wake

# Signals by the thousand, each to the thread that waits: some come while it enters or leaves the wait.
STORM = """
import signal, time
from drumwatchd.wake import Wake
wake, count = Wake(), 0
def handler(number, frame):
    global count
    count += 1
    wake.set()
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 1e-5, 5e-5)
end = time.monotonic() + 1
while time.monotonic() < end:
    wake.wait(0.001)
    wake.clear()
signal.setitimer(signal.ITIMER_REAL, 0)
assert count > 100, count
"""


def test_signals_by_the_thousand_block_nothing() -> None:
    """None of them waits for a lock that the interrupted thread holds."""
    subprocess.run([sys.executable, "-c", STORM], check=True, timeout=30)


def test_what_was_set_before_ends_the_next_wait() -> None:
    """It isn't lost, and is cleared once."""
    wake = Wake()
    wake.set()
    wake.set()
    started = time.monotonic()
    wake.wait(20)
    wake.clear()
    wake.wait(0.01)
    assert 0.01 <= time.monotonic() - started < 10


def test_another_thread_ends_the_wait() -> None:
    """At once."""
    wake = Wake()
    started = time.monotonic()
    threading.Timer(0.05, wake.set).start()
    wake.wait(20)
    assert time.monotonic() - started < 10
