"""One hit is told from loops, fills, phrases and long takes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import scipy.signal
import soundfile

import drums
from drumwatchd.analysis import events

Signal = npt.NDArray[np.float32]

SR = 44_100
ONE_HIT = [kind for kind in drums.KINDS if kind != "silence"]


def said(y: Signal, sr: int = SR) -> str | None:
    """What is said of a whole signal."""
    return events.why_not_one_hit(events.powers(y, sr))


def placed(*hits: tuple[float, str], seconds: float, level_db: float = 0.0, sr: int = SR) -> Signal:
    """Hits of peak 1 at their times, all but the first at `level_db`."""
    y = np.zeros(int(seconds * sr), np.float32)
    for number, (time, kind) in enumerate(hits):
        hit = drums.synthesise(kind, number % 3, sr)[: y.size - int(time * sr)]
        gain = 10.0 ** (level_db / 20.0) if number else 1.0
        y[int(time * sr) :][: hit.size] += np.float32(gain) * hit / np.abs(hit).max()
    return y


def beat(bpm: float, swing: float, bars: int, seed: int = 0) -> Signal:
    """A bar of kick, snare and hats, repeated, each hit a bit louder or softer than the last."""
    rng = np.random.default_rng(seed)
    step = 60 / bpm / 4
    y = np.zeros(int(bars * 16 * step * SR), np.float32)
    for number in range(16 * bars):
        kinds = {0: ["kick"], 4: ["snare"], 10: ["kick"], 12: ["snare"]}.get(number % 16, [])
        for kind in [*kinds, "hat"] if number % 2 == 0 else kinds:
            start = int((number + swing * (number % 4 == 2)) * step * SR)
            hit = drums.synthesise(kind, 0)[: y.size - start]
            y[start : start + hit.size] += np.float32(rng.uniform(0.7, 1.0)) * hit
    return y + rng.normal(0, 10 ** (-55 / 20), y.size).astype(np.float32)


@pytest.mark.parametrize("kind", ONE_HIT)
@pytest.mark.parametrize("seed", range(5))
def test_one_hit_is_one_hit(kind: str, seed: int) -> None:
    """No drum, burst of noise or bass note is taken for more than it is."""
    assert said(drums.synthesise(kind, seed)) is None


@pytest.mark.parametrize("bpm", [70, 100, 140, 180])
@pytest.mark.parametrize("swing", [0.0, 0.33])
@pytest.mark.parametrize("bars", [1, 4])
def test_a_drum_loop_is_several_sounds(bpm: float, swing: float, bars: int) -> None:
    """Slow or fast, straight or swung, with noise below: a beat is no hit."""
    assert said(beat(bpm, swing, bars)) is not None


def test_an_even_beat_is_called_a_loop_with_its_hits_and_its_length() -> None:
    """Eight kicks at 120 bpm are named as that."""
    y = placed(*[(0.5 * number, "kick") for number in range(8)], seconds=4.0)
    assert said(y) == "a loop: 8 hits in 4.0 s"


@pytest.mark.parametrize("kinds", [("kick", "snare"), ("snare", "snare"), ("tom", "hat")])
@pytest.mark.parametrize("gap", [0.45, 0.7, 2.0])
def test_two_hits_are_several_sounds(kinds: tuple[str, str], gap: float) -> None:
    """Two drums one after the other, or one drum twice."""
    y = placed((0.0, kinds[0]), (gap, kinds[1]), seconds=gap + 1)
    assert said(y) == f"several sounds: 2 in {gap + 1:.1f} s"


def test_hits_without_a_beat_are_several_sounds_however_many() -> None:
    """A loop is said only of what keeps time."""
    times = [0.0, 0.37, 0.93, 1.21, 1.9, 2.26, 3.1, 3.53, 4.44]
    y = placed(*[(time, "rim") for time in times], seconds=5.0)
    assert said(y) == "several sounds: 9 in 5.0 s"


@pytest.mark.parametrize("level_db", [-14.0, -20.0, -40.0])
def test_a_much_softer_second_hit_belongs_to_the_first(level_db: float) -> None:
    """Noises after a hit, fingers, seats and sticks, don't make it two."""
    assert said(placed((0.0, "snare"), (0.6, "snare"), seconds=1.5, level_db=level_db)) is None


@pytest.mark.parametrize("feedback", [0.3, 0.5])
@pytest.mark.parametrize("delay", [0.15, 0.375])
@pytest.mark.parametrize("kind", ["snare", "rim", "kick", "clap"])
def test_an_echo_belongs_to_its_hit(kind: str, delay: float, feedback: float) -> None:
    """Repeats that lose at least 6 dB each time are one drum with a delay on it."""
    hit = drums.synthesise(kind)
    y = np.zeros(hit.size + int(6 * delay * SR), np.float32)
    for repeat in range(7):
        start = int(repeat * delay * SR)
        y[start : start + hit.size] += np.float32(feedback**repeat) * hit
    assert said(y) is None


@pytest.mark.parametrize("gap", [0.01, 0.025, 0.045, 0.09])
@pytest.mark.parametrize("kind", ["snare", "tom", "clap"])
def test_a_flam_is_one_hit(kind: str, gap: float) -> None:
    """A grace note just before the stroke is part of it."""
    assert said(placed((0.0, kind), (gap, kind), seconds=1.0)) is None
    assert said(placed((0.0, kind), (gap, kind), seconds=1.0, level_db=6.0)) is None


def test_a_hi_hat_that_is_opened_and_closed_is_one_hit() -> None:
    """Both ends of a swish are as loud, and a third of a second apart."""
    assert said(placed((0.0, "hat_open"), (0.37, "hat"), seconds=0.7)) is None


@pytest.mark.parametrize("strokes_hz", [30.0, 40.0])
def test_a_rattle_is_one_hit(strokes_hz: float) -> None:
    """Vibraslap, guiro and tambourine: many strokes, none of them by itself."""
    times = np.arange(0, 0.5, 1 / strokes_hz)
    y = placed(*[(time, "rim") for time in times], seconds=1.0)
    assert said(y) is None


@pytest.mark.parametrize("decay_db_per_second", [5.0, 10.0, 30.0])
@pytest.mark.parametrize("beating_hz", [0.0, 1.5, 4.0])
def test_a_long_tail_is_one_hit(decay_db_per_second: float, beating_hz: float) -> None:
    """A crash or a ride may ring for twelve seconds, and beat as it does."""
    t = np.arange(12 * SR) / SR
    noise = np.random.default_rng(0).normal(0, 0.1, t.size)
    beating = 1 + 0.3 * np.sin(2 * np.pi * beating_hz * t)
    y = noise * beating * 10.0 ** (-decay_db_per_second * t / 20) * np.minimum(1, t / 0.004)
    assert said(y.astype(np.float32)) is None


@pytest.mark.parametrize("seconds", [0.4, 1.5, 5.0])
def test_a_reversed_cymbal_is_one_hit(seconds: float) -> None:
    """What swells and stops was struck once, at its end."""
    y = drums.synthesise("crash")[: int(seconds * SR)][::-1]
    assert said(np.ascontiguousarray(y)) is None


@pytest.mark.parametrize("hz", [28.0, 40.0, 55.0])
def test_the_ripple_of_a_low_tone_is_no_rhythm(hz: float) -> None:
    """A sub kick's period is longer than a frame, and its tail longer than a second."""
    t = np.arange(3 * SR) / SR
    assert said((np.sin(2 * np.pi * hz * t) * np.exp(-t / 0.6)).astype(np.float32)) is None


def test_a_beat_is_heard_above_a_held_bass() -> None:
    """The level alone hardly dips there; its high end does."""
    y = placed(*[(0.4 * number, "rim") for number in range(8)], seconds=3.2)
    t = np.arange(y.size) / SR
    assert said((y + np.sin(2 * np.pi * 55 * t)).astype(np.float32)) == "a loop: 8 hits in 3.2 s"


def test_what_is_held_for_long_is_a_long_take() -> None:
    """Pads, drones and noise of more than three seconds say for how long."""
    t = np.arange(6 * SR) / SR
    chord = sum(np.sin(2 * np.pi * hz * t) for hz in (220, 277, 330))
    swell = np.minimum(1, np.minimum(t, 6 - t) / 0.5)
    assert said((chord * swell).astype(np.float32)) == "a long take: 5.7 s without a decay"
    noise = np.random.default_rng(0).normal(0, 0.1, 8 * SR)
    slow = scipy.signal.lfilter([1.0], [1.0, -0.9], noise).astype(np.float32)
    assert said(slow) == "a long take: 8.0 s without a decay"


@pytest.mark.parametrize("sr", [8_000, 22_050, 48_000, 96_000, 192_000])
def test_every_sample_rate_tells_the_same(sr: int) -> None:
    """Frames are of five milliseconds at any rate."""
    y = placed(*[(0.5 * number, "snare") for number in range(8)], seconds=4.0, sr=sr)
    assert said(y, sr) == "a loop: 8 hits in 4.0 s"
    assert said(drums.synthesise("snare", sr=sr), sr) is None


@pytest.mark.parametrize("gain", [1e-10, 1e-3, 1e18])
def test_loudness_doesnt_matter(gain: float) -> None:
    """The faint and the loud are judged alike."""
    y = placed((0.0, "snare"), (0.5, "snare"), seconds=1.0) * np.float32(gain)
    assert said(y) == "several sounds: 2 in 1.0 s"
    assert said(drums.synthesise("snare") * np.float32(gain)) is None


def test_the_largest_floats_are_no_trouble() -> None:
    """Their squares overflow, and nothing is said."""
    y = np.full(SR, 3e38, np.float32)
    y[1::2] *= -1
    assert np.isfinite(events.powers(y, SR)).all()
    assert said(y) is None


@pytest.mark.parametrize("n", [0, 1, 219, 220, 5_000, 44_100])
def test_silence_and_the_shortest_signals_give_no_reason(n: int) -> None:
    """Nothing at all is not several things."""
    assert said(np.zeros(n, np.float32)) is None
    assert said(np.ones(n, np.float32)) is None


def test_powers_are_the_means_of_squares() -> None:
    """Per frame: of the signal, and of the steps from sample to sample."""
    y = np.array([1, -1] * 20, np.float32)
    np.testing.assert_allclose(events.powers(y, 4_000), [[1, 4 * 19 / 20], [1, 4]])
    assert events.powers(y[:39], 4_000).shape == (1, 2)


@pytest.mark.corpus
def test_real_drums_are_one_hit(corpus: Path) -> None:
    """Of every tenth drum of the corpus, which holds no loops, at most one in 200 isn't believed."""
    with (corpus / "corpus.csv").open(encoding="utf-8", newline="") as stream:
        drums_only = [row for row in csv.DictReader(stream) if row["canonical"] != "misc"]
    taken = [row["path"] for row in drums_only[::10]]
    doubted = [path for path in taken if said(*soundfile.read(corpus / path, dtype="float32"))]
    assert len(doubted) <= len(taken) / 200, doubted
