"""The drum machine: every label is played, by sounds that keep what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.training.drum_machine import VOICES, Signal, Voice, synthesise
from drumwatchd.training.drum_machine.bench import Bench

EVERY_VOICE = [
    pytest.param(voice, id=f"{label}-{voice.__name__}")
    for label, voices in VOICES.items()
    for voice in voices
]


def centroid_hz(y: Signal, sr: int) -> float:
    power = np.abs(np.fft.rfft(y)) ** 2
    return float(np.sum(np.fft.rfftfreq(y.size, 1 / sr) * power) / np.sum(power))


def median_centroid_hz(label: str) -> float:
    takes = (synthesise(label, 44_100, np.random.default_rng(seed)) for seed in range(12))
    return float(np.median([centroid_hz(y, 44_100) for y in takes]))


def test_every_label_has_a_voice() -> None:
    """What the network may answer, the machine can play."""
    assert set(VOICES) == set(FINE_LABELS)


@pytest.mark.parametrize("voice", EVERY_VOICE)
def test_a_take_is_a_one_shot(voice: Voice) -> None:
    """Mono float32, finite, peak 1, shorter than 1.4 s, and not cut off with a click."""
    for sr, seed in ((22_050, 1), (44_100, 2)):
        y = voice(sr, np.random.default_rng(seed))
        assert y.dtype == np.float32
        assert y.ndim == 1
        assert 0.01 * sr < y.size <= 1.4 * sr
        assert np.isfinite(y).all()
        assert np.abs(y).max() == pytest.approx(1.0)
        assert abs(y[-1]) < 0.01


@pytest.mark.parametrize("voice", EVERY_VOICE)
def test_the_generator_decides_everything(voice: Voice) -> None:
    """The same seed gives the same take, another seed another."""
    first, again, other = (voice(22_050, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.size != other.size or np.abs(first - other).max() > 0.1


def test_low_drums_are_lower_than_bright_metal() -> None:
    """Kick below conga below clave below hi-hat, as anyone would hear."""
    heights = [median_centroid_hz(label) for label in ("Kick", "Conga", "Clave", "Hihat")]
    assert heights == sorted(heights)


def test_a_reverse_is_loudest_late() -> None:
    """A swell has most of its energy in its second half."""
    for seed in range(8):
        y = synthesise("Reverse", 44_100, np.random.default_rng(seed))
        half = y.size // 2
        assert np.sum(y[half:] ** 2) > np.sum(y[:half] ** 2)


def test_modes_are_decaying_sines() -> None:
    """The matrix product gives what summing the sines would."""
    bench = Bench(8_000, np.random.default_rng(1), 0.5)
    y = bench.modes([440.0, 5_000.0], [2.0, 1.0], [0.3, 0.3])
    phase = np.random.default_rng(1).uniform(0, 6.28, 1)
    expected = 2.0 * np.exp(-6.91 * bench.t / 0.3) * np.cos(2 * np.pi * 440.0 * bench.t + phase)
    np.testing.assert_allclose(y, expected, atol=1e-9)
