"""Which filed samples sound like another, by the embeddings that the index keeps.

Only those count that the network that judges has heard: another network's mean something else.
They are read in lots, so that a million samples take no more memory than a thousand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt

from drumwatchd.analysis.likeness import directions, nearest
from drumwatchd.analysis.model_card import ModelCard
from drumwatchd.analysis.rehearing import are_whole, unpack
from drumwatchd.index.query import Clause, Query
from drumwatchd.index.reader import Reader
from drumwatchd.index.records import Sample

LOT_ROWS = 8192
FILED = Query(((Clause("state = 'filed'"), Clause("missing IS NULL")),))
_COLUMNS = ("id", "model", "added", "reason", "embedding")


@dataclass(slots=True)
class Similar:
    """What was found.

    Attributes:
        samples: each with the cosine of its embedding, the most alike first.
        unknown: how many couldn't be compared: another network heard them, or they were edited since.
    """

    samples: list[tuple[Sample, float]] = field(default_factory=list)
    unknown: int = 0


@dataclass(slots=True)
class Lot:
    """Some samples, in the order of arrival.

    Attributes:
        ids: row numbers, int64 [shape=(n,)].
        directions: embeddings of length one, float32 [shape=(n, size)].
        reasons: why each has its label.
        unknown: how many samples between this lot and the one before can't be compared.
    """

    ids: npt.NDArray[np.int64]
    directions: npt.NDArray[np.float32]
    reasons: list[str | None]
    unknown: int


def similar(
    reader: Reader, base: ModelCard, embedding: bytes, limit: int, *, but: int | None = None
) -> Similar:
    """The samples most like a sound.

    Args:
        reader: the index.
        base: card of the model whose network judges.
        embedding: of the sound, by the same network, as the index keeps it.
        limit: how many samples at most.
        but: the row of the sound itself.
    """
    direction = directions(unpack([embedding]))[0]
    found = Similar()
    best: list[tuple[float, int]] = []
    for lot in lots(reader, base):
        found.unknown += lot.unknown
        # One more than asked for: the sound itself may be among them.
        rows, cosines = nearest(lot.directions, direction, limit + 1)
        best += zip((-cosines).tolist(), lot.ids[rows].tolist(), strict=True)
        best = sorted(item for item in best if item[1] != but)[:limit]
    samples = {each.id: each for each in reader.samples_of([row for _, row in best])}
    found.samples = [(samples[row], -minus) for minus, row in best if row in samples]
    return found


def known_embedding(sample: Sample, reader: Reader, base: ModelCard) -> bytes | None:
    """What the network that judges made of a sample, if the index has it."""
    query = Query(((Clause("id = ?", (sample.id,)),),))
    for _, model, added, _, embedding in reader.rows(query, _COLUMNS):
        heard = base.has_heard(model, added, reader.meta(base.network_key))
        if heard and are_whole([embedding], base).all():
            return bytes(embedding)
    return None


def lots(reader: Reader, base: ModelCard) -> Iterator[Lot]:
    """All that can be compared, some at a time; the last may be empty."""
    rows = (row for row in reader.rows(FILED, _COLUMNS) if row[1] is not None)  # never heard
    since, size = reader.meta(base.network_key), 2 * base.embedding_size
    while lot := list(islice(rows, LOT_ROWS)):
        usable = [
            row for row in lot
            if len(row[4] or b"") == size and base.has_heard(row[1], row[2], since)
        ]  # fmt: skip
        if usable:
            ids = np.array([row[0] for row in usable], np.int64)
            embeddings = unpack([row[4] for row in usable])
            whole = np.isfinite(embeddings).all(axis=1)
            reasons = [usable[row][3] for row in np.flatnonzero(whole).tolist()]
            unknown = len(lot) - len(reasons)
            yield Lot(ids[whole], directions(embeddings[whole]), reasons, unknown)
        else:
            yield Lot(np.zeros(0, np.int64), np.zeros((0, size // 2), np.float32), [], len(lot))
