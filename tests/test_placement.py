"""A file appears complete under its final name, over nothing, and its source goes last."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from drumwatchd.archive import placement
from drumwatchd.archive.placement import holds, place, remove_source, temporary_path
from drumwatchd.errors import (
    ArchiveError,
    PlacementError,
    SourceChangedError,
    WorkersStoppedError,
)
from drumwatchd.files import Source

Drop = Callable[..., Source]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(source: Source, target: Path, mode: str, content: bytes) -> None:
    place(source, str(target), mode, digest(content), "sha256")


@pytest.fixture
def other_file_system(tmp_path: Path) -> Path:
    """A folder on another file system than tmp_path."""
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no other file system here")
    folder = shm / f"drumwatchd-test-{os.getpid()}-{tmp_path.name}"
    folder.mkdir()
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() or path.is_symlink() else path.rmdir()
    folder.rmdir()


@pytest.mark.parametrize("mode", ["move", "copy", "hardlink", "symlink"])
def test_each_mode_puts_the_content_there_and_keeps_the_source(
    mode: str, tmp_path: Path, drop: Drop
) -> None:
    """After `place` both names have the content; removal is another step."""
    source = drop(content=b"boom")
    target = tmp_path / "archive" / "Kick" / "kick.wav"
    put(source, target, mode, b"boom")
    assert target.read_bytes() == b"boom"
    assert Path(source.path).read_bytes() == b"boom"
    assert target.is_symlink() == (mode == "symlink")
    assert [entry.name for entry in target.parent.iterdir()] == ["kick.wav"]


@pytest.mark.parametrize("mode", ["move", "copy", "hardlink", "symlink"])
def test_nothing_is_ever_overwritten(mode: str, tmp_path: Path, drop: Drop) -> None:
    """A taken name raises, and the file that has it is untouched."""
    source = drop(content=b"new")
    target = tmp_path / "kick.wav"
    target.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        put(source, target, mode, b"new")
    assert target.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["inbox", "kick.wav"]


def test_a_dangling_link_counts_as_taken(tmp_path: Path, drop: Drop) -> None:
    """Writing through a link that leads nowhere would create a file elsewhere."""
    target = tmp_path / "kick.wav"
    target.symlink_to(tmp_path / "elsewhere.wav")
    with pytest.raises(FileExistsError):
        put(drop(content=b"x"), target, "copy", b"x")
    assert not (tmp_path / "elsewhere.wav").exists()


def test_a_move_across_file_systems_is_a_verified_copy(other_file_system: Path, drop: Drop) -> None:
    """Where a link can't reach, the copy has content, mode and time of the source."""
    source = drop(content=b"boom" * 100_000)
    os.chmod(source.path, 0o640)
    target = other_file_system / "Kick" / "kick.wav"
    put(source, target, "move", b"boom" * 100_000)
    found, original = target.stat(), os.stat(source.path)
    assert target.read_bytes() == b"boom" * 100_000
    assert found.st_mtime_ns == original.st_mtime_ns
    assert stat.S_IMODE(found.st_mode) == 0o640
    assert os.listdir(target.parent) == ["kick.wav"]


def test_a_hard_link_across_file_systems_says_what_to_do(
    other_file_system: Path, drop: Drop
) -> None:
    """The mode was asked for; silently copying would take the disk space it was to save."""
    with pytest.raises(ArchiveError, match="different file systems"):
        put(drop(content=b"x"), other_file_system / "a.wav", "hardlink", b"x")


@pytest.mark.parametrize("mode", ["move", "copy", "symlink"])
def test_a_source_that_changed_is_not_archived(mode: str, tmp_path: Path, drop: Drop) -> None:
    """What was digested and judged is what is filed, or nothing."""
    source = drop(content=b"first")
    Path(source.path).write_bytes(b"second")
    target = tmp_path / "archive" / "kick.wav"
    with pytest.raises(SourceChangedError):
        put(source, target, mode, b"first")
    assert os.listdir(target.parent) == []
    assert Path(source.path).read_bytes() == b"second"


def refuse(number: int) -> Callable[..., None]:
    def call(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("is_new_kernel", [True, False], ids=["renameat2", "reserved"])
def test_without_hard_links_nothing_is_replaced(
    is_new_kernel: bool, tmp_path: Path, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """exFAT and SMB know no links: a rename that replaces nothing, or the name is reserved for one."""
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    if not is_new_kernel:
        monkeypatch.setattr(placement, "rename_new", refuse(errno.EINVAL))
    source, target = drop(content=b"boom"), tmp_path / "archive" / "kick.wav"
    put(source, target, "move", b"boom")
    assert target.read_bytes() == b"boom"
    with pytest.raises(FileExistsError):
        put(source, target, "move", b"boom")
    assert os.listdir(target.parent) == ["kick.wav"]


def test_a_reserved_name_is_given_back_when_the_rename_fails(
    tmp_path: Path, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No empty file stays under a name that a sample was to have."""
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    monkeypatch.setattr(placement, "rename_new", refuse(errno.ENOSYS))
    monkeypatch.setattr(os, "rename", refuse(errno.EPERM))
    source, target = drop(content=b"boom"), tmp_path / "archive" / "kick.wav"
    with pytest.raises(ArchiveError):
        put(source, target, "move", b"boom")
    assert os.listdir(target.parent) == []
    assert Path(source.path).read_bytes() == b"boom"


def test_a_mount_without_owners_takes_files(
    tmp_path: Path, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAT and SMB may refuse modes, times, and to sync a folder; the content is what counts."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EPERM, "not the owner")

    fsync = os.fsync

    def sync_files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fchmod", refuse)
    monkeypatch.setattr(os, "fsync", sync_files_only)
    target = tmp_path / "archive" / "Kick" / "kick.wav"
    put(drop(content=b"boom"), target, "copy", b"boom")
    assert target.read_bytes() == b"boom"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EILSEQ, errno.EFBIG])
def test_what_only_one_file_brings_about_is_told_apart(
    number: int, tmp_path: Path, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name or size that the archive's file system never takes is no fault of the archive."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(PlacementError):
        put(drop(content=b"boom"), tmp_path / "archive" / "a?.wav", "copy", b"boom")


@pytest.mark.parametrize("chunks", [1, 2, 5])
def test_a_copy_can_be_ended_at_any_chunk(chunks: int, tmp_path: Path, drop: Drop) -> None:
    """A stop must not wait for twelve hours of audio; nothing half there stays."""
    content = b"boom" * 700_000  # three chunks to write, three to verify
    source, target, left = drop(content=content), tmp_path / "archive" / "long.wav", [None] * chunks

    def go_on() -> None:
        left.pop()
        if not left:
            raise WorkersStoppedError("stop")

    with pytest.raises(WorkersStoppedError):
        place(source, str(target), "copy", digest(content), "sha256", go_on)
    assert os.listdir(target.parent) == []
    assert os.path.getsize(source.path) == len(content)


def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC at fsync: no partial name, the source intact, and the hint says it resumes."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    source, target = drop(content=b"boom"), tmp_path / "archive" / "kick.wav"
    target.parent.mkdir()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArchiveError, match="resumes by itself"):
        put(source, target, "copy", b"boom")
    assert os.listdir(target.parent) == []
    assert Path(source.path).read_bytes() == b"boom"


def test_a_leftover_of_a_crash_is_replaced(tmp_path: Path, drop: Drop) -> None:
    """The temporary name is the same after a crash, so it can't pile up."""
    source, target = drop(content=b"boom"), tmp_path / "kick.wav"
    Path(temporary_path(str(target), digest(b"boom"))).write_bytes(b"bo")
    put(source, target, "copy", b"boom")
    assert sorted(os.listdir(tmp_path)) == ["inbox", "kick.wav"]


def test_remove_source_spares_another_file_under_the_same_name(drop: Drop) -> None:
    """A sync tool may replace the file while it is filed; the new one is a sample of its own."""
    source = drop(content=b"first")
    os.rename(source.path, source.path + ".old")
    Path(source.path).write_bytes(b"other")
    assert remove_source(source) is None
    assert Path(source.path).read_bytes() == b"other"


def test_holds_compares_content(tmp_path: Path) -> None:
    """A name alone proves nothing."""
    path = tmp_path / "a.wav"
    assert not holds(str(path), digest(b"x"), "sha256")
    path.write_bytes(b"x")
    assert holds(str(path), digest(b"x"), "sha256")
    assert not holds(str(path), digest(b"y"), "sha256")
