"""The loop hands out what is due, fairly and once; the pipeline's threads are real."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import make_analysis
from drumwatchd.analysis.result import Analysis
from drumwatchd.config.model import DEFAULT_IGNORE
from drumwatchd.errors import ModelError
from drumwatchd.files import Source
from drumwatchd.inbox.intake import Inbox, InboxSettings
from drumwatchd.index.store import Index
from drumwatchd.live import LiveFile
from drumwatchd.pipeline import Outcome
from drumwatchd.wake import Wake
from drumwatchd.workloop import WorkLoop
from house import Ear, House

Drop = Callable[..., Source]


class Crew(Ear):
    """An ear that is a worker pool as well; refuses what `refuses` names, as if it had no model."""

    count, alive = 1, 0

    def __init__(self) -> None:
        super().__init__()
        self.refuses: Callable[[str], bool] = lambda path: False

    def analyse(self, path: str, name: str) -> Analysis:
        self.heard.append(path)
        if self.refuses(path):
            raise ModelError("the model is gone")
        return make_analysis()

    def close_if_idle(self, now: float) -> None:
        return None

    def close(self) -> None:
        return None


class Shift:
    """A loop over one inbox, driven by hand."""

    def __init__(self, house: House) -> None:
        self.crew, self.wake, self.now = Crew(), Wake(), time.monotonic()
        house.ear = self.crew
        house.set_mode("copy", "delete")
        settings = InboxSettings(str(house.inbox), "poll", 0.0, 300.0, 300.0, DEFAULT_IGNORE)
        self.inbox = Inbox(
            settings,
            is_dealt_with=lambda found: (
                self.loop.is_in_work(found.path) or house.index.is_remembered(found)
            ),
            wake=self.wake.set,
        )
        self.loop = WorkLoop(
            [self.inbox], house.pipeline, house.archive, self.crew, self.wake, model_id="test"
        )

    def until(self, condition: Callable[[], object]) -> None:
        """Step, a minute of the loop's time apart, until something has come about."""
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline
            self.now += 60
            self.loop.step(self.now)
            self.wake.wait(0.05)
            self.wake.clear()


@pytest.fixture
def shift(tmp_path: Path, index: Index, inbox: Path) -> Iterator[Shift]:
    shift = Shift(House(tmp_path / "archive", index, inbox))
    yield shift
    shift.loop.finish(seconds=5)


def test_a_blocked_file_that_is_seen_again_is_one_job(shift: Shift, drop: Drop) -> None:
    """Rescans go on while the way is blocked; afterwards the file is filed, and no duplicate."""
    source = drop("bd.wav")
    shift.crew.refuses = lambda path: True
    shift.until(lambda: shift.loop.degraded)
    shift.inbox.rescan(shift.now)
    assert shift.loop.pending == 1
    shift.crew.refuses = lambda path: False
    shift.until(lambda: shift.loop.is_idle)
    assert shift.loop.outcomes[Outcome.FILED] == 1
    assert shift.loop.outcomes[Outcome.DUPLICATE] == 0
    assert os.path.exists(source.path)


def test_blocked_files_have_an_age(shift: Shift, drop: Drop) -> None:
    """The oldest in the queue are those that wait for the archive; `status` tells how long."""
    drop("bd.wav")
    shift.crew.refuses = lambda path: True
    shift.until(lambda: shift.loop.degraded)
    since = shift.loop.oldest()
    assert since is not None
    shift.now += 600
    shift.loop.step(shift.now)
    assert shift.loop.oldest() == since
    shift.crew.refuses = lambda path: False
    shift.until(lambda: shift.loop.is_idle)
    assert shift.loop.oldest() is None


def test_a_file_that_is_blocked_each_time_keeps_no_other_waiting(shift: Shift, drop: Drop) -> None:
    """Whatever is the matter with one, the rest is filed."""
    shift.crew.refuses = lambda path: path.endswith("/first.wav")
    drop("first.wav", b"first")
    shift.until(lambda: shift.loop.degraded)
    for n in range(9):
        drop(f"{n}.wav", str(n).encode())
    shift.inbox.rescan(shift.now)
    shift.until(lambda: shift.loop.outcomes[Outcome.FILED] == 9)
    assert shift.loop.pending == 1


def test_nothing_is_handed_out_while_others_are_in_work(shift: Shift, drop: Drop) -> None:
    """Degraded, one file at a time tries the way, however many were at it when it was blocked."""
    shift.loop.degraded = ModelError("the model is gone")
    shift.loop._in_work = {str(n): drop(f"{n}.wav") for n in range(3)}
    shift.loop._delayed = {str(n): (0.0, drop(f"{n}.wav")) for n in range(3, 9)}
    shift.loop._hand_out(shift.now)
    assert len(shift.loop._delayed) == 6
    shift.loop._in_work.clear()


def test_a_stop_waits_for_no_digest(
    shift: Shift, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of many hours is left as it is, and taken again at the next start."""
    monkeypatch.setattr("drumwatchd.files.CHUNK_BYTES", 1)
    reads, read = [], os.read

    def slow_read(descriptor: int, count: int) -> bytes:
        reads.append(count)
        time.sleep(0.01)
        return read(descriptor, count)

    monkeypatch.setattr(os, "read", slow_read)
    source = drop("long.flac", b"boom" * 10_000)
    shift.until(lambda: reads)
    started = time.monotonic()
    shift.loop.finish(seconds=0.1)
    assert time.monotonic() - started < 5
    assert os.path.exists(source.path)


def test_folders_of_a_library_stay(shift: Shift, drop: Drop) -> None:
    """Only move mode empties folders, so only move mode removes them."""
    source = drop("pack/bd.wav")
    shift.until(lambda: shift.loop.outcomes[Outcome.FILED])
    os.unlink(source.path)
    shift.loop.step(shift.now + 60)
    assert os.path.isdir(os.path.dirname(source.path))


def test_the_live_file_is_not_put_together_at_every_step(
    shift: Shift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With many files pending that takes longer than a step may; once a second is enough."""
    config = SimpleNamespace(index=SimpleNamespace(path=tmp_path / "index.sqlite3"))
    asked: list[float] = []
    monkeypatch.setattr(shift.loop, "oldest", lambda: asked.append(0.0))
    live = LiveFile(config, shift.loop)  # type: ignore[arg-type]
    dues = [live.update(now) for now in (100.0, 100.1, 100.5)]
    assert len(asked) == 1
    assert dues[1:] == [101.0, 101.0]
