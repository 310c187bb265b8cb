"""Which samples a person should be asked about first: those whose answers teach most.

References:
    Settles, "Active Learning Literature Survey", 2009 (uncertainty, diversity).
    Gonzalez, "Clustering to Minimize the Maximum Intercluster Distance", 1985 (farthest first).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

# Even what is certain may be wrong.
_LEAST_DOUBT = 0.02
# Only so many of the most doubtful are looked at, which keeps a million samples in memory's bounds.
N_CANDIDATES = 20_000
# So many known ones are compared with all candidates in one product: 10 MB.
_AT_ONCE = 128


def order_to_ask(
    embeddings: Array, confidences: Array, limit: int, known: Array | None = None
) -> list[int]:
    """Rows in the order in which to ask: doubtful ones, each unlike those before it.

    Ten doubtful hits of one drum are one question; its answer serves the other nine.

    Args:
        embeddings: float32 [shape=(n, size)], ≥ 0.
        confidences: of what each was filed as, in [0, 1] [shape=(n,)].
        limit: how many rows at most.
        known: embeddings of what was answered already, float32 [shape=(m, size)].
    """
    candidates = np.argsort(confidences, kind="stable")[:N_CANDIDATES]
    directions = _unit(embeddings[candidates])
    worth = np.maximum(1.0 - confidences[candidates], 0.0) + _LEAST_DOUBT
    novelty = _novelty(directions, _unit(known) if known is not None else known)
    order: list[int] = []
    for _ in range(min(limit, len(candidates))):
        score = worth * np.maximum(novelty, 0.0)
        score[order] = -1.0
        best = int(score.argmax())
        order.append(best)
        novelty = np.minimum(novelty, 1.0 - directions @ directions[best])
    return [int(candidates[row]) for row in order]


def _novelty(directions: Array, known: Array | None) -> Array:
    """How unlike each is to the likest of those that are known, in [0, 1]."""
    novelty = np.ones(len(directions), dtype=np.float32)
    if known is None:
        return novelty
    for start in range(0, len(known), _AT_ONCE):
        likeness = directions @ known[start : start + _AT_ONCE].T
        novelty = np.minimum(novelty, 1.0 - likeness.max(axis=1))
    return novelty


def _unit(embeddings: Array) -> Array:
    """Each row divided by its length, float32; one of zeros stays."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(embeddings / np.maximum(lengths, 1e-6), dtype=np.float32)
