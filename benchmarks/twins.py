"""Near duplicates: which twins of real sounds are found, and what else is taken for one.

Of a corpus ($DRUMWATCHD_CORPUS) whole kits are taken, other hits of the same drums among them, and of
some sounds twins are made, one kind after the other. What is found is by the code of `duplicates --near`.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.signal
import soundfile
import soxr

from benchmarks import samples
from benchmarks.measuring import Row, Table
from drumwatchd.analysis import audio
from drumwatchd.analysis.analyse import analyse_many
from drumwatchd.analysis.likeness import close_pairs, directions
from drumwatchd.analysis.model_card import read_card, shipped_model
from drumwatchd.analysis.rehearing import unpack
from drumwatchd.analysis.result import Analysis
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.analysis.twins import agreements
from drumwatchd.batch.twins import N_NEAREST, NEAR, SAME, SILENT

Signal = npt.NDArray[np.float32]
Write = Callable[[Path, Signal, int], None]

POOL, TWINS = 2_000, 200
MOST_OF_A_KIT = 150
WANTED_PRECISION, WANTED_RECALL = 0.95, 0.95
MP3_RATES = (22_050, 24_000, 32_000, 44_100, 48_000)
# What a subtraction leaves, of two lossless files, if they are one recording.
LEAST_CORRELATION = 0.995


def measure(quick: bool) -> list[Table]:
    """Recall of each kind of twin, and precision of all."""
    with tempfile.TemporaryDirectory(prefix="drumwatchd-") as name:
        paths = _pool(Path(name), 60 if quick else POOL)
        heard = _heard(paths)
        paths = [path for path in paths if path in heard]
        chosen = random.Random(7).sample(range(len(paths)), 6 if quick else TWINS)
        trials = [
            _trial(kind, paths, heard, chosen, Path(name))
            for kind in (list(KINDS)[:3] if quick else KINDS)
        ]
    caption = (
        f"{len(chosen)} twins of each kind among {len(paths):,} sounds of "
        f"{samples.source()}; of each sound the {N_NEAREST} nearest with a cosine of {NEAR} or "
        f"more are compared, and are twins from an agreement of {SAME} on"
    )
    return [
        Table("Twins that are found", "", [_recall(trial) for trial in trials], caption),
        Table("What is found, and right", "", list(_precision(trials)), caption),
        Table("By embeddings alone", "", list(_by_embeddings(trials)), "The same twins and sounds"),
    ]


# -- twins ----------------------------------------------------------------------------------------


def _mp3(compression: float, *, level_db: float = 0.0, pad: bool = False) -> Write:
    def write(path: Path, y: Signal, sr: int) -> None:
        if sr not in MP3_RATES:
            y, sr = _fitted(soxr.resample(y, sr, 44_100)), 44_100
        y = _padded(y, sr) if pad else y
        soundfile.write(
            path, y * 10 ** (level_db / 20), sr, format="MP3", subtype="MPEG_LAYER_III",
            compression_level=compression, bitrate_mode="CONSTANT",
        )  # fmt: skip

    return write


def _wav(change: Callable[[Signal, int], Signal], subtype: str = "PCM_16") -> Write:
    return lambda path, y, sr: soundfile.write(path, change(y, sr), sr, subtype=subtype)


def _ogg(path: Path, y: Signal, sr: int) -> None:
    soundfile.write(path, y, sr, format="OGG", subtype="VORBIS", compression_level=0.6)


def _at_rate(rate: Callable[[int], int]) -> Write:
    def write(path: Path, y: Signal, sr: int) -> None:
        soundfile.write(path, _fitted(soxr.resample(y, sr, rate(sr))), rate(sr), subtype="PCM_16")

    return write


def _fitted(y: Signal) -> Signal:
    return y / max(1.0, float(np.abs(y).max()) / 0.98)


def _padded(y: Signal, sr: int) -> Signal:
    silence = np.zeros((int(0.15 * sr), *y.shape[1:]), np.float32)
    return np.concatenate([silence, y, silence])


def _without_attack(y: Signal, _: int) -> Signal:
    loud = np.abs(y if y.ndim == 1 else y.mean(axis=1))
    return y[int(np.argmax(loud >= 0.03 * loud.max())) :]


KINDS: dict[str, tuple[str, Write]] = {
    "MP3, high rate": ("mp3", _mp3(0.1)),
    "MP3, low rate": ("mp3", _mp3(0.7)),
    "Ogg Vorbis, middling": ("ogg", _ogg),
    "FLAC, 24 bit": ("flac", lambda path, y, sr: soundfile.write(path, y, sr, subtype="PCM_24")),
    "48 kHz": ("wav", _at_rate(lambda sr: 48_000 if sr != 48_000 else 44_100)),
    "22 kHz": ("wav", _at_rate(lambda _: 22_050)),
    "14 dB quieter": ("wav", _wav(lambda y, _: y * np.float32(0.2))),
    "150 ms of silence at both ends": ("wav", _wav(_padded, "PCM_24")),
    "cut to 60 % of its length": ("wav", _wav(lambda y, _: y[: max(64, int(0.6 * len(y)))])),
    "cut at -30 dB before the onset": ("wav", _wav(_without_attack)),
    "MP3, 6 dB quieter, padded": ("mp3", _mp3(0.5, level_db=-6.0, pad=True)),
}


# -- trials ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trial:
    """One kind of twin.

    Attributes:
        kind: in words.
        own: for each twin the cosine and the agreement with its original; None where not compared.
        others: cosine and agreement with any other sound that was compared, and whether it is the
            same recording nevertheless.
    """

    kind: str
    own: Sequence[tuple[float, float | None]]
    others: Sequence[tuple[float, float, bool]]


def _trial(
    kind: str, paths: Sequence[str], heard: dict[str, Any], chosen: Sequence[int], folder: Path
) -> Trial:
    suffix, write = KINDS[kind]
    twins = {}
    for number, original in enumerate(chosen):
        y, sr = soundfile.read(paths[original], dtype="float32")
        path = folder / f"{number:04d}.{suffix}"
        write(path, _fitted(y), sr)
        twins[len(paths) + number] = original
    everything = [*paths, *(str(folder / f"{n:04d}.{suffix}") for n in range(len(chosen)))]
    heard_twins = _heard(everything[len(paths) :], keep_silent=True)
    rows = directions(unpack([(heard | heard_twins)[path] for path in everything]))
    first, second, cosines = close_pairs(rows, NEAR, N_NEAREST)
    pairs = [
        (max(pair), min(pair), cosine)
        for *pair, cosine in zip(first.tolist(), second.tolist(), cosines.tolist(), strict=True)
        if (max(pair) in twins) != (min(pair) in twins)
    ]
    agreed = agreements([(everything[a], everything[b]) for a, b, _ in pairs], str(shipped_model()))
    by_pair = {(a, b): agreed[n] or 0.0 for n, (a, b, _) in enumerate(pairs)}
    own = [(float(rows[a] @ rows[b]), by_pair.get((a, b))) for a, b in twins.items()]
    others = [
        (cosine, by_pair[a, b], by_pair[a, b] >= SAME and _is_one(paths[twins[a]], paths[b]))
        for a, b, cosine in pairs
        if twins[a] != b
    ]
    return Trial(kind, own, others)


def _pool(folder: Path, count: int) -> list[str]:
    """Sounds of whole kits; synthesised where there is no corpus."""
    kits: dict[Path, list[str]] = {}
    for _, path in samples.labelled():
        kits.setdefault(path.parent, []).append(str(path))
    if not kits:
        return [str(path) for path in samples.files(folder / "made", count)]
    order = sorted(kits)
    random.Random(7).shuffle(order)
    pool: list[str] = []
    for kit in order:
        pool += kits[kit][:MOST_OF_A_KIT]
        if len(pool) >= count:
            break
    return pool


def _heard(paths: Sequence[str], *, keep_silent: bool = False) -> dict[str, bytes]:
    found = analyse_many(paths, AnalysisSettings(str(shipped_model())))
    return {
        path: item.embedding
        for path, item in zip(paths, found, strict=True)
        if isinstance(item, Analysis) and (keep_silent or item.verdict.reason != SILENT)
    }


def _is_one(path_a: str, path_b: str) -> bool:
    """Whether two lossless files cancel out, at the best level and shift: one recording, filed twice.

    The corpus has such: machines that several people sampled, packs that others took over.
    """
    spec = read_card(shipped_model()).features
    a, b = (
        scipy.signal.resample_poly(audio.load(path, spec).y[: spec.sr // 3], 4, 1)
        for path in (path_a, path_b)
    )
    n = min(len(a), len(b))
    a, b = a[:n], b[:n]
    best = np.abs(scipy.signal.correlate(a, b, "full")).max()
    return bool(best / np.sqrt((a @ a) * (b @ b) + 1e-30) >= LEAST_CORRELATION)


# -- figures --------------------------------------------------------------------------------------


def _found(trial: Trial) -> int:
    return sum(agreed is not None and agreed >= SAME for _, agreed in trial.own)


def _recall(trial: Trial) -> Row:
    part = _found(trial) / len(trial.own)
    compared = sum(agreed is not None for _, agreed in trial.own)
    here = f"{part:.1%} ({compared / len(trial.own):.1%} compared)"
    return Row(trial.kind, here, wanted=f"≥ {WANTED_RECALL:.0%}", met=part >= WANTED_RECALL)


def _precision(trials: Sequence[Trial]) -> Iterator[Row]:
    right = sum(map(_found, trials))
    others = [same for t in trials for _, agreed, same in t.others if agreed >= SAME]
    wanted = f"≥ {WANTED_PRECISION:.0%}"
    for what, wrong in (
        ("precision", len(others) - sum(others)),
        ("precision, if no other sound of the corpus were the same recording", len(others)),
    ):
        part = right / max(1, right + wrong)
        here = f"{part:.1%} ({wrong} of {right + wrong:,} wrong)"
        yield Row(what, here, wanted=wanted, met=part >= WANTED_PRECISION)
    total = sum(len(trial.own) for trial in trials)
    yield Row("recall of all kinds", f"{right / total:.1%}")


def _by_embeddings(trials: Sequence[Trial]) -> Iterator[Row]:
    """What a threshold of the cosine would give instead; same recordings count as right."""
    own = np.array([cosine for t in trials for cosine, _ in t.own])
    wrong = np.array([cosine for t in trials for cosine, _, same in t.others if not same])
    for least in (0.97, 0.99, 0.995, 0.999):
        right, other = int((own >= least).sum()), int((wrong >= least).sum())
        here = f"precision {right / max(1, right + other):.1%}, recall {right / len(own):.1%}"
        yield Row(f"cosine ≥ {least}", here)
