"""Train one network: features, batches, schedule, weights. Reads from top to bottom.

References:
    Park et al., "SpecAugment", 2019 (masks); Zhang et al., "mixup", 2018;
    Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019 (AdamW, cosine schedule).
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from drumwatchd.analysis.labels import CANONICAL_OF, FINE_LABELS
from drumwatchd.analysis.model_card import FeatureSpec
from drumwatchd.errors import UsageError
from drumwatchd.training.corpus import (
    Example,
    read_corpus,
    split_by_fold,
    thin_labels,
)
from drumwatchd.training.evaluate import Figures, measure
from drumwatchd.training.feature_cache import FeatureSet, cached_features, synthetic_examples
from drumwatchd.training.networks import NETWORKS

Array = npt.NDArray[np.float32]

CONFIG_NAME, HISTORY_NAME, KERAS_NAME = "training.json", "history.json", "model.keras"

LOG_MEL = FeatureSpec(
    kind="log_mel",
    sr=44_100,
    n_samples=50_000,
    n_fft=2_048,
    hop_length=512,
    n_mels=64,
    n_mfcc=0,
    fmin=30.0,
    fmax=18_000.0,
    # HTK's scale spends more of 64 bands below 300 Hz, where kicks and toms differ.
    htk=True,
    top_db=80.0,
    relative=True,
    offset=40.0,
    scale=40.0,
    onset_db=-40.0,
    onset_margin=64,
    onset_search_seconds=1.0,
)
MFCC = dataclasses.replace(
    LOG_MEL,
    kind="mfcc",
    n_mels=128,
    n_mfcc=40,
    fmin=0.0,
    fmax=22_050.0,
    htk=False,
    relative=False,
    offset=0.0,
    scale=100.0,
)
FEATURES_OF = {"residual_cnn": LOG_MEL, "model1": MFCC}


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Every choice of one run; written beside its weights.

    Attributes:
        name: of the run's files.
        arch: a key of `networks.NETWORKS`.
        corpus: folder with `corpus.csv` or `<Label>/…`.
        held_out_fold: never trained on; the figures are measured there. -1: train on everything.
        n_versions: versions of each sound, the plain one included.
        n_synthetic: synthesised examples per recipe.
        epochs: passes; one pass draws as many examples as there are.
        batch_size: examples per step.
        learning_rate: at its highest, after one epoch of warm-up; falls to zero as a cosine.
        weight_decay: of AdamW.
        label_smoothing: share of the target spread over all labels.
        fold_weight: weight of the loss on the six folders and misc beside the one on the labels.
        label_balance: examples are drawn ∝ (count of their label)^-label_balance.
        kit_balance: and ∝ (size of their kit)^-kit_balance.
        mixup: Beta parameter of mixup; 0 for none.
        ema: momentum of the averaged weights, the ones that are kept; 0 for none.
        initial: `.keras` file to start from instead of random weights; empty for none.
        precision: Keras policy while training; `mixed_bfloat16` is faster where the processor has it.
        seed: of everything random.
        features: the network's input.
    """

    name: str = "drumwatchd-1"
    arch: str = "residual_cnn"
    corpus: str = ""
    held_out_fold: int = 1
    n_versions: int = 10
    n_synthetic: int = 150
    epochs: int = 60
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.03
    label_smoothing: float = 0.05
    fold_weight: float = 1.0
    label_balance: float = 0.5
    kit_balance: float = 0.25
    mixup: float = 0.3
    ema: float = 0.998
    initial: str = ""
    precision: str = "float32"
    seed: int = 1
    features: FeatureSpec = field(default=LOG_MEL)


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
    training, held_out = split_by_fold(examples, config.held_out_fold)
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
    history = _fit(trained, Batches(features, config), config, folder / "resume", say)
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
    training, held_out = split_by_fold(read_corpus(corpus), config.held_out_fold)
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
    history: dict[str, list[float]] = {"loss": [], "learning_rate": []}

    def on_epoch_end(epoch: int, logs: dict[str, float]) -> None:
        rate = float(keras.ops.convert_to_numpy(probabilities.optimizer.learning_rate))
        history["loss"].append(float(logs["loss"]))
        history["learning_rate"].append(rate)
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


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # keras ships no types
    """Draws balanced batches: a random version of each sound, masked and mixed."""

    def __init__(self, features: FeatureSet, config: TrainingConfig) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self._x = features.x
        self._config = config
        labels = [FINE_LABELS.index(example.label) for example in features.examples]
        smooth = config.label_smoothing
        one_hot = np.eye(len(FINE_LABELS), dtype=np.float32)[labels]
        self._y = one_hot * (1 - smooth) + smooth / len(FINE_LABELS)
        self._chances = _chances(features.examples, config)
        self._epoch = 0
        self._order = self._draw()

    def __len__(self) -> int:
        return math.ceil(len(self._y) / self._config.batch_size)

    def __getitem__(self, number: int) -> tuple[Array, Array]:
        config = self._config
        rng = np.random.default_rng([config.seed, 1, self._epoch, number])
        rows = self._order[number * config.batch_size : (number + 1) * config.batch_size]
        x = self._x[rows, rng.integers(self._x.shape[1], size=len(rows))].astype(np.float32)
        y = self._y[rows]
        if config.mixup and rng.random() < 0.5:
            x, y = mixup(x, y, config.mixup, rng)
        return mask(x, rng), y

    def on_epoch_end(self) -> None:
        """Draw anew for the next epoch."""
        self._epoch += 1
        self._order = self._draw()

    def _draw(self) -> npt.NDArray[np.int64]:
        rng = np.random.default_rng([self._config.seed, 0, self._epoch])
        return np.sort(rng.choice(len(self._y), size=len(self._y), p=self._chances))[
            rng.permutation(len(self._y))
        ]


def mixup(x: Array, y: Array, alpha: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Blend each example with another of the batch, targets alike."""
    share = rng.beta(alpha, alpha, size=len(x)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    other = rng.permutation(len(x))
    by_x, by_y = share[:, None, None], share[:, None]
    return x * by_x + x[other] * (1 - by_x), y * by_y + y[other] * (1 - by_y)


def mask(x: Array, rng: np.random.Generator) -> Array:
    """Hide a few bands and a few frames, and lift the floor of some, as a noisy room does."""
    _, n_bands, n_frames = x.shape
    floor = x.min()
    for example in x:
        for _ in range(rng.integers(0, 3)):
            width, start = rng.integers(1, max(2, n_bands // 8)), rng.integers(n_bands)
            example[start : start + width] = floor
        if rng.random() < 0.5:
            width, start = rng.integers(1, max(2, n_frames // 8)), rng.integers(n_frames)
            example[:, start : start + width] = floor
        if rng.random() < 0.2:
            np.maximum(example, rng.uniform(-1.0, -0.4), out=example)
    return x


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
    return sets


def _optimizer(config: TrainingConfig, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    warm_up = min(steps_per_epoch, config.epochs * steps_per_epoch // 2)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=max(1, config.epochs * steps_per_epoch - warm_up),
        warmup_target=config.learning_rate,
        warmup_steps=warm_up,
    )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=config.weight_decay,
        use_ema=config.ema > 0,
        ema_momentum=config.ema or 0.99,
        ema_overwrite_frequency=None,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _chances(examples: Sequence[Example], config: TrainingConfig) -> npt.NDArray[np.float64]:
    per_label = Counter(example.label for example in examples)
    per_kit = Counter((example.source, example.kit) for example in examples)
    chances = np.array(
        [
            per_label[e.label] ** -config.label_balance
            * per_kit[e.source, e.kit] ** -config.kit_balance
            for e in examples
        ]
    )
    return np.asarray(chances / chances.sum())


def _write_json(path: Path, value: object) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    os.replace(part, path)
