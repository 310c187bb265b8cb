"""What teachers hear: larger networks, whose probabilities are better targets than labels alone.

The sources that a network learns from are parted into groups; each teacher learns from all groups but
one. What all of them hear in a version of a sound, on average, says which other labels it is like, and
what the one that never met the sound hears tells a label that lies from one that is merely hard.

References:
    Hinton et al., "Distilling the Knowledge in a Neural Network", 2015.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from drumwatchd.errors import UsageError
from drumwatchd.training.artefacts import RunFiles
from drumwatchd.training.corpus import Example, read_corpus, split, unit_of
from drumwatchd.training.feature_cache import FeatureSet, identity
from drumwatchd.training.preparation import prepare
from drumwatchd.training.progress import Progress
from drumwatchd.training.settings import TrainingConfig, settings_of
from drumwatchd.training.train import train

Array = npt.NDArray[np.float32]
# Sounds at a time: with all their versions they have to fit into memory.
_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Heard:
    """What one teacher hears.

    Attributes:
        rows: of each sound, by its identity.
        probabilities: float16 [shape=(n, n_versions, 34)].
        met: whether it learned from the sound [shape=(n,)].
    """

    rows: dict[tuple[str, ...], int]
    probabilities: npt.NDArray[np.float16]
    met: npt.NDArray[np.bool_]


def opinions_for(
    config: TrainingConfig,
    *,
    cache: Path,
    processes: int = 1,
    progress: Progress | None = None,
) -> dict[Example, Array]:
    """What the teachers of a run hear in every version of what it learns from.

    Teachers that aren't in `cache` yet are trained first.

    Returns:
        float32 [shape=(n_versions, 34)] by example: the mean over teachers; where
        `config.opinion_above` is set, over those that never met the sound.

    Raises:
        UsageError: if there are fewer sources to learn from than teachers.
    """
    if not config.teachers:
        return {}
    _check_sources(config)
    heard = [
        teacher(one, cache=cache, processes=processes, progress=progress)
        for one in teachers_of(config)
    ]
    data = prepare(config, cache, processes, progress)
    examples = [e for part in data.sets for e in part.examples if e in data.trained_on]
    unmet = config.opinion_above > 0
    return {
        example: np.mean(opinions, axis=0, dtype=np.float32)
        for example in examples
        if (opinions := list(_opinions(heard, identity(example), unmet=unmet)))
    }


def teachers_of(config: TrainingConfig) -> list[TrainingConfig]:
    """The settings of each teacher; two runs that hold out each other's part share one."""
    parts = [part for part in config.hold_out.split("+") if part != "none"]
    groups = [f"sources:{number}/{config.teachers}" for number in range(config.teachers)]
    return [
        dataclasses.replace(
            config,
            name="teacher",
            hold_out="+".join(sorted([*parts, group])),
            teachers=0,
            opinion_weight=0.0,
            opinion_above=0.0,
            width=config.teacher_width,
            epochs=config.teacher_epochs,
        )
        for group in groups
        if group not in parts
    ]


def teacher(
    config: TrainingConfig,
    *,
    cache: Path,
    processes: int = 1,
    progress: Progress | None = None,
) -> Heard:
    """What the teacher with these settings hears; it is trained, if `cache` doesn't know it."""
    settings = json.dumps(settings_of(config), sort_keys=True)
    folder = cache / "teachers" / hashlib.sha256(settings.encode()).hexdigest()[:16]
    kept = folder / "heard.npz"
    if not kept.is_file():
        files = RunFiles(config.name, folder, folder)
        if not files.keras.is_file():
            train(config, files, cache=cache, processes=processes, progress=progress)
        model = keras.models.load_model(files.keras, compile=False)
        data = prepare(config, cache, processes)
        part = kept.with_suffix(".part.npz")
        np.savez(
            part,
            sounds=json.dumps([identity(e) for part in data.sets for e in part.examples]),
            probabilities=np.concatenate(
                [_hear(model, part) for part in data.sets if part.examples]
            ),
            met=[e in data.trained_on for part in data.sets for e in part.examples],
        )
        part.replace(kept)
    with np.load(kept) as file:
        sounds = json.loads(str(file["sounds"]))
        rows = {tuple(sound): row for row, sound in enumerate(sounds)}
        return Heard(rows, file["probabilities"], file["met"])


def _check_sources(config: TrainingConfig) -> None:
    training, _ = split(read_corpus(config.corpus), config.hold_out)
    count, wanted = len({unit_of(example) for example in training}), len(teachers_of(config))
    if count < wanted:
        raise UsageError(
            f"{wanted} teachers need as many sources to learn from; there are {count}",
            path=config.corpus,
            hint="name them in the column source of a corpus.csv, or train with --teachers 0",
        )


def _hear(model: keras.Model, features: FeatureSet) -> npt.NDArray[np.float16]:
    """Fine probabilities of every version of every sound."""
    n_versions, *shape = features.x.shape[1:]
    judge = keras.Model(model.input, model.get_layer("probabilities").output)
    parts = [
        judge.predict(
            features.x[start : start + _CHUNK].reshape(-1, *shape).astype(np.float32),
            batch_size=512,
            verbose=0,
        )
        for start in range(0, len(features.examples), _CHUNK)
    ]
    n_labels = judge.output_shape[-1]
    return np.concatenate(parts).astype(np.float16).reshape(-1, n_versions, n_labels)


def _opinions(
    heard: list[Heard], sound: tuple[str, ...], *, unmet: bool
) -> Iterator[npt.NDArray[np.float16]]:
    for one in heard:
        row = one.rows.get(sound)
        if row is not None and not (unmet and one.met[row]):
            yield one.probabilities[row]
