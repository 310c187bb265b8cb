"""`similar` among a hundred thousand and a million samples: the question itself, and the whole command."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import queries
from benchmarks.measuring import Row, Table, milliseconds, python, times
from drumwatchd.analysis.likeness import close_pairs, directions, nearest
from drumwatchd.analysis.model_card import read_card, shipped_model

WANTED_SECONDS = 0.05
LIMIT = 20
CARD = read_card(shipped_model())


def measure(quick: bool) -> list[Table]:
    """In memory, then from the index; and all near pairs of a home's library."""
    counts = (2_000,) if quick else (100_000, 1_000_000)
    rows = [_question(count, 3 if quick else 9) for count in counts]
    rows += [_pairs(count) for count in ((2_000,) if quick else (20_000, 47_000))]
    rows += [_command(count, 1 if quick else 3) for count in counts]
    caption = (
        f"{CARD.embedding_size} values each, the {LIMIT} most alike; "
        "the median of processor time, one thread; of whole processes with the index in the page cache"
    )
    return [Table("Similar sounds", "`drumwatchd ls --limit 20` on the same index", rows, caption)]


def _question(count: int, rounds: int) -> Row:
    among = directions(_embeddings(count, 1))
    taken = []
    for number in range(rounds):
        begin = time.process_time()
        nearest(among, among[number], LIMIT)
        taken.append(time.process_time() - begin)
    seconds = statistics.median(taken)
    what, wanted = f"{count:,} in memory, one question", f"≤ {milliseconds(WANTED_SECONDS)}"
    return Row(what, milliseconds(seconds), wanted=wanted, met=seconds <= WANTED_SECONDS)


def _pairs(count: int) -> Row:
    among = directions(_embeddings(count, 2))
    begin = time.process_time()
    close_pairs(among, 0.95, 8)
    seconds = time.process_time() - begin
    return Row(f"all near pairs of {count:,}", f"{seconds:.1f} s of one core")


def _command(count: int, rounds: int) -> Row:
    with tempfile.TemporaryDirectory(prefix="drumwatchd-") as name:
        home = Path(name)
        queries.make_home(home)
        digest, _ = queries.make_index(home / "index.sqlite3", count)
        _let_hear(home / "index.sqlite3", count)
        command = python("-m", "drumwatchd", "--config", str(home / "config.toml"))
        lines = [[*command, "similar", digest], [*command, "ls", "--limit", "20"]]
        turns = [[queries.once(line) for line in lines] for _ in range(rounds + 1)][1:]
    ours, listed = (queries.median(part) for part in zip(*turns, strict=True))
    return Row(
        f"{count:,} in the index, the whole command",
        _both(ours), _both(listed), times(ours.cpu / listed.cpu),
    )  # fmt: skip


def _both(timing: queries.Timing) -> str:
    return f"{milliseconds(timing.whole)} (CPU {milliseconds(timing.cpu)})"


def _embeddings(count: int, seed: int) -> np.ndarray:
    """As the network makes them: positive, and in heaps."""
    pick = np.random.default_rng(seed)
    middles = pick.exponential(1.0, (500, CARD.embedding_size)).astype(np.float32)
    made = middles[pick.integers(0, len(middles), count)]
    return made + pick.exponential(0.5, made.shape).astype(np.float32)


def _let_hear(index: Path, count: int) -> None:
    """Give every sample an embedding of the shipped network."""
    connection = sqlite3.connect(index, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, '0.0')", (CARD.network_key,))
    connection.executemany(
        "UPDATE analyses SET embedding = ? WHERE sample_id = ?",
        ((packed, number + 1) for number, packed in enumerate(_packed(count))),
    )
    connection.execute("COMMIT")
    connection.close()


def _packed(count: int) -> Iterator[bytes]:
    for begin in range(0, count, 10_000):
        for row in _embeddings(min(10_000, count - begin), begin).astype("<f2"):
            yield row.tobytes()
