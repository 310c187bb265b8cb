"""What samples are judged as, replaced as a whole: by another model, or back from its batch.

A sample that moves with its new judgement keeps both in its row until it is there (``becomes``), so
that whoever finishes the move can finish the judgement with it. None of this is a correction.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from drumwatchd.analysis.result import Verdict
from drumwatchd.index.paths import from_db, to_db
from drumwatchd.index.rows import Row, optional_to_db
from drumwatchd.index.store import Index

Happening = Literal["reclassified", "reclassification taken back"]
BATCH = "reclassification"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a sample is held to be, and by which model; as the index has it."""

    label: str
    fine: str | None
    confidence: float | None
    reason: str
    review: str | None
    tag: str | None
    model: str | None
    top: list[list[Any]]
    probabilities: dict[str, float]

    @classmethod
    def of(cls, verdict: Verdict, model: str) -> Judgement:
        """A verdict as it is written down."""
        return cls(
            verdict.label, verdict.fine, verdict.confidence, verdict.reason, verdict.review,
            verdict.tag, model,
            [[label, round(p, 6)] for label, p in verdict.top],
            {label: round(p, 6) for label, p in verdict.probabilities.items()},
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moved:
    """One sample that a batch filed elsewhere.

    Attributes:
        digest: of its content.
        label: what it has been since.
        path: where it was put.
        stood: where it was before.
        was: how it was judged before.
    """

    digest: str
    label: str
    path: str | None
    stood: str | None
    was: Judgement


class Rejudged:
    """Batches in the index; every public method is one transaction."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def begin_batch(self, model: str, query: str) -> int:
        """Write down that a batch begins; return its number."""
        with self._index.transaction() as connection:
            self._index.record(connection, None, BATCH, None, {"model": model, "query": query})
            return int(connection.execute("SELECT last_insert_rowid()").fetchone()[0])

    def last_batch(self) -> int | None:
        """The number of the newest batch."""
        query = "SELECT max(id) FROM history WHERE event = ?"
        with self._index.reading() as connection:
            found: int | None = connection.execute(query, (BATCH,)).fetchone()[0]
        return found

    def batches_since(self, moment: float) -> list[int]:
        """The numbers of the batches since a moment, the newest first."""
        query = "SELECT id FROM history WHERE event = ? AND at >= ? ORDER BY id DESC"
        with self._index.reading() as connection:
            return [number for (number,) in connection.execute(query, (BATCH, moment))]

    def is_batch(self, batch: int) -> bool:
        """Whether there was one of this number."""
        query = "SELECT 1 FROM history WHERE id = ? AND event = ?"
        with self._index.reading() as connection:
            return connection.execute(query, (batch, BATCH)).fetchone() is not None

    def moved_by(self, batch: int) -> list[Moved]:
        """What a batch moved, and no later one did, nor was taken back; the oldest first."""
        events: tuple[Happening, ...] = ("reclassified", "reclassification taken back")
        found: dict[str, tuple[Any, str]] = {}
        with self._index.reading() as connection:
            query = """SELECT digest, event, path, detail FROM history
                       WHERE event IN (?, ?) AND id > ? ORDER BY id"""
            for digest, event, path, detail in connection.execute(query, (*events, batch)):
                found.pop(digest, None)
                if event == events[0] and json.loads(detail)["batch"] == batch:
                    found[digest] = (path, detail)
        return [_moved(digest, path, json.loads(text)) for digest, (path, text) in found.items()]

    def begin(
        self, row: Row, now: Judgement, batch: int, happening: Happening, target: str
    ) -> bool:
        """Write down what a sample will be, and where its file will be moved, before it is.

        Returns:
            False where the row has changed meanwhile, or its owner said what it is.
        """
        text = json.dumps({"batch": batch, "event": happening, **asdict(now)})
        with self._index.transaction() as connection:
            done = connection.execute(
                f"UPDATE samples SET moving_to = ?, becomes = ? WHERE {_UNCHANGED}",  # noqa: S608 - constant text
                (to_db(target), text, *_identity(row)),
            )
            return done.rowcount == 1

    def stay(self, row: Row, now: Judgement, batch: int, happening: Happening) -> bool:
        """As `begin`, of a sample whose file stays where it is."""
        text = json.dumps({"batch": batch, "event": happening, **asdict(now)})
        with self._index.transaction() as connection:
            found = connection.execute(
                f"SELECT 1 FROM samples WHERE {_UNCHANGED}",  # noqa: S608 - constant text
                _identity(row),
            ).fetchone()
            if found is None:
                return False
            label, reason = take_over(self._index, connection, row, row.path, text)
            connection.execute(
                "UPDATE samples SET label = ?, reason = ? WHERE id = ?", (label, reason, row.id)
            )
            self._index.outdate_manifests(connection, filter(None, {row.label, label}))
        return True


# A row as it was read; what its owner said meanwhile holds.
_UNCHANGED = """id = ? AND digest = ? AND path IS ? AND label IS ? AND state = 'filed'
    AND missing IS NULL AND moving_to IS NULL AND digest NOT IN (SELECT digest FROM corrections)"""


def _identity(row: Row) -> tuple[Any, ...]:
    return (row.id, row.digest, optional_to_db(row.path), row.label)


def take_over(
    index: Index, connection: sqlite3.Connection, row: Row, target: str | None, becomes: str
) -> tuple[str, str]:
    """As a part of a transaction: judge a sample as was planned, and record that it stands there.

    Returns:
        The label and the reason, which are its caller's to write.
    """
    planned = json.loads(becomes)
    batch, event = planned.pop("batch"), planned.pop("event")
    now, was = Judgement(**planned), _judgement(connection, row)
    connection.execute(
        """UPDATE samples SET fine = ?, confidence = ?, review = ?, tag = ?, model = ?
           WHERE id = ?""",
        (now.fine, now.confidence, now.review, now.tag, now.model, row.id),
    )
    connection.execute(
        "UPDATE analyses SET top = ?, probabilities = ? WHERE sample_id = ?",
        (json.dumps(now.top), json.dumps(now.probabilities), row.id),
    )
    detail = {"batch": batch, "from": was.label, "to": now.label, "stood": row.path}
    if event == "reclassified":
        detail |= {"model": now.model, "was": asdict(was)}
    index.record(connection, row.digest, event, target, detail)
    return now.label, now.reason


def _judgement(connection: sqlite3.Connection, row: Row) -> Judgement:
    names = [field.name for field in fields(Judgement)]
    values = connection.execute(
        f"SELECT {', '.join(names)} FROM samples JOIN analyses ON sample_id = id WHERE id = ?",  # noqa: S608 - our own names
        (row.id,),
    ).fetchone()
    found = dict(zip(names, values, strict=True))
    return Judgement(
        **found
        | {"top": json.loads(found["top"]), "probabilities": json.loads(found["probabilities"])}
    )


def _moved(digest: str, path: Any, detail: dict[str, Any]) -> Moved:
    return Moved(
        digest=digest,
        label=detail["to"],
        path=None if path is None else from_db(path),
        stood=detail["stood"],
        was=Judgement(**detail["was"]),
    )
