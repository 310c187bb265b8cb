"""Judge sounds again from the embeddings that the index keeps: no audio is read, no network run.

Only the last layer of the active model is needed, so ten thousand samples take a second or two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drumwatchd.analysis.head import Head, read_head
from drumwatchd.analysis.model_card import ModelCard
from drumwatchd.analysis.model_store import choose
from drumwatchd.analysis.result import Verdict
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.analysis.verdicts import verdict_on
from drumwatchd.errors import ModelError

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sound:
    """What is known of one sample's sound.

    Attributes:
        embedding: little-endian float16, as the index has it; None where it has none.
        name: path below its inbox.
    """

    embedding: bytes | None
    name: str


class Rehearing:
    """The active model's last layer.

    Attributes:
        base: card of the model whose network judges.
        card: of the one that judges.
        threshold: confidence below which nothing is sure.

    Raises:
        ModelError: no model can be used, or the active one brings no head of its own.
    """

    def __init__(self, settings: AnalysisSettings) -> None:
        choice = choose(settings.store, settings.model_dir)
        self.base, self.card = choice.base, choice.card
        self.threshold = settings.confidence_threshold
        self._settings = settings
        self._head = _head_of(self.card)

    def verdicts(self, sounds: Sequence[Sound]) -> list[Verdict | None]:
        """What each is now; None where the embedding can't be used."""
        usable = [is_whole(sound.embedding, self.card) for sound in sounds]
        if not any(usable):
            return [None for _ in sounds]
        packed = [sound.embedding for sound, fine in zip(sounds, usable, strict=True) if fine]
        embeddings = unpack([embedding for embedding in packed if embedding is not None])
        rows = zip(embeddings.tolist(), self._probabilities(embeddings), strict=True)
        return [
            self._verdict(*next(rows), sound.name) if fine else None
            for sound, fine in zip(sounds, usable, strict=True)
        ]

    def _probabilities(self, embeddings: Array) -> list[list[float]]:
        found: list[list[float]] = self._head.probabilities(embeddings).tolist()
        return found

    def _verdict(
        self, embedding: Sequence[float], probabilities: Sequence[float], name: str
    ) -> Verdict:
        heard = dict(zip(self._head.labels, probabilities, strict=True))
        return verdict_on(heard, embedding, self.card, self._settings, name)


def is_whole(embedding: bytes | None, card: ModelCard) -> bool:
    """Whether this can be an embedding of the model's network."""
    return (
        embedding is not None
        and len(embedding) == 2 * card.embedding_size
        and bool(np.isfinite(np.frombuffer(embedding, "<f2")).all())
    )


def unpack(embeddings: Sequence[bytes]) -> Array:
    """Embeddings as arrays compute with them, float32 [shape=(n, size)]."""
    packed = np.frombuffer(b"".join(embeddings), "<f2")
    size = len(embeddings[0]) // 2 if embeddings else 0
    return packed.reshape(len(embeddings), size).astype(np.float32)


def _head_of(card: ModelCard) -> Head:
    if card.head is None:
        raise ModelError(
            f"{card.id} can't judge again: it brings no head of its own",
            path=str(card.folder),
            hint="one that is adapted to your corrections does: drumwatchd-train adapt",
        )
    return read_head(card, card.head)
