"""What a running classification has to know of all files, on disk: its memory doesn't grow.

A private database of SQLite's, made anew from the journal at each start and gone with the process.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from drumwatchd.batch.records import Place

_TABLES = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA cache_size = -16000;
    -- Files found, in the order of the walk.
    CREATE TABLE found (
        number INTEGER PRIMARY KEY, root INTEGER, path BLOB, size INTEGER, mtime_ns INTEGER);
    -- Files with a line in the journal; of two lines of one file the later holds.
    CREATE TABLE done (
        root INTEGER, path BLOB, size INTEGER, mtime_ns INTEGER, digest BLOB, begin INTEGER,
        PRIMARY KEY (root, path)) WITHOUT ROWID;
    -- Where a content is spoken of: in this run's journal (0), or in an earlier one.
    CREATE TABLE contents (
        digest BLOB PRIMARY KEY, run INTEGER, begin INTEGER, root INTEGER, path BLOB) WITHOUT ROWID;
"""


class Found(NamedTuple):
    """A file of the walk."""

    place: Place
    size: int
    mtime_ns: int


class Content(NamedTuple):
    """Where a content is spoken of.

    Attributes:
        run: 0 for this run, else the number of an earlier one.
        begin: of its line in that run's journal, bytes.
        place: where the file stands.
    """

    run: int
    begin: int
    place: Place


class Ledger:
    """The database; close it in the end."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.executescript(_TABLES)
        self._connection.execute("BEGIN")

    def close(self) -> None:
        """Drop it."""
        self._connection.close()

    # -- files ----------------------------------------------------------------------------------

    def find(self, files: Iterable[Found]) -> None:
        """Add files of the walk, but for those that are done as they are."""
        self._connection.executemany(
            """INSERT INTO found (root, path, size, mtime_ns) SELECT ?1, ?2, ?3, ?4
               WHERE NOT EXISTS (SELECT 1 FROM done WHERE root = ?1 AND path = ?2
                                 AND size = ?3 AND mtime_ns = ?4)""",
            ((f.place.root, os.fsencode(f.place.path), f.size, f.mtime_ns) for f in files),
        )

    def has_changed(self) -> bool:
        """Whether a file that is done was found to be another by now."""
        query = "SELECT 1 FROM found JOIN done USING (root, path) LIMIT 1"
        return self._connection.execute(query).fetchone() is not None

    def to_do(self) -> tuple[int, int]:
        """How many files are to be done, and their bytes."""
        query = "SELECT count(*), coalesce(sum(size), 0) FROM found"
        count, size = self._connection.execute(query).fetchone()
        return count, size

    def blocks(self, size: int) -> Iterator[list[Found]]:
        """The files that are to be done, in the order of the walk."""
        last = 0
        while True:
            rows = self._connection.execute(
                """SELECT number, root, path, size, mtime_ns FROM found WHERE number > ?
                   ORDER BY number LIMIT ?""",
                (last, size),
            ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield [Found(Place(r, os.fsdecode(p)), s, m) for _, r, p, s, m in rows]

    def done(self, place: Place, size: int, mtime_ns: int, digest: str | None, begin: int) -> None:
        """A file has its line in the journal."""
        key = None if digest is None else bytes.fromhex(digest)
        self._connection.execute(
            "INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?, ?, ?)",
            (place.root, os.fsencode(place.path), size, mtime_ns, key, begin),
        )

    def count_done(self) -> int:
        """How many files have a line."""
        return int(self._connection.execute("SELECT count(*) FROM done").fetchone()[0])

    def lines(self) -> Iterator[tuple[int, int | None]]:
        """Where the lines of all files begin, in the order of their paths, and their contents'."""
        yield from self._connection.execute(
            """SELECT done.begin, contents.begin FROM done
               LEFT JOIN contents ON contents.digest = done.digest AND run = 0
               ORDER BY done.root, done.path"""
        )

    # -- contents -------------------------------------------------------------------------------

    def speaks(self, digest: str, content: Content) -> None:
        """A line speaks of a content; this run's own goes before an earlier one's."""
        place = content.place
        self._connection.execute(
            """INSERT INTO contents VALUES (?, ?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE
               SET run = excluded.run, begin = excluded.begin, root = excluded.root,
                   path = excluded.path
               WHERE excluded.run = 0 AND contents.run != 0""",
            (
                bytes.fromhex(digest), content.run, content.begin, place.root,
                os.fsencode(place.path),
            ),
        )  # fmt: skip

    def known(self, digests: Sequence[str]) -> dict[str, Content]:
        """Which of these contents are spoken of."""
        keys = [bytes.fromhex(digest) for digest in digests]
        marks = ",".join("?" * len(keys))
        query = f"SELECT digest, run, begin, root, path FROM contents WHERE digest IN ({marks})"  # noqa: S608 - marks only
        rows = self._connection.execute(query, keys)
        return {
            digest.hex(): Content(run, begin, Place(root, os.fsdecode(path)))
            for digest, run, begin, root, path in rows
        }
