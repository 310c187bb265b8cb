"""End a wait, from any thread and from a signal handler.

A `threading.Event` can't be set there: a handler may run in the very thread that waits, while that
holds the event's lock, and then waits for itself for ever.

References:
    https://docs.python.org/3/library/queue.html#simplequeue-objects: `put` is reentrant.
"""

from __future__ import annotations

import contextlib
import queue


class Wake:
    """A flag that one thread waits for and clears, and all others set."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """End the wait, or the next one."""
        if self._queue.empty():
            self._queue.put(None)

    def wait(self, seconds: float) -> None:
        """Wait until it is set, at most for so long."""
        with contextlib.suppress(queue.Empty):
            self._queue.get(timeout=seconds)

    def clear(self) -> None:
        """Forget what was set before now."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
