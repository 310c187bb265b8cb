"""Features of a corpus on disk: several augmented versions of each sound, computed once.

float16 costs a thousandth of a decibel and halves the file; a training run maps it into memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from drumwatchd.analysis import audio
from drumwatchd.analysis.features import FeatureExtractor
from drumwatchd.analysis.model_card import FeatureSpec
from drumwatchd.errors import AnalysisError, SourceChangedError, UsageError
from drumwatchd.files import write_atomically
from drumwatchd.training import augment
from drumwatchd.training.corpus import Example, sound_of
from drumwatchd.training.drum_machine import VOICES
from drumwatchd.training.pool import spread

# Part of the cache's name: raise it whenever the same call would give other features.
VERSION = 3
SYNTHETIC_SOURCE = "synthetic"
# With this many real sounds a label needs no drum machine.
_ENOUGH = 150
# Rows from one record of progress to the next: what a kill costs at most.
_BLOCK = 256

_Task = tuple[Example, int, int, tuple[str, ...], FeatureSpec]


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Features of examples, and what was left out.

    Attributes:
        x: float16 [shape=(n_examples, n_versions, bands, frames)]; version 0 is not augmented.
        examples: one for each row of `x`.
        skipped: (path, reason) of files that couldn't be read.
    """

    x: npt.NDArray[np.float16]
    examples: list[Example]
    skipped: list[tuple[str, str]]


def cached_features(
    examples: Sequence[Example],
    spec: FeatureSpec,
    *,
    n_versions: int,
    changes: tuple[str, ...] = (),
    seed: int,
    folder: Path,
    processes: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FeatureSet:
    """Features of `examples` from the cache in `folder`, computed first where they aren't there.

    They are computed anew when a file has another size or time than it had then. A call that is
    killed meanwhile goes on from its last block of rows when it is made again.

    Raises:
        UsageError: if there is no room for them.
        AnalysisCrashError: if a process that computes them dies.
    """
    wanted: dict[str, Any] = {
        "version": VERSION,
        "spec": dataclasses.asdict(spec),
        "n_versions": n_versions,
        "changes": changes,
        "seed": seed,
        "examples": [identity(example) for example in examples],
    }
    key = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:16]
    data, index = folder / f"{key}.npy", folder / f"{key}.json"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{key}.lock").open("a") as lock:
        # Another run may be at it; what it finishes needn't be done twice.
        fcntl.flock(lock, fcntl.LOCK_EX)
        files = _state_of_files(examples)
        if not _is_complete(data, index, files):
            index.unlink(missing_ok=True)
            unread = _fill(
                data, files, examples, spec, n_versions, changes, seed, processes, progress
            )
            write_atomically(str(index), json.dumps({**wanted, "files": files, "skipped": unread}))
            data.with_suffix(".progress").unlink(missing_ok=True)
        skipped: dict[int, str] = dict(json.loads(index.read_text())["skipped"])
        x = np.load(data, mmap_mode="r")
    kept = [row for row in range(len(examples)) if row not in skipped]
    return FeatureSet(
        x[: len(kept)],
        [examples[row] for row in kept],
        [(examples[row].path, reason) for row, reason in skipped.items()],
    )


def synthetic_examples(examples: Sequence[Example], count: int) -> list[Example]:
    """Examples that `versions_of` makes itself: the drum machine's, and real cymbals backwards.

    They teach what few files of the corpus show: up to `count` of each label that has too few
    sounds, and `count` that are no drum. `path` is `<label>:<number>`, or `reverse:<file>`.
    """
    real = Counter(example.label for example in examples)
    wanted = {label: min(count, max(0, _ENOUGH - real[label])) for label in VOICES} | {"FX": count}
    long = [e for e in examples if e.label in ("Crash", "Cymbal", "Ride", "China", "Splash")]
    made = [
        Example(f"{label}:{number}", label, SYNTHETIC_SOURCE, f"{label}-{number % len(voices)}", -1)
        for label, voices in VOICES.items()
        for number in range(wanted[label])
    ]
    made += [
        Example(f"reverse:{e.path}", "Reverse", SYNTHETIC_SOURCE, "reverse", -1)
        for e in long[:: max(1, len(long) // max(1, count))][:count]
    ]
    return made


def identity(example: Example) -> tuple[str, ...]:
    """What features depend on: not the detail of a label, nor where the corpus stands."""
    recipe = "reverse:" if example.path.startswith("reverse:") else ""
    return *sound_of(example), recipe


def versions_of(
    example: Example, number: int, n_versions: int, changes: tuple[str, ...], spec: FeatureSpec
) -> np.ndarray:
    """All versions of one sound: float16 [shape=(n_versions, bands, frames)]; the first is plain.

    Raises:
        AnalysisError: if the file can't be decoded.
    """
    extractor = FeatureExtractor(spec)
    rng = np.random.default_rng([number, n_versions])
    y = _sound(example, spec, rng)
    out = np.empty((n_versions, *spec.shape), dtype=np.float16)
    for version in range(n_versions):
        heard = y if version == 0 else augment.augment(y, spec.sr, rng, changes)
        heard = heard[audio.onset(heard, spec) :]
        if version > 0 and "shift_onset" in changes:
            heard = augment.shift_onset(heard, spec.sr, rng)
        out[version] = extractor(heard[: spec.n_samples])
    return out


def _sound(example: Example, spec: FeatureSpec, rng: np.random.Generator) -> augment.Signal:
    """The file, a bit longer than the window so that slower versions have a tail."""
    if example.source != SYNTHETIC_SOURCE:
        longer = dataclasses.replace(spec, n_samples=spec.n_samples * 5 // 4)
        return audio.load(example.path, longer).y
    recipe, _, path = example.path.partition(":")
    if recipe == "reverse":
        return augment.reverse(audio.load(path, spec).y, spec.sr, rng)
    voices = VOICES[recipe]
    return voices[int(path) % len(voices)](spec.sr, rng)


def _state_of_files(examples: Sequence[Example]) -> str:
    """A digest of size and time of every file that is read, and of which aren't there."""
    state: list[tuple[int, int] | None] = []
    for example in examples:
        try:
            found = os.stat(example.path.removeprefix("reverse:"))
        except OSError:
            state.append(None)
        else:
            state.append((found.st_size, found.st_mtime_ns))
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]


def _is_complete(data: Path, index: Path, files: str) -> bool:
    if not (data.is_file() and index.is_file()):
        return False
    return bool(json.loads(index.read_text())["files"] == files)


def _work(task: _Task) -> np.ndarray | str:
    example, number, n_versions, changes, spec = task
    try:
        return versions_of(example, number, n_versions, changes, spec)
    except (AnalysisError, SourceChangedError) as error:
        return error.message


def _fill(
    data: Path,
    files: str,
    examples: Sequence[Example],
    spec: FeatureSpec,
    n_versions: int,
    changes: tuple[str, ...],
    seed: int,
    processes: int,
    progress: Callable[[int, int], None],
) -> list[tuple[int, str]]:
    """Compute row after row into `data`, without gaps; return which couldn't be, and why."""
    record = data.with_suffix(".progress")
    before = json.loads(record.read_text()) if record.is_file() and data.is_file() else []
    skipped: list[tuple[int, str]] = []
    first = 0
    if before[2:] == [files]:
        first, skipped, _ = before
        x = np.lib.format.open_memmap(data, mode="r+")
    else:
        record.unlink(missing_ok=True)
        x = _new_array(data, (len(examples), n_versions, *spec.shape))
    tasks = [
        (example, seed * 1_000_003 + row, n_versions, changes, spec)
        for row, example in enumerate(examples[first:], first)
    ]
    results = spread(
        _work,
        tasks,
        processes,
        chunksize=16,
        doing="computes features",
        hint="of too little memory? then take fewer --processes; what is done is kept",
    )
    with contextlib.closing(results):
        for row, result in enumerate(results, first):
            if isinstance(result, str):
                skipped.append((row, result))
            else:
                x[row - len(skipped)] = result
            if (row + 1) % _BLOCK == 0:
                x.flush()
                write_atomically(str(record), json.dumps([row + 1, skipped, files]))
            progress(row + 1, len(examples))
    x.flush()
    return skipped


def _new_array(data: Path, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """A float16 array in the file `data`.

    Raises:
        UsageError: if the disk is too small; writing into a mapped file would end the process.
    """
    data.unlink(missing_ok=True)  # another run may have mapped the old one
    try:
        x = np.lib.format.open_memmap(data, mode="w+", dtype=np.float16, shape=shape)
        with data.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, data.stat().st_size)
    except OSError as error:
        data.unlink(missing_ok=True)
        hint = f"{2e-6 * math.prod(shape):,.0f} MB are needed; name another folder with --cache"
        why = f"no room for features ({error.strerror})"
        raise UsageError(why, path=str(data.parent), hint=hint) from error
    return x
