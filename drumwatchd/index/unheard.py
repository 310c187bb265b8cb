"""Samples that can't be judged, and are filed by their owner's word alone: parts of a transaction."""

from __future__ import annotations

import sqlite3

from drumwatchd.index.rows import Row

# Nothing was heard: no probabilities, and no embedding that anything could be learned from.
_NOTHING = ("[]", "{}", None)


def take_out(connection: sqlite3.Connection, row: Row) -> None:
    """A quarantined sample stands in a class folder: it is one like the others from now on."""
    if row.state != "quarantined":
        return
    connection.execute("INSERT OR REPLACE INTO analyses VALUES (?, ?, ?, ?)", (row.id, *_NOTHING))
    connection.execute(
        "UPDATE remembered SET outcome = 'filed', reason = NULL WHERE digest = ? AND outcome = 'failed'",
        (row.digest,),
    )


def put_back(connection: sqlite3.Connection, row: Row) -> None:
    """The owner took his word back: the sample is set aside again, for the reason that it had."""
    connection.execute(
        "UPDATE samples SET state = 'quarantined', label = NULL WHERE id = ?", (row.id,)
    )
    connection.execute("DELETE FROM analyses WHERE sample_id = ?", (row.id,))


def is_still_sought(connection: sqlite3.Connection, row: Row) -> bool:
    """Whether a sample that was found may stand there: it is missing, gone or in quarantine still."""
    found = connection.execute(
        """SELECT state FROM samples WHERE id = ? AND digest = ?
           AND (missing IS NOT NULL OR state = 'quarantined') AND moving_to IS NULL""",
        (row.id, row.digest),
    ).fetchone()
    return found is not None and found[0] == row.state


def reason_by_hand(row: Row) -> str:
    """Why a sample has the label of the folder that its owner moved it to."""
    if row.state == "quarantined":
        return f"filed by hand, though it can't be judged: {row.reason}"
    return f"moved from {row.label} by hand"
