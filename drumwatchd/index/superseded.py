"""Beginnings of files that came whole later, as truncated uploads do: the index's part.

Such a sample is set aside, with its reason, and never deleted. What its owner said of it holds for the
whole file.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from drumwatchd.files import Source
from drumwatchd.index.paths import to_db
from drumwatchd.index.rows import SAMPLE_COLUMNS, Row, optional_to_db, row_from_values
from drumwatchd.index.store import Index

EVENT = "superseded"


@dataclass(frozen=True, slots=True)
class Whole:
    """What came whole: the name of its file, and its digest."""

    name: str
    digest: str

    @property
    def reason(self) -> str:
        """Why its beginning is no sample any more."""
        short = self.digest[:12]
        return f"{EVENT}: it is the beginning of {self.name}, which came whole later ({short})"


class Superseded:
    """Every public method is one transaction."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def smaller_from(self, source: Source) -> list[Row]:
        """What came under the same name in the same folder, and is smaller; the smallest first."""
        with self._index.reading() as connection:
            found = connection.execute(
                f"""SELECT {SAMPLE_COLUMNS} FROM samples WHERE source = ? AND size < ?
                    AND state IN ('filed', 'quarantined') AND missing IS NULL AND moving_to IS NULL
                    ORDER BY size""",  # noqa: S608 - constant text
                (to_db(source.path), source.size),
            ).fetchall()
        return [row for row in map(row_from_values, found) if not is_superseded(row)]

    def carry_word(self, row: Row, digest: str) -> None:
        """What the owner said of a beginning, he said of the whole; unless he said something of that."""
        with self._index.transaction() as connection:
            connection.execute(
                """INSERT OR IGNORE INTO corrections
                   SELECT ?, label, was, how, note, at FROM corrections WHERE digest = ?""",
                (digest, row.digest),
            )

    def begin(self, row: Row, whole: Whole, target: str) -> bool:
        """Write down that a beginning is going to its place in quarantine, before it goes.

        Returns:
            False where the row has changed meanwhile, and nothing was recorded.
        """
        becomes = json.dumps({"event": EVENT, "by": whole.digest, "reason": whole.reason})
        with self._index.transaction() as connection:
            done = connection.execute(
                """UPDATE samples SET moving_to = ?, becomes = ? WHERE id = ? AND digest = ?
                   AND path = ? AND state = 'filed' AND missing IS NULL AND moving_to IS NULL""",
                (to_db(target), becomes, row.id, row.digest, optional_to_db(row.path)),
            )
        return done.rowcount == 1

    def stay(self, row: Row, whole: Whole) -> None:
        """A beginning that couldn't be judged is set aside already: say what it was."""
        with self._index.transaction() as connection:
            done = connection.execute(
                """UPDATE samples SET reason = ?, retained = 0
                   WHERE id = ? AND state = 'quarantined'""",
                (whole.reason, row.id),
            )
            if done.rowcount:
                detail = {"by": whole.digest, "stood": row.path}
                self._index.record(connection, row.digest, EVENT, row.path, detail)


def arrive(
    index: Index, connection: sqlite3.Connection, row: Row, target: str, becomes: str
) -> str | None:
    """As a part of a transaction: record that a beginning stands in quarantine, and return why.

    None where it is something else that a sample is moving for.
    """
    planned = json.loads(becomes)
    if planned["event"] != EVENT:
        return None
    detail = {"by": planned["by"], "stood": row.path}
    index.record(connection, row.digest, EVENT, target, detail)
    # Where its source stood, the whole file does.
    connection.execute("UPDATE samples SET retained = 0 WHERE id = ?", (row.id,))
    return str(planned["reason"])


def is_superseded(row: Row) -> bool:
    """Whether a sample in quarantine is there because it came whole later."""
    return row.state == "quarantined" and (row.reason or "").startswith(f"{EVENT}: ")
