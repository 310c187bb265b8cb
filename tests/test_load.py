"""Many files at once, and files all the time: short forms of `torture/burst.py` and `torture/soak.py`."""

from __future__ import annotations

import random
import statistics
from pathlib import Path

import pytest

from torture.burst import burst
from torture.soak import soak

pytestmark = pytest.mark.e2e
MOST_MEMORY_MB = 80.0


def test_two_thousand_files_at_once(tmp_path: Path) -> None:
    """Stopped half-way, nothing is half done; each is filed once in the end."""
    found = burst(tmp_path, 2_000)
    assert max(found.peak_mb) < MOST_MEMORY_MB
    assert found.stop_seconds < 5.0 + 3.0  # these machines have other work


def test_a_minute_of_steady_work(tmp_path: Path) -> None:
    """Descriptors, threads and the log stay as they are, memory nearly so; the first seconds fill caches."""
    found = soak(tmp_path, 0.6, 500, random.Random(1))
    assert found.filed > 800

    def of(name: str, looks: list[object]) -> float:
        return statistics.median(getattr(look, name) for look in looks)

    for name, more in (("descriptors", 3), ("threads", 3), ("memory", 6 << 20)):
        assert of(name, found.last) - of(name, found.first) <= more, name
    assert max(look.wal for look in found.looks) < 16 << 20
