"""How alike sounds are to the network: the cosine of their embeddings, of few or a million.

Nothing is approximated: a million dot products take some hundredths of a second, and all pairs that
are nearly the same are found in blocks, without comparing each with each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]

# Of a block of rows against what may be near them: 16 MB of cosines.
_BLOCK_ROWS = 1024
_BLOCK_COLUMNS = 4096


def directions(embeddings: Array) -> Array:
    """Embeddings at length one, float32 [shape=(n, size)]; nothing where one has no direction.

    A zero is as unlike everything as can be.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    fine = np.isfinite(lengths) & (lengths > 0.0)
    return np.where(fine, embeddings / np.where(fine, lengths, 1.0), 0.0).astype(np.float32)


def nearest(among: Array, direction: Array, count: int) -> tuple[Rows, Array]:
    """The rows of `among` most like a direction, and how much, the most alike first.

    Args:
        among: directions, float32 [shape=(n, size)].
        direction: float32 [shape=(size,)].
        count: how many at most.
    """
    cosines = among @ direction
    if count < len(cosines):
        rows = np.argpartition(cosines, -count)[-count:]
    else:
        rows = np.arange(len(cosines))
    order = np.argsort(-cosines[rows], kind="stable")
    return rows[order], cosines[rows[order]]


def close_pairs(among: Array, least: float, count: int) -> tuple[Rows, Rows, Array]:
    """All pairs of rows that are nearly the same: of each row, with the few nearest to it.

    Sorted along the direction in which they differ most, rows that are near stand near: two of cosine
    c are 2 - 2c apart, squared, and no more than that along any line.

    Args:
        among: directions, float32 [shape=(n, size)].
        least: cosine, above 0, so that no zero is like another.
        count: so many of the nearest to each row.

    Returns:
        Two rows, the first before the second, and their cosine; each pair once, in the order of rows.
    """
    if len(among) < 2:
        none = np.zeros(0, np.intp)
        return none, none, np.zeros(0, np.float32)
    along = among @ _widest(among)
    order = np.argsort(along, kind="stable")
    rows, along = among[order], along[order]
    found = []
    for begin in range(0, len(rows), _BLOCK_ROWS):
        block, of_block = slice(begin, begin + _BLOCK_ROWS), along[begin : begin + _BLOCK_ROWS]
        # Rounding aside.
        reach = float(np.sqrt(2.0 - 2.0 * least)) + 1e-4
        first = int(np.searchsorted(along, of_block[0] - reach, "left"))
        last = int(np.searchsorted(along, of_block[-1] + reach, "right"))
        a, b, cosines = _of_block(rows, block, slice(first, last), least)
        kept = _first_of_each(a, cosines, count)
        found.append((order[a[kept]], order[b[kept]], cosines[kept]))
    a, b, cosines = (np.concatenate(parts) for parts in zip(*found, strict=True))
    low, high = np.minimum(a, b), np.maximum(a, b)
    _, once = np.unique(low * len(rows) + high, return_index=True)
    return low[once], high[once], cosines[once]


def _of_block(rows: Array, block: slice, columns: slice, least: float) -> tuple[Rows, Rows, Array]:
    """Pairs of a row of the block with any other of the columns."""
    parts = []
    for begin in range(columns.start, columns.stop, _BLOCK_COLUMNS):
        cosines = rows[block] @ rows[begin : min(columns.stop, begin + _BLOCK_COLUMNS)].T
        a, b = np.nonzero(cosines >= least)
        parts.append((a + block.start, b + begin, cosines[a, b]))
    a, b, found = (np.concatenate(part) for part in zip(*parts, strict=True))
    others = a != b
    return a[others], b[others], found[others]


def _first_of_each(of: Rows, cosines: Array, count: int) -> Rows:
    """Positions of the `count` highest cosines of each row."""
    order = np.lexsort((-cosines, of))
    sorted_of = of[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_of, sorted_of, "left")
    return order[rank < count]


def _widest(among: Array) -> Array:
    """The direction in which rows differ most, by some of them."""
    some = among[:: max(1, len(among) // 10_000)]
    _, vectors = np.linalg.eigh(np.cov(some, rowvar=False))
    return np.asarray(vectors[:, -1], dtype=np.float32)
