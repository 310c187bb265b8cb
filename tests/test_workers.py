"""A hostile file costs its own turn and nothing else."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import misbehave
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.analysis.workers import Workers, worker_count
from drumwatchd.errors import (
    AnalysisCrashError,
    AnalysisTimeoutError,
    ModelError,
    WorkersStoppedError,
)


@pytest.fixture
def workers() -> Iterator[Workers]:
    pool = Workers(
        AnalysisSettings("/nowhere"), count=1, timeout_seconds=5, memory_mb=1024, idle_seconds=1
    )
    yield pool
    pool.close()


def test_a_hang_is_ended_and_the_next_file_goes_on(workers: Workers) -> None:
    """The overdue worker is killed; a new one takes over."""
    workers._timeout_seconds = 0.5
    with pytest.raises(AnalysisTimeoutError, match=r"longer than 0\.5 s"):
        workers._call(misbehave.hang, "/in/hang.wav")
    workers._timeout_seconds = 30
    assert workers._call(misbehave.echo, "/in/good.wav") == "/in/good.wav"


def test_what_computes_without_end_is_ended_by_its_processor_time(workers: Workers) -> None:
    """However patient the clock is."""
    workers._timeout_seconds = 120
    with pytest.raises(AnalysisTimeoutError, match=r"more than 2\.5 s of processor time"):
        workers._call(misbehave.spin, "/in/spin.wav")
    assert workers._call(misbehave.echo, "/in/good.wav") == "/in/good.wav"


@pytest.mark.parametrize(
    ("function", "says"), [(misbehave.crash, "signal 11"), (misbehave.vanish, "exit code 7")]
)
def test_a_crash_is_told_with_its_signal(workers: Workers, function: object, says: str) -> None:
    """The message says what killed the worker; the next file goes on."""
    with pytest.raises(AnalysisCrashError, match=says):
        workers._call(function, "/in/crash.wav")  # type: ignore[arg-type]
    assert workers._call(misbehave.echo, "/in/good.wav") == "/in/good.wav"


def test_a_model_that_cannot_be_loaded_is_said_as_such(workers: Workers) -> None:
    """Errors of ours cross the process border whole."""
    with pytest.raises(ModelError) as caught:
        workers.analyse("/in/a.wav", "a.wav")
    assert caught.value.path


def test_a_worker_of_another_version_blames_no_file(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upgrade under a running daemon its files wait for a restart."""
    monkeypatch.setattr("drumwatchd.analysis.workers.__version__", "0.0.9")
    with pytest.raises(ModelError, match=r"0\.0\.9 runs.*restart") as caught:
        workers.analyse("/in/a.wav", "a.wav")
    assert caught.value.retryable


def test_idle_workers_end_and_come_back(workers: Workers) -> None:
    """`close_if_idle` says when to ask again, and a later file starts new ones."""
    workers._call(misbehave.echo, "/in/a.wav")
    now = time.monotonic()
    due = workers.close_if_idle(now)
    assert due is not None
    assert due > now
    assert workers.alive == 1
    assert workers.close_if_idle(now + 2) is None
    assert workers.alive == 0
    assert [p for p in multiprocessing.active_children() if "pebble" in p.name] == []
    assert workers._call(misbehave.echo, "/in/b.wav") == "/in/b.wav"


@pytest.mark.parametrize("delay_seconds", [0.0, 0.002, 0.005, 0.01, 0.02, 0.5])
def test_stopping_frees_whoever_waits(workers: Workers, delay_seconds: float) -> None:
    """A file that the workers had is neither filed nor failed, however far they had come."""
    with ThreadPoolExecutor(3) as executor:
        futures = [executor.submit(workers._call, misbehave.hang, "/in/a.wav") for _ in range(3)]
        time.sleep(delay_seconds)
        workers.close()
        for future in futures:
            with pytest.raises(WorkersStoppedError):
                future.result(10)


def test_a_worker_that_is_told_to_stop_blames_no_file(workers: Workers) -> None:
    """The system shuts down and tells every process; the file is taken again at the next start."""
    with pytest.raises(WorkersStoppedError, match="told to stop"):
        workers._call(misbehave.stop, "/in/kick.wav")
    assert workers._call(misbehave.echo, "/in/kick.wav") == "/in/kick.wav"


def test_a_hang_in_c_does_not_hold_up_the_end(workers: Workers) -> None:
    """A decoder that never comes back is ended at once, not asked."""
    with ThreadPoolExecutor(1) as executor:
        workers._call(misbehave.echo, "/in/a.wav")
        future = executor.submit(workers._call, misbehave.hang_in_c, "/in/hang.wav")
        while not future.running():
            time.sleep(0.01)
        time.sleep(0.5)  # until the worker is at it
        started = time.monotonic()
        workers.close()
        assert time.monotonic() - started < 2
        with pytest.raises(WorkersStoppedError):
            future.result(30)


def test_a_clock_that_is_set_is_no_timeout(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small computer without a battery gets the time from the network, in the middle of work."""
    workers._call(misbehave.echo, "/in/a.wav")
    real, first = time.time, threading.Event()

    def jumped() -> float:
        return real() + (3600 if first.is_set() else 0)

    with ThreadPoolExecutor(1) as executor, monkeypatch.context() as patch:
        patch.setattr(time, "time", jumped)
        future = executor.submit(workers._call, misbehave.pause, "/in/kick.wav")
        time.sleep(0.3)
        first.set()
        assert future.result(30) == "/in/kick.wav"


def test_workers_that_cannot_be_started_are_no_files_fault(workers: Workers) -> None:
    """Out of memory or processes: files wait, whichever thread notices first."""
    workers._memory_mb = "not a number"  # type: ignore[assignment]
    with ThreadPoolExecutor(4) as executor:
        futures = [executor.submit(workers._call, misbehave.echo, f"/in/{n}.wav") for n in range(4)]
        for future in futures:
            with pytest.raises(WorkersStoppedError, match="can't be started"):
                future.result(30)
    workers._memory_mb = 1024
    assert workers._call(misbehave.echo, "/in/good.wav") == "/in/good.wav"


def test_what_cannot_be_imported_is_no_files_fault(workers: Workers) -> None:
    """A broken installation must not send a whole inbox to quarantine."""
    with pytest.raises(ModelError, match="numpy"):
        workers._call(misbehave.without_numpy, "/in/kick.wav")


def test_worker_count() -> None:
    """A number is taken as it is; 0 means the cores there are, at most four."""
    assert worker_count(7) == 7
    assert 1 <= worker_count(0) <= 4
