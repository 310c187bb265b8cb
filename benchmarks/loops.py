"""What is taken for one hit, and what isn't: real one-shots, and what can be made of them.

$DRUMWATCHD_LOOPS may name a folder with two in it, `one-hit` and `others`; each folder in those is
one more row, named after it.
"""

from __future__ import annotations

import functools
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.signal
import soundfile

import drums
from benchmarks import samples
from benchmarks.measuring import Row, Table, milliseconds
from drumwatchd.analysis import audio, events
from drumwatchd.analysis.formats import is_audio
from drumwatchd.analysis.labels import CANONICAL_LABELS, MISC
from drumwatchd.analysis.model_card import read_card, shipped_model

Signal = npt.NDArray[np.float32]
Hit = tuple[float, Signal, float]  # when in seconds, what, at how many dB
Reasons = Mapping[str, Sequence[str | None]]

SR = samples.SR
STEPS = 16  # of a bar
STRAY = (2, 3, 6, 7, 10, 11, 14)
MOST_DOUBTED, LEAST_RECOGNISED = 0.005, 0.95
SPEC = read_card(shipped_model()).features


def measure(quick: bool) -> list[Table]:
    """What part of each kind isn't taken for one hit, and what the question costs."""
    each = 3 if quick else 200
    doubted = [
        *_rows(_of_corpus(100 if quick else 1), most=MOST_DOUBTED),
        *_rows(_made(ONE_HIT, each)),
        *_rows(_real("one-hit")),
    ]
    recognised = [
        *_rows(_made(OTHERS, each), least=LEAST_RECOGNISED),
        *_rows(_real("others"), least=LEAST_RECOGNISED),
    ]
    made = f"What is made: {each} of each, half of them with noise below, of {samples.source()}"
    costs = [_cost(seconds, 5 if quick else 200) for seconds in (0.5, 1, 10)]
    return [
        Table("One hit, taken for more", "", doubted, made),
        Table("No single hit, recognised", "", recognised, made),
        Table(
            "The cost of asking", "", costs, "CPU time in one thread, decoding aside, the median"
        ),
    ]


def _rows(kinds: Reasons, *, most: float = 1.0, least: float = 0.0) -> Iterator[Row]:
    for kind, reasons in kinds.items():
        part = sum(reason is not None for reason in reasons) / len(reasons)
        here = f"{part:.2%} of {len(reasons):,}"
        if most < 1:
            yield Row(kind, here, wanted=f"≤ {most:.1%}", met=part <= most)
        elif least > 0:
            yield Row(kind, here, wanted=f"≥ {least:.0%}", met=part >= least)
        else:
            yield Row(kind, here)


def _of_corpus(step: int) -> Reasons:
    """Of the drums among every `step`-th file of the corpus."""
    paths = [path for label, path in samples.labelled()[::step] if label != MISC]
    return {"drums of the corpus": _heard(paths)} if paths else {}


def _real(folder: str) -> Reasons:
    """Of the folders in a folder of $DRUMWATCHD_LOOPS."""
    root = os.environ.get("DRUMWATCHD_LOOPS")
    folders = sorted(Path(root, folder).iterdir()) if root else []
    return {each.name: _heard(sorted(filter(is_audio, each.rglob("*")))) for each in folders}


def _heard(paths: Iterable[Path]) -> list[str | None]:
    return [audio.load(str(path), SPEC).not_one_hit for path in paths]


def _made(recipes: Mapping[str, Callable[[Band], Signal]], each: int) -> Reasons:
    return {
        kind: [_reason(recipe(band), band.rng) for band in map(Band, range(each))]
        for kind, recipe in recipes.items()
    }


def _reason(y: Signal, rng: np.random.Generator) -> str | None:
    y = y[: int(events.LISTEN_SECONDS * SR)] / np.abs(y).max()
    if rng.random() < 0.5:
        noise = rng.standard_normal(y.size) * 10.0 ** (rng.uniform(-65, -45) / 20)
        y = y + noise.astype(np.float32)
    return events.why_not_one_hit(events.powers(y, SR))


def _cost(seconds: float, rounds: int) -> Row:
    y = np.resize(drums.synthesise("crash"), int(seconds * SR))
    spent = []
    for _ in range(rounds):
        started = time.process_time()
        events.why_not_one_hit(events.powers(y, SR))
        spent.append(time.process_time() - started)
    return Row(f"{seconds:g} s at 44.1 kHz", milliseconds(statistics.median(spent)))


class Band:
    """Draws hits, and how they are played."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def shot(self, *wanted: str) -> Signal:
        """One hit of a label among `wanted` (any of the six by default), from its onset, peak 1."""
        label = str(self.rng.choice(wanted or CANONICAL_LABELS))
        paths = _paths_of().get(label)
        if paths is None:
            y = drums.synthesise(
                "hat" if label == "Hihat" else label.lower(), self.rng.integers(99)
            )
        else:
            y = _read(paths[self.rng.integers(len(paths))])
        peak = np.abs(y).max()
        return y[int(np.argmax(np.abs(y) > 0.01 * peak)) :] / peak

    def softly(self, most_db: float = 4.0) -> float:
        """A level in dB: nobody plays evenly."""
        return float(-self.rng.uniform(0, most_db))

    def step_seconds(self) -> float:
        """A sixteenth at 70 to 180 bpm."""
        return 60 / float(self.rng.uniform(70, 180)) / 4


def drum_loop(band: Band) -> Signal:
    """One to four bars of kick, snare and hats, straight or swung."""
    rng, step = band.rng, band.step_seconds()
    kick, snare, hat = band.shot("Kick"), band.shot("Snare"), band.shot("Hihat")
    kicks = {0, 8, *rng.choice(STRAY, 2, replace=False).tolist()}
    swing, every, bars = rng.uniform(0, 0.33), rng.choice([1, 2, 4]), rng.choice([1, 2, 4])
    hits: list[Hit] = []
    for number in range(STEPS * bars):
        now = (number + swing * (number % 2)) * step
        if number % STEPS in kicks:
            hits.append((now, kick, band.softly()))
        if number % STEPS in (4, 12):
            hits.append((now, snare, band.softly()))
        if number % every == 0:
            hits.append((now, hat, band.softly() - 8))
    return placed(hits, STEPS * bars * step)


def one_drum_loop(band: Band) -> Signal:
    """One drum on every quarter, eighth or sixteenth, 4 to 16 times."""
    step, count = band.step_seconds() * band.rng.choice([1, 2, 4]), int(band.rng.integers(4, 17))
    shot = band.shot()
    return placed([(n * step, shot, band.softly()) for n in range(count)], count * step)


def fill(band: Band) -> Signal:
    """4 to 12 sixteenths from snare to tom to tom, and a crash."""
    step, count = band.step_seconds(), int(band.rng.integers(4, 13))
    shots = [band.shot("Snare"), *(band.shot("Tom") for _ in range(3))]
    hits = [(n * step, shots[n * 4 // count], band.softly()) for n in range(count)]
    return placed([*hits, (count * step, band.shot("Crash"), 0.0)], count * step + 1)


def phrase(band: Band, count: int | None = None, second_db: float | None = None) -> Signal:
    """3 to 8 hits, or `count`, of one drum or several, 0.25 to 2 s apart and within 6 dB."""
    times = np.cumsum(band.rng.uniform(0.25, 2, count or int(band.rng.integers(3, 9))))
    same = band.shot() if band.rng.random() < 0.5 else None
    hits: list[Hit] = []
    for now in times - times[0]:
        gain_db = band.softly(6) if second_db is None else second_db * bool(hits)
        hits.append((float(now), band.shot() if same is None else same, gain_db))
    return placed(hits, hits[-1][0] + 0.3)


def roll(band: Band) -> Signal:
    """A snare struck 10 to 25 times a second, for half a second to two."""
    hz, seconds = band.rng.uniform(10, 25), band.rng.uniform(0.5, 2)
    shot = band.shot("Snare")
    times = np.arange(0, seconds, 1 / hz)
    unsteady = times + np.abs(band.rng.normal(0, 0.003, times.size))
    return placed([(float(now), shot, band.softly()) for now in unsteady], seconds + 0.4)


def chord(band: Band) -> Signal:
    """A chord held for 4 to 15 s."""
    seconds, hz = band.rng.uniform(4, 15), band.rng.uniform(60, 400)
    t = np.arange(int(seconds * SR)) / SR
    y = np.zeros(t.size)
    for partial in (n * interval * hz for interval in (1, 1.26, 1.5, 2) for n in range(1, 8)):
        detuned = partial * (1 + band.rng.normal(0, 0.003))
        y += np.sin(2 * np.pi * detuned * t + band.rng.uniform(0, 6.28)) * hz / partial
    rise, end = band.rng.uniform(0.01, 1.5), band.rng.uniform(0.05, 1)
    return (y * np.minimum(1, t / rise) * np.minimum(1, (seconds - t) / end)).astype(np.float32)


def surroundings(band: Band) -> Signal:
    """Coloured noise of 5 to 15 s that comes and goes: wind, rain, a room."""
    y = band.rng.standard_normal(int(band.rng.uniform(5, 15) * SR))
    y = scipy.signal.lfilter([1], [1, -band.rng.uniform(0.9, 0.99)], y)
    points = np.linspace(0, y.size, 20)
    return (y * np.interp(np.arange(y.size), points, band.rng.uniform(0.3, 1, 20))).astype("f4")


def flam(band: Band) -> Signal:
    """A grace note of up to 12 dB less, 10 to 60 ms before the stroke."""
    shot = band.shot("Snare", "Tom", "Kick")
    hits = [(0.0, shot, band.softly(12)), (float(band.rng.uniform(0.01, 0.06)), shot, 0.0)]
    return placed(hits, shot.size / SR + 0.1)


def echo(band: Band) -> Signal:
    """A delay of 0.12 to 0.5 s on a drum; each repeat at 30 to 60 % of the one before."""
    shot, delay = band.shot("Kick", "Snare", "Hihat", "Tom"), band.rng.uniform(0.12, 0.5)
    loss_db = 20 * np.log10(band.rng.uniform(0.3, 0.6))
    hits = [(n * delay, shot, n * loss_db) for n in range(7)]
    return placed(hits, shot.size / SR + 6 * delay)


def reverb(band: Band) -> Signal:
    """A drum in a room of 0.5 to 5 s."""
    shot = band.shot("Kick", "Snare", "Hihat", "Tom")
    n = int(band.rng.uniform(0.5, 5) * SR)
    room = band.rng.standard_normal(n) * 10.0 ** (-3 * np.arange(n) / n)
    y = scipy.signal.fftconvolve(shot, room)
    y *= band.rng.uniform(0.1, 0.8) / np.abs(y).max()
    y[: shot.size] += shot
    return y.astype(np.float32)


ONE_HIT = {
    "flams": flam,
    "drums with an echo": echo,
    "drums in a reverberating room": reverb,
    "two hits, the second 20 dB softer": functools.partial(phrase, count=2, second_db=-20.0),
}
OTHERS = {
    "drum loops, 1 to 4 bars": drum_loop,
    "loops of one drum": one_drum_loop,
    "fills": fill,
    "phrases of 3 to 8 hits": phrase,
    "two hits": functools.partial(phrase, count=2),
    "two hits, the second 6 dB softer": functools.partial(phrase, count=2, second_db=-6.0),
    "snare rolls": roll,
    "held chords": chord,
    "noise of surroundings": surroundings,
}


def placed(hits: Iterable[Hit], seconds: float) -> Signal:
    """Hits at their times and levels, cut off at the end: float32 [shape=(n,)]."""
    y = np.zeros(int(seconds * SR), np.float32)
    for now, hit, gain_db in hits:
        rest = y[int(now * SR) :][: hit.size]
        rest += np.float32(10.0 ** (gain_db / 20)) * hit[: rest.size]
    return y


@functools.cache
def _paths_of() -> dict[str, list[Path]]:
    paths: dict[str, list[Path]] = {}
    for label, path in samples.labelled():
        paths.setdefault(label, []).append(path)
    return paths


def _read(path: Path) -> Signal:
    y, sr = soundfile.read(path, dtype="float32")
    return audio.resample(y, sr, SR)
