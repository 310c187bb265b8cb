"""Files of a run that were left out, until a duplicate stands in for one.

A run's first file of a content speaks for all of its kind. Where just that one is gone by now, or was
changed, another one holds what was judged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from drumwatchd.batch import journal
from drumwatchd.batch.records import Record


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One file that was left out.

    Attributes:
        begin: of its line in the journal, bytes.
        path: of the file, absolute.
        reason: why.
        relative: where it would have gone.
    """

    begin: int
    path: str
    reason: str
    relative: str = ""


class StandIns:
    """Knows what was left out; a few words for each."""

    def __init__(self) -> None:
        self._left: dict[str, LeftOut] = {}

    def leave_out(self, digest: str, left: LeftOut) -> None:
        """Note a file; of a content that was noted before, the first one counts."""
        self._left.setdefault(digest, left)

    def found(self, digest: str) -> None:
        """A file of this content is in its place."""
        self._left.pop(digest, None)

    def first_of(self, duplicate: Record) -> LeftOut | None:
        """The file for which a duplicate could stand in; None where nobody is wanted."""
        return self._left.get(duplicate.seen.digest or "")

    @property
    def problems(self) -> list[tuple[str, str]]:
        """What is left out still, each with its reason."""
        return [(left.path, left.reason) for left in self._left.values()]


def instead(path: Path, begin: int, duplicate: Record) -> Record:
    """What the line that begins there says, of another file of the same content.

    Args:
        path: of the journal.
        begin: of the first one's line.
        duplicate: the other one.
    """
    return replace(journal.record_at(path, begin), seen=duplicate.seen)
