"""Samples that stand in an archive and are put into a new index, with what a manifest says of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from drumwatchd.files import Source
from drumwatchd.index.paths import to_db
from drumwatchd.index.rows import optional_to_db, source_values
from drumwatchd.index.store import Index


@dataclass(frozen=True, slots=True)
class Adopted:
    """One file of an archive.

    Attributes:
        digest: of its content.
        source: where it came from, with the size of what stands in the archive.
        path: where it stands, below the archive's root; None where it stays at its source.
        label: of its class; None in quarantine.
        fine: one of the 34, as was heard; None where nobody knows.
        confidence: of the folded label, 0 to 1.
        top: (fine label, probability), the best first.
        model: that judged.
        added: Unix time.
        mode: how it was filed.
        reason: what is known of why it stands there.
        corrected_from: the label before its owner said what it is; None where he said nothing.
    """

    digest: str
    source: Source
    path: str | None
    label: str | None
    fine: str | None
    confidence: float | None
    top: Sequence[tuple[str, float]]
    model: str | None
    added: float
    mode: str
    reason: str
    corrected_from: str | None = None


def adopt(index: Index, found: Sequence[Adopted]) -> list[bool]:
    """Put samples into the index, all of them or none; which ones weren't there already."""
    with index.transaction() as connection:
        return [_adopt(index, connection, each) for each in found]


def _adopt(index: Index, connection: sqlite3.Connection, found: Adopted) -> bool:
    state = "quarantined" if found.label is None else "filed"
    cursor = connection.execute(
        """INSERT INTO samples (digest, source, inbox, pack, name, size, mtime_ns, device, inode,
                                state, label, fine, confidence, path, mode, reason, model, added)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT (digest) DO NOTHING""",
        (
            found.digest, *source_values(found.source), state, found.label, found.fine,
            found.confidence, optional_to_db(found.path), found.mode, found.reason, found.model,
            found.added,
        ),
    )  # fmt: skip
    if not cursor.rowcount:
        return False
    if found.path is not None:
        name = to_db(found.path.rsplit("/", 1)[-1])
        connection.execute("UPDATE samples SET name = ? WHERE id = ?", (name, cursor.lastrowid))
    if state == "filed":
        connection.execute(
            "INSERT INTO analyses VALUES (?, ?, '{}', NULL)",
            (cursor.lastrowid, json.dumps([list(pair) for pair in found.top])),
        )
    if found.corrected_from is not None:
        connection.execute(
            "INSERT OR REPLACE INTO corrections VALUES (?, ?, ?, 'moved', ?, ?)",
            (found.digest, found.label, found.corrected_from, "from the manifest", found.added),
        )
    index.record(connection, found.digest, "adopted", found.path, {"reason": found.reason})
    return True
