"""An owner for tests, and a model that can learn from him: made-up embeddings, the real head.

The sounds are points in the real network's embedding space: of each label around the direction in
which the real head hears it best. The owner has drums that the head mistakes in a way of their own.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from drumwatchd.analysis.head import Head, read_head
from drumwatchd.analysis.labels import CANONICAL_LABELS, CANONICAL_OF, FINE_LABELS
from drumwatchd.analysis.model_card import read_card, shipped_model
from drumwatchd.training.adapt import Corrections, gather
from drumwatchd.training.replay import Replay, add_to_model, head_of
from shelf import Shelf

N_KITS = 30


@cache
def shipped_head() -> Head:
    """The last layer of the shipped network."""
    return head_of(shipped_model())


def direction(label: str) -> np.ndarray:
    """The embedding of a typical sound of a label."""
    head = shipped_head()
    kernel = head.kernel[:, head.labels.index(label)] - head.kernel.mean(axis=1)
    typical = np.maximum(kernel, 0.0)
    return 6.0 * typical / np.linalg.norm(typical)


def sounds(label: str, count: int, seed: int, *, like: str = "", share: float = 0.0) -> np.ndarray:
    """Embeddings of sounds of `label`, by `share` of the way like those of another label."""
    rng = np.random.default_rng([seed, FINE_LABELS.index(label)])
    middle = (1 - share) * direction(label) + share * direction(like or label)
    noise = rng.normal(0.0, 0.25, (count, len(middle)))
    return np.maximum(middle + noise, 0.0).astype(np.float32)


def replay(per_label: int = 20, seed: int = 0) -> Replay:
    """A corpus of every label; a third of the kits is held out."""
    truth = np.repeat(np.arange(len(FINE_LABELS)), per_label)
    kits = np.arange(len(truth)) % N_KITS
    embeddings = np.concatenate([sounds(label, per_label, seed) for label in FINE_LABELS])
    return Replay(FINE_LABELS, embeddings, truth, kits, kits % 3 == 0)


# What the owner's drums are, what they sound like to the network, and what he says.
HABITS = (("Kick", "Tom", "Kick"), ("Snare", "Clap", "Snare"), ("Hihat", "Ride", "Hihat"))


# Every sound of the owner's has it: a network hears the room, too.
_ROOM = np.random.default_rng(5).exponential(0.5, 128).astype(np.float32)


def owner(
    count: int, seed: int = 0, *, own: str = "", n_packs: int = 6
) -> tuple[list[str], np.ndarray, list[str]]:
    """Corrections of an owner: what he says, the embeddings, the packs."""
    habits = [*HABITS, ("Vox", "Tom", own)] if own else HABITS
    said, heard = [], []
    for number in range(count):
        label, like, says = habits[number % len(habits)]
        sound = sounds(label, 1, 1000 * seed + number + 7, like=like, share=0.62)[0]
        heard.append(sound + _ROOM)
        said.append(says)
    packs = [f"pack {number // len(habits) % n_packs}" for number in range(count)]
    return said, np.stack(heard), packs


def corrections(said: Sequence[str], heard: np.ndarray, packs: Sequence[str]) -> Corrections:
    """The same as the fit takes it."""
    return gather(
        said, heard, packs, base=FINE_LABELS, targets=CANONICAL_LABELS, canonical_of=CANONICAL_OF
    )


def teachable_model(folder: Path) -> Path:
    """A copy of the shipped model with what adaptations need."""
    shutil.copytree(shipped_model(), folder)
    add_to_model(folder, replay())
    return folder


def base_of(folder: Path) -> Head:
    """The head that came with a model."""
    card = read_card(folder)
    assert card.head is not None
    return read_head(card, card.head)


def write_lessons(
    shelf: Shelf, lessons: tuple[Sequence[str], np.ndarray, Sequence[str]], *, model: str, at: float
) -> list[str]:
    """Put corrections and what was heard into an index; return the digests.

    The shipped network judges under its id since a day before.
    """
    since = (read_card(shipped_model()).network_key, repr(at - 86_400.0))
    shelf.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", since)
    digests = []
    for number, (label, embedding, pack) in enumerate(zip(*lessons, strict=True)):
        row = shelf.add(f"{len(shelf.rows)}.wav", label="misc", fine="Tom", pack=pack, model=model)
        shelf.connection.execute(
            "UPDATE analyses SET embedding = ? WHERE sample_id = ?",
            (embedding.astype("<f2").tobytes(), row["id"]),
        )
        correct(shelf.connection, row["digest"], label, at + number)
        digests.append(row["digest"])
    return digests


def correct(connection: sqlite3.Connection, digest: str, label: str, at: float) -> None:
    """Write down what the owner says of a sample."""
    connection.execute(
        "INSERT OR REPLACE INTO corrections VALUES (?, ?, 'misc', 'moved', NULL, ?)",
        (digest, label, at),
    )


def standing(folder: Path) -> dict[str, object]:
    """What is known of an adapted model."""
    return json.loads((folder / "standing.json").read_text())
