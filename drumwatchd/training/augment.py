"""Make new sounds of old ones, in the audio domain, and sounds for labels that have too few.

Every function takes a generator: the same seed gives the same sound. Levels are relative to the
peak, so that the level of a file doesn't matter.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal
import soundfile
import soxr

Signal = npt.NDArray[np.float32]
Generator = np.random.Generator


def augment(y: Signal, sr: int, rng: Generator, changes: Sequence[str]) -> Signal:
    """One more way that `y` could have been recorded, processed or stored.

    Args:
        y: float32 [shape=(n,)], mono.
        sr: Hz.
        rng: decides everything.
        changes: keys of `CHANGES` that may be made, each with its own probability.

    Returns:
        float32 [shape=(m,)], peak 1 unless silent.
    """
    y = _unit(y)
    for name, (probability, change) in CHANGES.items():
        if name in changes and rng.random() < probability:
            y = change(y, sr, rng)
    return _unit(y)


def shift_onset(y: Signal, sr: int, rng: Generator) -> Signal:
    """Begin a little early or late, as onset detection does on unclean starts; three times in five."""
    if rng.random() < 0.4:
        return y
    offset = int(rng.triangular(-0.002, 0.0, 0.012) * sr)
    return np.concatenate([np.zeros(offset, np.float32), y]) if offset > 0 else y[-offset:]


def speed(y: Signal, semitones: float) -> Signal:
    """Play faster or slower, as a sampler does: pitch and decay change together."""
    ratio = 2.0 ** (semitones / 12.0)
    changed = soxr.resample(y, 44_100.0 * ratio, 44_100.0, quality="LQ")
    return np.asarray(changed if changed.size else y, dtype=np.float32)


def saturate(y: Signal, drive: float) -> Signal:
    """Soft clipping; `drive` is the gain before it."""
    return np.asarray(np.tanh(_unit(y) * np.float32(drive)), dtype=np.float32)


def equalise(y: Signal, sr: int, rng: Generator) -> Signal:
    """A smooth random curve over the octaves, up to about ±12 dB."""
    knots_hz = np.geomspace(30.0, sr / 2, 8)
    gains_db = rng.normal(0.0, 4.5, knots_hz.size)
    return _filter(y, sr, knots_hz, gains_db)


def reverberate(y: Signal, sr: int, rng: Generator) -> Signal:
    """A room: exponentially decaying noise, 50 to 700 ms, mixed under the dry sound."""
    seconds = float(np.exp(rng.uniform(np.log(0.05), np.log(0.7))))
    t = np.arange(int(seconds * sr)) / sr
    room = rng.standard_normal(t.size) * np.exp(-6.9 * t / seconds)
    room /= np.sqrt(np.sum(room**2))
    wet = scipy.signal.fftconvolve(y, room.astype(np.float32))
    dry = np.pad(y, (0, wet.size - y.size))
    level = float(np.exp(rng.uniform(np.log(0.03), np.log(0.5))))
    return np.asarray(dry + level * wet, dtype=np.float32)


def crush(y: Signal, sr: int, rng: Generator) -> Signal:
    """An old sampler: few bits, a low ceiling, or both."""
    if rng.random() < 0.7:
        ceiling_hz = float(rng.uniform(4_500.0, 16_000.0))
        y = _filter(y, sr, np.array([ceiling_hz, ceiling_hz * 1.25]), np.array([0.0, -90.0]))
    if rng.random() < 0.6:
        steps = np.float32(2.0 ** rng.integers(7, 12))
        y = np.asarray(np.round(_unit(y) * steps) / steps, dtype=np.float32)
    return y


def add_noise(y: Signal, level_db: float, rng: Generator) -> Signal:
    """Coloured noise from white to brown under the whole sound, `level_db` to its peak."""
    spectrum = scipy.fft.rfft(rng.standard_normal(y.size).astype(np.float32))
    slope = float(rng.uniform(0.0, 1.0))
    spectrum *= np.maximum(1.0, np.arange(spectrum.size)) ** np.float32(-slope)
    noise = _unit(scipy.fft.irfft(spectrum, y.size))
    return np.asarray(_unit(y) + noise * np.float32(10.0 ** (level_db / 20.0)), dtype=np.float32)


def truncate(y: Signal, sr: int, rng: Generator) -> Signal:
    """Cut the tail as packs do to save space: from 0.15 s on, with a short fade."""
    end = int(np.exp(rng.uniform(np.log(0.15), np.log(1.0))) * sr)
    if end >= y.size:
        return y
    y = y[:end].copy()
    fade = min(end, int(0.02 * sr))
    y[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return y


def code(y: Signal, sr: int, rng: Generator) -> Signal:
    """What a lossy codec leaves, made by one: MP3 at a low to middling quality."""
    if sr not in (32_000, 44_100, 48_000):
        return y
    memory = io.BytesIO()
    quality = float(rng.uniform(0.5, 0.99))  # what is nearer to 1 libsndfile refuses
    with soundfile.SoundFile(
        memory, "w", sr, 1, format="MP3", subtype="MPEG_LAYER_III", compression_level=quality
    ) as sound:
        sound.write(_unit(y))
    memory.seek(0)
    return np.asarray(soundfile.read(memory, dtype="float32")[0], dtype=np.float32)


def reverse(y: Signal, sr: int, rng: Generator) -> Signal:
    """The swell that packs call a reverse: the sound backwards, cut at its end."""
    seconds = float(rng.uniform(0.4, 1.1))
    return np.ascontiguousarray(_unit(y)[: int(seconds * sr)][::-1])


def _filter(
    y: Signal, sr: int, knots_hz: npt.NDArray[np.float64], gains_db: npt.NDArray[np.float64]
) -> Signal:
    """Zero-phase filter through (Hz, dB) points, straight lines over log frequency."""
    n = scipy.fft.next_fast_len(y.size + sr // 50, real=True)
    hz = np.maximum(np.fft.rfftfreq(n, 1.0 / sr), 1.0)
    curve_db = np.interp(np.log(hz), np.log(knots_hz), gains_db)
    spectrum = scipy.fft.rfft(y, n) * (10.0 ** (curve_db / 20.0)).astype(np.float32)
    return np.asarray(scipy.fft.irfft(spectrum, n)[: y.size], dtype=np.float32)


def _speed(y: Signal, sr: int, rng: Generator) -> Signal:
    return speed(y, float(np.clip(rng.normal(0.0, 1.7), -4.0, 4.0)))


def _saturate(y: Signal, sr: int, rng: Generator) -> Signal:
    return saturate(y, float(rng.uniform(1.5, 8.0)))


def _add_noise(y: Signal, sr: int, rng: Generator) -> Signal:
    return add_noise(y, float(rng.uniform(-75.0, -38.0)), rng)


CHANGES: dict[str, tuple[float, Callable[[Signal, int, Generator], Signal]]] = {
    "speed": (0.7, _speed),
    "saturate": (0.35, _saturate),
    "equalise": (0.75, equalise),
    "truncate": (0.3, truncate),
    "reverberate": (0.3, reverberate),
    "crush": (0.2, crush),
    "code": (0.2, code),
    "noise": (0.4, _add_noise),
}


def _unit(y: Signal) -> Signal:
    peak = float(np.max(np.abs(y), initial=0.0))
    return np.asarray(y / np.float32(peak), dtype=np.float32) if peak > 0.0 else y
