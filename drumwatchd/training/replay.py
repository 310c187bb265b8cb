"""What an adaptation remembers of the corpus: an embedding of each sound, and the head they had.

Both travel with a model (`replay.npz`, `head.npz`), so that a machine without corpus and without
TensorFlow can fit a new head and see what that costs on sounds that nothing was trained on.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from drumwatchd.analysis import model_card
from drumwatchd.analysis.classifier import Classifier, quiet_stderr
from drumwatchd.analysis.head import Head, head_bytes
from drumwatchd.analysis.model_card import ModelCard, read_card
from drumwatchd.errors import ModelError, UsageError
from drumwatchd.files import write_atomically
from drumwatchd.training.corpus import Example, read_corpus, split
from drumwatchd.training.pool import spread

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]

# A head that was read out of a network reproduces its probabilities to this.
_HEAD_TOLERANCE = 1e-3
# On so many features it is compared: random ones, which reach further than sounds do.
_N_COMPARED = 32
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Replay:
    """Embeddings of labelled sounds.

    Attributes:
        labels: the fine labels that `truth` numbers, as the network learned them.
        embeddings: float32 [shape=(n, embedding_size)], ≥ 0.
        truth: number of each sound's label [shape=(n,)].
        kits: number of each sound's kit [shape=(n,)].
        validation: bool [shape=(n,)]; neither network nor head were ever trained on these.
    """

    labels: tuple[str, ...]
    embeddings: Array
    truth: Rows
    kits: Rows
    validation: npt.NDArray[np.bool_]

    def part(self, rows: npt.NDArray[np.bool_]) -> Replay:
        """Only those rows."""
        return Replay(
            self.labels,
            self.embeddings[rows],
            self.truth[rows],
            self.kits[rows],
            self.validation[rows],
        )


def replay_bytes(replay: Replay) -> bytes:
    """The file `replay.npz`: embeddings as one byte a value, scaled per dimension.

    They come from a ReLU, so nothing is below zero, and a step is 1/255 of the dimension's largest.
    """
    scale = np.maximum(replay.embeddings.max(axis=0), np.finfo(np.float32).tiny) / 255
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        labels=np.array(json.dumps(replay.labels)),
        embeddings=np.rint(replay.embeddings / scale).clip(0, 255).astype(np.uint8),
        scale=scale.astype(np.float32),
        truth=replay.truth.astype(np.uint8),
        kits=replay.kits.astype(np.uint16),
        validation=replay.validation,
    )
    return stream.getvalue()


def read_replay(card: ModelCard) -> Replay:
    """Read the embeddings that came with a model.

    Raises:
        ModelError: there are none, they are damaged, or don't fit the card.
    """
    if card.replay is None:
        raise ModelError(
            "no embeddings came with this model, so it can't be adapted",
            path=str(card.folder),
            hint="make them: drumwatchd-train replay CORPUS MODEL",
        )
    path = card.folder / card.replay.name
    content = model_card.verify_file(card, card.replay)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            replay = Replay(
                tuple(json.loads(str(arrays["labels"]))),
                arrays["embeddings"] * arrays["scale"],
                arrays["truth"].astype(np.intp),
                arrays["kits"].astype(np.intp),
                arrays["validation"],
            )
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise ModelError(f"the replay can't be read ({error})", path=str(path)) from error
    n = len(replay.truth)
    fits = replay.embeddings.shape == (n, card.embedding_size) and n > 0
    fits = fits and len(replay.kits) == len(replay.validation) == n
    if not fits or len(replay.labels) != len(card.labels):
        raise ModelError("the replay doesn't fit its card", path=str(path))
    return replay


def make_replay(
    folder: Path,
    training: Sequence[Example],
    held_out: Sequence[Example],
    *,
    processes: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Replay:
    """Hear every sound as the daemon would; those that can't be read are left out.

    Args:
        folder: of the model that hears.
        training: what its network was trained on.
        held_out: what it wasn't.
        processes: that hear.
        progress: told how many of how many are done.

    Raises:
        UsageError: nothing can be read.
    """
    examples = [*training, *held_out]
    heard = list(_embeddings(folder, [e.path for e in examples], processes, progress))
    found = [(row, embedding) for row, embedding in enumerate(heard) if embedding is not None]
    rows = [row for row, _ in found]
    if not rows:
        raise UsageError("none of the sounds can be read", path=str(folder))
    labels = tuple(read_card(folder).details["labels"])
    names = sorted({(example.source, example.kit) for example in examples})
    kits = {kit: number for number, kit in enumerate(names)}
    return Replay(
        labels,
        np.stack([embedding for _, embedding in found]),
        np.array([labels.index(examples[row].label) for row in rows]),
        np.array([kits[examples[row].source, examples[row].kit] for row in rows]),
        np.array(rows) >= len(training),
    )


def add_to_model(folder: Path, replay: Replay) -> None:
    """Put `replay.npz` and `head.npz` into a model's folder, and both on its card.

    Raises:
        ModelError: the head can't be told from the network.
    """
    card = read_card(folder)
    contents = {
        "head": (model_card.HEAD_NAME, head_bytes(head_of(folder))),
        "replay": (model_card.REPLAY_NAME, replay_bytes(replay)),
    }
    details: dict[str, Any] = dict(card.details)
    for key, (name, content) in contents.items():
        part = folder / f".{name}.part"
        part.write_bytes(content)
        os.replace(part, folder / name)
        details[key] = {"file": name, "sha256": hashlib.sha256(content).hexdigest()}
    # Last: until then the card doesn't know of them, and nothing uses them.
    write_atomically(str(folder / model_card.CARD_NAME), model_card.card_text(details))


def corpus_sides(
    folder: Path, corpus: Path, extra: Sequence[Path] = ()
) -> tuple[list[Example], list[Example]]:
    """What the model in `folder` was trained on and what was held out, by its card.

    Raises:
        ModelError: there is no such model.
        UsageError: one of the corpora can't be used.
    """
    from drumwatchd.training.preparation import apart

    hold_out = str(read_card(folder).details.get("training", {}).get("hold_out", "none"))
    examples = read_corpus(corpus)
    training, held_out = split(examples, hold_out)
    for root in extra:
        training += apart(read_corpus(root), examples, hold_out)
    return training, held_out


def head_of(folder: Path) -> Head:
    """The last layer of the network in `folder`, proved on the network's own answers.

    Raises:
        ModelError: no layer reproduces them.
    """
    from ai_edge_litert.interpreter import Interpreter

    classifier = Classifier(folder)
    card = classifier.card
    shape = (_N_COMPARED, *card.features.shape)
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    embeddings, expected = classifier.predict(x)
    with quiet_stderr():
        interpreter = Interpreter(model_content=model_card.verify_weights(card), num_threads=1)
        interpreter.allocate_tensors()
    n_labels = len(card.labels)
    for kernel in _constants(interpreter, (n_labels, card.embedding_size)):
        for bias in _constants(interpreter, (n_labels,)):
            head = Head(card.labels, np.ascontiguousarray(kernel.T), bias)
            difference = np.abs(head.probabilities(embeddings) - expected).max()
            if difference <= _HEAD_TOLERANCE:
                return head
    raise ModelError("the network's last layer can't be told", path=str(card.weights_path))


def _constants(interpreter: Any, shape: tuple[int, ...]) -> Iterator[Array]:
    """Every stored tensor of this shape."""
    for detail in interpreter.get_tensor_details():
        if tuple(detail["shape"]) == shape and detail["dtype"] in (np.float16, np.float32):
            try:
                yield interpreter.get_tensor(detail["index"]).astype(np.float32)
            except ValueError:
                continue  # computed, not stored


def _embeddings(
    folder: Path, paths: Sequence[str], processes: int, progress: Callable[[int, int], None]
) -> Iterator[Array | None]:
    tasks = [
        (str(folder), list(paths[start : start + _BATCH])) for start in range(0, len(paths), _BATCH)
    ]
    done = 0
    hint = "take fewer --processes"
    for batch in spread(_hear, tasks, processes, doing="hears the corpus", hint=hint):
        yield from batch
        done += len(batch)
        progress(done, len(paths))


def _hear(task: tuple[str, list[str]]) -> list[Array | None]:
    """Embeddings as the index would keep them; None for what can't be heard."""
    from drumwatchd.analysis.analyse import analyse_many
    from drumwatchd.analysis.result import Analysis
    from drumwatchd.analysis.settings import AnalysisSettings

    folder, paths = task
    return [
        np.frombuffer(result.embedding, "<f2").astype(np.float32)
        if isinstance(result, Analysis)
        else None
        for result in analyse_many(paths, AnalysisSettings(folder))
    ]
