"""The story of one file, and what a crash in the middle leaves to do.

The worker pool is the edge: `Ear` stands in for it, everything else is real.
"""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import make_analysis
from drumwatchd.analysis.result import Analysis
from drumwatchd.archive import archive as archive_module
from drumwatchd.archive.placement import remove_source, temporary_path
from drumwatchd.archive.requeue import Requeue
from drumwatchd.errors import (
    AnalysisCrashError,
    ArchiveError,
    DecodeError,
    IndexStoreError,
    ModelError,
)
from drumwatchd.files import Source, look
from drumwatchd.index.rows import Row
from drumwatchd.index.store import Index
from drumwatchd.pipeline import Outcome
from house import House

Drop = Callable[..., Source]


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


def test_the_ear_is_told_the_path_below_the_inbox(house: House, drop: Drop) -> None:
    """The name and its folders, never those above the inbox; the same when it comes back."""
    source = drop("Maker/Kicks/a.wav")
    house.ear.says = DecodeError("no audio")
    assert house.process(source) is Outcome.QUARANTINED
    list(Requeue(house.index, str(house.root), "sha256").run(None))
    again = look(source.path, source.inbox)
    assert again is not None
    house.process(again)
    assert house.ear.names == ["Maker/Kicks/a.wav"] * 2


@pytest.mark.parametrize("mode", ["copy", "hardlink", "symlink", "none"])
def test_other_modes_leave_the_source_and_remember_it(mode: str, house: House, drop: Drop) -> None:
    """The source stays and isn't looked at again until it changes."""
    house.set_mode(mode)
    source = drop("bd.wav", b"boom")
    assert house.process(source) is Outcome.FILED
    assert Path(source.path).read_bytes() == b"boom"
    assert house.files() == ({} if mode == "none" else {"Kick/bd.wav": b"boom"})
    assert house.index.is_remembered(source)


ELSEWHERE = """
import sys
from pathlib import Path
from drumwatchd.files import look
from drumwatchd.index.store import open_index
from house import House

index_path, root, inbox, path = sys.argv[1:]
index = open_index(index_path, "sha256")
house = House.__new__(House)
house.root, house.index, house.inbox, house.ear = Path(root), index, Path(inbox), None
house.set_mode("move")
print(house.pipeline.recover(), house.process(look(path, inbox)).value)
index.close()
"""


def elsewhere(house: House, source: Source) -> str:
    """What another process that starts now recovers, and makes of a source."""
    arguments = [house.index.path, str(house.root), str(house.inbox), source.path]
    folders = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *arguments], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": folders}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_what_another_process_has_in_work_is_left_to_it(house: House, drop: Drop) -> None:
    """An import beside the daemon: neither takes what the other is at for a crash's leavings."""
    first, second = drop("a.wav", b"boom"), drop("b.wav", b"boom")
    told: list[str] = []
    house.ear.meanwhile = lambda: told.append(elsewhere(house, second))
    assert house.process(first) is Outcome.FILED
    assert told == ["0 later"]
    assert house.files() == {"Kick/a.wav": b"boom"}
    assert elsewhere(house, second) == "0 duplicate"


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


@pytest.mark.parametrize("policy", ["keep", "quarantine", "delete"])
@pytest.mark.parametrize("mode", ["copy", "hardlink", "symlink", "none"])
def test_a_touched_source_is_no_duplicate_of_itself(
    mode: str, policy: str, house: House, drop: Drop
) -> None:
    """Where the source stays, it may be all that there is: it is kept and remembered anew."""
    house.set_mode(mode, policy)
    source = drop("bd.wav", b"boom")
    house.process(source)
    before = house.files()
    os.utime(source.path, ns=(1, 1))
    touched = look(source.path, source.inbox)
    assert touched is not None
    assert house.process(touched) is Outcome.DUPLICATE
    assert Path(source.path).read_bytes() == b"boom"
    assert house.files() == before
    assert house.index.is_remembered(touched)
    assert house.index.remembered("filed") == [source.path]


def test_a_second_way_to_the_only_file_is_no_duplicate(house: House, drop: Drop) -> None:
    """A folder mounted or linked twice shows one file under two names; deleting one deletes it."""
    house.set_mode("symlink", "delete")
    source = drop("bd.wav", b"boom")
    house.process(source)
    (house.inbox.parent / "alias").symlink_to(house.inbox)
    alias = replace(source, path=str(house.inbox.parent / "alias" / "bd.wav"))
    house.pipeline._known_content(alias, house.index.claim(alias, digest_of_row(house)).row)
    assert Path(source.path).read_bytes() == b"boom"


def digest_of_row(house: House) -> str:
    (row,) = house.index.rows_in("filed")
    return row.digest


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


def test_retry_and_a_daemon_that_is_quick_lose_nothing(
    house: House, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon may meet the file in the inbox before retry has removed it from quarantine."""
    house.ear.says = DecodeError("not audio")
    source = drop("bad.wav", b"junk")
    house.process(source)
    has = house.archive.has

    def remove(quarantined: Source) -> str | None:
        """Retry's last step, which a daemon that has just looked at the file overtakes."""

        def has_then_gone(row: Row) -> bool:
            found = has(row)
            remove_source(quarantined)
            return found

        monkeypatch.setattr(house.archive, "has", has_then_gone)
        back = look(source.path, source.inbox)
        assert back is not None
        house.process(back)
        return remove_source(quarantined)

    monkeypatch.setattr("drumwatchd.archive.requeue.remove_source", remove)
    list(Requeue(house.index, str(house.root), "sha256").run(None))
    everything = [path.read_bytes() for path in house.inbox.parent.rglob("bad*.wav")]
    assert everything == [b"junk"]


def test_a_retry_that_cannot_move_the_file_changes_nothing(house: House, drop: Drop) -> None:
    """Another file has the place in the inbox: the sample stays in quarantine, and is known."""
    house.ear.says = DecodeError("not audio")
    house.process(drop("bad.wav", b"junk"))
    before = house.index.rows_in("quarantined")[0]
    drop("bad.wav", b"another")
    (result,) = Requeue(house.index, str(house.root), "sha256").run(None)
    assert result.problem
    (after,) = house.index.rows_in("quarantined")
    assert replace(after, id=before.id) == before
    assert house.files() == {"_quarantine/bad.wav": b"junk"}


def test_in_copy_mode_a_bad_file_stays_with_its_reason(house: House, drop: Drop) -> None:
    """The inbox is somebody's library there; nothing is taken out of it."""
    house.set_mode("copy")
    house.ear.says = DecodeError("not audio")
    source = drop("bad.wav", b"junk")
    assert house.process(source) is Outcome.QUARANTINED
    assert os.path.exists(source.path)
    assert house.index.is_remembered(source)


def test_a_file_that_vanishes_while_it_is_judged_is_settled_anew(house: House, drop: Drop) -> None:
    """Not the archive's fault, so nothing is degraded."""
    source = drop()
    house.ear.meanwhile = lambda: os.unlink(source.path)
    assert house.process(source) is Outcome.CHANGED
    assert house.index.rows_in("claimed", "placing", "filed") == []


@pytest.mark.parametrize("mode", ["move", "copy", "symlink", "none"])
@pytest.mark.parametrize("says", [make_analysis(), DecodeError("cut short")], ids=["good", "bad"])
def test_what_was_heard_of_newer_content_is_not_believed(
    mode: str, says: Analysis | Exception, house: House, drop: Drop
) -> None:
    """Rewritten between digest and analysis: neither filed nor quarantined as the old content."""
    house.set_mode(mode)
    source = drop("bd.wav", b"first")
    house.ear.says = says
    house.ear.meanwhile = lambda: drop("bd.wav", b"second")
    assert house.process(source) is Outcome.CHANGED
    assert house.files() == {}
    assert house.index.rows_in("claimed", "placing", "filed", "quarantined") == []
    assert Path(source.path).read_bytes() == b"second"


def test_a_file_that_the_archive_can_never_take_stays_and_blocks_nobody(
    house: House, drop: Drop
) -> None:
    """Its folder's name is a file's name there: it fails with the reason, others are filed."""
    house.set_mode("move", template="{label}/{pack}/{stem}{suffix}")
    house.process(drop("x.wav", b"one"))
    stuck = drop("x.wav/y.wav", b"two")
    assert house.process(stuck) is Outcome.FAILED
    assert house.index.is_remembered(stuck)
    assert house.index.rows_in("claimed", "placing") == []
    assert house.process(drop("pack/z.wav", b"three")) is Outcome.FILED


def test_a_time_beyond_sqlite_is_no_obstacle(house: House, drop: Drop) -> None:
    """Files from the year 2286 (a camera's clock, a hostile archive) are filed like others."""
    source = drop()
    os.utime(source.path, (10_000_000_000, 10_000_000_000))
    source = look(source.path, source.inbox)
    assert source is not None
    assert house.process(source) is Outcome.FILED
    assert not os.path.exists(source.path)


def test_a_move_is_finished_though_the_device_has_another_number(house: House, drop: Drop) -> None:
    """Some file systems get one at each mount; a power cut must not leave a duplicate behind."""
    house.set_mode("copy")
    source = drop("bd.wav", b"boom")
    house.process(source)
    house.index._connection.execute("UPDATE samples SET mode = 'move', device = device + 1")
    assert house.process(source) is Outcome.FILED
    assert not os.path.exists(source.path)
    assert house.files() == {"Kick/bd.wav": b"boom"}


def test_an_archive_that_goes_while_a_file_is_judged_loses_nothing(
    house: House, drop: Drop
) -> None:
    """The source stays until the archive is back, and nothing is put where it was."""
    gone = Path(f"{house.root}.unmounted")

    def unmount() -> None:
        house.root.rename(gone)
        house.root.mkdir()

    source = drop("bd.wav", b"boom")
    house.ear.meanwhile = unmount
    assert house.process(source) is Outcome.BLOCKED
    assert os.path.exists(source.path)
    assert list(house.root.iterdir()) == []
    with pytest.raises(ArchiveError):
        house.archive.flush()
    house.root.rmdir()
    gone.rename(house.root)
    assert house.process(source) is Outcome.FILED
    assert house.files() == {"Kick/bd.wav": b"boom"}


def test_what_was_placed_is_not_placed_again_after_an_unmount(
    house: House, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Placed, not recorded, then unmounted: a missing archive is no proof that it wasn't placed."""

    def full(*args: object, **kwargs: object) -> None:
        raise IndexStoreError("the index can't be written (disk full)")

    source, gone = drop("bd.wav", b"boom"), Path(f"{house.root}.unmounted")
    with monkeypatch.context() as patch:
        patch.setattr(house.index, "filed", full)
        assert house.process(source) is Outcome.BLOCKED
    house.root.rename(gone)
    house.root.mkdir()
    assert house.process(source) is Outcome.BLOCKED
    house.root.rmdir()
    gone.rename(house.root)
    assert house.process(source) is Outcome.FILED
    assert house.files() == {"Kick/bd.wav": b"boom"}


def test_leftovers_in_a_read_only_archive_wait(
    house: House, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that turned read-only in the middle of a copy blocks; the file isn't given up."""
    source = drop("bd.wav", b"boom")
    row = house.index.claim(source, digest := hashlib.sha256(b"boom").hexdigest()).row
    house.index.plan(row.id, make_analysis(), "Kick/bd.wav", name="bd.wav", mode="move")
    leftover = temporary_path(str(house.root / "Kick" / "bd.wav"), digest)
    os.makedirs(os.path.dirname(leftover))
    Path(leftover).write_bytes(b"bo")

    def read_only(path: str) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", read_only)
        assert house.process(source) is Outcome.BLOCKED
    assert house.process(source) is Outcome.FILED
    assert house.files() == {"Kick/bd.wav": b"boom"}


def test_a_duplicate_goes_to_quarantine_once(house: House, drop: Drop) -> None:
    """An attempt that was interrupted before the source went leaves no second copy there."""
    house.set_mode("move", "quarantine")
    house.process(drop("bd.wav", b"boom"))
    (row,) = house.index.rows_in("filed")
    again = drop("copy.wav", b"boom")
    house.archive.quarantine_duplicate(again, row.digest)
    assert house.process(again) is Outcome.DUPLICATE
    assert set(house.files()) == {"Kick/bd.wav", "_quarantine/copy.wav"}
    assert os.listdir(house.inbox) == []


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("says", [make_analysis(), DecodeError("cut short")], ids=["good", "bad"])
def test_a_writer_that_comes_back_writes_no_archived_file(
    says: Analysis | Exception,
    crash: bool,
    house: House,
    drop: Drop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A moved file has two names for a moment: what is written then is filed whole, and once."""
    source = drop("bd.wav", b"one, ")
    house.ear.says = says
    step = "filed" if isinstance(says, Analysis) else "quarantined"
    original = getattr(house.index, step)

    def then_written(*args: object, **kwargs: object) -> None:
        with open(source.path, "ab") as stream:
            stream.write(b"two")
        if crash:
            raise Crash
        original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(house.index, step, then_written)
        if crash:
            with pytest.raises(Crash):
                house.process(source)
            house.set_mode("move")
            house.pipeline.recover()
        else:
            assert house.process(source) is Outcome.CHANGED
    assert house.files() == {}
    house.ear.says = make_analysis()
    whole = look(source.path, source.inbox)
    assert whole is not None
    assert house.process(whole) is Outcome.FILED
    house.archive.flush()
    assert house.files() == {"Kick/bd.wav": b"one, two"}
    assert house.manifest() == ["Kick/bd.wav"]
    assert house.index.count_filed() == {"Kick": 1}


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


def test_recovery_trusts_no_place_that_a_power_cut_could_take(
    house: House, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the folder was synced: it is synced before the source is removed."""

    def killed(folder: str) -> None:
        raise Crash

    source = drop("bd.wav", b"boom")
    (house.root / "Kick").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("drumwatchd.archive.placement.fsync_folder", killed)
        with pytest.raises(Crash):
            house.process(source)
    fsync, synced = os.fsync, []

    def spy(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, os.path.exists(source.path)))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    house.set_mode("move")
    house.pipeline.recover()
    assert ((house.root / "Kick").stat().st_ino, True) in synced
    assert not os.path.exists(source.path)
    assert house.files() == {"Kick/bd.wav": b"boom"}


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
