"""The index's tables, as migrations numbered by ``PRAGMA user_version``.

A shipped migration never changes; a new one is appended. All that are needed run in one transaction
with the version number, so a crash leaves the old schema or the new one, and processes that migrate
at once, as `run` and `retry` may after an upgrade, do it one after the other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from drumwatchd.errors import IndexStoreError

MIGRATIONS = (
    """
    CREATE TABLE meta (
        key   TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID;

    -- One row per distinct content. Paths are TEXT where they are UTF-8, else BLOB.
    CREATE TABLE samples (
        id          INTEGER PRIMARY KEY,
        digest      TEXT NOT NULL UNIQUE,
        state       TEXT NOT NULL CHECK (state IN ('claimed', 'placing', 'filed', 'quarantined')),
        label       TEXT,                -- a target label or misc; NULL until judged
        fine        TEXT,
        confidence  REAL,                -- of the folded label, 0 to 1
        path        TEXT UNIQUE,         -- below the archive root; NULL in mode "none"
        source      TEXT NOT NULL,       -- absolute path in the inbox
        inbox       TEXT NOT NULL,
        pack        TEXT NOT NULL,       -- folders below the inbox, '' at its top
        name        TEXT NOT NULL,       -- file name as it is filed (or stands in the inbox)
        size        INTEGER NOT NULL,    -- bytes
        mtime_ns    INTEGER NOT NULL,
        device      INTEGER NOT NULL,    -- identity of the source file, to finish its removal
        inode       INTEGER NOT NULL,
        mode        TEXT,                -- move, copy, hardlink, symlink, none
        reason      TEXT,                -- why this label, or why quarantined
        model       TEXT,
        duration    REAL,                -- seconds
        retained    INTEGER NOT NULL DEFAULT 0,  -- 1: the source could not be removed
        added       REAL NOT NULL        -- Unix time of the claim, then of the filing
    );
    CREATE INDEX samples_by_label ON samples (state, label, fine);
    CREATE INDEX samples_by_added ON samples (added);
    CREATE INDEX samples_by_confidence ON samples (confidence);

    -- Wide columns stand apart, so that a scan over a million samples stays narrow.
    CREATE TABLE analyses (
        sample_id     INTEGER PRIMARY KEY REFERENCES samples (id) ON DELETE CASCADE,
        top           TEXT NOT NULL,     -- JSON [[fine label, probability], ...], best first
        probabilities TEXT NOT NULL,     -- JSON {target label or misc: probability}
        embedding     BLOB               -- float16, little-endian
    );

    -- Inbox files that stay where they are: not looked at again until size or mtime changes.
    CREATE TABLE remembered (
        path      TEXT PRIMARY KEY,
        inbox     TEXT NOT NULL,
        size      INTEGER NOT NULL,
        mtime_ns  INTEGER NOT NULL,
        outcome   TEXT NOT NULL CHECK (outcome IN ('filed', 'duplicate', 'failed')),
        digest    TEXT,
        reason    TEXT,
        at        REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX remembered_by_outcome ON remembered (outcome);
    CREATE INDEX remembered_by_inbox ON remembered (inbox);

    -- What happened, in order; `show` tells it.
    CREATE TABLE history (
        id      INTEGER PRIMARY KEY,
        digest  TEXT,
        at      REAL NOT NULL,
        event   TEXT NOT NULL,           -- filed, duplicate, quarantined, failed, retried, recovered, …
        path    TEXT,
        detail  TEXT                     -- JSON
    );
    CREATE INDEX history_by_digest ON history (digest);
    CREATE INDEX history_by_event ON history (event);

    -- How far each manifest on disk follows the index.
    CREATE TABLE manifests (
        label    TEXT PRIMARY KEY,
        rows     INTEGER NOT NULL,
        size     INTEGER NOT NULL        -- bytes of the file with these rows
    ) WITHOUT ROWID;
    """,
    """
    -- Why a person should look at the sample; NULL where nothing is in doubt.
    ALTER TABLE samples ADD COLUMN review TEXT;
    """,
    """
    -- What is finer than the fine label, as "open" of a hi-hat; NULL where nothing is.
    ALTER TABLE samples ADD COLUMN tag TEXT;
    """,
    """
    -- What the owner says of a content, by hand or by command; it outlives the sample's row.
    CREATE TABLE corrections (
        digest TEXT PRIMARY KEY,
        label  TEXT NOT NULL,            -- one of the 34, a folder of the owner's own, or misc
        was    TEXT,                     -- what it was filed under before its first correction
        how    TEXT NOT NULL,            -- moved, command, imported
        note   TEXT,
        at     REAL NOT NULL
    ) WITHOUT ROWID;

    -- Made anew for one more state, and because a sample that is missing holds no name any more.
    CREATE TABLE samples_anew (
        id          INTEGER PRIMARY KEY,
        digest      TEXT NOT NULL UNIQUE,
        state       TEXT NOT NULL
                    CHECK (state IN ('claimed', 'placing', 'filed', 'quarantined', 'gone')),
        label       TEXT,
        fine        TEXT,
        confidence  REAL,
        path        TEXT,                -- where it was last, if it is missing
        source      TEXT NOT NULL,
        inbox       TEXT NOT NULL,
        pack        TEXT NOT NULL,
        name        TEXT NOT NULL,
        size        INTEGER NOT NULL,
        mtime_ns    INTEGER NOT NULL,
        device      INTEGER NOT NULL,
        inode       INTEGER NOT NULL,
        mode        TEXT,
        reason      TEXT,
        model       TEXT,
        duration    REAL,
        retained    INTEGER NOT NULL DEFAULT 0,
        added       REAL NOT NULL,
        review      TEXT,
        tag         TEXT,
        missing     REAL,                -- Unix time since which it isn't in its place
        seen_ns     INTEGER,             -- mtime in the archive where that isn't the source's
        moving_to   TEXT                 -- where a command is moving it right now
    );
    INSERT INTO samples_anew
        SELECT id, digest, state, label, fine, confidence, path, source, inbox, pack, name, size,
               mtime_ns, device, inode, mode, reason, model, duration, retained, added, review,
               tag, NULL, NULL, NULL
        FROM samples;
    DROP TABLE samples;
    ALTER TABLE samples_anew RENAME TO samples;
    CREATE INDEX samples_by_label ON samples (state, label, fine);
    CREATE INDEX samples_by_added ON samples (added);
    CREATE INDEX samples_by_confidence ON samples (confidence);
    CREATE UNIQUE INDEX samples_by_path ON samples (path) WHERE missing IS NULL;
    CREATE INDEX samples_missing ON samples (size) WHERE missing IS NOT NULL;
    CREATE INDEX samples_moving ON samples (moving_to) WHERE moving_to IS NOT NULL;
    """,
    """
    -- JSON: how a sample that a command is moving will be judged once it is there; NULL where its
    -- owner says what it is.
    ALTER TABLE samples ADD COLUMN becomes TEXT;
    """,
    """
    -- What a network makes of corrected contents that another one judged.
    CREATE TABLE hearings (
        digest    TEXT NOT NULL,
        network   TEXT NOT NULL,         -- its SHA-256
        embedding BLOB,                  -- float16, little-endian; NULL where it can't be heard
        PRIMARY KEY (digest, network)
    ) WITHOUT ROWID;
    """,
    """
    -- What came under the same name before.
    CREATE INDEX samples_by_source ON samples (source);
    """,
)
SCHEMA_VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the index to `SCHEMA_VERSION`.

    Raises:
        IndexStoreError: the index was made by a newer drumwatchd.
    """
    version = schema_version(connection)
    if version > SCHEMA_VERSION:
        raise IndexStoreError(
            f"the index has schema {version}, this drumwatchd reads up to {SCHEMA_VERSION}",
            hint="upgrade drumwatchd, or point index.path at another file",
        )
    if version < SCHEMA_VERSION:
        # A table that is made anew is dropped first, and what refers to it has to outlive that.
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("BEGIN IMMEDIATE")
        try:
            _take_steps(connection)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _take_steps(connection: sqlite3.Connection) -> None:
    """All that is left to be done, now that no other process does it."""
    version = schema_version(connection)
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        for statement in _statements(script):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")


def _statements(script: str) -> Iterator[str]:
    """Cut a script up: to run it as a whole would commit the transaction first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def schema_version(connection: sqlite3.Connection) -> int:
    """Number of the last migration that was applied; 0 for a new file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
