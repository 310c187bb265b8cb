"""The training of a retraining: a network that goes on from a model's, and the fit of its last layer."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from drumwatchd.analysis import model_store
from drumwatchd.analysis.head import Head
from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.analysis.model_card import ModelCard
from drumwatchd.errors import UsageError
from drumwatchd.files import digest_of
from drumwatchd.training.adapt import AdaptSettings, fit_head
from drumwatchd.training.artefacts import RunFiles
from drumwatchd.training.corpus import Example
from drumwatchd.training.export import make_shippable, round_to_float16
from drumwatchd.training.feature_cache import FeatureSet
from drumwatchd.training.preparation import PreparedData, prepare
from drumwatchd.training.progress import Progress
from drumwatchd.training.recover import recovered
from drumwatchd.training.replay import Replay
from drumwatchd.training.retrain import RetrainSettings
from drumwatchd.training.settings import TrainingConfig, settings_of
from drumwatchd.training.taught import Taught, write_corpus
from drumwatchd.training.train import TrainingRun, train

Array = npt.NDArray[np.float32]

# Per epoch, whatever the size of the corpus: the network knows it already.
DRAWS = 2_048
# On so many sounds normalisations are measured, and the exported network is compared.
N_MEASURED = 1_024


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """What a retraining needs to know beside what an adaptation does.

    Attributes:
        corpus: folder of the labelled sounds.
        extra: of further ones.
        cache: of features; the working folder is in it.
        epochs: each of `DRAWS` sounds.
        learning_rate: at its highest. With three times as much a network learned no more of an owner's
            sounds, and forgot some of others'.
        correction_weight: how many sounds of the corpus one correction counts as.
        most_weight: all corrections together count at most this share of the corpus.
        processes: for features.
    """

    corpus: str
    extra: tuple[str, ...] = ()
    cache: Path = Path("cache")
    epochs: int = 4
    learning_rate: float = 3e-4
    correction_weight: float = 20.0
    most_weight: float = 1.0
    processes: int = 1


@dataclass(frozen=True)
class Task:
    """All that one retraining needs."""

    settings: NetworkSettings
    adapting: RetrainSettings
    base: ModelCard
    head: Head
    config: TrainingConfig
    taught: Taught
    work: Path
    progress: Progress

    @property
    def store(self) -> str:
        """Folder of the models."""
        return model_store.store_folder(self.adapting.index_path)


def trained(task: Task, name: str, taught: Taught) -> TrainingRun:
    """A network that learned the corpus and these corrections, made what would be exported of it.

    Raises:
        UsageError: the corpus can't be used, or the owner corrected all that it holds out.
    """
    folder = task.work / name
    corrections = write_corpus(folder / "corrections", taught.examples)
    config = dataclasses.replace(
        task.config,
        name=f"{task.base.id}-{name}",
        extra=(*task.settings.extra, str(corrections)),
    )
    cache, processes, progress = task.settings.cache, task.settings.processes, task.progress
    data = prepare(config, cache, processes, progress)
    config = dataclasses.replace(
        config,
        correction_weight=_weight(task.settings, data, taught),
        initial=str(_start(task, data)),
    )
    files = RunFiles(config.name, folder, folder)
    run = _finished(files, config, data)
    run = run or train(config, files, cache=cache, processes=processes, progress=progress)
    held_out = never_taught(run.held_out, task.taught, task.adapting.algorithm)
    if not held_out.examples:
        problem = (
            "sounds of every kit that it holds out were corrected; nothing is left to measure on"
        )
        raise UsageError(problem, path=task.settings.corpus)
    run = dataclasses.replace(run, held_out=held_out)
    make_shippable(run.model, run.config)
    _fit_last_layer(run, data, taught)
    round_to_float16(run.model)
    return run


def _fit_last_layer(run: TrainingRun, data: PreparedData, taught: Taught) -> None:
    """Fit it anew, as an adaptation does, to what the network hears now.

    While it was trained, corrections were drawn so often that what owners correct seems likely
    everywhere; a head that is fitted to both keeps the balance of the corpus.
    """
    corpus, corrected = data.sets[0], data.sets[len(run.config.extra)]
    rows = [row for row, example in enumerate(corpus.examples) if example in data.trained_on]
    examples = [corpus.examples[row] for row in rows]
    replay = _as_replay(examples, heard_by(run, corpus.x[rows, 0].astype(np.float32)), False)
    readable = {example.path for example in corrected.examples}
    learned = taught.corrections.part(np.array([e.path in readable for e in taught.examples]))
    learned = dataclasses.replace(
        learned, embeddings=heard_by(run, corrected.x[:, 0].astype(np.float32))
    )
    fitted = fit_head(head_of(run), replay, learned, AdaptSettings())
    n_labels = len(FINE_LABELS)
    run.model.get_layer("logits").set_weights([fitted.kernel[:, :n_labels], fitted.bias[:n_labels]])


def never_taught(held_out: FeatureSet, taught: Taught, algorithm: str) -> FeatureSet:
    """What is held out, without the kits that corrections came from: an owner may have the corpus, too.

    Args:
        held_out: of the corpus.
        taught: all corrections.
        algorithm: of their digests.
    """
    learned = taught.learned
    kits = {
        (example.source, example.kit)
        for example in held_out.examples
        if digest_of(example.path, algorithm) in learned
    }
    examples = enumerate(held_out.examples)
    rows = [row for row, example in examples if (example.source, example.kit) not in kits]
    return FeatureSet(held_out.x[rows], [held_out.examples[row] for row in rows], held_out.skipped)


def _weight(settings: NetworkSettings, data: PreparedData, taught: Taught) -> float:
    n_corpus = len(data.training) - len(taught.examples)
    most = settings.most_weight * n_corpus / max(1, len(taught.examples))
    return max(1.0, min(settings.correction_weight, most))


def _start(task: Task, data: PreparedData) -> Path:
    """The network that is trained further, as a file."""
    path = task.work / "initial.keras"
    if not path.is_file():
        corpus = data.sets[0]
        rows = [row for row, example in enumerate(corpus.examples) if example in data.trained_on]
        rows = rows[:: max(1, len(rows) // N_MEASURED)]
        recovered(task.base, task.config, corpus.x[rows, 0].astype(np.float32), path)
    return path


def _finished(files: RunFiles, config: TrainingConfig, data: PreparedData) -> TrainingRun | None:
    """What an earlier run of the same settings left; None where it didn't come to its end."""
    if not (files.keras.is_file() and files.config.is_file() and files.history.is_file()):
        return None
    if json.loads(files.config.read_text()) != json.loads(json.dumps(settings_of(config))):
        return None
    model = keras.models.load_model(files.keras, compile=False)
    history = json.loads(files.history.read_text())
    return TrainingRun(model, config, history, data.training, data.held_out, data.skipped)


# -- what a network makes of sounds ---------------------------------------------------------------


def head_of(run: TrainingRun) -> Head:
    """Its last layer."""
    return Head(FINE_LABELS, *run.model.get_layer("logits").get_weights())


def heard_by(run: TrainingRun, x: Array) -> Array:
    """Embeddings of features, float32 [shape=(n, embedding_size)]."""
    if not len(x):
        return np.zeros((0, head_of(run).kernel.shape[0]), np.float32)
    embeddings: Array = run.model.predict(x, batch_size=256, verbose=0)["embedding"]
    return embeddings


def held_out_by(run: TrainingRun, embeddings: Array) -> Replay:
    """The sounds that the corpus holds out, as a network hears them."""
    return _as_replay(run.held_out.examples, embeddings, True)


def _as_replay(examples: Sequence[Example], embeddings: Array, validation: bool) -> Replay:
    names = sorted({(example.source, example.kit) for example in examples})
    kits = {kit: number for number, kit in enumerate(names)}
    truth = [FINE_LABELS.index(example.label) for example in examples]
    return Replay(
        FINE_LABELS,
        embeddings,
        np.array(truth, dtype=np.intp),
        np.array([kits[example.source, example.kit] for example in examples], dtype=np.intp),
        np.full(len(examples), validation),
    )
