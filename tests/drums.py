"""A small drum machine: synthesised one-shots, so that every test can be read without listening.

Each voice is a recipe of decaying oscillators and filtered noise. The same kind and seed give the
same samples on every machine; another seed gives a neighbour (pitch, decay and level vary a bit).
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.signal
import soundfile

Signal = npt.NDArray[np.float32]


class _Voice:
    """Time axis, seeded variation and the few building blocks that all drums share."""

    def __init__(self, seconds: float, sr: int, rng: np.random.Generator) -> None:
        self.sr = sr
        self.rng = rng
        self.t = np.arange(max(1, round(seconds * sr))) / sr

    def vary(self, value: float, amount: float = 0.12) -> float:
        return float(value * (1 + amount * self.rng.uniform(-1, 1)))

    def decay(self, seconds: float, attack: float = 0.001) -> np.ndarray:
        return np.exp(-self.t / self.vary(seconds)) * np.minimum(1.0, self.t / attack)

    def sweep(self, start_hz: float, end_hz: float, seconds: float) -> np.ndarray:
        frequency = end_hz + (start_hz - end_hz) * np.exp(-self.t / seconds)
        return np.sin(2 * np.pi * np.cumsum(frequency) / self.sr)

    def noise(self, low_hz: float, high_hz: float = 20_000) -> np.ndarray:
        white = self.rng.standard_normal(self.t.size)
        top = min(high_hz, 0.49 * self.sr)
        band = [min(low_hz, 0.8 * top), top]
        return scipy.signal.sosfilt(
            scipy.signal.butter(2, band, "bandpass", fs=self.sr, output="sos"), white
        )

    def metal(self, base_hz: float, partials: int = 18, spread: float = 1.0) -> np.ndarray:
        """Inharmonic partials, as in a struck plate."""
        total = np.zeros(self.t.size)
        for index in range(partials):
            hz = base_hz * (1 + spread * index**1.17 * 0.47) * self.vary(1.0, 0.03)
            if hz < 0.49 * self.sr:
                total += np.sin(2 * np.pi * hz * self.t + self.rng.uniform(0, 6.28))
        return total / np.sqrt(partials)


def _kick(v: _Voice) -> np.ndarray:
    body = v.sweep(v.vary(190), v.vary(50), 0.03) * v.decay(0.16)
    return body + 0.12 * v.noise(1500, 6000) * v.decay(0.004)


def _snare(v: _Voice) -> np.ndarray:
    head = v.sweep(v.vary(260), v.vary(185), 0.02) + 0.6 * v.sweep(v.vary(400), v.vary(330), 0.02)
    return 0.6 * head * v.decay(0.06) + 0.9 * v.noise(900, 12_000) * v.decay(0.1)


def _rim(v: _Voice) -> np.ndarray:
    return v.sweep(v.vary(1700), v.vary(1650), 0.01) * v.decay(0.012) + 0.4 * v.noise(
        800, 9000
    ) * v.decay(0.006)


def _hat_closed(v: _Voice) -> np.ndarray:
    return (v.noise(7500) + 0.3 * v.metal(3600, 10)) * v.decay(0.035, 0.0005)


def _hat_open(v: _Voice) -> np.ndarray:
    return (v.noise(7000) + 0.3 * v.metal(3600, 12)) * v.decay(0.22, 0.0005)


def _crash(v: _Voice) -> np.ndarray:
    return (v.noise(2500, 16_000) + 0.35 * v.metal(420, 30)) * v.decay(0.75, 0.004)


def _ride(v: _Voice) -> np.ndarray:
    wash = (0.35 * v.noise(3500, 14_000) + 0.3 * v.metal(520, 26)) * v.decay(0.9, 0.002)
    return wash + (0.6 * v.metal(3100, 8) + v.noise(5000)) * v.decay(0.03, 0.0005)


def _tom(v: _Voice) -> np.ndarray:
    pitch = v.vary(125, 0.35)
    body = v.sweep(pitch * 1.35, pitch, 0.05) + 0.25 * v.sweep(pitch * 2.1, pitch * 1.6, 0.04)
    return body * v.decay(0.24) + 0.08 * v.noise(600, 5000) * v.decay(0.01)


def _clap(v: _Voice) -> np.ndarray:
    hands = np.zeros(v.t.size)
    for start in (0.0, 0.011, 0.022):
        hands += np.where(v.t >= start, np.exp(-np.maximum(v.t - start, 0) / 0.004), 0)
    tail = np.where(v.t >= 0.03, np.exp(-np.maximum(v.t - 0.03, 0) / v.vary(0.07)), 0)
    return v.noise(900, 3500) * (hands + 0.8 * tail)


def _cowbell(v: _Voice) -> np.ndarray:
    base = v.vary(545, 0.06)
    tone = np.sign(np.sin(2 * np.pi * base * v.t)) + np.sign(np.sin(2 * np.pi * base * 1.48 * v.t))
    band = [0.8 * base, min(9 * base, 0.48 * v.sr)]
    sos = scipy.signal.butter(2, band, "bandpass", fs=v.sr, output="sos")
    return scipy.signal.sosfilt(sos, tone) * v.decay(0.11)


def _bass(v: _Voice) -> np.ndarray:
    hz = v.vary(55, 0.2)
    tone = sum(np.sin(2 * np.pi * hz * n * v.t) / n for n in range(1, 12))
    return np.asarray(tone) * np.minimum(1, v.t / 0.02) * np.minimum(1, (v.t[-1] - v.t) / 0.05)


_KINDS: dict[str, tuple[Callable[[_Voice], np.ndarray], float, str]] = {
    "kick": (_kick, 0.6, "Kick"),
    "snare": (_snare, 0.5, "Snare"),
    "rim": (_rim, 0.15, "Rim"),
    "hat": (_hat_closed, 0.25, "Hihat"),
    "hat_open": (_hat_open, 0.9, "Hihat"),
    "crash": (_crash, 2.2, "Crash"),
    "ride": (_ride, 2.2, "Ride"),
    "tom": (_tom, 0.9, "Tom"),
    "clap": (_clap, 0.4, "Clap"),
    "cowbell": (_cowbell, 0.5, "Cowbell"),
    "noise": (lambda v: v.noise(20, 20_000), 1.0, "Noise"),
    "bass": (_bass, 1.5, "FX"),
    "silence": (lambda v: np.zeros(v.t.size), 0.5, "Noise"),
}

KINDS = tuple(_KINDS)
FINE_LABEL_OF = {kind: fine for kind, (_, _, fine) in _KINDS.items()}

_SUBTYPES = {"opus": ("OGG", "OPUS"), "ogg": ("OGG", "VORBIS"), "aif": ("AIFF", None)}


def synthesise(kind: str, seed: int = 0, sr: int = 44_100) -> Signal:
    """One hit of `kind`: float32 [shape=(n,)], peak 0.3 to 0.95 (silence: 0)."""
    voice, seconds, _ = _KINDS[kind]
    rng = np.random.default_rng([zlib.crc32(kind.encode()), seed])
    y = voice(_Voice(seconds, sr, rng))
    peak = np.max(np.abs(y))
    if peak == 0:
        return np.zeros(y.size, dtype=np.float32)
    fade = np.minimum(1, np.arange(y.size, 0, -1) / (0.005 * sr))
    return (y * fade * (rng.uniform(0.3, 0.95) / peak)).astype(np.float32)


def write(
    path: str | bytes | os.PathLike[str],
    kind: str,
    *,
    seed: int = 0,
    sr: int = 44_100,
    channels: int = 1,
    subtype: str | None = None,
) -> str:
    """Write one hit in the format that the suffix names; return the path as a string."""
    name = os.fsdecode(path)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    suffix = os.path.splitext(name)[1].lstrip(".").lower()
    container, default_subtype = _SUBTYPES.get(suffix, (suffix.upper(), None))
    y = synthesise(kind, seed, sr)
    frames = y if channels == 1 else np.repeat(y[:, None], channels, axis=1)
    with open(os.fsencode(name), "wb+") as handle:  # any bytes may be in a name
        soundfile.write(handle, frames, sr, format=container, subtype=subtype or default_subtype)
    return name
