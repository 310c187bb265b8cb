"""Whether a retrained network is better than the model that judges, on what neither was taught."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from drumwatchd.analysis import model_store
from drumwatchd.analysis.classifier import Classifier
from drumwatchd.analysis.head import read_head
from drumwatchd.analysis.model_card import ModelCard
from drumwatchd.training.adapt import Mask, fit_head
from drumwatchd.training.feature_cache import cached_features
from drumwatchd.training.gate import Judgement, judge_network, kit_accuracy, right_on
from drumwatchd.training.network_training import Task, head_of, heard_by, held_out_by
from drumwatchd.training.replay import read_replay
from drumwatchd.training.train import TrainingRun

Array = npt.NDArray[np.float32]


def judge_trial(task: Task, run: TrainingRun, asked: Mask) -> Judgement:
    """Ask the first network, and the model that judges now, what neither was taught."""
    part = task.taught.part(asked)
    features = cached_features(
        part.examples,
        task.config.features,
        n_versions=1,
        seed=task.config.seed,
        folder=task.settings.cache,
        processes=task.settings.processes,
    )
    x, readable = features.x[:, 0].astype(np.float32), set(features.examples)
    could_be_read = np.array([example in readable for example in part.examples])
    right_before = _right_before(task, asked, x, could_be_read)
    part = part.part(could_be_read)
    before = kit_accuracy(task.head, held_out_by(run, _as_exported(task.base, run.held_out_x)))
    return judge_network(
        head_of(run),
        held_out_by(run, heard_by(run, run.held_out_x)),
        dataclasses.replace(part.corrections, embeddings=heard_by(run, x)),
        before=before,
        right_before=right_before,
        gate=task.adapting.gate,
    )


def _right_before(task: Task, asked: Mask, x: Array, could_be_read: Mask) -> Mask:
    """What the model that judges has right of what is asked.

    An adapted one is treated alike: its head is fitted without these packs. A network that was
    retrained before can't be; it is asked only about what it didn't learn, and of the rest the
    configured network, adapted.
    """
    corrections, settings = task.taught.corrections, task.adapting
    choice = model_store.choose(task.store, str(settings.configured))
    learned = model_store.learned(task.store, str(settings.configured))
    known = np.array([learned.get(e.digest) == e.label for e in task.taught.lessons])
    is_retrained = choice.base.backbone != task.base.backbone
    rest = ~asked if is_retrained else known & ~asked
    head = task.head
    if rest.any():
        head = fit_head(head, read_replay(task.base), corrections.part(rest), settings.adapt)
    right = right_on(head, corrections.part(asked).part(could_be_read))
    new = ~known[asked][could_be_read]
    if is_retrained and new.any():
        assert choice.card.head is not None
        heard = dataclasses.replace(
            corrections.part(asked).part(could_be_read), embeddings=_as_exported(choice.card, x)
        )
        right[new] = right_on(read_head(choice.card, choice.card.head), heard)[new]
    return right


def judge_final(task: Task, run: TrainingRun, trial: Judgement) -> Judgement:
    """The second network is asked once more about the corpus; of the corrections it knows all."""
    after = kit_accuracy(head_of(run), held_out_by(run, heard_by(run, run.held_out_x)))
    lost = trial.figures["kit_accuracy_before"] - after
    figures = {**trial.figures, "kit_accuracy": round(after, 5)}
    if lost > task.adapting.gate.most_lost:
        reason = f"with all corrections it loses {100 * lost:.1f} points on sounds of the corpus"
        return Judgement(False, reason, figures)
    return Judgement(True, trial.reason, figures)


def _as_exported(card: ModelCard, x: Array) -> Array:
    """Embeddings by a model's folder."""
    classifier = Classifier(card.folder)
    parts = [classifier.predict(x[start : start + 256])[0] for start in range(0, len(x), 256)]
    return np.concatenate(parts) if parts else np.zeros((0, card.embedding_size), np.float32)
