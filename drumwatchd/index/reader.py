"""The index, opened to read and never to write: what `status`, `ls` and `show` ask of it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from drumwatchd.errors import IndexStoreError
from drumwatchd.index.paths import from_db, to_db
from drumwatchd.index.records import (
    COLUMNS,
    Event,
    Lesson,
    Remembered,
    Sample,
    Whereabouts,
    to_event,
    to_remembered,
    to_sample,
)
from drumwatchd.index.schema import SCHEMA_VERSION, schema_version

if TYPE_CHECKING:
    from drumwatchd.index.query import Clause, Query

BUSY_TIMEOUT_SECONDS = 5.0
# Up to so many rows, or this part of the table, an index is the shorter way; beyond, one pass is.
NARROW_ROWS = 20_000
NARROW_PART = 1 / 20
_NUMBER_COLUMNS = frozenset({"confidence", "added", "duration", "size", "retained", "corrected"})
_OF_THE_ANALYSIS = frozenset({"top", "probabilities", "embedding"})
_FLAG_ORDERS = {"corrected": "(digest IN (SELECT digest FROM corrections))"}  # as in `query`
Condition = tuple[str, tuple[Any, ...]]
_INDEXED_ORDERS = {"added": "samples_by_added", "confidence": "samples_by_confidence"}


@contextlib.contextmanager
def open_reader(index_path: str) -> Iterator[Reader]:
    """Open the index for reading.

    Raises:
        IndexStoreError: there is none, it isn't one, or its schema is of another version.
    """
    path = os.path.abspath(index_path)
    with _explained(path):
        connection = sqlite3.connect(_uri(path), uri=True, timeout=BUSY_TIMEOUT_SECONDS)
    try:
        with _explained(path):
            _check_version(connection, path)
        yield Reader(connection, path)
    finally:
        connection.close()


def _uri(path: str) -> str:
    """The index as SQLite's read-only URI.

    A reader of a WAL index needs the shared memory beside it. Where the daemon has stopped it is
    gone, and who may not write there can't make it, but then nobody writes and none is needed.

    References:
        https://www.sqlite.org/wal.html#read_only_databases
    """
    # In a URI these three mean something else; all other bytes stand for themselves.
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    at_rest = not os.path.exists(f"{path}-wal") and not os.access(os.path.dirname(path), os.W_OK)
    return f"file://{quoted}?mode=ro" + ("&immutable=1" if at_rest else "")


def _check_version(connection: sqlite3.Connection, path: str) -> None:
    version = schema_version(connection)
    if version > SCHEMA_VERSION:
        message = f"the index has schema {version}, this drumwatchd reads up to {SCHEMA_VERSION}"
        hint = "upgrade drumwatchd, or point index.path at another file"
    elif version == 0:
        message, hint = "this SQLite file is not an index of drumwatchd", "check index.path"
    elif version < SCHEMA_VERSION:
        message = f"the index has schema {version}, this drumwatchd reads {SCHEMA_VERSION}"
        hint = "`drumwatchd scan` or `run` brings it up to date; a daemon that runs, its restart"
    else:
        return
    raise IndexStoreError(message, path=path, hint=hint)


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if not os.path.lexists(path):
            raise IndexStoreError(
                "there is no index yet",
                path=path,
                hint="`drumwatchd scan` or `run` makes it; check index.path and --config",
            ) from error
        raise IndexStoreError(
            f"the index can't be read ({error})", path=path, hint=_reading_hint(path, error)
        ) from error


def _reading_hint(path: str, error: sqlite3.DatabaseError) -> str:
    if not os.access(path, os.R_OK):
        return "you may not read it; try as the daemon's user"
    if isinstance(error, sqlite3.OperationalError):
        return "readers too need write access to its folder, for SQLite's shared memory"
    return "`drumwatchd repair --rebuild-index` makes a new one of the archive and its manifests"


class Reader:
    """An open index; use `open_reader`."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self.path = path

    # -- lists ------------------------------------------------------------------------------

    def rows(
        self,
        query: Query,
        columns: Sequence[str],
        *,
        limit: int | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """Stream raw columns of all samples that `query` finds, in its order."""
        failures: list[BaseException] = []
        for name, predicate in query.predicates.items():
            guarded = _guarded(predicate, failures)
            self._connection.create_function(name, -1, guarded, deterministic=True)
        with _explained(self.path):
            sql, parameters = self._select(query, columns, limit)
            try:
                yield from self._connection.execute(sql, parameters)
            except sqlite3.OperationalError:
                if failures:
                    raise failures[0] from None
                raise

    def samples(
        self, query: Query, *, limit: int | None = None, with_top: bool = False
    ) -> Iterator[Sample]:
        """Stream all samples that `query` finds, in its order."""
        columns = (*COLUMNS, "top") if with_top else COLUMNS
        for values in self.rows(query, columns, limit=limit):
            yield to_sample(values)

    def samples_of(self, ids: Sequence[int]) -> Iterator[Sample]:
        """The samples with these row numbers, in no particular order."""
        for start in range(0, len(ids), 500):
            lot = ids[start : start + 500]
            marks = ", ".join("?" * len(lot))
            yield from self._found(f"id IN ({marks})", tuple(lot), len(lot))

    def _select(self, query: Query, columns: Sequence[str], limit: int | None) -> Condition:
        where, parameters = query.where()
        source = "samples NOT INDEXED"
        if narrow := self._narrowed(query):
            where, parameters = f"id IN ({narrow[0]}) AND ({where})", (*narrow[1], *parameters)
        elif query.order and query.order[0][0] in _INDEXED_ORDERS:
            source = f"samples INDEXED BY {_INDEXED_ORDERS[query.order[0][0]]}"
        if not _OF_THE_ANALYSIS.isdisjoint(columns):
            source += " LEFT JOIN analyses ON sample_id = id"
        sql = f"SELECT {', '.join(columns)} FROM {source} WHERE {where} ORDER BY {_order(query)}"  # noqa: S608 - our own texts
        if limit is not None:
            sql, parameters = f"{sql} LIMIT ?", (*parameters, min(limit, sys.maxsize))
        return sql, parameters

    def _narrowed(self, query: Query) -> Condition | None:
        """A subquery of ids, when every group has a term that an index makes small."""
        enough = self._narrow_rows()
        chosen = []
        for group in query.groups:
            conditions = [self._narrowing(clause) for clause in group if clause.narrows]
            counted = [(self._count_to(enough, found), found) for found in conditions]
            count, narrow = min(counted, key=lambda pair: pair[0], default=(enough, ("", ())))
            if count >= enough:
                return None
            chosen.append(narrow)
        sql = " UNION ALL ".join(f"SELECT id FROM samples WHERE {narrow[0]}" for narrow in chosen)  # noqa: S608 - our own texts
        return sql, tuple(value for narrow in chosen for value in narrow[1])

    def _narrow_rows(self) -> int:
        rows = self._connection.execute("SELECT max(id) FROM samples").fetchone()[0] or 0
        return max(NARROW_ROWS, int(rows * NARROW_PART))

    def _count_to(self, enough: int, condition: Condition) -> int:
        # Looking is cheaper than statistics that nobody keeps fresh: a few milliseconds.
        sql = f"SELECT count(*) FROM (SELECT 1 FROM samples WHERE {condition[0]} LIMIT ?)"  # noqa: S608 - our own texts
        return int(self._connection.execute(sql, (*condition[1], enough)).fetchone()[0])

    def _narrowing(self, clause: Clause) -> Condition:
        """The clause as its index can find it; for labels, by every spelling that is there."""
        if clause.narrows not in ("label", "fine"):
            return clause.sql, clause.parameters
        position = ("label", "fine").index(clause.narrows)
        word = str(clause.parameters[0]).lower()
        pairs = [pair for pair in self._labels() if pair[position].lower() == word]
        columns = ["label", "fine"][: position + 1]
        tests, parameters = ["state = 'filed'"], []
        for number, column in enumerate(columns):
            values = sorted({pair[number] for pair in pairs})
            tests.append(f"{column} IN ({', '.join('?' * len(values))})")
            parameters += values
        return " AND ".join(tests), tuple(parameters)

    def _labels(self) -> list[tuple[str, str]]:
        """All pairs of label and fine label in the archive, stepping from one to the next."""
        # One comparison of both columns would walk through all rows of the pair it stands on.
        steps = ("label = ? AND fine > ?", "label > ?")
        queries = [
            f"SELECT label, fine FROM samples WHERE state = 'filed' AND {step} "  # noqa: S608 - our own texts
            "ORDER BY label, fine LIMIT 1"
            for step in steps
        ]
        pairs: list[tuple[str, str]] = []
        last = ("", "")
        while True:
            found = (
                self._connection.execute(queries[0], last).fetchone()
                or self._connection.execute(queries[1], last[:1]).fetchone()
            )
            if found is None:
                return pairs
            last = (found[0], found[1] or "")
            pairs.append(last)

    # -- one sample ---------------------------------------------------------------------------

    def by_digest(self, prefix: str, *, limit: int = 10) -> list[Sample]:
        """Samples whose digest begins so, whatever their state."""
        low = prefix.lower()
        return self._found("digest >= ? AND digest < ?", (low, low + "g"), limit)

    def by_path(self, relative: str) -> list[Sample]:
        """The sample at this place below the archive's root."""
        return self._found("path = ? AND missing IS NULL", (to_db(relative),), 1)

    def by_last_path(self, relative: str) -> list[Sample]:
        """The sample that is gone from this place, the newest of them."""
        return self._found("path = ? AND missing IS NOT NULL", (to_db(relative),), 1)

    def correction(self, digest: str) -> dict[str, Any] | None:
        """What the owner says of a content: label, was, how, note, at."""
        sql = "SELECT label, was, how, note, at FROM corrections WHERE digest = ?"
        rows = self._all(sql, (digest,))
        return (
            dict(zip(("label", "was", "how", "note", "at"), rows[0], strict=True)) if rows else None
        )

    def count_corrections(self) -> int:
        """Of how many contents the owner said what they are."""
        return int(self._all("SELECT count(*) FROM corrections")[0][0])

    def corrected_labels(self) -> dict[tuple[str, str], int]:
        """How often a sample filed under the first label was corrected to the second."""
        rows = self._all(
            "SELECT was, label, count(*) FROM corrections WHERE was IS NOT NULL GROUP BY was, label"
        )
        return {(was, label): count for was, label, count in rows}

    def by_source(self, path: str, *, limit: int = 10) -> list[Sample]:
        """Samples that came from this path in an inbox, the newest first."""
        return self._found("source = ?", (to_db(path),), limit)

    def by_name(self, name: str, *, limit: int = 10) -> list[Sample]:
        """Samples of this very file name, the newest first."""
        return self._found("name = ?", (to_db(name),), limit)

    def _found(self, where: str, parameters: tuple[Any, ...], limit: int) -> list[Sample]:
        sql = (
            f"SELECT {', '.join(COLUMNS)}, top, probabilities FROM samples "  # noqa: S608 - our own texts
            f"LEFT JOIN analyses ON sample_id = id WHERE {where} ORDER BY id DESC LIMIT ?"
        )
        return [to_sample(values) for values in self._all(sql, (*parameters, limit))]

    def remembered(self, path: str) -> Remembered | None:
        """What is remembered of an inbox file that stays where it is."""
        sql = "SELECT path, inbox, size, outcome, digest, reason, at FROM remembered WHERE path = ?"
        rows = self._all(sql, (to_db(path),))
        return to_remembered(rows[0]) if rows else None

    def came_again(self) -> Iterator[tuple[str, list[str]]]:
        """Contents that came again, by digest, each with the paths where they did, oldest first."""
        sql = """SELECT digest, path FROM history WHERE event = 'duplicate' AND path IS NOT NULL
                 ORDER BY digest, id"""
        for digest, rows in groupby(self._all(sql), itemgetter(0)):
            yield digest, list(dict.fromkeys(from_db(path) for _, path in rows))

    def failures(self, *, limit: int) -> list[Remembered]:
        """The newest files that failed and stay in their inbox."""
        sql = """SELECT path, inbox, size, outcome, digest, reason, at FROM remembered
                 WHERE outcome = 'failed' ORDER BY at DESC LIMIT ?"""
        return [to_remembered(values) for values in self._all(sql, (limit,))]

    def history(self, digest: str) -> list[Event]:
        """What happened to this content, oldest first."""
        sql = "SELECT at, event, path, detail FROM history WHERE digest = ? ORDER BY id"
        return [to_event(values) for values in self._all(sql, (digest,))]

    def history_of_path(self, path: str) -> list[Event]:
        """What happened to an inbox file that never got a digest, oldest first."""
        sql = """SELECT at, event, path, detail FROM history
                 WHERE digest IS NULL AND path = ? ORDER BY id"""
        return [to_event(values) for values in self._all(sql, (to_db(path),))]

    def meta(self, key: str) -> str | None:
        """A value of the index about itself."""
        rows = self._all("SELECT value FROM meta WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else None

    def lessons(self, network: str) -> list[Lesson]:
        """What was corrected, oldest first, and what a network made of it that heard it again."""
        sql = """SELECT corrections.digest, corrections.label, at, samples.model, added, pack,
                        analyses.embedding, hearings.embedding, hearings.network IS NOT NULL,
                        CASE WHEN state = 'filed' AND missing IS NULL
                             THEN coalesce(path, source) END
                 FROM corrections LEFT JOIN samples USING (digest)
                 LEFT JOIN analyses ON sample_id = samples.id
                 LEFT JOIN hearings ON hearings.digest = corrections.digest AND network = ?
                 ORDER BY at, corrections.digest"""
        return [
            Lesson(
                digest, label, at, model, added, from_db(pack or ""), embedding, again,
                bool(is_heard_again), None if place is None else from_db(place),
            )
            for (
                digest, label, at, model, added, pack, embedding, again, is_heard_again, place,
            ) in self._all(sql, (network,))
        ]  # fmt: skip

    def happened(
        self, *, since: float, digest: str | None, limit: int | None
    ) -> list[tuple[str | None, Event]]:
        """What happened to any content, or to one, each with its digest; the newest last.

        Args:
            since: Unix time.
            digest: of the content; None for all.
            limit: only so many of the newest.
        """
        sql = """SELECT * FROM (SELECT id, at, event, path, detail, digest FROM history
                 WHERE at >= ? AND (? IS NULL OR digest = ?) ORDER BY id DESC LIMIT ?) ORDER BY id"""
        values = self._all(sql, (since, digest, digest, -1 if limit is None else limit))
        return [(digest, to_event(row)) for _, *row, digest in values]

    def whereabouts(self) -> Iterator[Whereabouts]:
        """Where each sample should stand, in the order in which they came."""
        sql = """SELECT digest, state, label, path, source, size, missing, moving_to
                 FROM samples ORDER BY id"""
        with _explained(self.path):
            for digest, state, label, path, source, *rest in self._connection.execute(sql):
                place = None if path is None else from_db(path)
                yield Whereabouts(digest, state, label, place, from_db(source), *rest)

    def copy_to(self, target: sqlite3.Connection, pages: int) -> None:
        """Copy everything, as it is at one moment, so many pages at a time."""
        with _explained(self.path):
            self._connection.backup(target, pages=pages, sleep=0.01)

    def damage(self) -> list[str]:
        """What SQLite finds wrong with the file itself."""
        said = [str(line) for (line,) in self._all("PRAGMA quick_check(10)")]
        return [] if said == ["ok"] else said

    # -- counts -------------------------------------------------------------------------------

    def count_samples(self) -> dict[tuple[str, str | None], int]:
        """How many samples each (state, label) has; one pass over a narrow index."""
        sql = "SELECT state, label, count(*) FROM samples GROUP BY state, label"
        return {(state, label): count for state, label, count in self._all(sql)}

    def count_events(self, event: str) -> int:
        """How often this happened."""
        return int(self._all("SELECT count(*) FROM history WHERE event = ?", (event,))[0][0])

    def count_remembered(self, outcome: str) -> int:
        """How many inbox files stay where they are with this outcome."""
        sql = "SELECT count(*) FROM remembered WHERE outcome = ?"
        return int(self._all(sql, (outcome,))[0][0])

    def last_filed(self) -> Sample | None:
        """The sample that was filed last."""
        sql = (
            f"SELECT {', '.join(COLUMNS)} FROM samples INDEXED BY samples_by_added "  # noqa: S608 - our own texts
            "WHERE state = 'filed' ORDER BY added DESC LIMIT 1"
        )
        rows = self._all(sql)
        return to_sample(rows[0]) if rows else None

    def _all(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with _explained(self.path):
            return self._connection.execute(sql, parameters).fetchall()


def _guarded(predicate: Callable[..., int], failures: list[BaseException]) -> Callable[..., int]:
    """Keep what SQLite would swallow: a Ctrl-C in the midst of a predicate."""

    def guarded(*values: Any) -> int:
        try:
            return predicate(*values)
        except BaseException as error:
            failures.append(error)
            raise

    return guarded


def _order(query: Query) -> str:
    parts = []
    for name, descending in query.order:
        column = "coalesce(path, source)" if name == "path" else _FLAG_ORDERS.get(name, name)
        if name not in _NUMBER_COLUMNS:
            column = f"CAST({column} AS TEXT) COLLATE NOCASE"
        parts.append(f"{column} DESC" if descending else column)
    # Ties fall in the direction of the first order, which is how its index runs.
    last = "id DESC" if query.order and query.order[0][1] else "id"
    return ", ".join([*parts, last])
