"""What an owner's corrections say to a whole network: sounds with fine labels, and packs to ask about.

A network has the 34 labels for outputs and no others. A class folder, or misc, says less than one of
them: the sound is then the likeliest, to the network, of those that are filed there. A label of the
owner's own says nothing to it; that is left to the head, which `adapt` fits afterwards.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drumwatchd.analysis.head import Head
from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.analysis.model_card import ModelCard
from drumwatchd.analysis.rehearing import unpack
from drumwatchd.index.records import Lesson
from drumwatchd.training.adapt import (
    Corrections,
    Mask,
    folds_of,
    gather,
    probabilities_on,
)
from drumwatchd.training.corpus import CORRECTIONS, Example
from drumwatchd.training.retrain import origin_of

TABLE_NAME = "corpus.csv"
# A fifth of the corrections, in whole packs, is only asked about; of few of them more, since a handful
# of answers can't be told from chance.
N_PARTS = 5
ENOUGH = 12


@dataclass(frozen=True)
class Taught:
    """Corrections that a network can learn from.

    Attributes:
        lessons: in the order of the rest.
        examples: the files, each with a fine label.
        corrections: the same as a head takes them, as the network hears them that came first.
        own: labels of the owner's own that were left out, each with how often it was said.
        absent: how many were left out since their files aren't in their place.
    """

    lessons: list[Lesson]
    examples: list[Example]
    corrections: Corrections
    own: Mapping[str, int]
    absent: int

    @property
    def learned(self) -> dict[str, str]:
        """Digest to what the owner said."""
        return {lesson.digest: lesson.label for lesson in self.lessons}

    def part(self, rows: Mask) -> Taught:
        """Only those."""
        chosen = np.flatnonzero(rows).tolist()
        return Taught(
            [self.lessons[row] for row in chosen],
            [self.examples[row] for row in chosen],
            self.corrections.part(rows),
            self.own,
            self.absent,
        )

    def asked(self) -> Mask:
        """Some whole packs: what a network is asked about that didn't learn them."""
        n_parts = max(2, min(N_PARTS, len(self.lessons) // ENOUGH))
        folds = folds_of(self.corrections.groups, n_parts)
        sizes = np.bincount(folds, minlength=n_parts)
        wanted = len(folds) / n_parts
        nearest = min(np.flatnonzero(sizes), key=lambda fold: abs(sizes[fold] - wanted))
        return np.asarray(folds == nearest)


def teach(
    lessons: Sequence[Lesson], base: ModelCard, head: Head, root: str, targets: Sequence[str]
) -> Taught:
    """Tell what a network can learn of lessons.

    Args:
        lessons: with embeddings of `base`'s network.
        base: the model that is trained further.
        head: its last layer.
        root: of the archive.
        targets: labels with a folder of their own, by the configuration.
    """
    corrections = gather(
        [lesson.label for lesson in lessons],
        unpack([lesson.embedding or b"" for lesson in lessons]).reshape(-1, base.embedding_size),
        [origin_of(lesson) for lesson in lessons],
        base=base.labels,
        targets=targets,
        canonical_of=base.canonical_of,
    )
    rows, examples, own, absent = [], [], Counter[str](), 0
    for row, (lesson, fine) in enumerate(
        zip(lessons, _fine_labels(corrections, head), strict=True)
    ):
        place = _place(lesson, root)
        if fine is None:
            own[lesson.label] += 1
        elif place is None:
            absent += 1
        else:
            rows.append(row)
            kit = lesson.pack.split(os.sep)[0] or lesson.digest
            examples.append(Example(place, fine, CORRECTIONS, kit, -1))
    chosen = np.isin(np.arange(len(lessons)), rows)
    return Taught([lessons[row] for row in rows], examples, corrections.part(chosen), own, absent)


def _fine_labels(corrections: Corrections, head: Head) -> list[str | None]:
    """Of those that would do for each answer the likeliest to `head`; None where it knows none."""
    p = probabilities_on(head, corrections.embeddings, corrections.labels)
    wanted = corrections.wanted[corrections.said][:, : len(FINE_LABELS)]
    likeliest = np.where(wanted, p[:, : len(FINE_LABELS)], -1.0).argmax(axis=1)
    known: Mask = np.asarray(wanted.any(axis=1))
    return [FINE_LABELS[best] if known[row] else None for row, best in enumerate(likeliest)]


def write_corpus(folder: Path, examples: Sequence[Example]) -> Path:
    """A corpus of corrected files, which stay where they are; `train` takes it as an ``--extra``."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / TABLE_NAME).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", "source", "kit"])
        writer.writerows([e.path, e.label, e.source, e.kit] for e in examples)
    return folder


def _place(lesson: Lesson, root: str) -> str | None:
    """Where the file is; None where it isn't, or has a name that a table can't hold."""
    if lesson.place is None:
        return None
    path = os.path.realpath(os.path.join(root, lesson.place))
    try:
        f"{path}{lesson.pack}".encode()
    except UnicodeEncodeError:
        return None
    return path if os.path.isfile(path) else None
