"""When is a file finished? Pure: time is passed in, and so is every look at a file.

A file is finished when its size and modification time have stood still for `settle_seconds`,
counted from the first look that saw them so. A file whose header promises more bytes than there
are is given `PATIENCE` times as long: its writer is probably only slow.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from drumwatchd.files import Source

PATIENCE = 5.0
MIN_PATIENCE_SECONDS = 10.0


@dataclass(slots=True)
class _Pending:
    source: Source
    still_since: float
    first_seen: float
    settle_seconds: float


class Settling:
    """The files that were seen and are not known to be finished yet."""

    def __init__(self) -> None:
        self._pending: dict[str, _Pending] = {}
        self._due: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, path: str) -> bool:
        return path in self._pending

    def observe(self, source: Source, now: float, settle_seconds: float) -> None:
        """Take note of a look at a file; a change starts its wait anew."""
        known = self._pending.get(source.path)
        if known is None:
            self._pending[source.path] = _Pending(source, now, now, settle_seconds)
            heapq.heappush(self._due, (now + settle_seconds, source.path))
        elif known.source != source:
            known.source, known.still_since = source, now

    def drop(self, path: str) -> None:
        """Forget a file that is gone."""
        self._pending.pop(path, None)

    def next_due(self) -> float | None:
        """When the next file may be finished."""
        return self._due[0][0] if self._due else None

    def oldest(self) -> float | None:
        """When the file that waits longest was first seen."""
        return min((pending.first_seen for pending in self._pending.values()), default=None)

    def take_finished(
        self,
        now: float,
        look: Callable[[Source], Source | None],
        looks_incomplete: Callable[[Source], bool],
        *,
        limit: int,
    ) -> list[Source]:
        """Remove and return up to `limit` files that are finished by `now`.

        Args:
            now: the same clock as in `observe`.
            look: looks at the file again; None when it is gone.
            looks_incomplete: whether its header promises more than is there.
        """
        finished: list[Source] = []
        while self._due and self._due[0][0] <= now and len(finished) < limit:
            _, path = heapq.heappop(self._due)
            pending = self._pending.get(path)
            if pending is None:
                continue
            current = look(pending.source)
            if current is None:
                del self._pending[path]
                continue
            if current != pending.source:
                pending.source, pending.still_since = current, now
            due = pending.still_since + pending.settle_seconds
            if due <= now and looks_incomplete(current):
                due = pending.still_since + patience_seconds(pending.settle_seconds)
            if due <= now:
                del self._pending[path]
                finished.append(current)
            else:
                heapq.heappush(self._due, (due, path))
        return finished


def patience_seconds(settle_seconds: float) -> float:
    """How long a file with a promising header may stand still before it is taken as it is."""
    return max(MIN_PATIENCE_SECONDS, PATIENCE * settle_seconds)


def promised_size(header: bytes) -> int | None:
    """Bytes that a RIFF or AIFF header says the file has; None where it says nothing usable.

    Streaming writers leave 0 or all ones in the size field, which promises nothing.

    Args:
        header: the file's first 12 bytes.
    """
    if len(header) < 12:
        return None
    if header[:4] == b"RIFF" and header[8:12] == b"WAVE":
        size = int.from_bytes(header[4:8], "little")
    elif header[:4] == b"FORM" and header[8:12] in (b"AIFF", b"AIFC"):
        size = int.from_bytes(header[4:8], "big")
    else:
        return None
    return None if size in (0, 0xFFFFFFFF) else size + 8
