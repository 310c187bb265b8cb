"""The one writer of the index.

Every public method is one transaction. A sample's row goes `claimed → placing → filed`, or ends
`quarantined`.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

from drumwatchd.analysis.result import Analysis
from drumwatchd.errors import IndexStoreError
from drumwatchd.file_systems import file_system_of, is_remote
from drumwatchd.files import Source
from drumwatchd.index.ledger import Ledger, connect
from drumwatchd.index.paths import from_db, to_db
from drumwatchd.index.rows import (
    SAMPLE_COLUMNS,
    Claim,
    Row,
    optional_to_db,
    row_from_values,
    source_values,
)

Outcome = Literal["filed", "duplicate", "failed"]
PLACE_TAKEN = "SQLITE_CONSTRAINT_UNIQUE"


class Index(Ledger):
    """What is written of samples, and read of them to be written."""

    # -- the path of one sample -----------------------------------------------------------------

    def claim(self, source: Source, digest: str) -> Claim:
        """Claim content for one source; the unique constraint decides who was first."""
        now = self._clock()
        with self.transaction() as connection:
            cursor = connection.execute(
                """INSERT INTO samples (digest, state, source, inbox, pack, name, size, mtime_ns,
                                        device, inode, added)
                   VALUES (?, 'claimed', ?, ?, ?, ?, ?, ?, ?, ?, ?)
                   ON CONFLICT (digest) DO NOTHING""",
                (digest, *source_values(source), now),
            )
            row = self._row(connection, "digest = ?", digest)
            assert row is not None
            return Claim(row, won=cursor.rowcount == 1)

    def plan(
        self, row_id: int, analysis: Analysis, relative: str | None, *, name: str, mode: str
    ) -> bool:
        """Write down what was heard and where the file will go, before it goes there.

        Returns:
            False when another row already has that place.
        """
        verdict = analysis.verdict
        try:
            with self.transaction() as connection:
                connection.execute(
                    """UPDATE samples SET state = 'placing', label = ?, fine = ?, confidence = ?,
                              path = ?, name = ?, mode = ?, reason = ?, review = ?, tag = ?,
                              model = ?, duration = ?
                       WHERE id = ?""",
                    (
                        verdict.label, verdict.fine, verdict.confidence, optional_to_db(relative),
                        to_db(name), mode, verdict.reason, verdict.review, verdict.tag,
                        analysis.model, analysis.duration_seconds, row_id,
                    ),
                )  # fmt: skip
                connection.execute(
                    "INSERT OR REPLACE INTO analyses VALUES (?, ?, ?, ?)",
                    (
                        row_id,
                        json.dumps([[label, round(p, 6)] for label, p in verdict.top]),
                        json.dumps({k: round(p, 6) for k, p in verdict.probabilities.items()}),
                        analysis.embedding,
                    ),
                )
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorname != PLACE_TAKEN:
                raise  # another name would not help, nor would any after it
            return False
        return True

    def filed(self, row: Row, relative: str | None, *, remember: bool) -> None:
        """The sample stands in the archive; `remember` its source where that stays."""
        now = self._clock()
        with self.transaction() as connection:
            connection.execute(
                "UPDATE samples SET state = 'filed', added = ? WHERE id = ?", (now, row.id)
            )
            self.record(connection, row.digest, "filed", relative, {"source": row.source.path})
            if remember:
                self._remember(connection, row.source, "filed", row.digest, None)

    def quarantined(self, row: Row, relative: str | None, reason: str) -> None:
        """The sample can't be judged; `relative` is its place in quarantine, None if it stays."""
        name = row.source.name if relative is None else os.path.basename(relative)
        with self.transaction() as connection:
            connection.execute(
                """UPDATE samples SET state = 'quarantined', reason = ?, path = ?, name = ?
                   WHERE id = ?""",
                (reason, optional_to_db(relative), to_db(name), row.id),
            )
            self.record(connection, row.digest, "quarantined", relative, {"reason": reason})
            if relative is None:
                self._remember(connection, row.source, "failed", row.digest, reason)

    def reserve_quarantine(self, row_id: int, relative: str, reason: str) -> bool:
        """Write down the place in quarantine before the file goes there; False if it is taken."""
        try:
            with self.transaction() as connection:
                connection.execute(
                    """UPDATE samples SET state = 'placing', label = NULL, path = ?, reason = ?,
                              mode = 'move' WHERE id = ?""",
                    (to_db(relative), reason, row_id),
                )
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorname != PLACE_TAKEN:
                raise  # another name would not help, nor would any after it
            return False
        return True

    def release(self, row: Row, event: str, reason: str) -> None:
        """Forget a row whose file is free again (gone, changed, or to be tried later)."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM analyses WHERE sample_id = ?", (row.id,))
            connection.execute("DELETE FROM samples WHERE id = ?", (row.id,))
            self.record(connection, row.digest, event, row.source.path, {"reason": reason})

    def retain(self, row: Row, reason: str) -> None:
        """The sample is archived but its source can't be removed; don't try for ever."""
        with self.transaction() as connection:
            connection.execute("UPDATE samples SET retained = 1 WHERE id = ?", (row.id,))
            self.record(
                connection, row.digest, "source retained", row.source.path, {"reason": reason}
            )
            self._remember(connection, row.source, "filed", row.digest, reason)

    def duplicate(self, source: Source, original: Row, action: str, *, remember: bool) -> None:
        """Record that `source` holds what `original` already has."""
        with self.transaction() as connection:
            detail = {"original": original.path or original.source.path, "action": action}
            self.record(connection, original.digest, "duplicate", source.path, detail)
            if remember:
                self._remember(connection, source, "duplicate", original.digest, None)

    def seen_again(self, source: Source, row: Row) -> None:
        """The source of a row was touched, its content is what it was; don't look again."""
        outcome: Outcome = "filed" if row.state == "filed" else "failed"
        reason = row.reason if outcome == "failed" else None
        with self.transaction() as connection:
            self._remember(connection, source, outcome, row.digest, reason)

    def failed(self, source: Source, reason: str) -> None:
        """Record a file that stays where it is, with the reason."""
        with self.transaction() as connection:
            self.record(connection, None, "failed", source.path, {"reason": reason})
            self._remember(connection, source, "failed", None, reason)

    def source_renamed(self, row: Row, source: Source) -> None:
        """The file that a row rests on has another name now."""
        with self.transaction() as connection:
            connection.execute(
                """UPDATE samples SET source = ?, inbox = ?, pack = ?, device = ?, inode = ?
                   WHERE id = ?""",
                (
                    to_db(source.path), to_db(source.inbox), to_db(source.pack), source.device,
                    source.inode, row.id,
                ),
            )  # fmt: skip
            connection.execute("DELETE FROM remembered WHERE path = ?", (to_db(row.source.path),))
            detail = {"stood": row.source.path}
            self.record(connection, row.digest, "source renamed", source.path, detail)
            self._remember(connection, source, "filed", row.digest, None)

    # -- what stays in the inbox ----------------------------------------------------------------

    def is_remembered(self, source: Source) -> bool:
        """Whether this very file was dealt with and stays where it is."""
        with self.reading() as connection:
            found = connection.execute(
                "SELECT size, mtime_ns FROM remembered WHERE path = ?", (to_db(source.path),)
            ).fetchone()
        return bool(found == (source.size, source.mtime_ns))

    def forget(self, path: str, event: str = "retried") -> None:
        """Look at an inbox file again at the next scan."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM remembered WHERE path = ?", (to_db(path),))
            self.record(connection, None, event, path, {})

    def remembered(self, outcome: Outcome) -> list[str]:
        """Paths of the inbox files that stay with this outcome."""
        query = "SELECT path FROM remembered WHERE outcome = ? ORDER BY path"
        with self.reading() as connection:
            return [from_db(path) for (path,) in connection.execute(query, (outcome,))]

    # -- rows -----------------------------------------------------------------------------------

    def row(self, row_id: int) -> Row | None:
        """One row by its id."""
        with self.reading() as connection:
            return self._row(connection, "id = ?", row_id)

    def row_of(self, digest: str) -> Row | None:
        """The row of one content."""
        with self.reading() as connection:
            return self._row(connection, "digest = ?", digest)

    def rows_beginning(self, prefix: str) -> list[Row]:
        """The rows of the contents whose digests begin so."""
        query = f"SELECT {SAMPLE_COLUMNS} FROM samples WHERE substr(digest, 1, ?) = ?"  # noqa: S608 - constant text
        with self.reading() as connection:
            found = connection.execute(query, (len(prefix), prefix)).fetchall()
        return [row_from_values(values) for values in found]

    def row_resting_on(self, path: str) -> Row | None:
        """The row of the content that an inbox file had when it was filed and stayed."""
        with self.reading() as connection:
            found = connection.execute(
                "SELECT digest FROM remembered WHERE path = ? AND outcome = 'filed'", (to_db(path),)
            ).fetchone()
        return None if found is None or found[0] is None else self.row_of(found[0])

    def unfinished_from(self, source: Source) -> list[Row]:
        """Rows in work whose content stood where another one stands now."""
        query = f"""SELECT {SAMPLE_COLUMNS} FROM samples
                    WHERE source = ? AND state IN ('claimed', 'placing')"""  # noqa: S608 - constant text
        with self.reading() as connection:
            found = connection.execute(query, (to_db(source.path),)).fetchall()
        return [row_from_values(values) for values in found]

    def rows_in(self, *states: str) -> list[Row]:
        """All rows in these states, oldest first."""
        marks = ", ".join("?" * len(states))
        with self.reading() as connection:
            found = connection.execute(
                f"SELECT {SAMPLE_COLUMNS} FROM samples WHERE state IN ({marks}) ORDER BY id",  # noqa: S608 - marks only
                states,
            ).fetchall()
        return [row_from_values(values) for values in found]

    def _row(self, connection: sqlite3.Connection, where: str, value: object) -> Row | None:
        found = connection.execute(
            f"SELECT {SAMPLE_COLUMNS} FROM samples WHERE {where}",  # noqa: S608 - constant text
            (value,),
        ).fetchone()
        return None if found is None else row_from_values(found)

    # -- manifests ------------------------------------------------------------------------------

    def count_filed(self) -> dict[str, int]:
        """How many samples each label has in the archive."""
        query = "SELECT label, count(*) FROM samples WHERE state = 'filed' GROUP BY label"
        with self.reading() as connection:
            return dict(connection.execute(query).fetchall())

    def manifest_rows(
        self, label: str | None = None, row_id: int | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """Stream the manifest's columns of one label, or of one sample."""
        where, value = ("label = ?", label) if row_id is None else ("id = ?", row_id)
        query = f"""SELECT name, digest, label, fine, confidence, top, model, added, source, path
                    FROM samples JOIN analyses ON sample_id = id
                    WHERE state = 'filed' AND {where} ORDER BY added, id"""  # noqa: S608 - constant text
        with self.reading() as connection:
            yield from connection.execute(query, (value,))

    def manifest_states(self) -> dict[str, tuple[int, int]]:
        """Rows and bytes of each manifest as last made durable."""
        with self.reading() as connection:
            found = connection.execute("SELECT label, rows, size FROM manifests").fetchall()
        return {label: (rows, size) for label, rows, size in found}

    def set_manifest_states(self, states: Mapping[str, tuple[int, int]]) -> None:
        """Note how far the manifests on disk follow the index; one that went out of date stays so."""
        with self.transaction() as connection:
            connection.executemany(
                """INSERT INTO manifests VALUES (?, ?, ?) ON CONFLICT (label) DO UPDATE
                   SET rows = excluded.rows, size = excluded.size WHERE size >= 0""",
                [(label, rows, size) for label, (rows, size) in states.items()],
            )

    def manifests_out_of_date(self) -> list[str]:
        """Labels whose manifest has lines that a correction made wrong."""
        with self.reading() as connection:
            found = connection.execute("SELECT label FROM manifests WHERE size < 0").fetchall()
        return [label for (label,) in found]

    def begin_manifest(self, label: str) -> None:
        """A manifest is about to be written anew: what goes out of date from now on is noted again."""
        with self.transaction() as connection:
            connection.execute(
                "UPDATE manifests SET size = 0 WHERE label = ? AND size < 0", (label,)
            )

    def outdate_manifests(self, connection: sqlite3.Connection, labels: Iterable[str]) -> None:
        """As a part of a transaction: the manifests of these labels have to be written anew."""
        connection.executemany(
            """INSERT INTO manifests VALUES (?, 0, -1) ON CONFLICT (label) DO UPDATE
               SET size = -1""",
            [(label,) for label in labels],
        )

    # -- inside a transaction -------------------------------------------------------------------

    def _remember(
        self,
        connection: sqlite3.Connection,
        source: Source,
        outcome: Outcome,
        digest: str | None,
        reason: str | None,
    ) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO remembered VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                to_db(source.path), to_db(source.inbox), source.size, source.mtime_ns,
                outcome, digest, reason, self._clock(),
            ),
        )  # fmt: skip


def open_index(path: str, algorithm: str, *, clock: Callable[[], float] = time.time) -> Index:
    """Open the index for writing, create or migrate it as needed.

    Raises:
        IndexStoreError: it can't be opened, is on another machine's disk, or was made with another
            digest.
    """
    kind = file_system_of(path)
    if is_remote(kind):
        raise IndexStoreError(
            f"the index is on {kind}, where SQLite's locks can't be trusted",
            path=path,
            hint="set index.path to a place on a local disk; inboxes and archive may stay there",
        )
    connection = connect(path)
    index = Index(connection, path, clock)
    stored = index.meta("hash_algorithm", algorithm)
    if stored != algorithm:
        index.close()
        raise IndexStoreError(
            f"the index was made with {stored}, the configuration says {algorithm}",
            path=path,
            hint=f'set index.hash_algorithm = "{stored}", or start a new index',
        )
    return index
