"""Train one network: features, batches, schedule, weights. Reads from top to bottom.

References:
    Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019 (AdamW, cosine schedule).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from drumwatchd.analysis.labels import CANONICAL_OF, FINE_LABELS
from drumwatchd.analysis.model_card import FeatureSpec
from drumwatchd.errors import UsageError
from drumwatchd.training.batches import Batches
from drumwatchd.training.corpus import (
    Example,
    read_corpus,
    split,
    thin_labels,
)
from drumwatchd.training.evaluate import Figures, measure
from drumwatchd.training.feature_cache import (
    SYNTHETIC_SOURCE,
    FeatureSet,
    cached_features,
    synthetic_examples,
)
from drumwatchd.training.networks import NETWORKS
from drumwatchd.training.settings import TrainingConfig

Array = npt.NDArray[np.float32]

CONFIG_NAME, HISTORY_NAME, KERAS_NAME = "training.json", "history.json", "model.keras"


@dataclass(frozen=True)
class TrainingRun:
    """What a run leaves behind.

    Attributes:
        model: with its averaged weights.
        config: as run.
        history: one value per epoch, by name.
        training: the examples trained on, synthetic ones left out.
        held_out: the examples measured on.
        held_out_x: their features, float32 [shape=(n, bands, frames)].
        skipped: (path, reason) of unreadable files.
    """

    model: keras.Model
    config: TrainingConfig
    history: dict[str, list[float]]
    training: list[Example]
    held_out: list[Example]
    held_out_x: Array
    skipped: list[tuple[str, str]]


def train(
    config: TrainingConfig,
    *,
    folder: Path,
    cache: Path,
    processes: int = 1,
    say: Callable[[str], None] = print,
) -> TrainingRun:
    """One whole run; leaves its configuration, history and network in `folder`."""
    keras.utils.set_random_seed(config.seed)
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / CONFIG_NAME, dataclasses.asdict(config))

    examples = read_corpus(config.corpus)
    training, held_out = split(examples, config.hold_out)
    for label, count in thin_labels(training).items():
        say(f"few examples of {label}: {count}")
    features, held_out_features = _all_features(config, training, held_out, cache, processes, say)
    held_out_x = held_out_features.x[:, 0].astype(np.float32)

    keras.config.set_dtype_policy(config.precision)
    trained = NETWORKS[config.arch](config.features.shape, len(FINE_LABELS))
    keras.config.set_dtype_policy("float32")
    if config.initial:
        start = keras.models.load_model(config.initial, compile=False)
        trained.set_weights(start.get_weights())
    say(f"{config.arch}: {trained.count_params():,} parameters, {len(features.examples):,} sounds")
    history = _fit(trained, Batches(features, config), config, _backup_of(config, folder), say)
    _write_json(folder / HISTORY_NAME, history)

    # A float32 network of the same weights, without the optimizer: its moments are twice the
    # weights and of no use to anyone else.
    model = NETWORKS[config.arch](config.features.shape, len(FINE_LABELS))
    model.set_weights(trained.get_weights())
    model.save(folder / KERAS_NAME, include_optimizer=False)
    return TrainingRun(
        model=model,
        config=config,
        history=history,
        training=training,
        held_out=held_out_features.examples,
        held_out_x=held_out_x,
        skipped=features.skipped + held_out_features.skipped,
    )


def load_run(folder: Path, corpus: str | Path, cache: Path) -> TrainingRun:
    """A finished run from its folder, with the features of the fold of `corpus` it left out.

    Raises:
        UsageError: if the folder holds no finished run.
    """
    try:
        values = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        history = json.loads((folder / HISTORY_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError("not the folder of a finished run", path=str(folder)) from error
    values["features"] = FeatureSpec(**values["features"])
    config = TrainingConfig(**values)
    training, held_out = split(read_corpus(corpus), config.hold_out)
    features = cached_features(
        held_out, config.features, n_versions=1, seed=config.seed, folder=cache
    )
    x = features.x[:, 0].astype(np.float32)
    model = keras.models.load_model(folder / KERAS_NAME, compile=False)
    return TrainingRun(
        model=model,
        config=config,
        history=history,
        training=training,
        held_out=features.examples,
        held_out_x=x,
        skipped=features.skipped,
    )


def figures_of(model: keras.Model, x: Array, examples: Sequence[Example]) -> Figures | None:
    """Measure `model` on features `x`, float32 [shape=(n, bands, frames)]; None without any."""
    if not len(x):
        return None
    outputs = model.predict(x, batch_size=256, verbose=0)
    return measure(outputs["probabilities"], examples)


def _fit(
    model: keras.Model,
    batches: Batches,
    config: TrainingConfig,
    backup: Path,
    say: Callable[[str], None],
) -> dict[str, list[float]]:
    """Train in place. The held-out fold isn't looked at meanwhile: nothing is tuned on it."""
    probabilities = keras.Model(model.input, model.get_layer("probabilities").output)
    probabilities.compile(
        optimizer=_optimizer(config, len(batches)), loss=fine_and_folded_loss(config.fold_weight)
    )
    backup.mkdir(parents=True, exist_ok=True)
    record = backup / HISTORY_NAME
    history: dict[str, list[float]] = {"loss": [], "learning_rate": []}
    if record.is_file():
        history = json.loads(record.read_text(encoding="utf-8"))

    def on_epoch_end(epoch: int, logs: dict[str, float]) -> None:
        rate = float(keras.ops.convert_to_numpy(probabilities.optimizer.learning_rate))
        for name, value in (("loss", float(logs["loss"])), ("learning_rate", rate)):
            history[name] = [*history[name][:epoch], value]
        _write_json(record, history)
        say(f"epoch {epoch + 1} of {config.epochs}: loss {logs['loss']:.4f}")

    callbacks = [
        keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end),
        # A killed run goes on from its last epoch when it is started again.
        keras.callbacks.BackupAndRestore(str(backup)),
    ]
    probabilities.fit(batches, epochs=config.epochs, verbose=0, callbacks=callbacks)
    return history


def fine_and_folded_loss(fold_weight: float) -> Callable[[Any, Any], Any]:
    """Cross-entropy on the fine labels plus that on the folders: a rim for a snare is half right."""
    fold = keras.ops.convert_to_tensor(fold_matrix())

    def loss(y_true: Any, y_pred: Any) -> Any:
        fine = keras.losses.categorical_crossentropy(y_true, y_pred)
        folded = keras.losses.categorical_crossentropy(
            keras.ops.matmul(y_true, fold), keras.ops.matmul(y_pred, fold)
        )
        return fine + fold_weight * folded

    return loss


def fold_matrix() -> Array:
    """Fine probabilities to folder probabilities: float32 [shape=(34, 7)], one 1 in each row."""
    folders = sorted(set(CANONICAL_OF.values()))
    matrix = np.zeros((len(FINE_LABELS), len(folders)), dtype=np.float32)
    for row, label in enumerate(FINE_LABELS):
        matrix[row, folders.index(CANONICAL_OF[label])] = 1.0
    return matrix


def _backup_of(config: TrainingConfig, folder: Path) -> Path:
    """Where an unfinished run is kept; one with other settings starts anew."""
    settings = json.dumps(dataclasses.asdict(config), sort_keys=True)
    return folder / f"unfinished-{hashlib.sha256(settings.encode()).hexdigest()[:12]}"


def _all_features(
    config: TrainingConfig,
    training: Sequence[Example],
    held_out: Sequence[Example],
    cache: Path,
    processes: int,
    say: Callable[[str], None],
) -> tuple[FeatureSet, FeatureSet]:
    def progress(done: int, total: int) -> None:
        if done % 1000 == 0 or done == total:
            say(f"features: {done:,} of {total:,}")

    def features_of(examples: Sequence[Example], n_versions: int) -> FeatureSet:
        return cached_features(
            examples,
            config.features,
            n_versions=n_versions,
            seed=config.seed,
            folder=cache,
            processes=processes,
            progress=progress,
        )

    made = synthetic_examples(training, config.n_synthetic)
    sets = features_of([*training, *made], config.n_versions), features_of(held_out, 1)
    for path, reason in [*sets[0].skipped, *sets[1].skipped]:
        say(f"skipped {path}: {reason}")
    if all(example.source == SYNTHETIC_SOURCE for example in sets[0].examples):
        raise UsageError("none of the sounds to train on can be read", path=config.corpus)
    return sets


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


def _write_json(path: Path, value: object) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    os.replace(part, path)
