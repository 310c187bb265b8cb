"""The last layer of a network by itself: from an embedding to the probabilities of the labels.

An adapted model shares the network of the one that it was made from, and has a head of its own; the
embeddings that the index keeps serve every head of that network.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drumwatchd.analysis.model_card import CardFile, ModelCard, verify_file
from drumwatchd.errors import ModelError

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Head:
    """A softmax regression on embeddings.

    Attributes:
        labels: of the outputs, in order.
        kernel: float32 [shape=(embedding_size, n_labels)].
        bias: float32 [shape=(n_labels,)].
    """

    labels: tuple[str, ...]
    kernel: Array
    bias: Array

    def probabilities(self, embeddings: Array) -> Array:
        """Of each label, float32 [shape=(n, n_labels)], for embeddings [shape=(n, size)]."""
        logits = embeddings @ self.kernel + self.bias
        logits -= logits.max(axis=1, keepdims=True)
        odds = np.exp(logits)
        return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float32)


def head_bytes(head: Head) -> bytes:
    """The head as the file `head.npz`; the same head gives the same bytes."""
    stream = io.BytesIO()
    np.savez(stream, kernel=head.kernel, bias=head.bias)
    return stream.getvalue()


def read_head(card: ModelCard, file: CardFile) -> Head:
    """Read the head that `card` names.

    Raises:
        ModelError: it is missing, damaged, or doesn't fit the card.
    """
    path = card.folder / file.name
    kernel, bias = _arrays(verify_file(card, file), path)
    n_labels = len(card.labels)
    fits = kernel.shape == (card.embedding_size, n_labels) and bias.shape == (n_labels,)
    if not fits or kernel.dtype != np.float32 or bias.dtype != np.float32:
        raise ModelError("the head doesn't fit its card", path=str(path))
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise ModelError("the head holds values that are no numbers", path=str(path))
    return Head(card.labels, kernel, bias)


def _arrays(content: bytes, path: Path) -> tuple[Array, Array]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return arrays["kernel"], arrays["bias"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"the head can't be read ({error})", path=str(path)) from error
