"""The index's writer."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import make_analysis
from drumwatchd.errors import AlreadyRunningError, IndexStoreError
from drumwatchd.files import Source
from drumwatchd.index import lock
from drumwatchd.index.query import compile_query
from drumwatchd.index.reader import open_reader
from drumwatchd.index.schema import MIGRATIONS, SCHEMA_VERSION, migrate, schema_version
from drumwatchd.index.store import Index, open_index

Drop = Callable[..., Source]


def test_the_first_claim_wins(index: Index, drop: Drop) -> None:
    """The second source of the same content is told whose it is."""
    first = index.claim(drop("a.wav"), "d1")
    second = index.claim(drop("b.wav"), "d1")
    assert first.won
    assert not second.won
    assert second.row.source.name == "a.wav"


def test_one_of_many_threads_wins(index: Index, drop: Drop) -> None:
    """The constraint decides, not a check before it."""
    sources = [drop(f"{n}.wav") for n in range(16)]
    barrier, wins = threading.Barrier(16), []

    def claim(source: Source) -> None:
        barrier.wait()
        wins.append(index.claim(source, "same").won)

    threads = [threading.Thread(target=claim, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wins.count(True) == 1


def test_a_place_belongs_to_one_row(index: Index, drop: Drop) -> None:
    """Two samples can't be planned for one path."""
    rows = [index.claim(drop(f"{n}.wav"), f"d{n}").row for n in range(2)]
    plan = [
        index.plan(row.id, make_analysis(), "Kick/bd.wav", name="bd.wav", mode="move")
        for row in rows
    ]
    assert plan == [True, False]


def test_a_row_that_is_gone_is_no_taken_place(index: Index, drop: Drop) -> None:
    """Trying one name after the other would never end."""
    row = index.claim(drop("a.wav"), "d").row
    index.release(row, "released", "meanwhile")
    with pytest.raises(sqlite3.IntegrityError):
        index.plan(row.id, make_analysis(), "Kick/a.wav", name="a.wav", mode="move")


def test_a_remembered_file_is_forgotten_when_it_changes(index: Index, drop: Drop) -> None:
    """Size and time identify what was dealt with."""
    source = drop("a.wav", b"one")
    index.failed(source, "not audio")
    assert index.is_remembered(source)
    assert not index.is_remembered(drop("a.wav", b"three"))
    index.forget(source.path)
    assert not index.is_remembered(source)


def test_names_that_are_not_utf8_come_back_whole(index: Index, drop: Drop) -> None:
    """Paths are stored as they are, bytes where they must be."""
    name = os.fsdecode(b"\xff\xe9.wav")
    source = drop(name)
    row = index.claim(source, "d").row
    assert row.source == source
    index.failed(source, "x")
    assert index.remembered("failed") == [source.path]


def test_a_failed_transaction_leaves_nothing(index: Index, drop: Drop) -> None:
    """A constraint that fails in the middle rolls everything back."""
    row = index.claim(drop("a.wav"), "d").row
    index.plan(row.id, make_analysis(), "Kick/a.wav", name="a.wav", mode="move")
    other = index.claim(drop("b.wav"), "e").row
    assert not index.plan(other.id, make_analysis(), "Kick/a.wav", name="a.wav", mode="move")
    again = index.row(other.id)
    assert again is not None
    assert (again.state, again.label) == ("claimed", None)


def test_another_digest_is_refused(tmp_path: Path) -> None:
    """Mixed digests would make every known sample new."""
    path = str(tmp_path / "index.sqlite3")
    open_index(path, "sha256").close()
    with pytest.raises(IndexStoreError, match=r'set index.hash_algorithm = "sha256"'):
        open_index(path, "md5")


def test_a_file_that_is_no_index_is_refused(tmp_path: Path) -> None:
    """The message names the path."""
    path = tmp_path / "index.sqlite3"
    path.write_bytes(b"this is no database, it is a text" * 100)
    with pytest.raises(IndexStoreError, match=r"index\.sqlite3"):
        open_index(str(path), "sha256")


def test_a_damaged_index_is_said_as_such(tmp_path: Path, drop: Drop) -> None:
    """Whatever SQLite finds wrong, while it reads or writes, is an error of the index."""
    path = tmp_path / "index.sqlite3"
    index = open_index(str(path), "sha256")
    index.failed(drop("a.wav"), "not audio")
    index.close()
    index = open_index(str(path), "sha256")
    with path.open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xaa" * (path.stat().st_size - 4096))
    for ask in (
        lambda: index.claim(drop("b.wav"), "d"),
        lambda: index.is_remembered(drop("a.wav")),
        lambda: index.rows_in("filed"),
        lambda: list(index.manifest_rows("Kick")),
    ):
        with pytest.raises(IndexStoreError, match=r"index\.sqlite3"):
            ask()
    index.close()


def test_an_index_that_is_taken_away_is_missed(index: Index, drop: Drop) -> None:
    """Rows that go to a removed file are lost; put back, work goes on."""
    index.failed(drop("a.wav"), "not audio")
    os.rename(index.path, f"{index.path}.away")
    with pytest.raises(IndexStoreError, match="removed or replaced"):
        index.claim(drop("b.wav"), "d")
    Path(index.path).touch()
    with pytest.raises(IndexStoreError, match="removed or replaced"):
        index.claim(drop("b.wav"), "d")
    os.rename(f"{index.path}.away", index.path)
    assert index.claim(drop("b.wav"), "d").won


def test_a_newer_index_is_refused(tmp_path: Path) -> None:
    """An older program must not write into a schema it doesn't know."""
    path = str(tmp_path / "index.sqlite3")
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(IndexStoreError, match="upgrade drumwatchd"):
        open_index(path, "sha256")


def test_an_index_of_the_first_schema_goes_on_working(tmp_path: Path, drop: Drop) -> None:
    """Its rows stay as they are, and new ones may have a tag or be marked for review."""
    path = str(tmp_path / "index.sqlite3")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1;")
    connection.execute(
        """INSERT INTO samples (digest, state, label, fine, confidence, path, source, inbox, pack,
                                name, size, mtime_ns, device, inode, added)
           VALUES ('d0', 'filed', 'Kick', 'Kick', 0.9, 'Kick/a.wav', '/in/a.wav', '/in', '',
                   'a.wav', 1, 1, 1, 1, 1)"""
    )
    connection.close()
    index = open_index(path, "sha256")
    analysis = make_analysis()
    verdict = dataclasses.replace(analysis.verdict, review="its name says Tom", tag="open")
    row = index.claim(drop("b.wav"), "d1").row
    marked = dataclasses.replace(analysis, verdict=verdict)
    assert index.plan(row.id, marked, "Kick/b.wav", name="b.wav", mode="move")
    index.filed(row, "Kick/b.wav", remember=False)
    index.close()
    with open_reader(path) as reader:
        found = reader.samples(compile_query([], root="/archive", now=0.0))
        assert [(s.name, s.review, s.tag) for s in found] == [
            ("a.wav", None, None),
            ("b.wav", "its name says Tom", "open"),
        ]


@pytest.mark.parametrize("version", [0, 1])
def test_processes_that_migrate_at_once_dont_fail(tmp_path: Path, version: int) -> None:
    """Whoever comes second waits, and finds nothing left to do."""
    path, processes = str(tmp_path / "index.sqlite3"), 4
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    for number, script in enumerate(MIGRATIONS[:version], start=1):
        connection.executescript(f"{script}; PRAGMA user_version = {number};")
    barrier = threading.Barrier(processes)

    def migrate_one() -> int:
        with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as mine:
            barrier.wait()
            migrate(mine)
            return schema_version(mine)

    with ThreadPoolExecutor(processes) as executor:
        futures = [executor.submit(migrate_one) for _ in range(processes)]
        assert {future.result() for future in futures} == {SCHEMA_VERSION}
    connection.close()


def test_an_interrupted_migration_starts_over(tmp_path: Path) -> None:
    """Schema and version are committed together."""
    connection = sqlite3.connect(tmp_path / "index.sqlite3", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError):
        connection.executescript(f"BEGIN;\n{MIGRATIONS[0]}\nNONSENSE;")
    connection.execute("ROLLBACK")
    assert schema_version(connection) == 0
    migrate(connection)
    assert schema_version(connection) == SCHEMA_VERSION
    connection.close()


def test_the_index_is_durable(index: Index) -> None:
    """Write-ahead log, and every commit reaches the disk."""
    connection = index._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_asking_whether_a_daemon_runs_keeps_none_from_starting(tmp_path: Path) -> None:
    """`status` looks at the lock by taking it for a moment; a start waits that moment."""
    path = str(tmp_path / "index.sqlite3")
    Path(lock.lock_path(path)).touch()
    with open(lock.lock_path(path)) as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        release = threading.Timer(lock.PAUSE_SECONDS, lambda: fcntl.flock(asking, fcntl.LOCK_UN))
        release.start()
        with lock.hold(path):
            pass
        release.join()


def test_a_place_that_takes_no_lock_is_named(tmp_path: Path) -> None:
    """No traceback: the path, and where an index can be."""
    (tmp_path / "file").touch()
    with pytest.raises(IndexStoreError, match="local disk"), lock.hold(f"{tmp_path}/file/index"):
        pass


def test_one_daemon_per_index(tmp_path: Path) -> None:
    """The second one is told; afterwards the lock is free again."""
    path = str(tmp_path / "index.sqlite3")
    assert not lock.is_held(path)
    with lock.hold(path):
        assert lock.is_held(path)
        with pytest.raises(AlreadyRunningError), lock.hold(path):
            pass
    assert not lock.is_held(path)


def test_a_migration_keeps_what_was_heard(tmp_path: Path) -> None:
    """The table of samples is made anew; rows of other tables that refer to it stay."""
    path = str(tmp_path / "index.sqlite3")
    connection = sqlite3.connect(path, isolation_level=None)
    for script in MIGRATIONS[:3]:
        connection.executescript(script)
    connection.execute("PRAGMA user_version = 3")
    connection.execute(
        """INSERT INTO samples (id, digest, state, label, path, source, inbox, pack, name, size,
                                mtime_ns, device, inode, added, review, tag)
           VALUES (7, 'd', 'filed', 'Kick', 'Kick/a.wav', '/in/a.wav', '/in', '', 'a.wav', 1, 2, 3,
                   4, 5, 'look', 'open')"""
    )
    connection.execute("INSERT INTO analyses VALUES (7, '[]', '{}', x'00')")
    connection.close()
    index = open_index(path, "sha256")
    (row,) = index.rows_in("filed")
    assert (row.id, row.path, row.missing, row.added) == (7, "Kick/a.wav", None, 5)
    with index.reading() as connection:
        assert connection.execute("SELECT review, tag FROM samples").fetchall() == [
            ("look", "open")
        ]
        assert connection.execute("SELECT sample_id FROM analyses").fetchall() == [(7,)]
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    index.close()
