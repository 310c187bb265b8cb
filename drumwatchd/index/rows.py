"""A sample's row as the writer hands it out, and the way to and from its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drumwatchd.files import Source
from drumwatchd.index.paths import from_db, to_db

SAMPLE_COLUMNS = """id, digest, state, label, path, source, inbox, size, mtime_ns, device, inode,
    mode, reason, added, missing, moving_to"""


@dataclass(frozen=True, slots=True)
class Row:
    """A sample's row, as the pipeline and recovery need it."""

    id: int
    digest: str
    state: str
    label: str | None
    path: str | None
    source: Source
    mode: str | None
    reason: str | None
    added: float
    missing: float | None = None
    moving_to: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim: a new row, or the row that had the content first."""

    row: Row
    won: bool


def source_values(source: Source) -> Sequence[object]:
    """The columns source, inbox, pack, name, size, mtime_ns, device, inode."""
    return (
        to_db(source.path), to_db(source.inbox), to_db(source.pack), to_db(source.name),
        source.size, source.mtime_ns, source.device, source.inode,
    )  # fmt: skip


def optional_to_db(path: str | None) -> str | bytes | None:
    """As `to_db`; None stays None."""
    return None if path is None else to_db(path)


def row_from_values(values: Sequence[Any]) -> Row:
    """A row from the values of `SAMPLE_COLUMNS`."""
    row_id, digest, state, label, path, source, inbox, *rest = values
    *identity, mode, reason, added, missing, moving_to = rest
    return Row(
        id=row_id,
        digest=digest,
        state=state,
        label=label,
        path=None if path is None else from_db(path),
        source=Source(from_db(source), from_db(inbox), *identity),
        mode=mode,
        reason=reason,
        added=added,
        missing=missing,
        moving_to=None if moving_to is None else from_db(moving_to),
    )
