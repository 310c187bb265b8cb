"""Corrections that speak at once for sounds like them, before any model learned from them.

The nearest corrected embeddings have a say in the probabilities of the next sample: the nearer, the
more, and one alone never outvotes the network.

References:
    Cover & Hart, "Nearest Neighbor Pattern Classification", 1967.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drumwatchd.analysis.labels import FINE_LABELS, MISC, target_of
from drumwatchd.analysis.precedents import FILE_NAME, read_precedents

Array = npt.NDArray[np.float32]

# Chosen on sources that a network never met, with owners who correct at random and with such who
# correct only what is wrong: with twice the width, or half the doubt, the latter lose on other sounds.
_N_NEAREST = 8
# Of the cosine: a correction this much further away counts 1/e of one that is the same.
_WIDTH = 0.02
# So many corrections of the very same sound count as much as the network.
_DOUBT = 2.0


@dataclass(frozen=True, slots=True)
class Precedents:
    """What was corrected.

    Attributes:
        labels: what the owner says of each: one of the 34, misc, or a label of the owner's own.
        directions: embeddings of length one, float32 [shape=(n, size)].
        folders: labels of the class folders that the owner made.
    """

    labels: tuple[str, ...]
    directions: Array
    folders: tuple[str, ...] = ()

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
        heeded = dict(heard)
        length = float(np.linalg.norm(embedding))
        if not self.labels or length == 0.0:
            return heeded
        near = self.directions @ (embedding / np.float32(length))
        nearest = np.argsort(-near, kind="stable")[:_N_NEAREST]
        weights = np.exp((near[nearest] - 1.0) / _WIDTH)
        total = float(weights.sum())
        share = total / (total + _DOUBT)
        heeded = {label: p * (1.0 - share) for label, p in heeded.items()}
        for row, weight in zip(nearest.tolist(), weights.tolist(), strict=True):
            label = self.labels[row]
            if label == MISC:
                label = _homeless(heard, targets, canonical_of)
            heeded[label] = heeded.get(label, 0.0) + share * weight / total
        return heeded

    @property
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


@functools.lru_cache(maxsize=1)
def _read(path: str, stamp: tuple[int, int, int], network: str, size: int) -> Precedents | None:
    try:
        said = read_precedents(path, network)
        raw = b"".join(embedding for _, embedding in said.corrections)
        embeddings = np.frombuffer(raw, "<f2").astype(np.float32).reshape(-1, size)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    lengths = np.linalg.norm(embeddings, axis=1)
    kept = np.isfinite(lengths) & (lengths > 0)
    directions = embeddings[kept] / lengths[kept, None]
    labels = (label for (label, _), fine in zip(said.corrections, kept, strict=True) if fine)
    return Precedents(tuple(labels), directions, tuple(said.folders))


def _homeless(
    heard: Mapping[str, float], targets: Sequence[str], canonical_of: Mapping[str, str]
) -> str:
    """The likeliest label that is filed in misc: what an owner means who says misc."""
    homeless = [label for label in heard if target_of(label, targets, canonical_of) == MISC]
    return max(homeless, key=lambda label: heard[label], default=MISC)
