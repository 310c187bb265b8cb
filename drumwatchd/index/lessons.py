"""Corrections that can be learned from: those of sounds that the judging network has heard itself."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import replace

from drumwatchd.analysis.labels import name_problem
from drumwatchd.analysis.model_card import ModelCard
from drumwatchd.analysis.precedents import Precedent
from drumwatchd.index.reader import Reader
from drumwatchd.index.records import Lesson

# The newest; older ones are learned by then.
MOST_PRECEDENTS = 5_000


def usable_lessons(reader: Reader, base: ModelCard) -> tuple[list[Lesson], int]:
    """What can be learned from, oldest first, and how many corrections can't be.

    Args:
        reader: of the index.
        base: the model whose network hears; the embeddings are that network's.
    """
    lessons = reader.lessons(base.backbone)
    since = reader.meta(base.network_key)
    usable = [
        replace(lesson, embedding=embedding)
        for lesson in lessons
        if name_problem(lesson.label) is None
        and (embedding := _embedding(lesson, base, since)) is not None
    ]
    return usable, len(lessons) - len(usable)


def precedents(reader: Reader, base: ModelCard, learned: Mapping[str, str]) -> list[Precedent]:
    """What speaks at once for sounds like it: the newest corrections, oldest first.

    Args:
        reader: of the index.
        base: the configured model, whose network hears.
        learned: what the model that judges has learned: digest → label.
    """
    lessons, _ = usable_lessons(reader, base)
    return [
        Precedent(lesson.label, lesson.embedding or b"", learned.get(lesson.digest) == lesson.label)
        for lesson in lessons[-MOST_PRECEDENTS:]
    ]


def unheard_lessons(reader: Reader, base: ModelCard) -> list[Lesson]:
    """What could be learned from if the network of `base` heard it, oldest first.

    What it tried in vain to hear is left out, and samples that aren't in their place.
    """
    since = reader.meta(base.network_key)
    return [
        lesson
        for lesson in reader.lessons(base.backbone)
        if name_problem(lesson.label) is None
        and lesson.place is not None
        and not lesson.is_heard_again
        and _embedding(lesson, base, since) is None
    ]


def _embedding(lesson: Lesson, base: ModelCard, since: str | None) -> bytes | None:
    """What this very network made of the sound, if the index keeps that.

    Args:
        lesson: a correction.
        base: the model that is adapted.
        since: when its network first judged under its id, as the index has it.
    """
    judged = lesson.embedding if base.has_heard(lesson.model, lesson.filed, since) else None
    for embedding in (judged, lesson.heard_again):
        if embedding is not None and _is_whole(embedding, base):
            return embedding
    return None


def _is_whole(embedding: bytes, base: ModelCard) -> bool:
    if len(embedding) != 2 * base.embedding_size:
        return False
    return all(map(math.isfinite, struct.unpack(f"<{base.embedding_size}e", embedding)))
