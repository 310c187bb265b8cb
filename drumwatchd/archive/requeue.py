"""Give files another chance: back from quarantine to the inbox, or looked at again where they are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drumwatchd.archive.placement import place, remove_source
from drumwatchd.errors import DrumwatchdError
from drumwatchd.files import look
from drumwatchd.index.rows import Row
from drumwatchd.index.store import Index
from drumwatchd.index.superseded import is_superseded


@dataclass(frozen=True, slots=True)
class Requeued:
    """One file, where it is to be taken from, and what stood in the way."""

    path: str
    problem: str | None = None


class Requeue:
    """Puts quarantined and failed files back on the way."""

    def __init__(self, index: Index, archive_root: str, algorithm: str) -> None:
        self._index = index
        self._root = archive_root
        self._algorithm = algorithm

    def run(self, wanted: Sequence[str] | None) -> Iterator[Requeued]:
        """Requeue what `wanted` names (paths or digest prefixes), or everything for None.

        What came whole meanwhile is taken again only by its name.
        """
        unmatched = set(wanted or ())
        for row in self._index.rows_in("quarantined"):
            names = {row.source.path, self._place(row)}
            matched = {w for w in unmatched if w in names or _is_prefix(w, row.digest)}
            if matched or (wanted is None and not is_superseded(row)):
                unmatched -= matched
                yield self._row(row)
        for path in self._index.remembered("failed"):
            if wanted is None or path in unmatched:
                unmatched.discard(path)
                self._index.forget(path)
                yield Requeued(path)
        for name in sorted(unmatched):
            yield Requeued(name, "neither quarantined nor failed")

    def _place(self, row: Row) -> str:
        return row.source.path if row.path is None else os.path.join(self._root, row.path)

    def _row(self, row: Row) -> Requeued:
        """The row goes first: a daemon that has it takes the file in the inbox for a leftover."""
        self._index.release(row, "retried", "asked for")
        problem = None if row.path is None else self._move_back(row, self._place(row))
        if problem is not None:
            self._put_back(row)
            return Requeued(self._place(row), problem)
        self._index.forget(row.source.path)
        return Requeued(row.source.path)

    def _put_back(self, row: Row) -> None:
        assert row.path is not None
        again = self._index.claim(row.source, row.digest)
        if again.won:
            reason = row.reason or ""
            self._index.reserve_quarantine(again.row.id, row.path, reason)
            self._index.quarantined(again.row, row.path, reason)

    def _move_back(self, row: Row, place_in_quarantine: str) -> str | None:
        """Move to where it came from, never over another file; return what stood in the way."""
        target = row.source.path
        quarantined = look(place_in_quarantine, os.path.dirname(place_in_quarantine))
        if quarantined is None:
            return None  # somebody took it out by hand; only the row is left
        try:
            place(quarantined, target, "move", row.digest, self._algorithm)
        except FileExistsError:
            return f"another file stands at {target}; move it first"
        except DrumwatchdError as error:
            return f"can't be moved back to {target}: {error.message}"
        return remove_source(quarantined)


def _is_prefix(text: str, digest: str) -> bool:
    return len(text) >= 4 and digest.startswith(text.lower())
