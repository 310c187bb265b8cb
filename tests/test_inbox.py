"""Walking, hints and candidates."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from drumwatchd.analysis.formats import AUDIO_SUFFIXES, is_audio
from drumwatchd.config.model import DEFAULT_IGNORE
from drumwatchd.errors import InboxError
from drumwatchd.file_systems import file_system_of, is_silent
from drumwatchd.files import Source, look
from drumwatchd.inbox.intake import (
    Inbox,
    InboxSettings,
    check_readable,
    looks_incomplete,
    remove_empty_folders,
)
from drumwatchd.inbox.rescan import Tally, ignore_matcher, is_candidate, walk
from drumwatchd.inbox.watcher import Watcher

Drop = Callable[..., Source]
IGNORED = ignore_matcher(DEFAULT_IGNORE)


def names(inbox: Path, tally: Tally | None = None) -> list[str]:
    found = walk(str(inbox), IGNORED, tally or Tally())
    return [os.path.relpath(source.path, inbox) for source in found]


@pytest.mark.parametrize(
    "name",
    [
        ".hidden.wav", "._kick.wav", "@eaDir/kick.wav", ".stversions/kick.wav",
        ".syncthing.kick.wav.tmp", "kick.wav.part", "kick.wav.crdownload", "kick.filepart",
        "~kick.wav", "kick.tmp", "kick.partial", "a/.git/b/kick.wav",
    ],
)  # fmt: skip
def test_unfinished_and_hidden_files_are_ignored(name: str, drop: Drop, inbox: Path) -> None:
    """The default globs, on file and folder names."""
    source = drop(name)
    assert names(inbox) == []
    assert not is_candidate(source.path, str(inbox), IGNORED)


def test_only_regular_audio_files_are_candidates(drop: Drop, inbox: Path) -> None:
    """Others are left alone and counted; FIFOs and links are passed over."""
    drop("a/kick.WAV")
    drop("b.Flac")
    drop("readme.txt")
    drop("set.als")
    os.mkfifo(inbox / "pipe.wav")
    (inbox / "link.wav").symlink_to(inbox / "b.Flac")
    (inbox / "loop").symlink_to(inbox)
    tally = Tally()
    assert names(inbox, tally) == ["b.Flac", "a/kick.WAV"]
    assert tally.other_files == 2


def test_a_walk_survives_odd_names(drop: Drop, inbox: Path) -> None:
    """Bytes that aren't UTF-8, newlines."""
    odd = [os.fsdecode(b"\xff\xe9.wav"), "a\nb.wav", "-rf.wav"]
    for name in odd:
        drop(name)
    assert sorted(names(inbox)) == sorted(odd)


def test_every_suffix_of_libsndfile_is_known() -> None:
    """Whatever libsndfile opens by its usual suffix is a candidate."""
    headerless = {"RAW"}
    ambiguous = {"MAT4", "MAT5", "MPC2K"}  # their suffixes usually mean something else
    other = {
        "AIFF": "aiff", "MP3": "mp3", "WAVEX": "wav", "SVX": "svx", "HTK": "htk", "MPEG": "mp3",
        "NIST": "nist", "IRCAM": "sf", "PVF": "pvf", "SD2": "sd2",
    }  # fmt: skip
    for name in set(soundfile.available_formats()) - headerless - ambiguous:
        assert f".{other.get(name, name).lower()}" in AUDIO_SUFFIXES, name
    assert is_audio("kick.OPUS")
    assert not is_audio("wav")


def test_a_link_that_took_a_folders_place_is_not_followed(
    drop: Drop, inbox: Path, tmp_path: Path
) -> None:
    """A pack that was moved away and linked back is somebody's library, not the inbox."""
    source, box = drop("pack/kick.wav"), make_inbox(inbox)
    box.rescan(0.0)
    os.rename(inbox / "pack", tmp_path / "library")
    (inbox / "pack").symlink_to(tmp_path / "library")
    assert look(source.path, str(inbox)) is None
    assert box.take_settled(9.0, 9) == []


def test_an_inbox_that_is_a_link_is_an_inbox(drop: Drop, inbox: Path, tmp_path: Path) -> None:
    """Its own path may lead anywhere; only what is inside it is held to be there."""
    drop("pack/kick.wav")
    (tmp_path / "link").symlink_to(inbox)
    assert look(str(tmp_path / "link" / "pack" / "kick.wav"), str(tmp_path / "link"))


def test_a_promising_header_looks_incomplete(drop: Drop) -> None:
    """Until the bytes are there."""
    header = b"RIFF" + (92).to_bytes(4, "little") + b"WAVE"
    assert looks_incomplete(drop("a.wav", header + bytes(50)))
    assert not looks_incomplete(drop("a.wav", header + bytes(88)))
    assert not looks_incomplete(drop("b.mp3", b"ID3"))


def test_a_header_that_cannot_be_read_promises_nothing(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad sector is the pipeline's to report; the loop goes on."""

    def broken(descriptor: int, count: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    source = drop()
    monkeypatch.setattr(os, "read", broken)
    assert not looks_incomplete(source)


def test_an_entry_that_cannot_be_told_is_passed_over(
    drop: Drop, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems must be asked what an entry is, and may have no answer."""

    class Stale:
        name = path = "stale.wav"

        def is_dir(self, *, follow_symlinks: bool) -> bool:
            raise OSError(errno.ESTALE, "Stale file handle")

    drop("kick.wav")
    with os.scandir(inbox) as entries:
        listed = [Stale(), *entries]
    monkeypatch.setattr(os, "scandir", lambda folder: contextlib.nullcontext(listed))
    assert names(inbox) == ["kick.wav"]


def make_inbox(path: Path, dealt_with: Callable[[Source], bool] = lambda _: False) -> Inbox:
    settings = InboxSettings(str(path), "poll", 2.0, 300.0, 5.0, DEFAULT_IGNORE)
    return Inbox(settings, is_dealt_with=dealt_with, wake=lambda: None)


def test_fifty_hints_are_one_job(drop: Drop, inbox: Path) -> None:
    """The same file is looked at once, however often it is named."""
    source, box = drop(), make_inbox(inbox)
    for _ in range(50):
        box._hint(source.path)
    box.take_hints(1.0)
    assert len(box.settling) == 1
    assert box.take_settled(3.0, 100) == [source]
    assert box.take_settled(4.0, 100) == []


def test_a_hinted_folder_is_walked(drop: Drop, inbox: Path) -> None:
    """Files inside a folder that was moved in raise no events."""
    drop("pack/a/1.wav")
    drop("pack/b/2.wav")
    box = make_inbox(inbox)
    box._hint(str(inbox / "pack"))
    box.take_hints(1.0)
    assert len(box.settling) == 2
    assert {source.inbox for source in box.take_settled(9.0, 9)} == {str(inbox)}


def test_the_rescan_counts_what_no_event_announced(drop: Drop, inbox: Path) -> None:
    """The first walk finds what was there; later ones count what hints missed."""
    box = make_inbox(inbox)
    drop("before.wav")
    box.rescan(0.0)
    assert box.found_by_rescan == 0
    box._watcher = type("Native", (), {"mode": "native"})()  # as where inotify works
    drop("missed.wav")
    box.rescan(300.0)
    assert box.found_by_rescan == 1


def test_more_files_than_are_held_at_a_time(
    drop: Drop, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is over is counted, and found by a walk once there is room; nothing is taken twice."""
    monkeypatch.setattr("drumwatchd.inbox.intake.MOST_PENDING", 10)
    wanted = {drop(f"pack/{number}.wav").path for number in range(35)}
    taken: list[str] = []
    box = make_inbox(inbox, dealt_with=lambda source: source.path in taken)
    box._watcher = type("Native", (), {"mode": "native"})()
    box.rescan(0.0)
    assert (len(box.settling), box.put_off) == (10, 25)
    now = 0.0
    while box.put_off or len(box.settling):
        now += 2.0
        taken += [source.path for source in box.take_settled(now, 4)]
        assert len(box.settling) <= 10
        if box.rescan_due <= now:
            box.rescan(now)
        assert now < 300.0
    assert sorted(taken) == sorted(wanted)
    assert box.found_by_rescan == 0


def test_more_hints_than_are_held_at_a_time(
    drop: Drop, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A walk finds what they named."""
    monkeypatch.setattr("drumwatchd.inbox.intake.MOST_PENDING", 10)
    box = make_inbox(inbox)
    box.rescan(0.0)
    for number in range(15):
        box._hint(drop(f"{number}.wav").path)
    box.take_hints(1.0)
    assert len(box.settling) == 10
    assert box.put_off == 1  # at least
    assert box.rescan_due < 5.0
    box.rescan(box.rescan_due)
    assert (len(box.settling), box.put_off) == (10, 5)
    assert box.rescan_due >= 5.0
    assert len(box.take_settled(9.0, 9)) == 9
    assert box.rescan_due == 0.0


def test_polling_a_large_library_leaves_time_for_work(drop: Drop, inbox: Path) -> None:
    """A walk that takes longer than poll_seconds is followed by a rest, not by the next walk."""

    def slowly(found: Source) -> bool:
        time.sleep(0.2)
        return True

    drop()
    settings = InboxSettings(str(inbox), "poll", 2.0, 300.0, 0.1, DEFAULT_IGNORE)
    box = Inbox(settings, is_dealt_with=slowly, wake=lambda: None)
    box.rescan(100.0)
    assert box.rescan_due >= 102.0


def test_a_stop_cuts_a_walk_short(drop: Drop, inbox: Path) -> None:
    """However many files there are."""
    drop("a.wav")
    drop("b.wav")
    settings = InboxSettings(str(inbox), "poll", 2.0, 300.0, 5.0, DEFAULT_IGNORE)
    box = Inbox(
        settings,
        is_dealt_with=lambda _: False,
        wake=lambda: None,
        is_stopping=lambda: len(box.settling) == 1,
    )
    box.rescan(0.0)
    assert len(box.settling) == 1


def test_what_is_dealt_with_is_passed_over(drop: Drop, inbox: Path) -> None:
    """Remembered files cost one look, not a job."""
    source = drop()
    box = make_inbox(inbox, lambda found: found == source)
    box.rescan(0.0)
    assert len(box.settling) == 0


def test_a_vanished_inbox_degrades_and_comes_back(inbox: Path) -> None:
    """The reason is there while it lasts."""
    box = make_inbox(inbox)
    inbox.rmdir()
    box.rescan(0.0)
    assert box.degraded
    inbox.mkdir()
    box.rescan(1.0)
    assert box.degraded is None


def test_an_inbox_that_was_made_anew_is_watched_anew(inbox: Path) -> None:
    """Removed and made again, or mounted over: the next rescan brings its events back."""
    settings = InboxSettings(str(inbox), "native", 2.0, 300.0, 5.0, DEFAULT_IGNORE)
    woken = threading.Event()
    box = Inbox(settings, is_dealt_with=lambda _: False, wake=woken.set)
    if box.start() is not None:
        pytest.skip("no native events here")
    try:
        box.rescan(0.0)
        inbox.rename(inbox.with_name("old"))
        inbox.mkdir()
        box.rescan(1.0)
        woken.clear()
        (inbox / "kick.wav").write_bytes(b"boom")
        assert woken.wait(10)
    finally:
        box.stop()


def test_empty_folders_go_up_to_the_inbox(inbox: Path) -> None:
    """The inbox itself and folders with anything in them stay."""
    deep = inbox / "pack" / "kicks" / "808"
    deep.mkdir(parents=True)
    (inbox / "pack" / "LICENSE").write_text("CC0")
    assert remove_empty_folders(str(deep), str(inbox))
    assert [path.name for path in inbox.rglob("*")] == ["pack", "LICENSE"]
    (inbox / "pack" / "LICENSE").unlink()
    assert remove_empty_folders(str(inbox / "pack"), str(inbox))
    assert inbox.is_dir()
    assert not remove_empty_folders(str(inbox), str(inbox))


def test_an_inbox_that_is_missing_is_named(tmp_path: Path) -> None:
    """With the path and what to do."""
    with pytest.raises(InboxError, match=r"nowhere.*create it"):
        check_readable(str(tmp_path / "nowhere"))


def test_a_used_up_inotify_limit_falls_back_to_polling(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason names the sysctl."""
    import drumwatchd.inbox.watcher as module

    class NoInstances:
        def schedule(self, *args: object, **kwargs: object) -> None:
            raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr(module, "Observer", NoInstances)
    watcher = Watcher(str(inbox), "auto", lambda path: None)
    assert watcher.mode == "poll"
    assert "fs.inotify.max_user_instances" in (watcher.reason or "")


def test_file_systems_that_give_no_events_are_known() -> None:
    """Network and FUSE mounts are polled in auto mode."""
    assert is_silent("nfs4")
    assert is_silent("fuse.sshfs")
    assert not is_silent("ext4")
    assert not is_silent(None)


def test_mount_points_may_have_any_name(tmp_path: Path) -> None:
    """The kernel escapes blanks and leaves everything else as it is, UTF-8 or not."""
    mounts = tmp_path / "mountinfo"
    folder = os.fsencode(tmp_path)
    mounts.write_bytes(
        b"1 0 8:1 / / rw - ext4 /dev/a rw\n"
        + b"2 1 0:9 / %b/M\xc3\xbc\\040sik rw - nfs4 nas:/m rw\n" % folder
        + b"3 1 0:9 / %b/\xff rw - cifs //nas/n rw\n" % folder
    )
    assert file_system_of(f"{tmp_path}/M\u00fc sik/in", str(mounts)) == "nfs4"
    assert file_system_of(f"{tmp_path}/\udcff/in", str(mounts)) == "cifs"
    assert file_system_of(str(tmp_path), str(mounts)) == "ext4"


@pytest.mark.skipif(not os.path.exists("/proc/self/mountinfo"), reason="Linux only")
def test_the_file_system_of_a_path_is_told() -> None:
    """By the innermost mount."""
    assert file_system_of("/proc/self") == "proc"
    assert file_system_of("/") not in (None, "proc")
