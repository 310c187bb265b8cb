"""Corrections that speak at once for sounds like them, before any model learned from them.

The nearest corrected embeddings have a say in the probabilities of a sample: the nearer, the more, and
one alone never outvotes the network. That of the next one, and of what is judged again.

References:
    Cover & Hart, "Nearest Neighbor Pattern Classification", 1967.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np
import numpy.typing as npt

from drumwatchd.analysis.labels import FINE_LABELS, MISC, target_of
from drumwatchd.analysis.model_card import ModelCard
from drumwatchd.analysis.precedents import FILE_NAME, Said, read_precedents
from drumwatchd.analysis.result import Verdict
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.analysis.verdicts import targets_of, verdict_on

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

# Chosen on sources that a network never met, with owners who correct at random and with such who
# correct only what is wrong: with twice the width, or half the doubt, the latter lose on other sounds.
_N_NEAREST = 8
# Of the cosine: a correction this much further away counts 1/e of one that is the same.
_WIDTH = 0.02
# Half as wide once the model has learned from it: else, where only what is wrong is corrected, it would
# take back on sounds that are right what the model learned. Twins are still sure to be heard.
_LEARNED_WIDTH = 0.01
# So many corrections of the very same sound count as much as the network.
_DOUBT = 2.0


@dataclass(frozen=True)
class Precedents:
    """What was corrected.

    Attributes:
        labels: what the owner says of each: one of the 34, misc, or a label of the owner's own.
        directions: embeddings of length one, float32 [shape=(n, size)].
        folders: labels of the class folders that the owner made.
        learned: which of them the model that judges has learned from [shape=(n,)]; by default none.
    """

    labels: tuple[str, ...]
    directions: Array
    folders: tuple[str, ...] = ()
    learned: tuple[bool, ...] = ()

    def heed(
        self,
        heard: Mapping[str, float],
        embedding: Array,
        targets: Sequence[str],
        canonical_of: Mapping[str, str],
    ) -> dict[str, float]:
        """The probabilities of a sample, with what was said of sounds like it.

        Args:
            heard: fine probabilities, of sum 1.
            embedding: of the sample, float32 [shape=(size,)].
            targets: labels with a folder of their own.
            canonical_of: the model's fold.
        """
        labels, probabilities = self.heed_all(
            tuple(heard),
            np.array([list(heard.values())]),
            np.asarray(embedding)[None],
            targets,
            canonical_of,
        )
        return dict(zip(labels, probabilities[0].tolist(), strict=True))

    def heed_all(
        self,
        labels: Sequence[str],
        heard: Doubles,
        embeddings: Array,
        targets: Sequence[str],
        canonical_of: Mapping[str, str],
    ) -> tuple[tuple[str, ...], Doubles]:
        """As `heed`, of many samples at once.

        Args:
            labels: of the columns of `heard`.
            heard: float64 [shape=(n, n_labels)].
            embeddings: float32 [shape=(n, size)].
            targets: labels with a folder of their own.
            canonical_of: the model's fold.

        Returns:
            The labels, those that only the owner says at the end, and the probabilities.
        """
        if not self.labels:
            return tuple(labels), heard
        number = {label: n for n, label in enumerate(dict.fromkeys((*labels, *self.labels)))}
        said = np.array([number[label] for label in self.labels])
        share, nearest, weights = self._nearest(embeddings)
        heeded = np.zeros((len(heard), len(number)))
        heeded[:, : len(labels)] = heard * (1.0 - share)[:, None]
        for rank in range(nearest.shape[1]):
            heeded[np.arange(len(heard)), said[nearest[:, rank]]] += share * weights[:, rank]
        homeless = [
            number[label] for label in labels if target_of(label, targets, canonical_of) == MISC
        ]
        if MISC in number and homeless:
            _mean_homeless(heeded, number.pop(MISC), homeless, heard)
            heeded = heeded[:, list(number.values())]
        return tuple(number), heeded

    def most_share(self, embeddings: Array) -> Doubles:
        """What the corrections' share in each sample can be at most, in [0, 1) [shape=(n,)]; cheap."""
        near = (_unit(embeddings) @ self.directions.T - np.float32(1.0)) / self._widths
        total = _N_NEAREST * np.exp(near.max(axis=1).astype(np.float64))
        return np.asarray(total / (total + _DOUBT))

    def _nearest(self, embeddings: Array) -> tuple[Doubles, Rows, Doubles]:
        """What the nearest corrections have to say of each sample.

        Returns:
            Their share in all, in [0, 1) [shape=(n,)]; which they are, and the share of each in
            theirs [shape=(n, k)].
        """
        units = _unit(embeddings)
        near = units @ self.directions.T
        k = min(_N_NEAREST, near.shape[1])
        nearest = np.argpartition(-near, k - 1, axis=1)[:, :k]
        likeness = np.take_along_axis(near, nearest, axis=1).astype(np.float64)
        weights = np.exp((likeness - 1.0) / self._widths[nearest])
        total = weights.sum(axis=1)
        share = np.where(units.any(axis=1), total / (total + _DOUBT), 0.0)
        return share, nearest, weights / total[:, None]

    @functools.cached_property
    def _widths(self) -> Array:
        """How far each is heard [shape=(n,)]."""
        learned = np.array(self.learned or [False] * len(self.labels))
        return np.where(learned, _LEARNED_WIDTH, _WIDTH).astype(np.float32)

    @functools.cached_property
    def own_labels(self) -> tuple[str, ...]:
        """Labels that samples are filed under because the owner said them.

        One of the 34 only where it has a folder: who says *Rim* of a sample in `Snare/` wants none.
        """
        said = dict.fromkeys(label for label in self.labels if label != MISC)
        return tuple(x for x in said if x not in FINE_LABELS or x in self.folders)


def current(folder: str, network: str, size: int) -> Precedents | None:
    """The precedents in `folder` for embeddings of `network`; None where there are none.

    A damaged file, or one of another network, is none: it is only a help.
    """
    path = os.path.join(folder, FILE_NAME)
    try:
        found = os.stat(path)
    except OSError:
        return None
    return _read(path, (found.st_ino, found.st_mtime_ns, found.st_size), network, size)


def verdict_heeding(
    said: Precedents | None,
    heard: Mapping[str, float],
    embedding: Array,
    card: ModelCard,
    settings: AnalysisSettings,
    name: str,
) -> Verdict:
    """The verdict on one hit, with what was corrected of sounds like it; the reason says so.

    Args:
        said: what was corrected; None where nothing was.
        heard: fine probabilities of the sound.
        embedding: float32 [shape=(size,)].
        card: of the model that judges.
        settings: how to judge.
        name: path below the inbox.
    """
    values = embedding.tolist()
    before = verdict_on(heard, values, card, settings, name)
    if said is None:
        return before
    own = said.own_labels
    heeded = said.heed(heard, embedding, targets_of(card, settings, own), card.canonical_of)
    verdict = verdict_on(heeded, values, card, settings, name, own)
    if verdict.label == before.label:
        return verdict
    return replace(verdict, reason=f"{verdict.reason}, by corrections of sounds like it")


@functools.lru_cache(maxsize=1)
def _read(path: str, stamp: tuple[int, int, int], network: str, size: int) -> Precedents | None:
    try:
        return precedents_of(read_precedents(path, network), size)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def precedents_of(said: Said, size: int) -> Precedents:
    """What was corrected, to compare with; silence and damage are left out.

    Raises:
        ValueError: the embeddings are of another size.
    """
    raw = b"".join(each.embedding for each in said.corrections)
    embeddings = np.frombuffer(raw, "<f2").astype(np.float32).reshape(len(said.corrections), size)
    lengths = np.linalg.norm(embeddings, axis=1)
    kept = np.isfinite(lengths) & (lengths > 0)
    directions = embeddings[kept] / lengths[kept, None]
    corrections = list(compress(said.corrections, kept))
    return Precedents(
        tuple(each.label for each in corrections),
        directions,
        tuple(said.folders),
        tuple(each.is_learned for each in corrections),
    )


def _unit(embeddings: Array) -> Array:
    """Each row divided by its length, float32; zeros where that can't be."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    has_some = np.isfinite(lengths) & (lengths > 0)
    units = np.where(has_some, embeddings / np.where(has_some, lengths, 1.0), 0.0)
    return np.asarray(units, dtype=np.float32)


def _mean_homeless(heeded: Doubles, misc: int, homeless: Sequence[int], heard: Doubles) -> None:
    """Who says misc means the likeliest label that is filed there."""
    likeliest = np.array(homeless)[heard[:, homeless].argmax(axis=1)]
    heeded[np.arange(len(heard)), likeliest] += heeded[:, misc]
