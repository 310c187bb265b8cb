"""A whole archive: classified beside the least it could take and beside the usual design; rebuilt beside cp."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks import samples
from benchmarks.measuring import MB, Row, Table, children, milliseconds, python, times, usage
from drumwatchd.analysis import analyse, audio
from drumwatchd.analysis.model_card import shipped_model
from drumwatchd.analysis.result import Hearing
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.batch.records import said_of
from drumwatchd.files import digest_of
from drumwatchd.inbox.watcher import file_system_of

PROCESSES = 2
WANTED_RATE, WANTED_TIMES, WANTED_SHARE = 1200, 5.0, 0.4
WANTED_MB, WANTED_COPY, WANTED_LINK_SECONDS = 600, 1.3, 10.0
SETTINGS = AnalysisSettings(str(shipped_model()))
SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Used:
    """Seconds that something took: of wall, and of all its processors'."""

    wall: float
    cpu: float

    def each(self, count: int) -> Used:
        """The share of one of `count`."""
        return Used(self.wall / count, self.cpu / count)


def measure(quick: bool) -> list[Table]:
    """Classify a small and a large archive, and rebuild the large one."""
    few, many = (20, 60) if quick else (5_000, 20_000)
    with tempfile.TemporaryDirectory(prefix="drumwatchd-") as name:
        top = Path(name)
        made = _grown(top / "archive", many)
        small = top / "small"
        for path in made[:few]:
            _link(path, small / path.parent.name / path.name)
        _spread(_read, made, PROCESSES)  # into the page cache
        tables = [_phase_one(top, made, small, few), _steps(made), _phase_two(top, made)]
        disk = file_system_of(name)
    caption = (
        f"{many:,} and {few:,} {samples.source()}, each at a level of its own, half of them as WAV, "
        f"warm cache, {disk}"
    )
    return [Table(t.title, t.baseline, t.rows, f"{t.caption}; {caption}") for t in tables]


def _phase_one(top: Path, made: Sequence[Path], small: Path, few: int) -> Table:
    count = len(made)
    least = _spread(_digest_and_decode, made, PROCESSES).each(count)
    sooner = made[:: max(1, count // 2000)]
    usual = _spread(_as_usual, sooner, PROCESSES).each(len(sooner))
    archive = top / "archive"
    runs = {few: _classify(small, top / "small out"), count: _classify(archive, top / "out")}
    here = runs[count][0].each(count)
    share, gain = least.cpu / here.cpu, usual.cpu / here.cpu
    rows = [
        Row(
            "`classify --out`", f"{1 / here.wall:,.0f} files/s", f"{1 / least.wall:,.0f} files/s",
            wanted=f"≥ {WANTED_RATE:,} files/s", met=1 / here.wall >= WANTED_RATE,
        ),
        Row(
            "- its CPU time a file", milliseconds(here.cpu), milliseconds(least.cpu),
            f"least {share:.0%}", f"≥ {WANTED_SHARE:.0%}", share >= WANTED_SHARE,
        ),
        Row(
            "- the usual design's", milliseconds(here.cpu), milliseconds(usual.cpu),
            f"{times(gain)} as cheap", f"≥ {times(WANTED_TIMES)}", gain >= WANTED_TIMES,
        ),
    ]  # fmt: skip
    for number, (used, most) in runs.items():
        each = used.each(number)
        rows.append(
            Row(
                f"{number:,} files: peak memory, all processes", f"{most / MB:.0f} MB",
                wanted=f"≤ {WANTED_MB} MB", met=most / MB <= WANTED_MB,
            )
        )  # fmt: skip
        rows.append(Row("- CPU time a file, start and end included", milliseconds(each.cpu)))
    baseline = (
        "the same files only read, digested and decoded by libsndfile, in as many processes; for the usual "
        "design librosa's MFCC for each file, Keras' predict in batches of 32 and MD5, too. Ratios are of "
        "CPU time, all processes together: the machine was shared"
    )
    return Table("A whole archive, classified", baseline, rows, f"{PROCESSES} workers")


def _steps(made: Sequence[Path]) -> Table:
    """What a file costs a worker, step by step, in this process and on one thread."""
    paths = [str(path) for path in made[:: max(1, len(made) // 320)][:320]]
    classifier, extractor = analyse._current(SETTINGS)
    spec = classifier.card.features
    recordings = [audio.load(path, spec) for path in paths]
    windows = np.stack([extractor(recording.y) for recording in recordings])
    heard = [h for h in analyse.hear_many(paths, paths, SETTINGS) if isinstance(h, Hearing)]
    batches = range(0, len(windows) - 31, 32) or range(1)
    shared = len(paths) / (32 * len(batches))
    decode = _cpu(lambda: [soundfile.read(path, dtype="float32") for path in paths])
    steps = {
        "read and digest": _cpu(lambda: [digest_of(path, "sha256") for path in paths]),
        "decode, libsndfile alone": decode,
        "- one channel, one rate, onset, one hit?": _cpu(
            lambda: [audio.load(path, spec) for path in paths]
        )
        - decode,
        "features": _cpu(lambda: [extractor(recording.y) for recording in recordings]),
        "network, 32 at once": shared
        * _cpu(lambda: [classifier.predict(np.resize(windows[n : n + 32], (32, *spec.shape))) for n in batches]),
        "level, centroid, roll-off": _cpu(
            lambda: [analyse.measured(r.y, r.sr, extractor.spectrum()) for r in recordings]
        ),
        "record": _cpu(lambda: [said_of(hearing) for hearing in heard]),
    }  # fmt: skip
    total = (
        _cpu(lambda: analyse.hear_many(paths, paths, SETTINGS))
        + steps["read and digest"]
        + steps["record"]
    )
    steps["verdict, and what is between"] = total - sum(steps.values())
    steps["a file, in a worker"] = total
    rows = [
        Row(what, f"{used / len(paths) * 1e6:.0f} µs", ratio=f"{used / total:.0%}")
        for what, used in steps.items()
    ]
    return Table("Where the time of one file goes", "", rows, "CPU time on one thread, least of 5")


def _cpu(function: Callable[[], object]) -> float:
    least = float("inf")
    for _ in range(5):
        started = time.process_time()
        function()
        least = min(least, time.process_time() - started)
    return least


def _phase_two(top: Path, made: Sequence[Path]) -> Table:
    (run,) = (top / "out").glob("run_*")
    link = _program(_rebuild_command(run, top / "linked", "hardlink"))
    seconds = link.cpu * 47_000 / len(made)
    turns = []
    for turn in ("once", "twice"):
        plain = _program(["cp", "-r", str(top / "archive"), str(top / f"plain {turn}")])
        turns.append((_program(_rebuild_command(run, top / f"copied {turn}", "copy")), plain))
    here, plain = min(turns, key=lambda turn: turn[0].cpu)
    ratio = here.cpu / plain.cpu
    again = _program(_rebuild_command(run, top / "copied once", "copy"))
    rows = [
        Row(
            "`rebuild --mode hardlink`", _both(link), "", f"{seconds:.1f} s of CPU for 47,000",
            f"≤ {WANTED_LINK_SECONDS:g} s", seconds <= WANTED_LINK_SECONDS,
        ),
        Row(
            "`rebuild --mode copy`", _both(here), _both(plain), times(ratio),
            f"≤ {times(WANTED_COPY)}", ratio <= WANTED_COPY,
        ),
        Row("- once more, all in its place", _both(again)),
    ]  # fmt: skip
    return Table("A whole archive, rebuilt", "`cp -r`", rows, "whole processes; ratios of CPU time")


def _both(used: Used) -> str:
    return f"{used.wall:.1f} s (CPU {used.cpu:.1f} s)"


def _grown(folder: Path, count: int) -> list[Path]:
    """Files of different content in packs, as WAV and FLAC in turn."""
    corpus = [path for _, path in samples.labelled()]
    if not corpus:
        corpus = samples.files(folder.with_name("made"), min(count, 500))
    made = []
    for number in range(count):
        path = corpus[number * 7 % len(corpus)]
        y, sr = soundfile.read(path, dtype="float32")
        suffix = (".wav", ".flac")[number % 2]
        target = folder / f"pack {number % 97}" / f"{number:05d} {path.stem}{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, y * (1 - 0.5 * number / count), sr, subtype="PCM_16")
        made.append(target)
    os.sync()
    return made


def _link(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(path, target)


def _classify(archive: Path, out: Path) -> tuple[Used, float]:
    """What it took, and the most memory that all processes held at once."""
    command = python("-m", "drumwatchd", "classify", str(archive), "--out", str(out), "--json")
    peaks: list[_Peak] = []
    used = _program(command, lambda pid: peaks.append(_Peak(pid)))
    return used, peaks[0].end()


def _program(command: Sequence[str], started: Callable[[int], object] = lambda pid: None) -> Used:
    """Run a program to its end."""
    before, begin = os.times(), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    started(process.pid)
    assert process.wait() == 0, command
    wall, after = time.perf_counter() - begin, os.times()
    user = after.children_user - before.children_user
    return Used(wall, user + after.children_system - before.children_system)


class _Peak:
    """Looks four times a second at what a process and its children hold, shared pages divided."""

    def __init__(self, pid: int) -> None:
        self._pid, self._most, self._over = pid, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.25):
            held = 0.0
            try:
                for pid in (self._pid, *children(self._pid)):
                    held += usage(pid).pss
            except (OSError, KeyError, IndexError, ValueError):
                continue  # one has just ended
            self._most = max(self._most, held)

    def end(self) -> float:
        self._over.set()
        self._thread.join()
        return self._most


def _rebuild_command(run: Path, out: Path, mode: str) -> list[str]:
    return python("-m", "drumwatchd", "rebuild", str(run), "--out", str(out), "--mode", mode)


def _spread(function: Callable[[Sequence[Path]], Used], paths: Sequence[Path], count: int) -> Used:
    """What `count` processes take for all paths, imports and first calls left out."""
    with SPAWN.Pool(count) as pool:
        shares = pool.map(function, [paths[n::count] for n in range(count)], chunksize=1)
    return Used(max(share.wall for share in shares), sum(share.cpu for share in shares))


def _clock() -> Used:
    return Used(time.perf_counter(), time.process_time())


def _since(start: Used) -> Used:
    now = _clock()
    return Used(now.wall - start.wall, now.cpu - start.cpu)


def _read(paths: Sequence[Path]) -> Used:
    for path in paths:
        path.read_bytes()
    return Used(0.0, 0.0)


def _digest_and_decode(paths: Sequence[Path]) -> Used:
    """The least that anything has to do: libsndfile alone, and none of ours."""
    soundfile.read(paths[0], dtype="float32")
    started = _clock()
    for path in paths:
        digest_of(str(path), "sha256")
        soundfile.read(path, dtype="float32")
    return _since(started)


def _as_usual(paths: Sequence[Path]) -> Used:
    """The usual design: MFCC of librosa's, a dense network of Keras', MD5."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import librosa
    import numpy as np

    model = keras.Sequential([
        keras.Input((40, 98)), keras.layers.Flatten(), keras.layers.Dense(512, "relu"),
        keras.layers.Dense(256, "relu"), keras.layers.Dense(128, "relu"),
        keras.layers.Dense(34, "softmax"),
    ])  # fmt: skip

    def mfcc(path: Path) -> Any:
        y, _ = librosa.load(path, sr=44_100, mono=True)
        y = np.pad(y[:50_000], (0, max(0, 50_000 - y.size)))
        y = y / max(1e-9, float(np.abs(y).max()))
        return librosa.feature.mfcc(y=y, sr=44_100, n_mfcc=40, n_fft=2048, hop_length=512)

    model.predict(np.stack([mfcc(paths[0])] * 32), verbose=0)
    started = _clock()
    for start in range(0, len(paths), 32):
        part = paths[start : start + 32]
        for path in part:
            hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        model.predict(np.stack([mfcc(path) for path in part]), verbose=0)
    return _since(started)
