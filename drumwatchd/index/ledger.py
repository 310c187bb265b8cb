"""The index's file as its one writer has it: one connection, whole transactions, the history.

The connection is shared by the pipeline's threads behind a lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from drumwatchd.errors import IndexStoreError
from drumwatchd.files import identity_of
from drumwatchd.index.lock import Turns
from drumwatchd.index.rows import optional_to_db
from drumwatchd.index.schema import migrate

BUSY_TIMEOUT_SECONDS = 30.0


class Ledger:
    """A connection to the index, opened for writing.

    Attributes:
        path: of the index.
        turns: which contents this process has in work.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: str, clock: Callable[[], float]
    ) -> None:
        self._connection = connection
        self._lock = threading.RLock()
        self._clock = clock
        self._identity = identity_of(path)
        self.path = path
        self.turns = Turns(path)

    def now(self) -> float:
        """Unix time by the index's clock."""
        return self._clock()

    def close(self) -> None:
        """Fold the write-ahead log into the index and close."""
        with self._lock:
            self._connection.close()
            self.turns.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it, or nothing.

        Raises:
            IndexStoreError: the index can't be written.
        """
        with self._lock:
            self._check_in_place()
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except sqlite3.IntegrityError:
                self._roll_back()
                raise
            except sqlite3.Error as error:
                self._roll_back()
                raise IndexStoreError(
                    f"the index can't be written ({error})",
                    path=self.path,
                    hint="check free space and permissions",
                ) from error
            except BaseException:
                self._roll_back()
                raise

    def _check_in_place(self) -> None:
        """SQLite goes on writing to a file that was removed or replaced; nobody would read it."""
        if identity_of(self.path) != self._identity:
            raise IndexStoreError(
                "the index was removed or replaced while in use",
                path=self.path,
                hint="put it back, or restart drumwatchd to work with what is there now",
            )

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # the error that led here says more
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, to read.

        Raises:
            IndexStoreError: the index can't be read.
        """
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise IndexStoreError(
                    f"the index can't be read ({error})", path=self.path, hint="check its disk"
                ) from error

    # -- meta -----------------------------------------------------------------------------------

    def meta(self, key: str, default: str) -> str:
        """The value stored under `key`; `default` is stored first where there is none."""
        with self.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, default))
            query = "SELECT value FROM meta WHERE key = ?"
            return str(connection.execute(query, (key,)).fetchone()[0])

    def notes(self, prefix: str) -> dict[str, str]:
        """What was noted under keys that begin so."""
        with self.reading() as connection:
            query = "SELECT key, value FROM meta WHERE substr(key, 1, ?) = ?"
            return dict(connection.execute(query, (len(prefix), prefix)).fetchall())

    def note(self, key: str, value: str) -> None:
        """Store a value under `key`, in place of another."""
        with self.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def unnote(self, key: str) -> None:
        """Forget what is stored under `key`."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM meta WHERE key = ?", (key,))

    # -- history --------------------------------------------------------------------------------

    def record(
        self,
        connection: sqlite3.Connection,
        digest: str | None,
        event: str,
        path: str | None,
        detail: Mapping[str, Any],
    ) -> None:
        """Add a line to the history, as a part of a transaction."""
        connection.execute(
            "INSERT INTO history (digest, at, event, path, detail) VALUES (?, ?, ?, ?, ?)",
            (digest, self._clock(), event, optional_to_db(path), json.dumps(detail)),
        )


def connect(path: str) -> sqlite3.Connection:
    """Open the index for writing, create or migrate it as needed.

    Raises:
        IndexStoreError: it can't be opened.
    """
    with contextlib.ExitStack() as stack:
        try:
            os.makedirs(os.path.dirname(path) or os.curdir, exist_ok=True)
            connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
            )
            stack.callback(connection.close)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA cache_size = -2000")
            migrate(connection)
            connection.execute("PRAGMA foreign_keys = ON")
        except (OSError, sqlite3.Error) as error:
            raise IndexStoreError(
                f"the index can't be opened ({error})",
                path=path,
                hint="check that index.path is a writable place and no other file",
            ) from error
        stack.pop_all()
    return connection
