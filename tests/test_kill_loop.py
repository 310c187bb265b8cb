"""SIGKILL at any moment, in every mode: a short form of `torture/kill_loop.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from torture.kill_loop import MODES, kill_loop


@pytest.mark.e2e
def test_fifty_kills(tmp_path: Path) -> None:
    """Nothing is lost, there twice, or seen half; see there."""
    tolls = kill_loop(tmp_path, kills=50, files=60)
    assert tuple(tolls) == MODES
    assert sum(toll.kills for toll in tolls.values()) == 50
    assert sum(toll.corrections for toll in tolls.values()) > 10
    assert all(toll.seen >= 60 for toll in tolls.values() if toll.mode != "none")
