"""Judge sounds again from the embeddings that the index keeps: no audio is read, no network run.

Only the last layer of the active model is needed, and what was corrected of sounds like these. Most
samples are what they were: arrays tell so of hundreds at once, and only the rest is judged one by one,
as a new sample is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import numpy.typing as npt

from drumwatchd.analysis import names
from drumwatchd.analysis.head import Head, read_head
from drumwatchd.analysis.labels import MISC, target_of
from drumwatchd.analysis.model_card import ModelCard
from drumwatchd.analysis.model_store import choose, learned
from drumwatchd.analysis.neighbours import Precedents, verdict_heeding
from drumwatchd.analysis.result import Verdict
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.analysis.verdicts import targets_of
from drumwatchd.errors import ModelError

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Arrays add up in another order than one judgement does; so close to the threshold both are asked.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Sound:
    """What is known of one sample's sound.

    Attributes:
        embedding: little-endian float16, as the index has it; None where it has none.
        name: path below its inbox; what it is doesn't matter unless names are evidence.
    """

    embedding: bytes | None
    name: str


class Rehearing:
    """The active model's last layer, and what was corrected.

    Attributes:
        base: card of the model whose network judges.
        card: of the one that judges.
        threshold: confidence below which nothing is sure.
        uses_names: names are evidence beside sounds.
        said: what was corrected of sounds that the same network heard.
        learned: what of it the active model has learned: digest → label.

    Raises:
        ModelError: no model can be used, or the active one brings no head of its own.
    """

    def __init__(self, settings: AnalysisSettings) -> None:
        choice = choose(settings.store, settings.model_dir)
        self.base, self.card = choice.base, choice.card
        self.learned = learned(settings.store, settings.model_dir)
        self.threshold = settings.confidence_threshold
        self.uses_names = settings.use_names
        self.said: Precedents | None = None
        self._settings = settings
        self._head = _head_of(self.card)

    def verdicts(self, sounds: Sequence[Sound]) -> list[Verdict | None]:
        """What each is now; None where the embedding can't be used."""
        return self._judged(sounds, are_whole([sound.embedding for sound in sounds], self.card))

    def second_thoughts(
        self, sounds: Sequence[Sound], labels: Sequence[str]
    ) -> list[Verdict | None]:
        """What each is now, as far as that is surely something else than its label.

        Args:
            sounds: with embeddings that can be used.
            labels: what each is filed as.
        """
        if not sounds:
            return []
        verdicts = self._judged(sounds, self._may_have_changed(sounds, labels))
        return [
            verdict
            if verdict and verdict.label != label and verdict.confidence >= self.threshold
            else None
            for verdict, label in zip(verdicts, labels, strict=True)
        ]

    def _judged(self, sounds: Sequence[Sound], wanted: Mask) -> list[Verdict | None]:
        """The verdicts that are wanted, one by one."""
        asked = [sound for sound, yes in zip(sounds, wanted.tolist(), strict=True) if yes]
        if not asked:
            return [None for _ in sounds]
        embeddings = _unpacked(asked)
        rows = zip(embeddings, self._head.probabilities(embeddings).tolist(), asked, strict=True)
        return [self._verdict(*next(rows)) if yes else None for yes in wanted.tolist()]

    def _verdict(self, embedding: Array, probabilities: Sequence[float], sound: Sound) -> Verdict:
        heard = dict(zip(self._head.labels, probabilities, strict=True))
        return verdict_heeding(self.said, heard, embedding, self.card, self._settings, sound.name)

    def _may_have_changed(self, sounds: Sequence[Sound], labels: Sequence[str]) -> Mask:
        """Which may surely be of another folder now [shape=(n,)]; all that a name has a say in."""
        embeddings = _unpacked(sounds)
        heard = self._head.probabilities(embeddings).astype(np.float64)
        if self.said is not None:
            may = self._may_for_corrections(self.said, embeddings, heard, labels)
        else:
            may = self._elsewhere(self._head.labels, heard, labels) >= self.threshold - _ROUNDING
        if self.uses_names:
            may |= np.array([names.evidence(sound.name) is not None for sound in sounds])
        return np.asarray(may)

    def _may_for_corrections(
        self, said: Precedents, embeddings: Array, heard: Doubles, labels: Sequence[str]
    ) -> Mask:
        """As `_may_have_changed`, where something was corrected."""
        known, share = self._head.labels, said.most_share(embeddings)
        most = self._elsewhere(known, heard, labels) * (1.0 - share) + share
        may = most >= self.threshold - _ROUNDING
        if may.any():  # whatever the corrections say, the others stay
            columns, heeded = said.heed_all(
                known, heard[may], embeddings[may], self._targets(), self.card.canonical_of
            )
            most = self._elsewhere(columns, heeded, list(compress(labels, may)))
            may[may] = most >= self.threshold - _ROUNDING
        return may

    def _elsewhere(self, columns: Sequence[str], p: Doubles, labels: Sequence[str]) -> Doubles:
        """The probability of the likeliest folder but that of its label [shape=(n,)]."""
        targets = self._targets()
        folders = (*targets, MISC)
        number = {folder: n for n, folder in enumerate(folders)}
        place = [number[target_of(c, targets, self.card.canonical_of)] for c in columns]
        # One column more, for labels that are no folder by this configuration.
        folded = p @ np.eye(len(folders), len(folders) + 1)[place]
        folded[np.arange(len(p)), [number.get(label, -1) for label in labels]] = 0.0
        return np.asarray(folded.max(axis=1))

    def _targets(self) -> tuple[str, ...]:
        own = () if self.said is None else self.said.own_labels
        return targets_of(self.card, self._settings, own)


def are_whole(embeddings: Sequence[bytes | None], card: ModelCard) -> Mask:
    """Which can be embeddings of the model's network [shape=(n,)]."""
    size = 2 * card.embedding_size
    whole = np.array([len(embedding or b"") == size for embedding in embeddings], dtype=bool)
    packed = b"".join(e for e in embeddings if e is not None and len(e) == size)
    values = np.frombuffer(packed, "<f2").reshape(-1, card.embedding_size)
    whole[whole] = np.isfinite(values).all(axis=1)
    return whole


def unpack(embeddings: Sequence[bytes]) -> Array:
    """Embeddings as arrays compute with them, float32 [shape=(n, size)]."""
    packed = np.frombuffer(b"".join(embeddings), "<f2")
    size = len(embeddings[0]) // 2 if embeddings else 0
    return packed.reshape(len(embeddings), size).astype(np.float32)


def _unpacked(sounds: Sequence[Sound]) -> Array:
    return unpack([sound.embedding for sound in sounds if sound.embedding is not None])


def _head_of(card: ModelCard) -> Head:
    if card.head is None:
        raise ModelError(
            f"{card.id} can't judge again: it brings no head of its own",
            path=str(card.folder),
            hint="one that is adapted to your corrections does: drumwatchd-train adapt",
        )
    return read_head(card, card.head)
