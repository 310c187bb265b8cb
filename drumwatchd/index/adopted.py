"""Samples that stand in an archive and are put into a new index, with what a manifest says of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from drumwatchd.files import Source
from drumwatchd.index.paths import to_db
from drumwatchd.index.rows import source_values
from drumwatchd.index.store import Index


@dataclass(frozen=True, slots=True)
class Adopted:
    """One file of an archive.

    Attributes:
        digest: of its content.
        source: where it came from, with the size of what stands in the archive.
        path: where it stands, below the archive's root.
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
    path: str
    label: str | None
    fine: str | None
    confidence: float | None
    top: Sequence[tuple[str, float]]
    model: str | None
    added: float
    mode: str
    reason: str
    corrected_from: str | None = None


def adopt(index: Index, found: Adopted) -> bool:
    """Put a sample into the index; False where its content is there already."""
    state = "quarantined" if found.label is None else "filed"
    name = to_db(found.path.rsplit("/", 1)[-1])
    with index.transaction() as connection:
        cursor = connection.execute(
            """INSERT INTO samples (digest, source, inbox, pack, name, size, mtime_ns, device, inode,
                                    state, label, fine, confidence, path, mode, reason, model, added)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
               ON CONFLICT (digest) DO NOTHING""",
            (
                found.digest, *source_values(found.source), state, found.label, found.fine,
                found.confidence, to_db(found.path), found.mode, found.reason, found.model,
                found.added,
            ),
        )  # fmt: skip
        if not cursor.rowcount:
            return False
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
