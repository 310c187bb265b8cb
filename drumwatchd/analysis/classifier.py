"""The network: features in, embedding and fine probabilities out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drumwatchd.analysis import model_card
from drumwatchd.analysis.head import Head, read_head
from drumwatchd.errors import ModelError

Array = npt.NDArray[np.float32]


class Classifier:
    """One loaded network on one thread; the card beside it is `card`.

    Raises:
        ModelError: if the folder is missing, damaged, or its files don't belong together.
    """

    def __init__(self, model_dir: str | os.PathLike[str]) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.card = model_card.read_card(Path(model_dir))
        weights = model_card.verify_weights(self.card)
        try:
            with quiet_stderr():
                self._interpreter = Interpreter(model_content=weights, num_threads=1)
                self._interpreter.allocate_tensors()
            self._input, self._outputs = self._ends()
        except (ValueError, RuntimeError, KeyError) as error:
            raise ModelError(
                f"can't load the network ({error})", path=str(self.card.weights_path)
            ) from error
        self._head = self._adapted_head()
        self._batch_size = 0

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Judge a batch.

        Args:
            features: float32 [shape=(n, *card.features.shape)].

        Returns:
            Embeddings, float32 [shape=(n, embedding_size)], and fine probabilities,
            float32 [shape=(n, n_labels)], each row finite and of sum 1.
        """
        interpreter = self._interpreter
        if len(features) != self._batch_size:
            interpreter.resize_tensor_input(self._input, features.shape)
            interpreter.allocate_tensors()
            self._batch_size = len(features)
        interpreter.set_tensor(self._input, np.ascontiguousarray(features, dtype=np.float32))
        interpreter.invoke()
        embeddings, probabilities = (interpreter.get_tensor(index) for index in self._outputs)
        if self._head is not None:
            # What isn't finite is answered below, as the network's own is.
            with np.errstate(invalid="ignore", over="ignore"):
                probabilities = self._head.probabilities(embeddings)
        return embeddings, _normalised(probabilities)

    def _adapted_head(self) -> Head | None:
        """The head that judges in place of the network's own; only adapted models have one."""
        file = self.card.head
        return None if file is None or file.base is None else read_head(self.card, file)

    def _ends(self) -> tuple[int, tuple[int, int]]:
        """Indices of the input and of both outputs, checked against the card."""
        details = {d["name"]: d for d in self._interpreter.get_output_details()}
        signature = self._interpreter.get_signature_runner("serving_default")
        outputs = signature.get_output_details()
        given = self._interpreter.get_input_details()[0]
        card = self.card
        n_labels = int(outputs["probabilities"]["shape"][-1])
        fine = (
            tuple(given["shape_signature"][1:]) == card.features.shape
            and outputs["embedding"]["shape"][-1] == card.embedding_size
            and (card.is_adapted or n_labels == len(card.labels))
        )
        if not fine:
            raise ModelError("the network has other shapes than its card", path=str(card.folder))
        by_name = tuple(
            details[outputs[name]["name"]]["index"] for name in ("embedding", "probabilities")
        )
        return int(given["index"]), (int(by_name[0]), int(by_name[1]))


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """LiteRT and TensorFlow greet on file descriptor 2, which is the log here, whatever is set."""
    kept = os.dup(2)
    silent = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silent, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silent)


def _normalised(probabilities: Array) -> Array:
    """Rows to sum 1; a row that isn't finite says nothing, so every label is as likely."""
    uniform = np.float32(1.0 / probabilities.shape[1])
    whole = np.isfinite(probabilities).all(axis=1, keepdims=True)
    probabilities = np.where(whole, np.clip(probabilities, 0.0, 1.0), uniform)
    total = probabilities.sum(axis=1, keepdims=True)
    return np.asarray(probabilities / total, dtype=np.float32)
