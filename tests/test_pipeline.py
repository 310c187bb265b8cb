"""The story of one file, and what a crash in the middle leaves to do.

The worker pool is the edge: `Ear` stands in for it, everything else is real.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import make_analysis
from drumwatchd.analysis.result import Analysis
from drumwatchd.archive import archive as archive_module
from drumwatchd.archive.archive import Archive, ArchiveSettings
from drumwatchd.archive.manifest import Manifests
from drumwatchd.archive.marker import MARKER_NAME, create_marker
from drumwatchd.errors import AnalysisCrashError, ArchiveError, DecodeError, ModelError
from drumwatchd.files import Source
from drumwatchd.index.store import Index
from drumwatchd.pipeline import Outcome, Pipeline

Drop = Callable[..., Source]


class Ear:
    """Hears what it is told to; may be told to fail."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.says: Analysis | Exception = make_analysis()

    def analyse(self, path: str) -> Analysis:
        self.heard.append(path)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class House:
    """An archive with its pipeline; `restarted` is what a new process would have."""

    def __init__(self, root: Path, index: Index, inbox: Path) -> None:
        self.root, self.index, self.inbox, self.ear = root, index, inbox, Ear()
        create_marker(str(root), "id")
        self.set_mode("move")

    def set_mode(self, mode: str, duplicates: str = "keep") -> None:
        settings = ArchiveSettings(str(self.root), mode, "{label}/{stem}{suffix}", "sha256", "id")
        self.manifests = Manifests(str(self.root), self.index)
        self.archive = Archive(settings, self.index, self.manifests)
        self.pipeline = Pipeline(self.index, self.archive, self.ear, {str(self.inbox): duplicates})

    def process(self, source: Source) -> Outcome:
        return self.pipeline.process(source).outcome

    def files(self) -> dict[str, bytes]:
        """Every file below the archive but marker and manifests."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and path.name != MARKER_NAME and "_manifests" not in path.parts
        }

    def manifest(self, label: str = "Kick") -> list[str]:
        with (self.root / "_manifests" / f"{label}.csv").open() as stream:
            return [row["path"] for row in csv.DictReader(stream)]


@pytest.fixture
def house(tmp_path: Path, index: Index, inbox: Path) -> House:
    return House(tmp_path / "archive", index, inbox)


def test_a_sample_is_filed_and_its_source_removed(house: House, drop: Drop) -> None:
    """Archive, manifest and index agree, and the inbox is empty."""
    assert house.process(drop("bd.wav", b"boom")) is Outcome.FILED
    assert house.files() == {"Kick/bd.wav": b"boom"}
    assert house.manifest() == ["Kick/bd.wav"]
    assert os.listdir(house.inbox) == []
    assert house.index.count_filed() == {"Kick": 1}


@pytest.mark.parametrize("mode", ["copy", "hardlink", "symlink", "none"])
def test_other_modes_leave_the_source_and_remember_it(mode: str, house: House, drop: Drop) -> None:
    """The source stays and isn't looked at again until it changes."""
    house.set_mode(mode)
    source = drop("bd.wav", b"boom")
    assert house.process(source) is Outcome.FILED
    assert Path(source.path).read_bytes() == b"boom"
    assert house.files() == ({} if mode == "none" else {"Kick/bd.wav": b"boom"})
    assert house.index.is_remembered(source)


def test_same_name_other_content_gets_a_suffix(house: House, drop: Drop) -> None:
    """Both are kept, the first under the name it had."""
    house.process(drop("bd.wav", b"one"))
    house.process(drop("bd.wav", b"two"))
    assert house.files() == {"Kick/bd.wav": b"one", "Kick/bd-2.wav": b"two"}


def test_a_file_that_somebody_put_there_is_not_overwritten(house: House, drop: Drop) -> None:
    """Names that the index doesn't know are taken too."""
    (house.root / "Kick").mkdir()
    (house.root / "Kick" / "bd.wav").write_bytes(b"mine")
    house.process(drop("bd.wav", b"boom"))
    assert house.files() == {"Kick/bd.wav": b"mine", "Kick/bd-2.wav": b"boom"}


@pytest.mark.parametrize(
    ("policy", "stays", "in_quarantine"),
    [("keep", True, False), ("delete", False, False), ("quarantine", False, True)],
)
def test_duplicates_follow_the_policy(
    policy: str, stays: bool, in_quarantine: bool, house: House, drop: Drop
) -> None:
    """The archive has the content once; the second file goes where the policy says."""
    house.set_mode("move", policy)
    house.process(drop("bd.wav", b"boom"))
    again = drop("copy of bd.wav", b"boom")
    assert house.process(again) is Outcome.DUPLICATE
    assert os.path.exists(again.path) == stays
    assert house.index.is_remembered(again) == stays
    expected = {"Kick/bd.wav"} | ({"_quarantine/copy of bd.wav"} if in_quarantine else set())
    assert set(house.files()) == expected
    assert len(house.ear.heard) == 1


def test_a_duplicate_is_not_deleted_when_the_original_is_damaged(house: House, drop: Drop) -> None:
    """Deleting needs proof that the content stands elsewhere, byte for byte."""
    house.set_mode("move", "delete")
    house.process(drop("bd.wav", b"boom"))
    (house.root / "Kick" / "bd.wav").write_bytes(b"rot!")
    again = drop("bd.wav", b"boom")
    assert house.process(again) is Outcome.DUPLICATE
    assert os.path.exists(again.path)


def test_the_original_itself_is_never_deleted_as_its_own_duplicate(
    house: House, drop: Drop
) -> None:
    """In mode none the original is the inbox file; touching it makes no duplicate of it."""
    house.set_mode("none", "delete")
    source = drop("bd.wav", b"boom")
    house.process(source)
    os.utime(source.path, ns=(1, 1))
    house.process(drop_again := drop("bd.wav", b"boom"))
    assert os.path.exists(drop_again.path)


def test_a_sample_deleted_from_the_archive_can_be_filed_again(house: House, drop: Drop) -> None:
    """Dropping it once more is the owner's way to have it back."""
    house.process(drop("bd.wav", b"boom"))
    (house.root / "Kick" / "bd.wav").unlink()
    assert house.process(drop("bd.wav", b"boom")) is Outcome.FILED
    assert house.files() == {"Kick/bd.wav": b"boom"}


def test_an_unmounted_archive_blocks_and_loses_nothing(house: House, drop: Drop) -> None:
    """Without its marker the archive is no place to file to, nor proof that files are gone."""
    house.process(drop("a.wav", b"a"))
    os.rename(house.root, str(house.root) + ".unmounted")
    house.root.mkdir()
    again, new = drop("a2.wav", b"a"), drop("b.wav", b"b")
    assert house.process(again) is Outcome.BLOCKED
    assert house.process(new) is Outcome.BLOCKED
    assert os.listdir(house.root) == []
    house.root.rmdir()
    os.rename(str(house.root) + ".unmounted", house.root)
    assert house.process(again) is Outcome.DUPLICATE
    assert house.process(new) is Outcome.FILED


@pytest.mark.parametrize(
    "error", [DecodeError("not audio"), AnalysisCrashError("the worker died (signal 11)")]
)
def test_what_cannot_be_judged_goes_to_quarantine(
    error: Exception, house: House, drop: Drop
) -> None:
    """With its reason, out of the inbox, known to the index, and not retried."""
    house.ear.says = error
    assert house.process(drop("pack/bad.wav", b"junk")) is Outcome.QUARANTINED
    assert house.files() == {"_quarantine/pack/bad.wav": b"junk"}
    (row,) = house.index.rows_in("quarantined")
    assert row.reason == error.message
    assert house.process(drop("again.wav", b"junk")) is Outcome.DUPLICATE


def test_in_copy_mode_a_bad_file_stays_with_its_reason(house: House, drop: Drop) -> None:
    """The inbox is somebody's library there; nothing is taken out of it."""
    house.set_mode("copy")
    house.ear.says = DecodeError("not audio")
    source = drop("bad.wav", b"junk")
    assert house.process(source) is Outcome.QUARANTINED
    assert os.path.exists(source.path)
    assert house.index.is_remembered(source)


def test_a_broken_model_is_not_the_files_fault(house: House, drop: Drop) -> None:
    """Files wait; nothing is quarantined."""
    house.ear.says = ModelError("the model is gone")
    source = drop()
    assert house.process(source) is Outcome.BLOCKED
    house.ear.says = make_analysis()
    assert house.process(source) is Outcome.FILED


def test_a_source_that_cannot_be_removed_is_archived_once(
    house: House, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only inbox in move mode: flagged, remembered, not retried for ever."""

    def read_only(path: str) -> None:
        raise PermissionError(13, "Permission denied")

    source = drop()
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", read_only)
        assert house.process(source) is Outcome.FILED
    assert house.index.is_remembered(source)
    assert list(house.files()) == ["Kick/kick.wav"]


def test_a_file_that_vanished_is_settled_anew(house: House, drop: Drop) -> None:
    """Gone before it was digested: no row, no error."""
    source = drop()
    os.unlink(source.path)
    assert house.process(source) is Outcome.CHANGED
    assert house.index.rows_in("claimed", "placing", "filed") == []


class Crash(BaseException):
    """Stands for the power going off: nothing catches it, nothing cleans up."""


@pytest.mark.parametrize("mode", ["move", "copy", "hardlink", "symlink", "none"])
@pytest.mark.parametrize("step", ["analyse", "plan", "place", "filed", "append", "remove_source"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_step_is_finished_by_recovery(
    mode: str,
    step: str,
    when: str,
    house: House,
    drop: Drop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every sample once, index = manifest = disk, digests equal."""
    house.set_mode(mode)
    places = {
        "analyse": (house.ear, "analyse"),
        "plan": (house.index, "plan"),
        "place": (archive_module, "place"),
        "filed": (house.index, "filed"),
        "append": (house.manifests, "append"),
        "remove_source": ("drumwatchd.pipeline.remove_source", None),
    }
    owner, name = places[step]
    original = getattr(owner, name) if name else _resolve(owner)

    def crash(*args: object, **kwargs: object) -> object:
        if when == "after":
            original(*args, **kwargs)
        raise Crash

    source = drop("bd.wav", b"boom")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, crash) if name else patch.setattr(owner, crash)
        try:
            house.pipeline.process(source)
        except Crash:
            pass
        else:
            assert (step, mode != "move") == ("remove_source", True) or (step, mode) == (
                "place", "none",
            )  # fmt: skip

    house.set_mode(mode)  # a new process
    house.pipeline.recover()
    house.manifests.recover()
    if os.path.exists(source.path) and not house.index.is_remembered(source):
        house.process(source)
    expected = {} if mode == "none" else {"Kick/bd.wav": b"boom"}
    assert house.files() == expected
    assert house.index.count_filed() == {"Kick": 1}
    assert house.manifest() == (["" if mode == "none" else "Kick/bd.wav"])
    assert os.path.exists(source.path) == (mode != "move")
    assert house.pipeline.recover() == 0


def _resolve(dotted: str) -> Callable[..., object]:
    module, _, name = dotted.rpartition(".")
    return getattr(__import__(module, fromlist=[name]), name)


def test_a_full_archive_blocks_until_there_is_room(
    house: House, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source stays, and the same file is filed once room is back."""

    def full(*args: object) -> None:
        raise ArchiveError("the archive can't take the file (No space left on device)")

    source = drop("bd.wav", b"boom")
    with monkeypatch.context() as patch:
        patch.setattr(archive_module, "place", full)
        assert house.process(source) is Outcome.BLOCKED
    assert os.path.exists(source.path)
    assert house.process(source) is Outcome.FILED
    assert house.files() == {"Kick/bd.wav": b"boom"}


def test_odd_names_are_filed_unharmed(house: House, drop: Drop) -> None:
    """Bytes that aren't UTF-8, newlines, dashes, quotes, 255 bytes."""
    names = [
        os.fsdecode(b"\xff\xe9.wav"), "a\nb.wav", "-rf.wav", "\u00e9.wav", "e\u0301.wav",
        "x" * 251 + ".wav", "'\"$(touch x).wav", " .wav",
    ]  # fmt: skip
    for n, name in enumerate(names):
        assert house.process(drop(name, str(n).encode())) is Outcome.FILED, name
    assert len(house.files()) == len(names)
    assert {os.path.basename(path) for path in house.files()} == set(names)
