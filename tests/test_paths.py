"""Odd paths: in the index's columns, and as the path of the index itself."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumwatchd.errors import IndexStoreError
from drumwatchd.index.paths import from_db, to_db
from drumwatchd.index.query import compile_query
from drumwatchd.index.reader import open_reader
from shelf import open_shelf

NOBODY = 65_534
RAW_NAMES = st.binary(min_size=1, max_size=40).filter(lambda raw: b"\0" not in raw)


@given(RAW_NAMES)
def test_a_path_of_any_bytes_comes_back_from_sqlite_unharmed(raw: bytes) -> None:
    """What `to_db` stores, `from_db` gives back, byte by byte."""
    path = os.fsdecode(raw)
    connection = sqlite3.connect(":memory:")
    stored = connection.execute("SELECT ?", (to_db(path),)).fetchone()[0]
    connection.close()
    assert os.fsencode(from_db(stored)) == raw


@pytest.mark.parametrize("path", ["Kick/808.wav", "Crash/Größe.wav", "Tom/a\nb.wav"])
def test_a_path_that_is_utf8_is_stored_as_text(path: str) -> None:
    """A person who opens the index can read the usual names."""
    assert to_db(path) == path


def test_a_path_that_is_not_utf8_is_stored_as_its_bytes() -> None:
    """Nothing is replaced and nothing guessed."""
    assert to_db("Ride/\udcff\udce9.wav") == b"Ride/\xff\xe9.wav"


@pytest.mark.parametrize(
    "folder",
    [
        b"plain",
        b"100% wet",
        b"what?mode=rwc",
        b"C#",
        b"%41",
        b"new\nline",
        b"\xff\xe9",
        "ß".encode(),
        b"a&b=c;d",
    ],
)
def test_an_index_in_an_odd_folder_is_read(tmp_path: Path, folder: bytes) -> None:
    """Nothing in the path of the index is taken for a part of a URI."""
    path = os.path.join(str(tmp_path), os.fsdecode(folder), "index.sqlite3")
    with open_shelf(path) as shelf:
        shelf.add("kick.wav")
    with open_reader(path) as reader:
        found = [sample.name for sample in reader.samples(compile_query([], root="/a", now=0.0))]
    assert found == ["kick.wav"]
    assert os.listdir(tmp_path) == [os.fsdecode(folder)]


def test_reading_leaves_the_index_as_it_is(tmp_path: Path) -> None:
    """Not one byte of the index changes under a reader, and a reader can't write."""
    path = tmp_path / "index.sqlite3"
    with open_shelf(str(path)) as shelf:
        shelf.add("kick.wav")
    before = hashlib.sha256(path.read_bytes()).digest()
    with open_reader(str(path)) as reader:
        list(reader.samples(compile_query(["kick"], root="/a", now=0.0)))
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._connection.execute("DELETE FROM samples")
    assert hashlib.sha256(path.read_bytes()).digest() == before


def test_a_missing_index_is_named_and_not_made(tmp_path: Path) -> None:
    """The error says which path and what makes an index; the folder stays empty."""
    path = str(tmp_path / "index.sqlite3")
    with (
        pytest.raises(IndexStoreError, match=r"no index yet.*scan"),
        open_reader(path),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (99, "schema 99.*upgrade"),
        (1, "schema 1.*brings it up to date.*restart"),
        (0, "not an index"),
    ],
)
def test_an_index_of_another_version_is_refused(tmp_path: Path, version: int, message: str) -> None:
    """A newer index, or another program's file, is not read on a guess."""
    path = tmp_path / "index.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE samples (id)")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    with pytest.raises(IndexStoreError, match=message), open_reader(str(path)):
        pass


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A stray file at index.path gives a sentence and no traceback."""
    path = tmp_path / "index.sqlite3"
    path.write_bytes(b"RIFF" * 1000)
    with pytest.raises(IndexStoreError, match="can't be read"), open_reader(str(path)):
        pass


def test_who_may_only_read_reads_an_index_at_rest(readable_folder: Path) -> None:
    """A member of the daemon's group asks after the daemon was stopped, too."""
    path = readable_folder / "index.sqlite3"
    with open_shelf(str(path)) as shelf:
        shelf.add("kick.wav")
    readable_folder.chmod(0o555)
    assert sorted(os.listdir(readable_folder)) == ["index.sqlite3"]
    child = os.fork()
    if not child:
        found = []
        try:
            if os.geteuid() == 0:
                os.setuid(NOBODY)
            with open_reader(str(path)) as reader:
                query = compile_query([], root="/a", now=0.0)
                found = [sample.name for sample in reader.samples(query)]
        finally:
            os._exit(found != ["kick.wav"])
    assert os.waitpid(child, 0) == (child, 0)
    assert sorted(os.listdir(readable_folder)) == ["index.sqlite3"]


@pytest.fixture
def readable_folder() -> Iterator[Path]:
    """A folder that other users can get to, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


def test_readers_see_an_index_that_is_being_written(tmp_path: Path) -> None:
    """A writer in the midst of a transaction blocks nobody; readers see what was committed."""
    path = str(tmp_path / "index.sqlite3")
    with open_shelf(path) as shelf:
        shelf.add("first.wav")
        shelf.connection.execute("COMMIT")
        shelf.connection.execute("BEGIN IMMEDIATE")
        shelf.add("second.wav")
        with open_reader(path) as reader:
            found = [s.name for s in reader.samples(compile_query([], root="/a", now=0.0))]
    assert found == ["first.wav"]
