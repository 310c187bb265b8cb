"""From a trained network to a model folder: `.tflite` in float16, tables and the card."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from drumwatchd.analysis import model_card
from drumwatchd.analysis.classifier import Classifier
from drumwatchd.analysis.labels import CANONICAL_OF, FINE_LABELS
from drumwatchd.errors import ModelError
from drumwatchd.training.calibrate import Calibration
from drumwatchd.training.corpus import Example
from drumwatchd.training.evaluate import Figures
from drumwatchd.training.networks import EMBEDDING_SIZE
from drumwatchd.training.settings import RunConfig, TrainingConfig, settings_of

Array = npt.NDArray[np.float32]

# Above this, export has changed more than the order of additions. The embedding's is a share of
# its largest value.
PARITY_TOLERANCE = 1e-3
_LIBRARIES = ("tensorflow", "keras", "numpy", "scipy", "soundfile", "soxr")


def export(
    model: keras.Model,
    config: RunConfig,
    folder: Path,
    *,
    figures: Figures | None,
    training: Sequence[Example],
    check_x: Array,
    tags: Mapping[str, Any] | None = None,
    confidence_threshold: float = 0.5,
    created: datetime | None = None,
) -> Path:
    """Write the model folder `folder`; it appears whole or not at all, an older one is replaced.

    Args:
        model: outputs ``embedding`` and ``probabilities``; rounded to float16 by now.
        config: of its training.
        folder: its last part is the model's id.
        figures: measured on what was held out; None if nothing was.
        training: the examples it was trained on.
        check_x: features to compare Keras and TFLite on, float32 [shape=(n, bands, frames)].
        tags: of labels that have finer ones, as `tags.fit_tags` gives them.
        confidence_threshold: of the figures.
        created: for the card; now, if left out.

    Raises:
        ModelError: if the exported network answers otherwise than the trained one.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    part.chmod(0o755)
    try:
        weights = to_tflite(model)
        (part / model_card.WEIGHTS_NAME).write_bytes(weights)
        _write_json(part / model_card.LABEL_MAPPING_NAME, dict(enumerate(FINE_LABELS)))
        _write_json(part / model_card.CANONICAL_MAPPING_NAME, CANONICAL_OF)
        card = _card(folder.name, model, config, figures, training, confidence_threshold)
        card["tags"] = dict(tags or {})
        card["sha256"] = hashlib.sha256(weights).hexdigest()
        card["created"] = (created or datetime.now(UTC)).isoformat(timespec="seconds")
        _write_json(part / model_card.CARD_NAME, card)
        card["parity"] = check_parity(model, part, check_x)
        _write_json(part / model_card.CARD_NAME, card)
        _replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def make_shippable(model: keras.Model, config: RunConfig) -> None:
    """Make of a trained network the one that is measured and exported, in place."""
    if isinstance(config, TrainingConfig):
        Calibration(config.temperature, config.doubt).fold_into(model)
    round_to_float16(model)


def round_to_float16(model: keras.Model) -> None:
    """Fold normalisations into their convolutions and round all weights to float16, in place.

    Export would do both and so change answers by some thousandths; done before, the network that
    is measured is the one that is shipped. It can still be trained, but from different statistics.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            convolution = layer.input._keras_history.operation
            (kernel,) = convolution.get_weights()
            gamma, beta, mean, variance = layer.get_weights()
            scale = gamma / np.sqrt(variance + layer.epsilon)
            convolution.set_weights([kernel * scale])
            neutral = np.full_like(variance, 1.0 - layer.epsilon)
            layer.set_weights(
                [np.ones_like(gamma), _half(beta - mean * scale), np.zeros_like(mean), neutral]
            )
    for layer in model.layers:
        if not isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([_half(weights) for weights in layer.get_weights()])


def _half(weights: Array) -> Array:
    return weights.astype(np.float16).astype(np.float32)


def to_tflite(model: keras.Model) -> bytes:
    """Convert with float16 weights; the batch size stays open.

    Outputs are called ``embedding`` and ``probabilities`` in the signature ``serving_default``.
    Only TensorFlow converts; where Keras runs on something else, a process of its own does it.
    """
    if keras.backend.backend() == "tensorflow":
        return _convert(model)
    with tempfile.TemporaryDirectory() as place:
        network, converted = Path(place) / "network.keras", Path(place) / "network.tflite"
        model.save(network, include_optimizer=False)
        subprocess.run(
            [sys.executable, "-m", __name__, str(network), str(converted)],
            env=os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"},
            check=True,
        )
        return converted.read_bytes()


def _convert(model: keras.Model) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    with contextlib.redirect_stdout(io.StringIO()):  # Keras prints every signature
        return bytes(converter.convert())


def check_parity(model: keras.Model, folder: Path, x: Array) -> dict[str, float]:
    """Largest difference of each output between the Keras model and the exported one.

    Raises:
        ModelError: if one differs by more than `PARITY_TOLERANCE`.
    """
    if not len(x):
        return {}
    expected = model.predict(x, batch_size=256, verbose=0)
    embeddings, probabilities = Classifier(folder).predict(x)
    difference = {
        "probabilities": float(np.abs(probabilities - expected["probabilities"]).max()),
        "embedding": float(
            np.abs(embeddings - expected["embedding"]).max()
            / max(1.0, np.abs(expected["embedding"]).max())
        ),
    }
    for output, value in difference.items():
        if not value <= PARITY_TOLERANCE:
            raise ModelError(f"{output} differ by {value:.2g} after export", path=str(folder))
    return {"n_sounds": len(x), **difference}


def _card(
    model_id: str,
    model: keras.Model,
    config: RunConfig,
    figures: Figures | None,
    training: Sequence[Example],
    confidence_threshold: float,
) -> dict[str, Any]:
    settings = settings_of(config)
    features = settings.pop("features")
    return {
        "format": model_card.FORMAT_VERSION,
        "id": model_id,
        "labels": list(FINE_LABELS),
        "label_mapping": model_card.LABEL_MAPPING_NAME,
        "canonical_mapping": model_card.CANONICAL_MAPPING_NAME,
        "features": features,
        "inputs": {"features": ["batch", *config.features.shape]},
        "outputs": {
            "embedding": "embedding",
            "embedding_size": EMBEDDING_SIZE,
            "probabilities": "probabilities",
        },
        "confidence_threshold": confidence_threshold,
        "parameters": int(model.count_params()),
        "training": settings,
        "training_data": _data_of(training),
        "figures": None if figures is None else figures.as_dict(),
        "figures_on": f"{config.hold_out}: {_what_was_held_out(config.hold_out)}",
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


def _what_was_held_out(hold_out: str) -> str:
    if hold_out == "none":
        return "nothing was held out"
    if hold_out.startswith("random:"):
        return "sounds never trained on, of kits that were"
    return "whole kits never trained on"


def _data_of(training: Sequence[Example]) -> dict[str, Any]:
    """What was trained on, with the licence that each source states."""
    labels = Counter(example.label for example in training)
    kits = {(example.source, example.kit) for example in training}
    unknown = {"origin": "not recorded", "licence": "not recorded"}
    table = json.loads((Path(__file__).parent / "licences.json").read_text(encoding="utf-8"))
    return {
        "n_sounds": len(training),
        "n_kits": len(kits),
        "labels": {label: labels[label] for label in FINE_LABELS},
        "sources": [
            {"source": source, "n_sounds": count, **table.get(source, unknown)}
            for source, count in sorted(Counter(e.source for e in training).items())
        ],
    }


def _write_json(path: Path, value: Mapping[Any, Any]) -> None:
    path.write_text(model_card.card_text(value), encoding="utf-8")


def _replace(part: Path, folder: Path) -> None:
    """Put `part` where `folder` is."""
    if not folder.is_dir():
        os.rename(part, folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
    os.rename(folder, aside / "old")
    os.rename(part, folder)
    shutil.rmtree(aside)


if __name__ == "__main__":
    given, wanted = sys.argv[1:]
    Path(wanted).write_bytes(_convert(keras.models.load_model(given, compile=False)))
