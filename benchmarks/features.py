"""Our features beside librosa's: the same signals, one core, and how far they differ."""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt

from benchmarks import samples
from benchmarks.measuring import Row, Table, milliseconds, times
from drumwatchd.analysis.features import FeatureExtractor
from drumwatchd.analysis.model_card import FeatureSpec, read_card, shipped_model

Signal = npt.NDArray[np.float32]
Function = Callable[[Signal], npt.NDArray[Any]]

WANTED_RATIO, WANTED_DIFFERENCE = 4.0, 1e-3


@dataclass(frozen=True, slots=True)
class Comparison:
    """Seconds per signal of a core's time, and the largest difference of any two numbers."""

    ours: float
    theirs: float
    difference: float


def measure(quick: bool) -> list[Table]:
    """MFCC and log-mel, of one-shots as they are and of windows that they fill."""
    count, rounds = (4, 1) if quick else (300, 5)
    # The network may want another scale; here the numbers are decibels, as librosa gives them.
    shipped = replace(read_card(shipped_model()).features, offset=0.0, scale=1.0)
    # librosa knows even time axes only; the warped one stands beside it as what the daemon spends.
    even = replace(shipped, warp_frames=0, warp_seconds=0.0)
    mfcc = replace(
        even, kind="mfcc", n_mels=128, n_mfcc=40, fmin=0.0, fmax=shipped.sr / 2, htk=False,
        relative=False,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        drums = samples.windows(Path(folder) / "samples", count, mfcc)
    full = [np.resize(y, mfcc.n_samples) for y in drums]
    mfcc_name, mel_name = "MFCC (40 of 128 bands)", f"log-mel ({shipped.n_mels} bands)"
    rows: list[Row] = []
    for name, spec, reference in ((mfcc_name, mfcc, _mfcc), (mel_name, even, _log_mel)):
        theirs = functools.partial(reference, spec=spec)
        for kind, signals in (("one-shots", drums), ("full windows", full)):
            found = compare(FeatureExtractor(spec), theirs, signals, spec.n_samples, rounds)
            rows += _rows(f"{name}, {kind}", found)
    for kind, signals in (("one-shots", drums), ("full windows", full)):
        spent = least_seconds(FeatureExtractor(shipped), signals, rounds)
        rows.append(Row(f"the shipped network's input, {kind}", milliseconds(spent)))
    seconds = np.mean([y.size for y in drums]) / mfcc.sr
    caption = (
        f"CPU time per sound on one thread, the least of {rounds} rounds; {count} "
        f"{samples.source()}, {seconds:.2f} s on average, in windows of "
        f"{mfcc.n_samples / mfcc.sr:.2f} s; a full window is the sound repeated"
    )
    return [Table("Features", "librosa's own functions, on the same window", rows, caption)]


def compare(
    ours: Function, theirs: Function, signals: Sequence[Signal], n_samples: int, rounds: int
) -> Comparison:
    """Time both in turn on each signal; librosa gets it padded and normalised already."""
    prepared = [_normalised(librosa.util.fix_length(y, size=n_samples)) for y in signals]
    pairs = list(zip(signals, prepared, strict=True))
    difference = max(float(np.abs(ours(y) - theirs(padded)).max()) for y, padded in pairs)
    spent = np.array(
        [
            [(_cpu_seconds(ours, y), _cpu_seconds(theirs, padded)) for y, padded in pairs]
            for _ in range(rounds)
        ]
    )
    mean_ours, mean_theirs = spent.min(axis=0).mean(axis=0)
    return Comparison(float(mean_ours), float(mean_theirs), difference)


def least_seconds(function: Function, signals: Sequence[Signal], rounds: int) -> float:
    """A core's time per signal, each in its quickest round."""
    spent = [[_cpu_seconds(function, y) for y in signals] for _ in range(rounds)]
    return float(np.min(spent, axis=0).mean())


def _rows(what: str, found: Comparison) -> list[Row]:
    ratio = found.theirs / found.ours
    return [
        Row(
            what,
            milliseconds(found.ours),
            milliseconds(found.theirs),
            f"{times(ratio)} as fast",
            f"≥ {times(WANTED_RATIO)}",
            ratio >= WANTED_RATIO,
        ),
        Row(
            "- largest difference",
            f"{found.difference:.1e}",
            wanted=f"≤ {WANTED_DIFFERENCE:g}",
            met=found.difference <= WANTED_DIFFERENCE,
        ),
    ]


def _cpu_seconds(function: Function, y: Signal) -> float:
    started = time.process_time()
    function(y)
    return time.process_time() - started


def _normalised(y: Signal) -> Signal:
    peak = np.abs(y).max()
    return y / peak if peak > 0 else y


def _mel_arguments(spec: FeatureSpec) -> dict[str, Any]:
    return {
        "sr": spec.sr, "n_fft": spec.n_fft, "hop_length": spec.hop_length, "n_mels": spec.n_mels,
        "fmin": spec.fmin, "fmax": spec.fmax, "htk": spec.htk, "pad_mode": "constant",
    }  # fmt: skip


def _log_mel(y: Signal, *, spec: FeatureSpec) -> npt.NDArray[Any]:
    S = librosa.feature.melspectrogram(y=y, **_mel_arguments(spec))
    reference = np.max if spec.relative else 1.0
    return np.asarray(librosa.power_to_db(S, ref=reference, top_db=spec.top_db))


def _mfcc(y: Signal, *, spec: FeatureSpec) -> npt.NDArray[Any]:
    # librosa.feature.mfcc would hand htk to the DCT's arguments as well; here it is Slaney's.
    arguments = _mel_arguments(spec)
    del arguments["htk"]
    return np.asarray(librosa.feature.mfcc(y=y, n_mfcc=spec.n_mfcc, **arguments))
