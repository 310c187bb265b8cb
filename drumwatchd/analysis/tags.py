"""What is finer than a label: a hi-hat is closed or open. Pure Python; a few hundred products.

A model may bring one head per label, on its card: a softmax regression on the embedding.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Less likely tags aren't said: most details stand in no sound, and a wrong one is worse than none.
THRESHOLD = 0.7


@dataclass(frozen=True, slots=True)
class TagHead:
    """The tags of one label.

    Attributes:
        classes: their names.
        weights: one row per tag, as long as the embedding.
        biases: one per tag.
    """

    classes: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    biases: tuple[float, ...]

    def probabilities(self, embedding: Sequence[float]) -> list[float]:
        """Of each tag, in the order of `classes`; their sum is 1."""
        logits = [
            bias + sum(map(operator.mul, row, embedding))
            for row, bias in zip(self.weights, self.biases, strict=True)
        ]
        largest = max(logits)
        odds = [math.exp(logit - largest) for logit in logits]
        total = sum(odds)
        return [value / total for value in odds]


def tag_of(head: TagHead | None, embedding: Sequence[float]) -> str | None:
    """The likeliest tag, if it is likely enough to be said; None where a label has none."""
    if head is None:
        return None
    said = dict(zip(head.classes, head.probabilities(embedding), strict=True))
    best = max(said, key=said.__getitem__)
    return best if said[best] >= THRESHOLD else None


def read_tags(value: Any, embedding_size: int) -> dict[str, TagHead]:
    """The heads that a card has under ``tags``, by label.

    Raises:
        ValueError: one isn't as it should be; the message names it.
    """
    if not isinstance(value, Mapping):
        raise ValueError("tags should be an object")
    heads = {}
    for label, head in value.items():
        try:
            classes = tuple(map(_name, head["classes"]))
            weights = tuple(tuple(map(_finite, row)) for row in head["weights"])
            heads[label] = TagHead(classes, weights, tuple(map(_finite, head["biases"])))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"tags.{label} can't be read") from error
        if not (
            len(set(classes)) == len(classes) == len(weights) == len(head["biases"]) > 1
            and all(len(row) == embedding_size for row in weights)
        ):
            raise ValueError(f"tags.{label} has the wrong shape")
    return heads


def _name(value: Any) -> str:
    # It becomes a part of file names.
    if (
        not isinstance(value, str)
        or not value.isprintable()
        or value in ("", ".", "..")
        or "/" in value
    ):
        raise ValueError(value)
    return value


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(value)
    return float(value)
