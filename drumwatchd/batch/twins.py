"""The same recording filed more than once: re-encoded, at another level or rate, cut or padded.

    embeddings ──► near pairs ──► waveforms laid over each other ──► groups, the best copy first

Content that is the same to the bit is filed once anyway. Nothing is deleted here, nor moved.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drumwatchd.analysis.likeness import close_pairs
from drumwatchd.analysis.model_card import ModelCard
from drumwatchd.analysis.twins import Copy, agreements, copies
from drumwatchd.batch.classify import AHEAD, Hands, Progress
from drumwatchd.errors import DrumwatchdError
from drumwatchd.index.reader import Reader
from drumwatchd.index.records import Sample
from drumwatchd.similar import lots

# Measured: docs/how-to/similar.md. Embeddings only say what is worth a comparison.
NEAR, N_NEAREST = 0.95, 8
SAME = 0.95
LOT_PAIRS = 64
# Lengths that differ by less are one: codes pad.
_SAME_SECONDS = 0.1
SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Group:
    """Samples that hold one recording.

    Attributes:
        samples: the best copy first: lossless, longest, of the highest rate, the first that came.
        agreement: the least of those that bind them, in [`SAME`, 1].
    """

    samples: tuple[Sample, ...]
    agreement: float


@dataclass(slots=True)
class Twins:
    """What was found.

    Attributes:
        groups: those that agree best first.
        unknown: samples that couldn't be looked at: another network heard them, or they were edited.
        unread: pairs that look alike, of which a file couldn't be read.
    """

    groups: list[Group] = field(default_factory=list)
    unknown: int = 0
    unread: int = 0


def find_twins(
    reader: Reader, base: ModelCard, root: str, hands: Hands, progress: Progress
) -> Twins:
    """Look for recordings that are filed more than once.

    Args:
        reader: the index.
        base: card of the model whose network judges.
        root: the archive's folder.
        hands: who compares.
        progress: is told, pair by pair.
    """
    twins = Twins()
    ids, pairs = _candidates(reader, base, twins)
    involved = sorted({row for pair in pairs for row in pair})
    samples = {each.id: each for each in reader.samples_of([ids[row] for row in involved])}
    pairs = [(ids[a], ids[b]) for a, b in pairs if {ids[a], ids[b]} <= samples.keys()]
    # An archive of links is read where they lead.
    paths = {row: os.path.realpath(each.location(root)) for row, each in samples.items()}
    progress.start(0, len(pairs))
    bonds: list[tuple[int, int, float]] = []
    compared = _done(hands, agreements, [(paths[a], paths[b]) for a, b in pairs], str(base.folder))
    for number, found in enumerate(compared):
        progress.advance(1)
        if found is None:
            twins.unread += 1
        elif found >= SAME:
            bonds.append((*pairs[number], found))
    _group(twins, bonds, samples, paths, hands)
    return twins


def _candidates(
    reader: Reader, base: ModelCard, twins: Twins
) -> tuple[list[int], list[tuple[int, int]]]:
    """Row numbers of all that can be looked at, and pairs of positions in them; no silence."""
    ids: list[int] = []
    parts = [np.zeros((0, base.embedding_size), np.float32)]
    for lot in lots(reader, base):
        twins.unknown += lot.unknown
        heard = [row for row, reason in enumerate(lot.reasons) if reason != SILENT]
        ids += lot.ids[heard].tolist()
        parts.append(lot.directions[heard])
    first, second, _ = close_pairs(np.concatenate(parts), NEAR, N_NEAREST)
    return ids, list(zip(first.tolist(), second.tolist(), strict=True))


def _group(
    twins: Twins,
    bonds: Sequence[tuple[int, int, float]],
    samples: dict[int, Sample],
    paths: dict[int, str],
    hands: Hands,
) -> None:
    """Bring together what is bound, directly or by others."""
    leader = {row: row for bond in bonds for row in bond[:2]}

    def lead(row: int) -> int:
        while leader[row] != row:
            leader[row] = row = leader[leader[row]]
        return row

    for a, b, _ in bonds:
        leader[lead(a)] = lead(b)
    least: dict[int, float] = {}
    for a, _, found in bonds:
        least[lead(a)] = min(least.get(lead(a), 1.0), found)
    bound = sorted(leader)
    members: dict[int, list[int]] = {}
    for row in bound:
        members.setdefault(lead(row), []).append(row)
    looks = dict(zip(bound, _done(hands, copies, [paths[row] for row in bound]), strict=True))
    for first, rows in members.items():
        best = sorted(rows, key=lambda row: (*_worth(looks[row]), row))
        twins.groups.append(Group(tuple(samples[row] for row in best), least[first]))
    twins.groups.sort(key=lambda group: (-group.agreement, group.samples[0].id))


def _worth(copy: Copy | None) -> tuple[bool, int, int]:
    """Sorts the best copy first."""
    if copy is None:
        return True, 0, 0
    return not copy.lossless, -round(copy.duration_seconds / _SAME_SECONDS), -copy.sample_rate_hz


def _done(
    hands: Hands, function: Callable[..., list[Any]], items: Sequence[Any], *more: Any
) -> Iterator[Any]:
    """A function of lots of items, one answer each; None where whoever worked on it died."""
    waiting: deque[tuple[Sequence[Any], Future[list[Any]]]] = deque()
    for begin in range(0, len(items), LOT_PAIRS):
        lot = items[begin : begin + LOT_PAIRS]
        waiting.append((lot, hands.executor.submit(function, lot, *more)))
        if len(waiting) > AHEAD * hands.count:
            yield from _answers(hands, function, *waiting.popleft(), *more)
    while waiting:
        yield from _answers(hands, function, *waiting.popleft(), *more)


def _answers(
    hands: Hands,
    function: Callable[..., list[Any]],
    lot: Sequence[Any],
    task: Future[list[Any]],
    *more: Any,
) -> list[Any]:
    try:
        return task.result()
    except DrumwatchdError:
        raise
    except Exception:
        if len(lot) == 1:
            return [None]
    tasks = [([item], hands.executor.submit(function, [item], *more)) for item in lot]
    return [_answers(hands, function, *task, *more)[0] for task in tasks]
