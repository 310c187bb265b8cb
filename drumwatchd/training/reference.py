"""The two reference designs, kept to compare with, and how they are trained: as is usual.

Plain sounds, no augmentation; categorical cross-entropy on the 34 labels; Adam; a part of the
training kits only looked at, which halves the learning rate and ends the training. What differs from
the usual recipe is what makes figures honest: that part is of whole kits. The window begins at the
sound's onset, as for every model here, and features are divided by a constant rather than fed raw.

References:
    Chollet, "Building Autoencoders in Keras", 2016 (convolutions of 16, 8 and 8 channels).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.errors import UsageError
from drumwatchd.training.artefacts import RunFiles
from drumwatchd.training.corpus import Example
from drumwatchd.training.networks import EMBEDDING_SIZE
from drumwatchd.training.preparation import prepare
from drumwatchd.training.progress import Progress
from drumwatchd.training.settings import ReferenceConfig
from drumwatchd.training.train import Record, TrainingRun, save_run

Array = npt.NDArray[np.floating[Any]]
Rows = npt.NDArray[np.int64]

_DROPOUT = 0.3
# Of the encoder; each halves both axes: 128 by 128 becomes 16 by 16, of 8 channels.
_CHANNELS = (16, 8, 8)


def model1(shape: tuple[int, int], n_labels: int) -> keras.Model:
    """MFCC through dense layers of 512, 256 and 128."""
    features = keras.Input(shape, name="features")
    return _dense_stack(features, layers.Flatten()(features), n_labels, "model1")


def model2(encoder: keras.Model, n_labels: int) -> keras.Model:
    """What an encoder makes of a log-mel spectrogram through the same dense layers."""
    return _dense_stack(encoder.input, layers.Flatten()(encoder.output), n_labels, "model2")


def autoencoder(shape: tuple[int, int]) -> tuple[keras.Model, keras.Model]:
    """An encoder, and the whole network that draws the spectrogram again from its code."""
    features = keras.Input(shape, name="features")
    x = layers.Reshape((*shape, 1))(features)
    for channels in _CHANNELS:
        x = layers.Conv2D(channels, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    encoder = keras.Model(features, x, name="encoder")
    for channels in reversed(_CHANNELS):
        x = layers.Conv2D(channels, 3, padding="same", activation="relu")(x)
        x = layers.UpSampling2D()(x)
    x = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x)
    return encoder, keras.Model(features, layers.Reshape(shape)(x), name="autoencoder")


def train_reference(
    config: ReferenceConfig,
    files: RunFiles,
    *,
    cache: Path,
    processes: int = 1,
    progress: Progress | None = None,
) -> TrainingRun:
    """One whole run; leaves network, configuration and history where `files` says.

    A killed run goes on from its last epoch; patience is then counted anew.
    """
    progress = progress or Progress()
    keras.utils.set_random_seed(config.seed)
    data = prepare(config, cache, processes, progress)
    features = data.features
    examples, x = features.examples, features.x[:, 0]
    y = np.eye(len(FINE_LABELS), dtype=np.float32)[[FINE_LABELS.index(e.label) for e in examples]]
    learn, look = split_kits(examples, config.validation_split, config.seed)
    progress.say(
        f"{config.arch}: {len(learn):,} sounds to train on, {len(look):,} to validate with"
    )
    x_learn, x_look = x[learn], x[look]

    with files.unfinished(config) as unfinished:
        stages = _Stages(config, unfinished, progress)
        history: dict[str, list[float]] = {}
        if config.arch == "model1":
            model = model1(config.features.shape, len(FINE_LABELS))
            start = model.input
        else:
            encoder, history = _learned_encoder(config, stages, x_learn, x_look)
            model = model2(encoder, len(FINE_LABELS))
            # The encoder stays as it is, so each sound goes through it only once.
            start = encoder.output
            x_learn, x_look = (encoder.predict(part, verbose=0) for part in (x_learn, x_look))
        judge = keras.Model(start, model.get_layer("probabilities").output)
        judge.compile(
            optimizer=keras.optimizers.Adam(config.learning_rate),
            loss="categorical_crossentropy",
            metrics=["accuracy"],
        )
        curves = stages.fit("classifier", judge, (x_learn, y[learn]), (x_look, y[look]))
        history = {**curves, **history}
        run = TrainingRun(model, config, history, data.training, data.held_out, data.skipped)
        save_run(run, files)
    return run


def split_kits(examples: Sequence[Example], share: float, seed: int) -> tuple[Rows, Rows]:
    """Rows to train on and rows to validate with: whole kits, about `share` of the sounds.

    Raises:
        UsageError: if there is only one kit.
    """
    kits = sorted({(example.source, example.kit) for example in examples})
    if len(kits) < 2:
        raise UsageError(
            "all sounds to train on are of one kit, so none can be kept for validation",
            hint="make folders <Label>/<kit>/…",
        )
    of_kit: dict[tuple[str, str], list[int]] = {kit: [] for kit in kits}
    for row, example in enumerate(examples):
        of_kit[example.source, example.kit].append(row)
    look: list[int] = []
    order = np.random.default_rng(seed).permutation(len(kits))
    for number in order[:-1]:
        look += of_kit[kits[number]]
        if len(look) >= share * len(examples):
            break
    kept = np.array(sorted(look), dtype=np.int64)
    return np.setdiff1d(np.arange(len(examples)), kept), kept


def _learned_encoder(
    config: ReferenceConfig, stages: _Stages, x_learn: Array, x_look: Array
) -> tuple[keras.Model, dict[str, list[float]]]:
    """An encoder of whose code the sounds can be drawn again well, and its curves.

    It isn't trained further: a code learned without labels is the design's whole idea.
    """
    encoder, whole = autoencoder(config.features.shape)
    whole.compile(optimizer=keras.optimizers.Adam(config.learning_rate), loss="mse")
    curves = stages.fit("autoencoder", whole, (x_learn, x_learn), (x_look, x_look))
    return encoder, {f"autoencoder_{name}": values for name, values in curves.items()}


@dataclasses.dataclass(frozen=True, slots=True)
class _Stages:
    """What the stages of one run share."""

    config: ReferenceConfig
    unfinished: Path
    progress: Progress

    def fit(
        self,
        stage: str,
        model: keras.Model,
        training: tuple[Array, Array],
        validation: tuple[Array, Array],
    ) -> dict[str, list[float]]:
        """Train in place until nothing is gained any more; keep the best weights, return curves."""
        folder = self.unfinished / stage
        finished = folder / "finished.weights.h5"
        record = Record(folder, f"epochs of the {stage}", self.config.epochs, self.progress)
        without_optimizer = keras.Model(model.inputs, model.outputs)
        if finished.is_file():
            without_optimizer.load_weights(finished)
            return record.history
        callbacks = [
            keras.callbacks.ReduceLROnPlateau(
                factor=0.5, patience=self.config.reduce_lr_patience, min_lr=1e-6
            ),
            record,
            keras.callbacks.BackupAndRestore(str(folder / "backup")),
            keras.callbacks.EarlyStopping(
                patience=self.config.early_stopping_patience, restore_best_weights=True
            ),
        ]
        model.fit(
            *training,
            validation_data=validation,
            batch_size=self.config.batch_size,
            epochs=self.config.epochs,
            callbacks=callbacks,
            verbose=0,
        )
        without_optimizer.save_weights(finished)
        return record.history


def _dense_stack(
    features: keras.KerasTensor, x: keras.KerasTensor, n_labels: int, name: str
) -> keras.Model:
    for units in (512, 256):
        x = layers.Dense(units, activation="relu")(x)
        x = layers.Dropout(_DROPOUT)(x)
    embedding = layers.Dense(EMBEDDING_SIZE, activation="relu", name="embedding")(x)
    x = layers.Dropout(_DROPOUT)(embedding)
    logits = layers.Dense(n_labels, name="logits")(x)
    probabilities = layers.Softmax(name="probabilities")(logits)
    return keras.Model(
        features, {"embedding": embedding, "probabilities": probabilities}, name=name
    )
