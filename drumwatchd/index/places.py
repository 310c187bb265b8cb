"""Where samples should stand, as the writer asks it: their places, and those that are missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from drumwatchd.analysis.labels import MISC
from drumwatchd.analysis.result import Verdict
from drumwatchd.index.paths import from_db, to_db
from drumwatchd.index.rows import SAMPLE_COLUMNS, Row, row_from_values
from drumwatchd.index.store import Index

BATCH_ROWS = 1_000
# Without being told, SQLite goes through all that is filed, which is nearly all.
MISSING = "samples INDEXED BY samples_missing WHERE missing IS NOT NULL"


class Place(NamedTuple):
    """One name that the index knows in a folder of the archive, and the file it should be.

    Attributes:
        id: the sample's row.
        name: file name.
        state: of the row.
        size: bytes.
        mtime_ns: of the file in the archive.
        is_moving: a command is moving it right now.
    """

    id: int
    name: str
    state: str
    size: int
    mtime_ns: int
    is_moving: bool


class Places:
    """The places of an index's samples; nothing is changed."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def places_in(self, folder: str) -> Iterator[Place]:
        """Every sample that has its place right in this folder (below the archive's root)."""
        raw = os.fsencode(folder)
        yield from self._places(raw + b"/", raw + b"0", b"/")
        if isinstance(to_db(folder), str):
            yield from self._places(f"{folder}/", f"{folder}0", "/")

    def _places(self, low: Any, high: Any, slash: Any) -> Iterator[Place]:
        """In batches, so that filing goes on meanwhile."""
        start = len(low) + 1
        while True:
            with self._index.reading() as connection:
                found = connection.execute(
                    """SELECT path, id, state, size, coalesce(seen_ns, mtime_ns),
                              moving_to IS NOT NULL
                       FROM samples WHERE missing IS NULL AND path > ? AND path < ?
                       AND NOT instr(substr(path, ?), ?) ORDER BY path LIMIT ?""",
                    (low, high, start, slash, BATCH_ROWS),
                ).fetchall()
            for path, row_id, state, size, mtime_ns, is_moving in found:
                name = from_db(path[start - 1 :])
                yield Place(row_id, name, state, size, mtime_ns, bool(is_moving))
            if len(found) < BATCH_ROWS:
                return
            low = found[-1][0]

    def folders(self) -> set[str]:
        """Every folder that a filed sample has its place in."""
        with self._index.reading() as connection:
            texts = connection.execute(
                """SELECT DISTINCT rtrim(path, replace(path, '/', '')) FROM samples
                   WHERE state = 'filed' AND missing IS NULL AND typeof(path) = 'text'"""
            ).fetchall()
            blobs = connection.execute(
                """SELECT path FROM samples
                   WHERE state = 'filed' AND missing IS NULL AND typeof(path) = 'blob'"""
            ).fetchall()
        named = {text.rstrip("/") for (text,) in texts}
        return named | {os.path.dirname(from_db(path)) for (path,) in blobs}

    def place_at(self, relative: str) -> Place | None:
        """The place that a sample has here, in whatever state it is."""
        with self._index.reading() as connection:
            found = connection.execute(
                """SELECT id, state, size, coalesce(seen_ns, mtime_ns), moving_to IS NOT NULL
                   FROM samples WHERE missing IS NULL AND path = ?""",
                (to_db(relative),),
            ).fetchone()
        if found is None:
            return None
        row_id, state, size, mtime_ns, is_moving = found
        return Place(
            row_id, os.path.basename(relative), state, size, mtime_ns, is_moving=bool(is_moving)
        )

    def is_place(self, relative: str) -> bool:
        """Whether a sample has its place here, or is being moved here."""
        return self.place_at(relative) is not None or (
            self._one("moving_to = ?", to_db(relative)) is not None
        )

    def at(self, relative: str) -> Row | None:
        """The filed sample that has its place here."""
        return self._one("path = ? AND missing IS NULL AND state = 'filed'", to_db(relative))

    def is_sought(self, size: int) -> bool:
        """Whether a sample of this size is missing or gone."""
        query = f"SELECT 1 FROM {MISSING} AND size = ? LIMIT 1"  # noqa: S608 - constant text
        with self._index.reading() as connection:
            return connection.execute(query, (size,)).fetchone() is not None

    def sizes_in_quarantine(self) -> set[int]:
        """Of the samples that couldn't be judged."""
        query = "SELECT DISTINCT size FROM samples WHERE state = 'quarantined'"
        with self._index.reading() as connection:
            return {size for (size,) in connection.execute(query)}

    def missing(self, *, since: float) -> list[Row]:
        """Filed samples that have been missing since then, or longer."""
        return self._some(f"{MISSING} AND missing <= ? AND state = 'filed'", since)

    def missing_by_folder(self, *, since: float) -> dict[str, tuple[int, float]]:
        """Of each top folder: how many samples are missing since then, or longer, and since when."""
        query = f"""SELECT substr(CAST(path AS BLOB), 1, instr(CAST(path AS BLOB), x'2f') - 1),
                           count(*), min(missing)
                    FROM {MISSING} AND missing <= ? AND state = 'filed' GROUP BY 1"""  # noqa: S608 - constant text
        with self._index.reading() as connection:
            found = connection.execute(query, (since,)).fetchall()
        return {os.fsdecode(folder): (count, first) for folder, count, first in found}

    def stood_before(self, folder: str, moment: float) -> bool:
        """Whether a sample has its place below a folder that had it at a moment already."""
        return self._any_below(
            folder,
            """missing IS NULL AND state = 'filed' AND added < ?
               AND digest NOT IN (SELECT digest FROM corrections WHERE at >= ?)""",
            moment,
            moment,
        )

    def is_any_missing_in(self, folder: str) -> bool:
        """Whether a filed sample is missing that had its place below a folder."""
        return folder in self.missing_by_folder(since=self._index.now())

    def _any_below(self, folder: str, where: str, *values: object) -> bool:
        raw = os.fsencode(folder)
        bounds = [(raw + b"/", raw + b"0"), (f"{folder}/", f"{folder}0")]
        query = f"SELECT 1 FROM samples WHERE path > ? AND path < ? AND {where} LIMIT 1"  # noqa: S608 - constant text
        with self._index.reading() as connection:
            return any(connection.execute(query, (*pair, *values)).fetchone() for pair in bounds)

    def moving(self) -> list[Row]:
        """Samples that a command began to move."""
        return self._some("samples INDEXED BY samples_moving WHERE moving_to IS NOT NULL")

    def count_missing(self) -> int:
        """How many filed samples are missing."""
        query = f"SELECT count(*) FROM {MISSING} AND state = 'filed'"  # noqa: S608 - constant text
        with self._index.reading() as connection:
            return int(connection.execute(query).fetchone()[0])

    def verdict_of(self, row: Row) -> Verdict:
        """What was heard of a sample, as far as its name may tell of it."""
        with self._index.reading() as connection:
            fine, confidence, tag = connection.execute(
                "SELECT fine, confidence, tag FROM samples WHERE id = ?", (row.id,)
            ).fetchone()
        label = row.label or MISC
        return Verdict(label, label, fine or MISC, confidence or 0.0, {}, (), "", None, tag)

    def was_heard(self, row: Row) -> bool:
        """Whether a sample was ever judged; what its owner filed out of quarantine wasn't."""
        with self._index.reading() as connection:
            query = "SELECT model FROM samples WHERE id = ?"
            return connection.execute(query, (row.id,)).fetchone()[0] is not None

    def _one(self, where: str, value: object) -> Row | None:
        with self._index.reading() as connection:
            found = connection.execute(
                f"SELECT {SAMPLE_COLUMNS} FROM samples WHERE {where} LIMIT 1",  # noqa: S608 - constant text
                (value,),
            ).fetchone()
        return None if found is None else row_from_values(found)

    def _some(self, which: str, *values: object) -> list[Row]:
        with self._index.reading() as connection:
            found = connection.execute(
                f"SELECT {SAMPLE_COLUMNS} FROM {which}",  # noqa: S608 - constant text
                values,
            ).fetchall()
        return [row_from_values(each) for each in found]
