"""Manifests follow the index, whatever happens to them."""

from __future__ import annotations

import csv
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import make_analysis
from drumwatchd.archive.manifest import HEADER, Manifests
from drumwatchd.files import Source
from drumwatchd.index.store import Index

Drop = Callable[..., Source]


def read(root: Path, label: str = "Kick") -> list[dict[str, str]]:
    path = root / "_manifests" / f"{label}.csv"
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def file_sample(index: Index, drop: Drop) -> Callable[[str], int]:
    """Bring one sample through the index as the pipeline does; return its id."""

    def file(name: str) -> int:
        claim = index.claim(drop(name, os.fsencode(name)), f"digest-of-{name!r}")
        index.plan(claim.row.id, make_analysis(), f"Kick/{name}", name=name, mode="move")
        index.filed(claim.row, f"Kick/{name}", remember=False)
        return claim.row.id

    return file


def test_a_line_tells_everything(tmp_path: Path, index: Index, file_sample: Callable) -> None:
    """Name, digest, labels, confidence, top-k, model, when and whence."""
    manifests = Manifests(str(tmp_path), index)
    manifests.append("Kick", file_sample("bd.wav"))
    (row,) = read(tmp_path)
    assert tuple(row) == HEADER
    assert row["name"] == "bd.wav"
    assert (row["label"], row["fine"], row["confidence"]) == ("Kick", "Kick", "0.9000")
    assert row["top"] == "Kick:0.900 Clap:0.100"
    assert row["added"] == "1970-01-01T00:16:40+00:00"
    assert row["source"] == str(tmp_path / "inbox" / "bd.wav")
    assert row["path"] == "Kick/bd.wav"


def test_appending_touches_only_the_end(
    tmp_path: Path, index: Index, file_sample: Callable
) -> None:
    """The cost of one sample doesn't grow: the file is the same one, a line longer."""
    manifests = Manifests(str(tmp_path), index)
    manifests.append("Kick", file_sample("1.wav"))
    path = tmp_path / "_manifests" / "Kick.csv"
    before, inode = path.read_bytes(), path.stat().st_ino
    for n in range(2, 20):
        manifests.append("Kick", file_sample(f"{n}.wav"))
    assert path.stat().st_ino == inode
    assert path.read_bytes().startswith(before)
    assert [row["name"] for row in read(tmp_path)] == [f"{n}.wav" for n in range(1, 20)]


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-7]),
        lambda path: path.write_bytes(path.read_bytes() + b"torn,line"),
    ],
    ids=["removed", "cut", "torn"],
)
def test_recover_mends(
    harm: Callable[[Path], None], tmp_path: Path, index: Index, file_sample: Callable
) -> None:
    """After a crash every manifest says what the index says."""
    manifests = Manifests(str(tmp_path), index)
    for n in range(3):
        manifests.append("Kick", file_sample(f"{n}.wav"))
    manifests.flush()
    harm(tmp_path / "_manifests" / "Kick.csv")
    assert Manifests(str(tmp_path), index).recover() == ["Kick"]
    assert [row["name"] for row in read(tmp_path)] == ["0.wav", "1.wav", "2.wav"]
    assert Manifests(str(tmp_path), index).recover() == []


def test_recover_outlives_a_full_disk(
    tmp_path: Path, index: Index, file_sample: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing half there is left, and the next flush with room mends the manifest."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file_sample("1.wav")
    manifests = Manifests(str(tmp_path), index)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert manifests.recover() == ["Kick"]
    assert not list(tmp_path.glob("_manifests/*"))
    manifests.flush()
    assert [row["name"] for row in read(tmp_path)] == ["1.wav"]


def test_recover_adds_rows_that_were_committed_before_the_crash(
    tmp_path: Path, index: Index, file_sample: Callable
) -> None:
    """A row without its line is the crash between commit and append."""
    manifests = Manifests(str(tmp_path), index)
    manifests.append("Kick", file_sample("1.wav"))
    manifests.flush()
    file_sample("2.wav")
    assert Manifests(str(tmp_path), index).recover() == ["Kick"]
    assert len(read(tmp_path)) == 2


def test_an_edited_manifest_is_written_anew(
    tmp_path: Path, index: Index, file_sample: Callable
) -> None:
    """Somebody saved it from a spreadsheet; the next sample mends it instead of garbling it."""
    manifests = Manifests(str(tmp_path), index)
    manifests.append("Kick", file_sample("1.wav"))
    path = tmp_path / "_manifests" / "Kick.csv"
    path.write_text("name;digest\r\n")
    manifests.append("Kick", file_sample("2.wav"))
    assert [row["name"] for row in read(tmp_path)] == ["1.wav", "2.wav"]


@pytest.mark.parametrize(
    "name", [os.fsdecode(b"\xff\xe9.wav"), "a\nb.wav", 'quote",.wav', "-rf.wav", "=1+1.wav"]
)
def test_odd_names_survive(name: str, tmp_path: Path, index: Index, file_sample: Callable) -> None:
    """CSV quoting and surrogate escapes keep every byte of a name."""
    manifests = Manifests(str(tmp_path), index)
    manifests.append("Kick", file_sample(name))
    assert read(tmp_path)[0]["name"] == name


def test_a_manifest_of_another_index_is_set_aside(
    tmp_path: Path, index: Index, file_sample: Callable
) -> None:
    """Where the index was lost, the old manifest may be all that is known of the samples."""
    folder = tmp_path / "_manifests"
    folder.mkdir()
    (folder / "Kick.csv").write_text("name,digest\nold.wav,1234\n")
    Manifests(str(tmp_path), index).append("Kick", file_sample("new.wav"))
    assert [row["name"] for row in read(tmp_path)] == ["new.wav"]
    (old,) = folder.glob("Kick.csv.*.old")
    assert old.read_text() == "name,digest\nold.wav,1234\n"
