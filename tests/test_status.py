"""The status: what the index holds, joined with what a running daemon says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drumwatchd.errors import IndexStoreError
from drumwatchd.index import lock
from drumwatchd.index.status import Status, live_path, read_status
from shelf import DAY, HOUR, NOW, open_shelf

LABELS = ["Crash", "Hihat", "Kick", "Ride", "Snare", "Tom", "misc"]


@pytest.fixture
def index_path(tmp_path: Path) -> str:
    """Where the index would be."""
    return str(tmp_path / "index.sqlite3")


def look(index_path: str, **values: Any) -> Status:
    """Read the status with what a small configuration would give."""
    settings: dict[str, Any] = {
        "archive_root": str(Path(index_path).parent / "archive"),
        "archive_mode": "move",
        "inboxes": [("/in/a", "auto"), ("/in/b", "poll")],
        "model": "configured-model",
        "now": NOW,
    }
    return read_status(index_path, **settings | values)


def say(index_path: str, **values: Any) -> None:
    """Leave what a daemon would say of itself."""
    live: dict[str, Any] = {
        "pid": 4242,
        "started": NOW - HOUR,
        "queue": {"pending": 3, "oldest_since": NOW - 12},
        "inboxes": [
            {
                "path": "/in/a", "watch": "auto", "mode": "native", "last_event": NOW - 4,
                "last_rescan": NOW - 100, "files_left_alone": 2, "unreadable_folders": 1, "degraded": None,
                "found_by_rescan": 7,
            },
            {"path": "/in/gone", "mode": "poll", "last_event": None, "last_rescan": None,
             "degraded": "no such folder"},
        ],
        "model": {"id": "running-model"},
        "degraded": "the archive is not mounted",
        "workers": 2,
        "updated": NOW,
    }  # fmt: skip
    Path(live_path(index_path)).write_text(json.dumps(live | values), encoding="utf-8")


def test_without_an_index_everything_is_zero_and_nothing_is_made(
    tmp_path: Path, index_path: str
) -> None:
    """`status` answers before the first run."""
    status = look(index_path)
    assert not status.running
    assert status.counts.by_label == dict.fromkeys(LABELS, 0)
    assert (status.counts.total, status.counts.duplicates, status.counts.errors) == (0, 0, 0)
    assert (status.pending, status.oldest_seconds, status.index_size) == (0, None, None)
    assert status.archive.free is not None
    assert status.archive.free > 0
    assert list(tmp_path.iterdir()) == []


def test_filed_samples_are_counted_by_label(index_path: str) -> None:
    """All seven folders always, others as found; what is in work or quarantine stands apart."""
    with open_shelf(index_path) as shelf:
        for number, label in enumerate(["Kick", "Kick", "Tom", "misc", "Clap"]):
            shelf.add(f"{number}.wav", label=label)
        for number, state in enumerate(["claimed", "placing", "quarantined"]):
            shelf.add(f"w{number}.wav", state=state, label=None, path=None)
    counts = look(index_path).counts
    assert counts.by_label == dict.fromkeys(LABELS, 0) | {"Kick": 2, "Tom": 1, "misc": 1, "Clap": 1}
    assert (counts.total, counts.in_work, counts.quarantined) == (5, 2, 1)


def test_duplicates_and_errors_are_counted_and_the_newest_errors_named(index_path: str) -> None:
    """Duplicates by the history, errors by the files that stay in the inbox."""
    with open_shelf(index_path) as shelf:
        row = shelf.add()
        for number in range(3):
            shelf.note(row["digest"], "duplicate", f"/in/a/{number}.wav")
        shelf.remember("/in/a/0.wav", "duplicate", row["digest"])
        for number in range(7):
            shelf.remember(f"/in/a/bad{number}.wav", "failed", reason="no", at=NOW - number)
    counts = look(index_path).counts
    assert (counts.duplicates, counts.errors) == (3, 7)
    assert [failure.path for failure in counts.failures] == [f"/in/a/bad{n}.wav" for n in range(5)]


def test_the_last_filed_sample_is_named(index_path: str) -> None:
    """The newest by time, and not one that is in work."""
    with open_shelf(index_path) as shelf:
        shelf.add("old.wav", added=NOW - DAY)
        shelf.add("new.wav", added=NOW - HOUR)
        shelf.add("older.wav", added=NOW - 2 * DAY)
        shelf.add("claimed.wav", added=NOW, state="claimed", label=None, path=None)
    last = look(index_path).counts.last_filed
    assert last is not None
    assert last.name == "new.wav"


def test_a_running_daemon_is_known_by_its_lock_and_believed(index_path: str) -> None:
    """Queue, modes, model and what is degraded come from the daemon that holds the lock."""
    say(index_path)
    with lock.hold(index_path):
        status = look(index_path)
    assert (status.running, status.pid, status.workers) == (True, 4242, 2)
    assert (status.pending, status.oldest_seconds) == (3, 12.0)
    assert status.model == "running-model"
    assert status.degraded == "the archive is not mounted"
    assert [(inbox.path, inbox.mode, inbox.degraded) for inbox in status.inboxes] == [
        ("/in/a", "native", None), ("/in/b", "poll", None), ("/in/gone", "poll", "no such folder"),
    ]  # fmt: skip
    inbox = status.inboxes[0]
    assert (inbox.files_left_alone, inbox.unreadable_folders, inbox.found_by_rescan) == (2, 1, 7)


def test_what_a_dead_daemon_said_is_past(index_path: str) -> None:
    """Without the lock only the times of its last event and rescan still count."""
    say(index_path)
    status = look(index_path)
    assert (status.running, status.pid, status.pending, status.degraded) == (False, None, 0, None)
    assert status.model == "configured-model"
    assert [(inbox.path, inbox.mode) for inbox in status.inboxes] == [
        ("/in/a", "auto"), ("/in/b", "poll"),
    ]  # fmt: skip
    assert (status.inboxes[0].last_event, status.inboxes[0].last_rescan) == (NOW - 4, NOW - 100)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"queue": 3, "inboxes": "no", "model": [], "pid": "x"}',
                b'{"inboxes": [3, {"path": "/in/a", "last_rescan": "soon"}], "started": true}']
)  # fmt: skip
def test_a_damaged_live_file_is_no_reason_to_fail(index_path: str, content: bytes) -> None:
    """Half a file, or another program's, counts as nothing said."""
    Path(live_path(index_path)).write_bytes(content)
    with lock.hold(index_path):
        status = look(index_path)
    assert (status.running, status.pending, status.pid, status.started) == (True, 0, None, None)
    assert status.inboxes[0].last_rescan is None


def test_an_unreadable_index_is_told_and_not_taken_for_an_empty_one(index_path: str) -> None:
    """Zeros would be a lie."""
    Path(index_path).write_bytes(b"RIFF" * 100)
    with pytest.raises(IndexStoreError, match="can't be read"):
        look(index_path)
