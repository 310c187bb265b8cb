"""Corrections that can be learned from: those of sounds that the judging network has heard itself."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping

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
        base: the configured model, whose network hears.
    """
    lessons = reader.lessons()
    since = reader.meta(base.network_key)
    usable = [lesson for lesson in lessons if _is_usable(lesson, base, since)]
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


def _is_usable(lesson: Lesson, base: ModelCard, since: str | None) -> bool:
    """Whether the index keeps what this very network made of the sound, and the label is a name.

    Args:
        lesson: a correction.
        base: the model that is adapted.
        since: when its network first judged under its id, as the index has it.
    """
    if lesson.embedding is None or len(lesson.embedding) != 2 * base.embedding_size:
        return False
    if not base.has_heard(lesson.model, lesson.filed, since):
        return False
    values = struct.unpack(f"<{base.embedding_size}e", lesson.embedding)
    if not all(map(math.isfinite, values)):
        return False
    return name_problem(lesson.label) is None
