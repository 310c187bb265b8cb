"""What synthesised voices are made of: envelopes, oscillators, modes and coloured noise.

A `Bench` is one take on the drum machine: its time axis, its random generator and the building
blocks that recipes share. Recipes work in float64 and don't care about levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

Generator = np.random.Generator
Array = npt.NDArray[np.float64]

SECONDS = 1.35
_BLOCK = 256


class Bench:
    """One take: `t` in seconds, and everything that is drawn at random comes from `rng`."""

    def __init__(self, sr: int, rng: Generator, seconds: float = SECONDS) -> None:
        self.sr = sr
        self.rng = rng
        # Whole blocks, so that `modes` can be written as one matrix product.
        self.t: Array = np.arange(math.ceil(seconds * sr / _BLOCK) * _BLOCK) / sr

    def pick(self, low: float, high: float) -> float:
        """A value between, evenly over its logarithm: for pitches, times and gains."""
        return float(math.exp(self.rng.uniform(math.log(low), math.log(high))))

    def spread(self, values: Sequence[float] | Array, amount: float) -> Array:
        """`values`, each up to `amount` (a share) off."""
        given = np.asarray(values, dtype=np.float64)
        return np.asarray(given * (1.0 + amount * self.rng.uniform(-1.0, 1.0, given.shape)))

    def maybe(self, probability: float) -> bool:
        """Heads or tails."""
        return bool(self.rng.random() < probability)

    def decay(self, t60: float, attack: float = 0.001) -> Array:
        """A strike: up in `attack` seconds, 60 dB down after `t60` more."""
        rise = np.minimum(1.0, self.t / attack)
        return np.asarray(rise * np.exp(-6.91 * np.maximum(0.0, self.t - attack) / t60))

    def swell(self, attack: float, hold: float, release: float) -> Array:
        """A held note: rises, stays, fades (seconds each)."""
        end = attack + hold + release
        return np.asarray(np.clip(np.minimum(self.t / attack, (end - self.t) / release), 0.0, 1.0))

    def strikes(self, at: npt.ArrayLike, t60: float) -> Array:
        """An envelope of many small strikes at the times `at`, of uneven strength."""
        pulses = np.zeros(self.t.size)
        index = (np.asarray(at) * self.sr).astype(int)
        index = index[(index >= 0) & (index < self.t.size)]
        pulses[index] = self.rng.uniform(0.4, 1.0, index.size)
        ring = np.exp(-6.91 * self.t / t60)[: int(2 * t60 * self.sr) + 1]
        return np.asarray(scipy.signal.fftconvolve(pulses, ring)[: self.t.size])

    def glide(self, start_hz: float, end_hz: float, seconds: float) -> Array:
        """A pitch that falls (or rises) exponentially; `seconds` is the time constant."""
        return np.asarray(end_hz + (start_hz - end_hz) * np.exp(-self.t / seconds))

    def vibrato(self, hz: float | Array, rate_hz: float, depth: float) -> Array:
        """A pitch that wavers by the share `depth`."""
        phase = 2 * np.pi * rate_hz * self.t + self.rng.uniform(0, 6.28)
        return np.asarray(hz * (1.0 + depth * np.sin(phase)))

    def phase(self, hz: float | Array) -> Array:
        """The running phase of an oscillator at `hz`, in cycles."""
        return np.asarray(np.cumsum(np.broadcast_to(hz, self.t.shape)) / self.sr)

    def sine(self, hz: float | Array) -> Array:
        """A sine; `hz` may change over time."""
        return np.asarray(np.sin(2 * np.pi * self.phase(hz)))

    def fm(self, hz: float | Array, ratio: float, index: float | Array) -> Array:
        """A sine whose phase another sine moves: two-operator FM."""
        modulator = np.sin(2 * np.pi * ratio * self.phase(hz))
        return np.asarray(np.sin(2 * np.pi * self.phase(hz) + index * modulator))

    def partials(self, hz: float | Array, slope: float, odd: bool = False) -> Array:
        """Harmonics falling by 1/n**`slope`: a saw at 1, a square at 1 where only `odd` ones."""
        count = max(1, int(min(40, 0.45 * self.sr / np.max(hz))))
        # Powers of e^{iφ} cost a product each, a third of a sine.
        first = np.exp(2j * np.pi * self.phase(hz))
        step = first**2 if odd else first
        turning, y = first.copy(), np.zeros(self.t.size)
        for n in range(1, count + 1, 2 if odd else 1):
            y += turning.imag / n**slope
            turning *= step
        return y

    def modes(self, hz: npt.ArrayLike, gains: npt.ArrayLike, t60s: npt.ArrayLike) -> Array:
        """Many decaying sines at once, each `t60s` long; those above the band are left out.

        exp(st) over whole blocks is exp(s·block)·exp(s·rest): a matrix product instead of a sine
        per sample, so that a cymbal of some hundred modes takes milliseconds.
        """
        hz = np.asarray(hz, dtype=np.float64)
        heard = hz < 0.47 * self.sr
        hz = hz[heard]
        gains = np.broadcast_to(gains, heard.shape)[heard]
        t60s = np.broadcast_to(t60s, heard.shape)[heard]
        s = -6.91 / t60s + 2j * np.pi * hz
        start = gains * np.exp(1j * self.rng.uniform(0, 6.28, hz.size))
        blocks = np.exp(np.outer(self.t[::_BLOCK], s)) * start
        rest = np.exp(np.outer(s, self.t[:_BLOCK]))
        # Real parts only, written out: half the work of a complex product.
        product = blocks.real @ rest.real - blocks.imag @ rest.imag
        return np.asarray(product.ravel())

    def noise(self, slope: float = 0.0) -> Array:
        """Noise, white at slope 0, pink at 0.5, brown at 1, peak about 1."""
        white = self.rng.standard_normal(self.t.size)
        if slope == 0.0:
            return np.asarray(white / 4.0)
        spectrum = scipy.fft.rfft(white)
        spectrum *= np.maximum(20.0, np.arange(spectrum.size)) ** -slope
        coloured = scipy.fft.irfft(spectrum, white.size)
        return np.asarray(coloured / np.max(np.abs(coloured)))

    def band(self, y: Array, low_hz: float, high_hz: float = 30_000.0, order: int = 1) -> Array:
        """What of `y` lies between, with slopes of 6 dB per octave and `order`."""
        high_hz = min(high_hz, 0.48 * self.sr)
        edges = [min(low_hz, 0.8 * high_hz), high_hz]
        sos = scipy.signal.butter(order, edges, "bandpass", fs=self.sr, output="sos")
        return np.asarray(scipy.signal.sosfilt(sos, y))

    def soften(self, y: Array, hz: float) -> Array:
        """`y` without what lies far above `hz`."""
        edge = min(hz, 0.45 * self.sr)
        sos = scipy.signal.butter(2, edge, fs=self.sr, output="sos")
        return np.asarray(scipy.signal.sosfilt(sos, y))

    def resonate(self, y: Array, hz: float, quality: float) -> Array:
        """`y` through one resonance."""
        b, a = scipy.signal.iirpeak(min(hz, 0.45 * self.sr), quality, fs=self.sr)
        return np.asarray(scipy.signal.lfilter(b, a, y))

    def wash(self, low_hz: float, high_hz: float, t60_low: float, t60_high: float) -> Array:
        """Noise whose low end rings `t60_low`, its high end `t60_high`: the spray of a cymbal."""
        edges = np.geomspace(low_hz, min(high_hz, 0.47 * self.sr), 7)
        t60s = np.geomspace(t60_low, t60_high, 6)
        octaves_off = np.log2(edges[:-1] / self.pick(low_hz, 0.6 * high_hz))
        gains = 10.0 ** ((self.rng.normal(0.0, 3.0, 6) - self.pick(0.5, 5) * octaves_off**2) / 20.0)
        white = self.noise()
        bands = (
            gain * self.band(white, low, high) * self.decay(t60)
            for low, high, t60, gain in zip(edges[:-1], edges[1:], t60s, gains, strict=True)
        )
        return np.asarray(sum(bands))


def drive(y: Array, gain: float) -> Array:
    """Soft clipping at `gain` times full scale."""
    return np.asarray(np.tanh(gain * unit(y)))


def unit(y: Array) -> Array:
    """`y` at peak 1, unless silent."""
    peak = float(np.max(np.abs(y), initial=0.0))
    return y / peak if peak > 0.0 else y


def mix(*parts: tuple[float, Array]) -> Array:
    """Sum of (level, sound), each sound at peak 1 before: levels mean what they say."""
    return np.asarray(sum(level * unit(y) for level, y in parts))
