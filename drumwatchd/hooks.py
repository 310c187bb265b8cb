"""Programs of the owner's own that are started when something happened.

A hook gets the event as JSON on its standard input; no shell is between. Hooks run one after the other on a
thread of their own: filing never waits for them. One that takes too long is killed with all it started.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from drumwatchd.bulletin import Event
from drumwatchd.log import get_logger

SCHEMA = 1
# So many events may wait; a pack of thousands goes on being filed while a slow hook is behind.
MOST_WAITING = 1_000
SAID_BYTES = 500
# A hook that is killed may have one more after it; what ran away from it is not waited for.
ENDINGS = 10

log = get_logger()


@dataclass(frozen=True, slots=True)
class Hook:
    """One program.

    Attributes:
        events: that it is started for.
        command: program and arguments.
        timeout_seconds: after which it is killed.
    """

    events: frozenset[str]
    command: tuple[str, ...]
    timeout_seconds: float


class Hooks:
    """Runs hooks; `stop` ends what runs."""

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self.dropped = 0
        self._hooks = [hook for hook in hooks if hook.command and hook.events]
        self._events: queue.Queue[Event | None] = queue.Queue(MOST_WAITING)
        self._deadline: float | None = None
        self._running: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="hooks", daemon=True)
        if self._hooks:
            self._thread.start()

    def take(self, event: Event) -> None:
        """Note an event; from any thread, at once."""
        if not any(event.kind in hook.events for hook in self._hooks):
            return
        try:
            self._events.put_nowait(event)
        except queue.Full:
            self.dropped += 1
            if self.dropped == 1:
                log.warning("hooks are behind, events are left out", waiting=MOST_WAITING)

    def stop(self, seconds: float) -> None:
        """Let those that run or wait have so long, then end them."""
        if not self._thread.is_alive():
            return
        self._deadline = time.monotonic() + seconds
        with contextlib.suppress(queue.Full):  # the deadline ends it, then
            self._events.put(None, timeout=seconds)
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        for _ in range(ENDINGS):
            if (running := self._running) is not None:
                _end(running)
            self._thread.join(0.1)
        left = self._events.qsize()
        if left or self.dropped:
            log.warning("events that no hook heard of", left=left, dropped=self.dropped)

    def _run(self) -> None:
        while (event := self._events.get()) is not None:
            for hook in self._hooks:
                if self._is_over:
                    return
                if event.kind in hook.events:
                    self._start(hook, event)

    @property
    def _is_over(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _start(self, hook: Hook, event: Event) -> None:
        try:
            process = subprocess.Popen(
                hook.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,  # to be killed with all that it starts
            )
        except (OSError, ValueError) as error:
            log.warning("hook failed", command=hook.command[0], reason=str(error))
            return
        started, self._running = time.monotonic(), process
        try:
            _, said = process.communicate(as_json(event), timeout=hook.timeout_seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            said = b""
        finally:
            process.wait()
            self._running = None
            for stream in (process.stdin, process.stderr):
                if stream is not None:
                    stream.close()
        if process.returncode == -signal.SIGKILL:
            seconds = round(time.monotonic() - started, 1)
            log.warning("hook killed", command=hook.command[0], after_seconds=seconds)
        elif process.returncode:
            reason = said[:SAID_BYTES].decode("utf-8", "replace").strip()
            log.warning("hook failed", command=hook.command[0], exit_code=process.returncode,
                        reason=reason)  # fmt: skip


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a hook, with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def as_json(event: Event) -> bytes:
    """What a hook reads: one object on one line; bytes of names that aren't UTF-8 escaped as in Python."""
    at = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds")
    said = {"schema": SCHEMA, "event": event.kind, "at": at, **event.fields}
    return (json.dumps(said) + "\n").encode()
