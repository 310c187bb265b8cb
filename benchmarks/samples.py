"""What is measured with: real one-shots where $DRUMWATCHD_CORPUS names some, else synthesised."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

import drums
from drumwatchd.analysis import audio
from drumwatchd.analysis.model_card import FeatureSpec

Signal = npt.NDArray[np.float32]

SR = 44_100
VARIANTS = 20  # synthesised anew; more files are these at other levels, so that contents differ
KINDS = [kind for kind in drums.KINDS if kind != "silence"]


def source() -> str:
    """Where the samples come from, in words."""
    if _corpus() is None:
        return "one-shots of the tests' drum machine (WAV, 16 bit, 44.1 kHz, mono)"
    return "real one-shots from the training corpus (FLAC, 16 bit, mono)"


def files(folder: Path, count: int) -> list[Path]:
    """Put `count` short files of different content into a new folder."""
    folder.mkdir(parents=True)
    chosen = _from_corpus(count)
    if not chosen:
        return [_synthesise(folder, n, count) for n in range(count)]
    return [
        Path(shutil.copyfile(path, folder / f"{n:05d} {path.name}"))
        for n, path in enumerate(chosen)
    ]


def windows(folder: Path, count: int, spec: FeatureSpec) -> list[Signal]:
    """What the network is shown of `count` files: float32 [shape=(n,)], n ≤ n_samples."""
    return [audio.load(str(path), spec).y for path in files(folder, count)]


def _corpus() -> Path | None:
    folder = os.environ.get("DRUMWATCHD_CORPUS")
    return Path(folder) if folder and Path(folder, "corpus.csv").is_file() else None


def labelled() -> list[tuple[str, Path]]:
    """Every file of the corpus with its canonical label; none where there is no corpus."""
    corpus = _corpus()
    if corpus is None:
        return []
    with (corpus / "corpus.csv").open(encoding="utf-8", newline="") as stream:
        return [(row["canonical"], corpus / row["path"]) for row in csv.DictReader(stream)]


def _from_corpus(count: int) -> list[Path]:
    """Files from all over the corpus; none where there is none, or too few in it."""
    paths = [path for _, path in labelled()]
    return paths[:: len(paths) // count][:count] if len(paths) >= count else []


def _synthesise(folder: Path, n: int, count: int) -> Path:
    kind = KINDS[n % len(KINDS)]
    y = _variant(kind, n // len(KINDS) % VARIANTS) * np.float32(1 - 0.5 * n / count)
    path = folder / f"{kind} {n:05d}.wav"
    soundfile.write(path, y, SR, subtype="PCM_16")
    return path


_made: dict[tuple[str, int], Signal] = {}


def _variant(kind: str, seed: int) -> Signal:
    if (kind, seed) not in _made:
        _made[kind, seed] = drums.synthesise(kind, seed, SR)
    return _made[kind, seed]
