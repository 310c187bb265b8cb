"""An index filled by hand: a real SQLite file, with the rows that a test wants to ask about."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drumwatchd.analysis.labels import CANONICAL_OF
from drumwatchd.index.paths import to_db
from drumwatchd.index.schema import migrate

NOW = 1_793_440_800.0  # 2026-10-31 10:00 UTC
HOUR, DAY = 3_600.0, 86_400.0


class Shelf:
    """Writes rows as the pipeline would; `connection` is there for what it doesn't offer."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self.connection = connection
        self.inbox = str(folder / "inbox")
        self.rows: list[dict[str, Any]] = []

    def add(self, name: str = "kick.wav", **values: Any) -> dict[str, Any]:
        """Add a sample; what isn't given is made up from its name and number."""
        number = len(self.rows) + 1
        fine = values.get("fine", "Kick")
        label = values.get("label", CANONICAL_OF.get(fine))
        pack = values.get("pack", "")
        row = {
            "id": number,
            "digest": hashlib.sha256(b"%d" % number).hexdigest(),
            "state": "filed",
            "label": label,
            "fine": fine,
            "confidence": 0.9,
            "path": f"{label}/{name}",
            "source": os.path.join(self.inbox, pack, name),
            "inbox": self.inbox,
            "pack": pack,
            "name": name,
            "size": 1000 * number,
            "mtime_ns": 0,
            "device": 1,
            "inode": number,
            "mode": "move",
            "reason": f"{label} at 0.90",
            "review": None,
            "tag": None,
            "model": "drumwatchd-1",
            "duration": 0.25,
            "retained": 0,
            "added": NOW - HOUR,
        } | values
        stored = [to_db(value) if isinstance(value, str) else value for value in row.values()]
        marks = ", ".join("?" * len(row))
        self.connection.execute(f"INSERT INTO samples ({', '.join(row)}) VALUES ({marks})", stored)
        if row["state"] == "filed":
            self._analyse(row)
        self.rows.append(row)
        return row

    def _analyse(self, row: dict[str, Any]) -> None:
        top = [[row["fine"], 0.8], ["Tom", 0.1]]
        folded = {row["label"]: row["confidence"], "misc": 0.05}
        self.connection.execute(
            "INSERT INTO analyses VALUES (?, ?, ?, NULL)",
            (row["id"], json.dumps(top), json.dumps(folded)),
        )

    def note(
        self,
        digest: str | None,
        event: str,
        path: str | None = None,
        at: float = NOW,
        **detail: Any,
    ) -> None:
        """Add a line to the history."""
        self.connection.execute(
            "INSERT INTO history (digest, at, event, path, detail) VALUES (?, ?, ?, ?, ?)",
            (digest, at, event, None if path is None else to_db(path), json.dumps(detail)),
        )

    def remember(
        self, path: str, outcome: str, digest: str | None = None, reason: str | None = None,
        at: float = NOW,
    ) -> None:  # fmt: skip
        """Add an inbox file that stays where it is."""
        self.connection.execute(
            "INSERT INTO remembered VALUES (?, ?, 10, 0, ?, ?, ?, ?)",
            (to_db(path), self.inbox, outcome, digest, reason, at),
        )


@contextmanager
def open_shelf(path: str) -> Iterator[Shelf]:
    """A new index at `path`; all rows are there once the block ends."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        migrate(connection)
        connection.execute("BEGIN")
        yield Shelf(connection, Path(path).parent)
        connection.execute("COMMIT")
    finally:
        connection.close()
