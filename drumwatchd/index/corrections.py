"""What the owner says of samples, and where they are found to stand: the writer's part for both.

A correction belongs to a content and outlives its sample's row. A sample whose file isn't in its
place is *missing* first, and *gone* once it has been so for long enough.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from drumwatchd.errors import IndexStoreError
from drumwatchd.index import superseded, unheard
from drumwatchd.index.paths import to_db
from drumwatchd.index.rejudged import take_over
from drumwatchd.index.rows import Row, optional_to_db
from drumwatchd.index.store import Index

How = Literal["moved", "command", "imported"]
COLUMNS = "digest, label, was, how, note, at"


@dataclass(frozen=True, slots=True)
class Correction:
    """What the owner says of one content.

    Attributes:
        digest: of the content.
        label: one of the 34, a folder of the owner's own, or misc.
        was: the label it was filed under before its first correction; None if it wasn't.
        how: moved, command or imported.
        note: the owner's words.
        at: Unix time.
    """

    digest: str
    label: str
    was: str | None
    how: str
    note: str | None
    at: float


class Corrections:
    """Corrections and whereabouts in the index; every public method is one transaction."""

    def __init__(self, index: Index) -> None:
        self._index = index

    # -- what the owner says --------------------------------------------------------------------

    def of(self, digest: str) -> Correction | None:
        """The correction of one content."""
        with self._index.reading() as connection:
            return _correction(connection, digest)

    def all(self) -> Iterator[Correction]:
        """Every correction, in the order of its digests."""
        with self._index.reading() as connection:
            found = connection.execute(f"SELECT {COLUMNS} FROM corrections").fetchall()  # noqa: S608 - constant text
        return (Correction(*values) for values in found)

    def version(self) -> tuple[int, float]:
        """Another one whenever something was corrected or taken back."""
        with self._index.reading() as connection:
            query = "SELECT count(*), ifnull(max(at), 0) FROM corrections"
            count, newest = connection.execute(query).fetchone()
        return int(count), float(newest)

    def last(self) -> Correction | None:
        """The newest correction."""
        with self._index.reading() as connection:
            found = connection.execute(
                f"SELECT {COLUMNS} FROM corrections ORDER BY at DESC LIMIT 1"  # noqa: S608 - constant text
            ).fetchone()
        return None if found is None else Correction(*found)

    def since(self, moment: float) -> list[Correction]:
        """Every correction since a moment, the newest first."""
        query = f"SELECT {COLUMNS} FROM corrections WHERE at >= ? ORDER BY at DESC"  # noqa: S608 - constant text
        with self._index.reading() as connection:
            return [Correction(*values) for values in connection.execute(query, (moment,))]

    def say(self, digest: str, label: str, *, was: str | None, how: How, note: str | None) -> None:
        """Write down what a content is, that isn't in the archive now."""
        with self._index.transaction() as connection:
            self._say(connection, digest, label, was, how, note)
            detail = {"from": was, "to": label, "how": how, "note": note}
            self._index.record(connection, digest, "corrected", None, detail)

    def take_back(self, digest: str) -> None:
        """Forget the correction of a content that isn't in the archive now."""
        with self._index.transaction() as connection:
            self._take_back(connection, digest, None)

    def reason_before(self, digest: str) -> str | None:
        """Why a sample had the label that it had before its owner corrected it first, now or last."""
        query = """SELECT event, detail FROM history WHERE digest = ?
                   AND event IN ('filed', 'corrected', 'correction taken back') ORDER BY id"""
        with self._index.reading() as connection:
            events = connection.execute(query, (digest,)).fetchall()
        reason, is_first = None, True
        for event, detail in events:
            if event == "filed":
                reason = None
            elif event == "corrected" and is_first:
                reason = json.loads(detail).get("reason")
            is_first = event != "corrected"
        return reason

    def heard_as(self, digest: str, label: str) -> None:
        """What a content would have been filed under that was corrected before it came."""
        with self._index.transaction() as connection:
            connection.execute(
                "UPDATE corrections SET was = ? WHERE digest = ? AND was IS NULL", (label, digest)
            )

    def _say(
        self,
        connection: sqlite3.Connection,
        digest: str,
        label: str,
        was: str | None,
        how: How,
        note: str | None,
    ) -> None:
        connection.execute(
            """INSERT INTO corrections VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE
               SET label = excluded.label, was = coalesce(was, excluded.was), how = excluded.how,
                   note = excluded.note, at = excluded.at""",
            (digest, label, was, how, note, self._index.now()),
        )
        # A person has looked at it.
        connection.execute("UPDATE samples SET review = NULL WHERE digest = ?", (digest,))

    def _take_back(self, connection: sqlite3.Connection, digest: str, path: str | None) -> None:
        said = _correction(connection, digest)
        connection.execute("DELETE FROM corrections WHERE digest = ?", (digest,))
        detail = {} if said is None else {"from": said.label, "to": said.was}
        self._index.record(connection, digest, "correction taken back", path, detail)

    # -- what the archive is found to hold ------------------------------------------------------

    def miss(self, places: Iterable[tuple[int, str]]) -> None:
        """These samples (row and path) aren't in their places; their names are free for others."""
        now = self._index.now()
        with self._index.transaction() as connection:
            connection.executemany(
                """UPDATE samples SET missing = ? WHERE id = ? AND path = ?
                   AND state = 'filed' AND missing IS NULL AND moving_to IS NULL""",
                ((now, row_id, to_db(path)) for row_id, path in places),
            )

    def gone(self, rows: Sequence[Row]) -> None:
        """These samples are in no class folder any more."""
        with self._index.transaction() as connection:
            for row in rows:
                connection.execute(
                    "UPDATE samples SET state = 'gone' WHERE id = ? AND missing IS NOT NULL",
                    (row.id,),
                )
                self._index.record(connection, row.digest, "gone", row.path, {"label": row.label})
            labels = {row.label for row in rows if row.label is not None}
            self._index.outdate_manifests(connection, labels)

    def found(self, row: Row, relative: str, label: str, mtime_ns: int) -> bool:
        """A sample that was missing, gone or in quarantine stands here.

        In another class than its own, and out of quarantine, that is a correction.

        Returns:
            False where the row has changed meanwhile, and nothing was recorded.
        """
        try:
            with self._index.transaction() as connection:
                if not unheard.is_still_sought(connection, row):
                    return False
                self._take_place(connection, row, relative, label, mtime_ns)
        except sqlite3.IntegrityError:
            return False  # another sample was given this name just now
        return True

    def _take_place(
        self, connection: sqlite3.Connection, row: Row, relative: str, label: str, mtime_ns: int
    ) -> None:
        is_correction = label != row.label
        reason = unheard.reason_by_hand(row) if is_correction else row.reason
        self._put(connection, row, relative, label, reason, mtime_ns)
        if is_correction:
            self._say(connection, row.digest, label, row.label, "moved", None)
        self._tell_found(connection, row, relative, label, is_correction)
        # The new label's line is appended; the old one has to go, or to be another one.
        if row.state == "filed" and row.label is not None:
            self._index.outdate_manifests(connection, [row.label])

    def _tell_found(
        self,
        connection: sqlite3.Connection,
        row: Row,
        relative: str,
        label: str,
        is_correction: bool,
    ) -> None:
        if row.state == "gone":
            self._index.record(connection, row.digest, "back", relative, {})
        if is_correction:
            detail = {
                "from": row.label, "to": label, "how": "moved", "stood": row.path,
                "reason": row.reason,
            }  # fmt: skip
            self._index.record(connection, row.digest, "corrected", relative, detail)
        elif row.path != relative:
            detail = {"stood": row.path}
            self._index.record(connection, row.digest, "renamed", relative, detail)

    def _put(
        self,
        connection: sqlite3.Connection,
        row: Row,
        relative: str,
        label: str | None,
        reason: str | None,
        mtime_ns: int | None,
    ) -> None:
        unheard.take_out(connection, row)
        connection.execute(
            """UPDATE samples SET state = 'filed', path = ?, name = ?, label = ?, reason = ?,
                      seen_ns = ?, missing = NULL, moving_to = NULL, becomes = NULL
               WHERE id = ?""",
            (to_db(relative), to_db(os.path.basename(relative)), label, reason, mtime_ns, row.id),
        )

    def touched(self, row: Row, mtime_ns: int) -> None:
        """The file of a sample has another time, and the content that it had."""
        with self._index.transaction() as connection:
            connection.execute("UPDATE samples SET seen_ns = ? WHERE id = ?", (mtime_ns, row.id))

    def changed(self, row: Row, digest: str, size: int, mtime_ns: int) -> bool:
        """Somebody edited the file of a sample in its place; the sample is that content now.

        Returns:
            False where the row has changed meanwhile, and nothing was recorded.
        """
        try:
            with self._index.transaction() as connection:
                return self._change(connection, row, digest, size, mtime_ns)
        except sqlite3.IntegrityError:
            return False  # the same content came to an inbox just now

    def _change(
        self, connection: sqlite3.Connection, row: Row, digest: str, size: int, mtime_ns: int
    ) -> bool:
        done = connection.execute(
            """UPDATE samples SET digest = ?, size = ?, seen_ns = ?, review = ?
               WHERE id = ? AND digest = ? AND path = ? AND missing IS NULL""",
            (
                digest, size, mtime_ns, "it was edited in the archive after it was heard",
                row.id, row.digest, optional_to_db(row.path),
            ),
        )  # fmt: skip
        if done.rowcount == 0:
            return False
        connection.execute(
            f"""INSERT OR IGNORE INTO corrections
                SELECT ?, {COLUMNS.partition(", ")[2]} FROM corrections WHERE digest = ?""",  # noqa: S608 - constant text
            (digest, row.digest),
        )
        # What was heard is of the content before, and no model shall learn from the two as one.
        connection.execute("UPDATE analyses SET embedding = NULL WHERE sample_id = ?", (row.id,))
        self._index.record(connection, row.digest, "changed", row.path, {"now": digest})
        self._index.record(connection, digest, "changed", row.path, {"was": row.digest})
        self._index.outdate_manifests(connection, filter(None, {row.label}))
        return True

    # -- moves by command -----------------------------------------------------------------------

    def begin(self, row: Row, label: str | None, target: str, how: How, note: str | None) -> bool:
        """Write down what the owner says, and where its file will be moved, before it is.

        Args:
            row: the sample.
            label: what it is; None to take the correction back.
            target: path below the archive's root.
            how: how it was said.
            note: the owner's words.

        Returns:
            False where the row has changed meanwhile, and nothing was recorded.
        """
        with self._index.transaction() as connection:
            done = connection.execute(
                """UPDATE samples SET moving_to = ? WHERE id = ? AND path = ? AND state = ?
                   AND missing IS NULL AND moving_to IS NULL""",
                (to_db(target), row.id, optional_to_db(row.path), row.state),
            )
            if done.rowcount == 0:
                return False
            self._decide(connection, row, label, how, note)
        return True

    def relabel(
        self, row: Row, label: str | None, folder: str, how: How, note: str | None, reason: str
    ) -> bool:
        """As `begin`, of a sample whose file stays where it is."""
        with self._index.transaction() as connection:
            done = connection.execute(
                """UPDATE samples SET label = ?, reason = ?
                   WHERE id = ? AND label IS ? AND moving_to IS NULL""",
                (folder, reason, row.id, row.label),
            )
            if done.rowcount == 0:
                return False
            self._decide(connection, row, label, how, note)
            self._index.outdate_manifests(connection, filter(None, {row.label, folder}))
        return True

    def _decide(
        self,
        connection: sqlite3.Connection,
        row: Row,
        label: str | None,
        how: How,
        note: str | None,
    ) -> None:
        if label is None:
            self._take_back(connection, row.digest, row.path)
            return
        self._say(connection, row.digest, label, row.label, how, note)
        detail = {
            "from": row.label, "to": label, "how": how, "note": note, "reason": row.reason,
        }  # fmt: skip
        self._index.record(connection, row.digest, "corrected", row.path, detail)

    def divert(self, row: Row, target: str) -> None:
        """The name that a file was to be moved to is taken; another one is tried."""
        with self._index.transaction() as connection:
            connection.execute(
                "UPDATE samples SET moving_to = ? WHERE id = ? AND moving_to = ?",
                (to_db(target), row.id, optional_to_db(row.moving_to)),
            )

    def arrived(self, row: Row, label: str | None, reason: str) -> None:
        """The file of a row stands where it was to be moved, and nowhere else; no label: set aside.

        Raises:
            IndexStoreError: a file that is being placed has reserved this name; it won't get it.
        """
        assert row.moving_to is not None
        try:
            with self._index.transaction() as connection:
                self._arrive(connection, row, row.moving_to, label, reason)
        except sqlite3.IntegrityError as error:
            message, hint = "another sample has this name for now", "the next rescan tries again"
            raise IndexStoreError(message, path=row.moving_to, hint=hint) from error

    def _arrive(
        self,
        connection: sqlite3.Connection,
        row: Row,
        target: str,
        label: str | None,
        reason: str,
    ) -> None:
        found = connection.execute(
            "SELECT seen_ns, becomes FROM samples WHERE id = ? AND moving_to = ?",
            (row.id, to_db(target)),
        ).fetchone()
        if found is None:
            return  # somebody else finished it
        seen_ns, becomes = found
        # Its file went, unnoticed as yet, and this one has its name now.
        connection.execute(
            """UPDATE samples SET missing = ? WHERE path = ? AND id <> ?
               AND state = 'filed' AND missing IS NULL AND moving_to IS NULL""",
            (self._index.now(), to_db(target), row.id),
        )
        if becomes is not None:
            superseded_for = superseded.arrive(self._index, connection, row, target, becomes)
            if superseded_for is None:
                label, reason = take_over(self._index, connection, row, target, becomes)
            else:
                label, reason = None, superseded_for
        else:
            self._index.record(connection, row.digest, "moved", target, {"stood": row.path})
        self._put(connection, row, target, label, reason, seen_ns)
        if label is None:
            unheard.put_back(connection, row)
        self._index.outdate_manifests(connection, filter(None, {row.label, label}))

    def give_up(self, row: Row) -> None:
        """The file of a row can't be moved, or isn't there any more; it is no longer waited for."""
        with self._index.transaction() as connection:
            connection.execute(
                "UPDATE samples SET moving_to = NULL, becomes = NULL WHERE id = ?", (row.id,)
            )


def _correction(connection: sqlite3.Connection, digest: str) -> Correction | None:
    found = connection.execute(
        f"SELECT {COLUMNS} FROM corrections WHERE digest = ?",  # noqa: S608 - constant text
        (digest,),
    ).fetchone()
    return None if found is None else Correction(*found)
