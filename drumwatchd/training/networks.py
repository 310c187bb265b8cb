"""Named architectures. Each takes features and gives an embedding and the fine probabilities.

References:
    He et al., "Identity Mappings in Deep Residual Networks", 2016 (pre-activation blocks; ours
    keep batch normalisation after each convolution so that it folds into the weights on export).
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import scipy.fft
from keras import layers

EMBEDDING_SIZE = 128

# Channels of the residual blocks, and whether the block halves both axes first. About 0.95 million
# parameters: as many as fit two megabytes in float16.
_BLOCKS = ((32, False), (64, True), (112, True), (112, False), (152, True))

# `envelope_cnn` counts frames above 10, 20, 30 and 40 dB below the loudest; 40 dB are 1 in features.
DURATION_LEVELS = (0.25, 0.5, 0.75, 1.0)
SOFTNESS = 0.05


def residual_cnn(shape: tuple[int, int], n_labels: int, width: float = 1.0) -> keras.Model:
    """Plain 3×3 residual network on a log-mel spectrogram, its channels times `width`.

    The frequency axis is kept up to the end (a low and a high drum differ in where, not in what),
    time is averaged (how much of it rings).
    """
    features = keras.Input(shape, name="features")
    return _residual_body(features, layers.Reshape((*shape, 1))(features), n_labels, width)


def cepstral_cnn(shape: tuple[int, int], n_labels: int, width: float = 1.0) -> keras.Model:
    """The same, which also sees the cepstrum: the cosine transform of each frame, as MFCC are."""
    n_bands = shape[0]
    features = keras.Input(shape, name="features")
    frames = layers.Permute((2, 1))(features)
    transform = layers.Dense(n_bands, use_bias=False, trainable=False, name="cosines")
    cepstrum = layers.Permute((2, 1))(transform(frames))
    transform.set_weights([scipy.fft.dct(np.eye(n_bands), norm="ortho").astype(np.float32)])
    both = [layers.Reshape((*shape, 1))(x) for x in (features, cepstrum)]
    return _residual_body(features, layers.Concatenate()(both), n_labels, width)


def envelope_cnn(shape: tuple[int, int], n_labels: int, width: float = 1.0) -> keras.Model:
    """`residual_cnn`, which is also told how loud each frame is, and how long the sound rings.

    The convolutions see everything in a small neighbourhood; how long the tail is, they only add up.
    """
    features = keras.Input(shape, name="features")
    # A share of frames above each level below the loudest, softly, so that it can be trained through.
    loudness = keras.ops.max(features, axis=1)
    below = loudness - keras.ops.max(loudness, axis=1, keepdims=True)
    durations = [
        keras.ops.mean(keras.ops.sigmoid((below + level) / SOFTNESS), axis=1, keepdims=True)
        for level in DURATION_LEVELS
    ]
    side = layers.Concatenate()([loudness, *durations])
    side = layers.Dense(32, activation="relu", name="envelope")(side)
    body = layers.Reshape((*shape, 1))(features)
    return _residual_body(features, body, n_labels, width, side=side)


def _residual_body(
    features: keras.KerasTensor,
    x: keras.KerasTensor,
    n_labels: int,
    width: float,
    side: keras.KerasTensor | None = None,
) -> keras.Model:
    x = _convolution(x, round(32 * width), size=5, strides=2)
    for channels, halve in _BLOCKS:
        if halve:
            x = layers.MaxPooling2D(2, padding="same")(x)
        x = _residual(x, round(channels * width))
    x = layers.AveragePooling2D((1, x.shape[2]))(x)
    x = layers.Flatten()(x)
    if side is not None:
        x = layers.Concatenate()([x, side])
    x = layers.Dropout(0.3)(x)
    return _with_heads(features, x, n_labels, "residual_cnn")


def _convolution(
    x: keras.KerasTensor, channels: int, *, size: int = 3, strides: int = 1, relu: bool = True
) -> keras.KerasTensor:
    x = layers.Conv2D(channels, size, strides=strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.98)(x)
    return layers.ReLU()(x) if relu else x


def _residual(x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    shortcut = x
    if x.shape[-1] != channels:
        shortcut = layers.Conv2D(channels, 1, use_bias=False)(x)
        shortcut = layers.BatchNormalization(momentum=0.98)(shortcut)
    x = _convolution(_convolution(x, channels), channels, relu=False)
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _with_heads(
    features: keras.KerasTensor, x: keras.KerasTensor, n_labels: int, name: str
) -> keras.Model:
    """The two outputs that every model has: an embedding to compare with, and probabilities."""
    embedding = layers.Dense(EMBEDDING_SIZE, activation="relu", name="embedding")(x)
    x = layers.Dropout(0.2)(embedding)
    logits = layers.Dense(n_labels, name="logits")(x)
    probabilities = layers.Softmax(name="probabilities", dtype="float32")(logits)
    return keras.Model(
        features, {"embedding": embedding, "probabilities": probabilities}, name=name
    )


NETWORKS: dict[str, Callable[[tuple[int, int], int, float], keras.Model]] = {
    "residual_cnn": residual_cnn,
    "cepstral_cnn": cepstral_cnn,
    "envelope_cnn": envelope_cnn,
}
