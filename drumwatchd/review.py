"""Which filed samples a person should listen to: those whose correction would teach the model most.

The most doubtful come first, each unlike those before it and unlike what was corrected already. Only
samples can be ordered of which the index keeps what the network that judges made of them, and
only from those anything is learned; silent ones and loops are left aside, for no sound decided there.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import compress
from operator import itemgetter

import numpy as np

from drumwatchd.analysis.asking import N_CANDIDATES, order_to_ask
from drumwatchd.analysis.model_card import ModelCard
from drumwatchd.analysis.rehearing import are_whole, unpack
from drumwatchd.analysis.verdicts import is_by_sound
from drumwatchd.index.lessons import usable_lessons
from drumwatchd.index.query import Clause, Query
from drumwatchd.index.reader import Reader
from drumwatchd.index.records import Sample

# A name that contradicts the sound makes it half as sure.
MARKED = 0.5
COLUMNS = ("id", "confidence", "review", "reason", "model", "added", "embedding")
UNCORRECTED = Clause("digest NOT IN (SELECT digest FROM corrections)")
Candidate = tuple[float, int, bytes]


@dataclass(slots=True)
class Review:
    """What to ask about.

    Attributes:
        samples: in the order in which to ask.
        unknown: how many couldn't be ordered: another network heard them, or they were edited since.
    """

    samples: list[Sample]
    unknown: int = 0


def review(reader: Reader, query: Query, base: ModelCard, limit: int) -> Review:
    """Order the samples that a query finds by what their correction would teach.

    Args:
        reader: the index.
        query: its sort order doesn't count.
        base: card of the model whose network judges.
        limit: how many samples at most.
    """
    found = Review([])
    # Only the most doubtful are held, so that a million samples take no more memory.
    candidates = heapq.nsmallest(
        N_CANDIDATES, _candidates(reader, query, base, found), itemgetter(0)
    )
    whole = are_whole([embedding for _, _, embedding in candidates], base)
    usable = list(compress(candidates, whole))
    found.unknown += len(candidates) - len(usable)
    if not usable:
        return found
    known = _known(reader, base)
    order = order_to_ask(
        unpack([embedding for _, _, embedding in usable]),
        np.array([confidence for confidence, _, _ in usable], np.float32),
        limit,
        unpack(known) if known else None,
    )
    found.samples = _samples(reader, [usable[row][1] for row in order])
    return found


def _candidates(
    reader: Reader, query: Query, base: ModelCard, found: Review
) -> Iterator[Candidate]:
    """Confidence, row and embedding of all that could be asked about."""
    groups = tuple((*group, Clause("state = 'filed'"), UNCORRECTED) for group in query.groups)
    since, size = reader.meta(base.network_key), 2 * base.embedding_size
    for row_id, confidence, mark, reason, model, added, embedding in reader.rows(
        replace(query, groups=groups, order=()), COLUMNS
    ):
        if not is_by_sound(reason):
            continue
        if len(embedding or b"") != size or not base.has_heard(model, added, since):
            found.unknown += 1
            continue
        yield (confidence or 0.0) * (MARKED if mark else 1.0), row_id, embedding


def _known(reader: Reader, base: ModelCard) -> list[bytes]:
    """Embeddings of what was corrected."""
    usable, _ = usable_lessons(reader, base)
    return [lesson.embedding for lesson in usable if lesson.embedding is not None]


def _samples(reader: Reader, ids: list[int]) -> list[Sample]:
    found = {each.id: each for each in reader.samples_of(ids)}
    return [found[row_id] for row_id in ids if row_id in found]


# -- as a playlist ------------------------------------------------------------------------------


def playlist(samples: list[Sample], root: str) -> tuple[str, list[str]]:
    """Samples as an extended M3U playlist, and the paths of those that can't be in one."""
    lines, left_out = ["#EXTM3U"], []
    for sample in samples:
        path = sample.location(root)
        if not _is_a_line(path):
            left_out.append(path)
            continue
        seconds = -1 if sample.duration is None else math.ceil(sample.duration)
        title = f"{sample.label} {sample.confidence or 0.0:.2f} {sample.name}"
        lines += [f"#EXTINF:{seconds},{title}", path]
    return "".join(f"{line}\n" for line in lines), left_out


def _is_a_line(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return not {"\n", "\r"} & set(path)
