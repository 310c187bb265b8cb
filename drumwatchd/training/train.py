"""Train one network: features, batches, schedule, weights. Reads from top to bottom.

References:
    Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019 (AdamW, cosine schedule).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from drumwatchd.analysis.labels import CANONICAL_OF, FINE_LABELS
from drumwatchd.errors import UsageError
from drumwatchd.training.artefacts import RunFiles, write_json, write_skipped
from drumwatchd.training.batches import Batches
from drumwatchd.training.corpus import Example, read_corpus, split
from drumwatchd.training.evaluate import Judged
from drumwatchd.training.feature_cache import FeatureSet, cached_features
from drumwatchd.training.networks import NETWORKS
from drumwatchd.training.preparation import apart, prepare
from drumwatchd.training.progress import Progress
from drumwatchd.training.settings import (
    RunConfig,
    TrainingConfig,
    check_extra,
    config_from,
    settings_of,
)

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TrainingRun:
    """What a run leaves behind.

    Attributes:
        model: with its averaged weights.
        config: as run.
        history: one value per epoch, by name.
        training: the examples trained on, synthetic ones left out.
        held_out: the examples measured on, and their features.
        skipped: (path, reason) of unreadable files.
    """

    model: keras.Model
    config: RunConfig
    history: dict[str, list[float]]
    training: list[Example]
    held_out: FeatureSet
    skipped: list[tuple[str, str]]

    @property
    def held_out_x(self) -> Array:
        """Features of the held-out sounds, float32 [shape=(n, bands, frames)]."""
        return self.held_out.x[:, 0].astype(np.float32)


def train(
    config: TrainingConfig,
    files: RunFiles,
    *,
    cache: Path,
    opinions: Mapping[Example, Array] | None = None,
    processes: int = 1,
    progress: Progress | None = None,
) -> TrainingRun:
    """One whole run; leaves network, configuration and history where `files` says.

    A killed run goes on from its last epoch. `opinions` are blended into the targets (`teachers`).

    Raises:
        UsageError: if there is nothing to train on, or the same run is under way elsewhere.
    """
    progress = progress or Progress()
    keras.utils.set_random_seed(config.seed)
    data = prepare(config, cache, processes, progress)

    keras.config.set_dtype_policy(config.precision)
    trained = NETWORKS[config.arch](config.features.shape, len(FINE_LABELS), config.width)
    keras.config.set_dtype_policy("float32")
    if config.initial:
        _start_from(config.initial, trained)
    batches = Batches(data.sets, data.trained_on.__contains__, config, opinions)
    progress.say(
        f"{config.arch}: {trained.count_params():,} parameters, {len(batches.examples):,} sounds"
    )
    with files.unfinished(config) as unfinished:
        history = _fit(trained, batches, config, unfinished, progress)
        # A float32 network of the same weights, without the optimizer: its moments are twice the
        # weights and of no use to anyone else.
        model = NETWORKS[config.arch](config.features.shape, len(FINE_LABELS), config.width)
        model.set_weights(trained.get_weights())
        run = TrainingRun(model, config, history, data.training, data.held_out, data.skipped)
        save_run(run, files)
    return run


def save_run(run: TrainingRun, files: RunFiles) -> None:
    """Leave network, configuration, history, and the list of unreadable files."""
    files.models.mkdir(parents=True, exist_ok=True)
    part = files.models / f".{files.name}.part.keras"
    run.model.save(part, include_optimizer=False)
    part.replace(files.keras)
    write_json(files.config, settings_of(run.config))
    write_json(files.history, run.history)
    write_skipped(files, run.skipped)


def load_run(
    files: RunFiles, corpus: str | Path, cache: Path, extra: Sequence[str] = ()
) -> TrainingRun:
    """A finished run, with the features of what it held out of `corpus`; its history may be missing.

    Args:
        files: of the run.
        corpus: folder of the corpus that it was trained on.
        cache: of features.
        extra: folders of the others that it was trained on.

    Raises:
        UsageError: if there is no finished run of that name, or one of `extra` is missing.
    """
    try:
        config = config_from(json.loads(files.config.read_text(encoding="utf-8")))
        history = json.loads(files.history.read_text("utf-8")) if files.history.is_file() else {}
        model = keras.models.load_model(files.keras, compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"no finished run {files.name}", path=str(files.models)) from error
    check_extra(config, extra)
    examples = read_corpus(corpus)
    training, held_out = split(examples, config.hold_out)
    for root in extra:
        training += apart(read_corpus(root), examples, config.hold_out)
    features = cached_features(
        held_out, config.features, n_versions=1, seed=config.seed, folder=cache
    )
    return TrainingRun(model, config, history, training, features, features.skipped)


def judge_held_out(run: TrainingRun, threshold: float = 0.5) -> Judged | None:
    """What the run's network says of the sounds it held out; None if it held out none."""
    examples = run.held_out.examples
    if not examples:
        return None
    outputs = run.model.predict(run.held_out_x, batch_size=256, verbose=0)
    skipped = run.held_out.skipped
    return Judged(examples, outputs["probabilities"], run.config.hold_out, threshold, skipped)


def _start_from(path: str, model: keras.Model) -> None:
    """Take over the weights of a finished run.

    Raises:
        UsageError: if there are none, or they are another design's.
    """
    try:
        model.set_weights(keras.models.load_model(path, compile=False).get_weights())
    except (OSError, ValueError) as error:
        hint = "take the .keras of a run with the same --arch and --width"
        raise UsageError("can't start from this network", path=path, hint=hint) from error


def _fit(
    model: keras.Model,
    batches: Batches,
    config: TrainingConfig,
    unfinished: Path,
    progress: Progress,
) -> dict[str, list[float]]:
    """Train in place. The held-out fold isn't looked at meanwhile: nothing is tuned on it."""
    probabilities = keras.Model(model.input, model.get_layer("probabilities").output)
    probabilities.compile(
        optimizer=_optimizer(config, len(batches)), loss=fine_and_folded_loss(config)
    )
    record = Record(unfinished, f"epochs of {config.name}", config.epochs, progress)
    # A killed run goes on from its last epoch when it is started again.
    callbacks = [
        keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.begin(epoch)),
        record,
        keras.callbacks.BackupAndRestore(str(unfinished / "backup")),
    ]
    probabilities.fit(batches, epochs=config.epochs, verbose=0, callbacks=callbacks)
    return record.history


class Record(keras.callbacks.Callback):  # type: ignore[misc]  # keras ships no types
    """Keeps each epoch's figures in `folder`, so that a resumed run has them all; tells progress."""

    def __init__(self, folder: Path, what: str, epochs: int, progress: Progress) -> None:
        super().__init__()
        self._path = folder / "history.json"
        self._what, self._epochs, self._progress = what, epochs, progress
        self.history: dict[str, list[float]] = {}
        if self._path.is_file():
            self.history = json.loads(self._path.read_text(encoding="utf-8"))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Add one value to each curve."""
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        for name, value in {**logs, "learning_rate": rate}.items():
            self.history[name] = [*self.history.get(name, [])[:epoch], float(value)]
        write_json(self._path, self.history)
        losses = (
            (name.replace("_", " "), logs[name]) for name in ("loss", "val_loss") if name in logs
        )
        note = ", ".join(f"{name} {value:.4f}" for name, value in losses)
        self._progress.step(self._what, epoch + 1, self._epochs, note)


def fine_and_folded_loss(config: TrainingConfig) -> Callable[[Any, Any], Any]:
    """The loss on the fine labels plus that on the folders: a rim for a snare is half right."""
    fold = keras.ops.convert_to_tensor(fold_matrix())
    one: Callable[[Any, Any], Any] = LOSSES[config.loss]

    def loss(y_true: Any, y_pred: Any) -> Any:
        folded = one(keras.ops.matmul(y_true, fold), keras.ops.matmul(y_pred, fold))
        return one(y_true, y_pred) + config.fold_weight * folded

    return loss


def generalised_cross_entropy(y_true: Any, y_pred: Any, q: float = 0.5) -> Any:
    """Between cross-entropy (q → 0) and mean absolute error (q = 1): one wrong label weighs less.

    References:
        Zhang & Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with
        Noisy Labels", 2018.
    """
    likely = keras.ops.clip(y_pred, keras.backend.epsilon(), 1.0)
    return keras.ops.sum(y_true * (1.0 - likely**q) / q, axis=-1)


LOSSES = {
    "cross_entropy": keras.losses.categorical_crossentropy,
    "generalised": generalised_cross_entropy,
}


def fold_matrix() -> Array:
    """Fine probabilities to folder probabilities: float32 [shape=(34, 7)], one 1 in each row."""
    folders = sorted(set(CANONICAL_OF.values()))
    matrix = np.zeros((len(FINE_LABELS), len(folders)), dtype=np.float32)
    for row, label in enumerate(FINE_LABELS):
        matrix[row, folders.index(CANONICAL_OF[label])] = 1.0
    return matrix


def _optimizer(config: TrainingConfig, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    steps = config.epochs * steps_per_epoch
    warm_up = min(steps_per_epoch, steps // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=max(1, steps - warm_up),
        warmup_target=config.learning_rate,
        warmup_steps=warm_up,
    )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=config.weight_decay,
        use_ema=config.ema > 0,
        # In a short run a long average would still be mostly the random start.
        ema_momentum=min(config.ema, max(0.0, 1.0 - 5.0 / steps)),
        ema_overwrite_frequency=None,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
