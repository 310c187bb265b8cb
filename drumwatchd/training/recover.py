"""A trained network out of a model folder, to train it further: the exported weights, as Keras has them.

Export folds normalisations into the convolutions, and the calibration into the last layer. Both are
undone: the normalisations are measured anew on sounds, so that the network answers as before and its
layers see, while it is trained, what they are used to. Whether it does answer as before is proved.

References:
    Mishkin & Matas, "All you need is a good init", ICLR 2016: normalisations from data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

from drumwatchd.analysis.classifier import quiet_stderr
from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.analysis.model_card import ModelCard, verify_weights
from drumwatchd.errors import ModelError
from drumwatchd.training.calibrate import Calibration
from drumwatchd.training.export import check_parity
from drumwatchd.training.networks import NETWORKS
from drumwatchd.training.settings import TrainingConfig

Array = npt.NDArray[np.float32]

_LAYERS = ("CONV_2D", "FULLY_CONNECTED")
# A channel that hardly varies is left as small as it is.
_LEAST_SPREAD = 1e-3


def recover_network(card: ModelCard, config: TrainingConfig, x: Array) -> keras.Model:
    """The network of a model folder, ready to be trained further.

    Args:
        card: of the model.
        config: of its training.
        x: features of sounds, float32 [shape=(n, bands, frames)].

    Raises:
        ModelError: it is of another design, or answers otherwise than the exported one.
    """
    model = NETWORKS[config.arch](config.features.shape, len(FINE_LABELS), config.width)
    _take_weights(model, card)
    check_parity(model, card.folder, x)
    _measure_normalisations(model, x)
    check_parity(model, card.folder, x)
    Calibration(config.temperature, config.doubt).take_out_of(model)
    return model


def _take_weights(model: keras.Model, card: ModelCard) -> None:
    """Put each stored kernel and bias into the layer of its shape; of like ones in their order.

    Layers of one shape stand one behind the other in every design here, so their order is certain.
    """
    stored: dict[tuple[int, ...], list[tuple[Array, Array | None]]] = defaultdict(list)
    for kernel, bias in _stored_layers(card):
        stored[kernel.shape].append((kernel, bias))
    normalised = {
        layer.input._keras_history.operation: layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            continue
        found = stored[tuple(layer.kernel.shape)]
        if not found:
            raise _is_another_design(card)
        kernel, bias = found.pop(0)
        bias = np.zeros(kernel.shape[-1], np.float32) if bias is None else bias
        layer.set_weights([kernel, bias] if layer.use_bias else [kernel])
        if layer in normalised:
            ones, zeros = np.ones_like(bias), np.zeros_like(bias)
            normalised[layer].set_weights([ones, bias, zeros, ones - normalised[layer].epsilon])
    if any(stored.values()):
        raise _is_another_design(card)


def _is_another_design(card: ModelCard) -> ModelError:
    return ModelError(
        "the network isn't of the design that its card names", path=str(card.weights_path)
    )


def _stored_layers(card: ModelCard) -> Iterator[tuple[Array, Array | None]]:
    """Kernel, in Keras's order of axes, and bias of each layer, in the order of computation."""
    with quiet_stderr():
        interpreter = Interpreter(model_content=verify_weights(card), num_threads=1)
        interpreter.allocate_tensors()
    operations: list[dict[str, Any]] = interpreter._get_ops_details()
    halves = {
        int(operation["outputs"][0]): int(operation["inputs"][0])
        for operation in operations
        if operation["op_name"] == "DEQUANTIZE"
    }

    def constant(index: int) -> Array:
        return np.asarray(interpreter.get_tensor(halves.get(index, index)), dtype=np.float32)

    for operation in operations:
        if operation["op_name"] in _LAYERS:
            _, kernel, *bias = (int(index) for index in operation["inputs"])
            yield (
                # From (out, …, in) to (…, in, out).
                np.moveaxis(constant(kernel), 0, -1),
                constant(bias[0]) if bias and bias[0] >= 0 else None,
            )


def _measure_normalisations(model: keras.Model, x: Array) -> None:
    """Let each normalisation have the mean and spread of what it gets; no answer changes."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    means, variances = _moments(keras.Model(model.input, [layer.input for layer in layers]), x)
    for layer, mean, variance in zip(layers, means, variances, strict=True):
        convolution = layer.input._keras_history.operation
        (kernel,) = convolution.get_weights()
        _, beta, _, _ = layer.get_weights()
        spread = np.maximum(np.sqrt(variance), _LEAST_SPREAD)
        convolution.set_weights([kernel / spread])
        variance = variance / spread**2
        gamma = np.sqrt(variance + layer.epsilon) * spread
        layer.set_weights([gamma, beta + mean, mean / spread, variance])


def _moments(model: keras.Model, x: Array) -> tuple[list[Array], list[Array]]:
    """Mean and variance of every output's channels."""
    sums: list[Any] = [0.0] * len(model.outputs)
    squares: list[Any] = [0.0] * len(model.outputs)
    count = 0
    for start in range(0, len(x), 128):
        batch = x[start : start + 128]
        count += len(batch)
        for number, output in enumerate(model.predict_on_batch(batch)):
            values = output.astype(np.float64).mean(axis=(1, 2))
            sums[number] += values.sum(axis=0)
            squares[number] += (output.astype(np.float64) ** 2).mean(axis=(1, 2)).sum(axis=0)
    means = [total / count for total in sums]
    variances = [
        np.maximum(total / count - mean**2, 0.0) for total, mean in zip(squares, means, strict=True)
    ]
    return (
        [mean.astype(np.float32) for mean in means],
        [variance.astype(np.float32) for variance in variances],
    )


def recovered(card: ModelCard, config: TrainingConfig, x: Array, path: Path) -> Path:
    """The same as a file that a training run starts from (`TrainingConfig.initial`)."""
    part = path.with_name(f".{path.name}.part.keras")
    recover_network(card, config, x).save(part, include_optimizer=False)
    part.replace(path)
    return path
