"""Whether two files hold the same recording, whatever became of it on the way.

Embeddings can't tell: two hits of one drum are as near as a hit and its MP3. Waveforms can. Laid over
each other, the same recording agrees in every part of its spectrum that both copies have kept; another
hit agrees in its tone at most, and not in its noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import scipy.fft
import soundfile

from drumwatchd.analysis import audio
from drumwatchd.analysis.model_card import FeatureSpec, read_card
from drumwatchd.errors import DrumwatchdError

Signal = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complex64]

# What follows the first third of a second tells nothing more, and costs.
_WINDOW = 16_384
# Onsets are found by level: a cut, a code or a pad moves them by up to so much.
_REACH_SECONDS = 0.06
# Converters of rates place a sound between two samples.
_STEPS = 4
_BANDS_HZ = np.geomspace(60.0, 16_000.0, 25)
# Below the loudest band: what lies deeper was invented by a coder, or rounded away.
_DEPTH_DB = 40.0
_SHORTEST = 64
_FADE = 256
_LOSSLESS = ("PCM_", "FLOAT", "DOUBLE", "ALAC")


@dataclass(frozen=True, slots=True)
class Copy:
    """What speaks for keeping one file rather than its twin.

    Attributes:
        lossless: stored without a lossy code.
        duration_seconds: of the whole file.
        sample_rate_hz: as stored.
    """

    lossless: bool
    duration_seconds: float
    sample_rate_hz: int


def agreements(pairs: Sequence[tuple[str, str]], model_dir: str) -> list[float | None]:
    """How far the files of each pair hold the same recording; None where one can't be read.

    Pairs that share a file should follow each other.

    Args:
        pairs: of paths.
        model_dir: folder of the model whose window is compared.
    """
    spec = read_card(model_dir).features
    return [_agreement_of(*pair, spec) for pair in pairs]


def copies(paths: Sequence[str]) -> list[Copy | None]:
    """What the header of each file says; None where it can't be read."""
    return [_copy(path) for path in paths]


def agreement(a: Signal, b: Signal, sr: int) -> float:
    """How far two sounds are the same recording: 1 is wholly, what differs agrees by a half or less.

    Args:
        a, b: mono, from about their onset on, float32 [shape=(n,)], at any level.
        sr: their sample rate, Hz.
    """
    lag, sign = _offset(a, b, sr)
    whole = int(np.floor(lag))
    a, b = (a[whole:], b) if whole >= 0 else (a, b[-whole:])
    n = min(len(a), len(b))
    if n < _SHORTEST:
        return 0.0
    size = scipy.fft.next_fast_len(n, real=True)
    spectrum_a, spectrum_b = (scipy.fft.rfft(_faded(y[:n]), size) for y in (a, b))
    turned = np.exp(-2j * np.pi * np.arange(len(spectrum_a)) * (lag - whole) / size)
    return _in_bands(spectrum_a, sign * spectrum_b * turned, size, sr)


def _agreement_of(path_a: str, path_b: str, spec: FeatureSpec) -> float | None:
    a, b = _window(path_a, spec), _window(path_b, spec)
    return None if a is None or b is None else agreement(a, b, spec.sr)


@lru_cache(maxsize=256)
def _window(path: str, spec: FeatureSpec) -> Signal | None:
    try:
        return audio.load(path, spec).y[:_WINDOW]
    except DrumwatchdError:
        return None


def _copy(path: str) -> Copy | None:
    try:
        found = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError):
        return None
    lossless = str(found.subtype).startswith(_LOSSLESS)
    return Copy(lossless, float(found.duration), int(found.samplerate))


def _offset(a: Signal, b: Signal, sr: int) -> tuple[float, float]:
    """How many samples later `a` has what `b` has, and whether upside down.

    References:
        Knapp & Carter, "The generalized correlation method for estimation of time delay", 1976; here
        half whitened, so that a boom doesn't drown what can be placed well.
    """
    reach = int(_REACH_SECONDS * sr)
    size = scipy.fft.next_fast_len(len(a) + len(b) + 2 * reach, real=True)
    spectrum_a, spectrum_b = scipy.fft.rfft(a, size), scipy.fft.rfft(b, size)
    level = np.abs(spectrum_a) * np.abs(spectrum_b)
    # Where there is next to nothing, nothing is made of it.
    cross = spectrum_a * spectrum_b.conj() / np.sqrt(level + 1e-3 * level.mean() + 1e-30)
    correlation = scipy.fft.irfft(cross, size * _STEPS)
    near = np.concatenate([correlation[-reach * _STEPS :], correlation[: reach * _STEPS + 1]])
    peak = int(np.argmax(np.abs(near)))
    return peak / _STEPS - reach, -1.0 if near[peak] < 0.0 else 1.0


def _faded(y: Signal) -> Signal:
    """With a soft end, that a cut shows in no spectrum."""
    faded = y.copy()
    n = min(len(y) // 4, _FADE)
    faded[-n:] *= np.linspace(1.0, 0.0, n, dtype=np.float32)
    return faded


def _in_bands(a: Spectrum, b: Spectrum, size: int, sr: int) -> float:
    """The mean correlation of the bands, weighted by how far above `_DEPTH_DB` both have them."""
    edges = np.minimum((_BANDS_HZ * size / sr).astype(int), len(a) - 1)
    power_a, power_b, common = (
        np.array([part[low:high].sum() for low, high in pairwise(edges)])
        for part in (np.abs(a) ** 2, np.abs(b) ** 2, (a * b.conj()).real)
    )
    if not (power_a.max() > 0.0 and power_b.max() > 0.0):
        return 0.0
    depth = np.minimum(_decibels(power_a), _decibels(power_b))
    weights = np.maximum(0.0, _DEPTH_DB + depth)
    correlations = common / np.sqrt(power_a * power_b + 1e-30)
    total = float(weights.sum())
    return float(weights @ correlations) / total if total > 0.0 else 0.0


def _decibels(power: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(10.0 * np.log10(power / power.max() + 1e-12), dtype=np.float64)
