"""How long the real daemon takes for one file, from settled to filed, and where that goes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import samples
from benchmarks.measuring import Row, Table, milliseconds, percentile, times
from benchmarks.steps import BARE, FULL, Steps
from drumwatchd.inbox.watcher import file_system_of
from home import Home, wait_for

SETTLE_SECONDS = 0.05
WANTED_MEDIAN, WANTED_P95 = 0.060, 0.150
WARM_UP = 3  # files: the worker starts with the first

Spent = list[dict[str, float]]


def measure(quick: bool) -> list[Table]:
    """Drop files one by one; before each, do the bare steps for a copy of it."""
    count = WARM_UP + (3 if quick else 300)
    with tempfile.TemporaryDirectory(prefix="drumwatchd-") as name:
        folder = Path(name)
        made = samples.files(folder / "made", count)
        home = Home(folder / "home", inbox=f"settle_seconds = {SETTLE_SECONDS}")
        log_as_json(home)
        with contextlib.closing(Steps(folder / "steps")) as steps, home.running():
            measured = [_one(home, steps, path, n) for n, path in enumerate(made)][WARM_UP:]
        disk = file_system_of(name)
    filed, dropped, bare, full = zip(*measured, strict=True)
    caption = (
        f"{count - WARM_UP} {samples.source()}, dropped one by one by rename, one warm worker, "
        f"{disk}; the steps of the baseline were done for a copy of each file just before it"
    )
    return [_figures(filed, dropped, bare, caption), _shares(filed, bare, full, caption)]


def log_as_json(home: Home) -> None:
    """Have the daemon say what it does in lines that can be read back."""
    with home.config.open("a") as stream:
        stream.write('[log]\nformat = "json"\n')


def filed_line(home: Home, name: str) -> dict[str, Any] | None:
    """What the log says of the filing of the file that was dropped under `name`."""
    for line in reversed(home.log_text().splitlines()):
        if line.startswith("{"):
            said: dict[str, Any] = json.loads(line)
            if said["event"] == "filed" and os.path.basename(said["source"]) == name:
                return said
    return None


def _one(
    home: Home, steps: Steps, path: Path, number: int
) -> tuple[float, float, dict[str, float], dict[str, float]]:
    """Seconds settled → filed, dropped → filed, and of the steps without the daemon."""
    # Each gets a copy of its own, just made: syncing what is on the disk already costs nothing.
    if number % 2:  # who comes second finds the caches warm
        bare, full = steps.bare(_copy(path, "bare")), steps.full(_copy(path, "full"))
    else:
        full, bare = steps.full(_copy(path, "full")), steps.bare(_copy(path, "bare"))
    fresh, dropped = _copy(path, "fresh"), time.time()
    os.rename(fresh, home.inbox / path.name)
    line = wait_for(lambda: filed_line(home, path.name), f"{path.name} to be filed", step=0.01)
    filed = datetime.fromisoformat(line["timestamp"]).timestamp()
    return line["duration_ms"] / 1e3, filed - dropped, bare, full


def _copy(path: Path, folder: str) -> Path:
    target = path.parent.parent / folder / path.name
    target.parent.mkdir(exist_ok=True)
    return Path(shutil.copyfile(path, target))


def _figures(
    filed: Sequence[float], dropped: Sequence[float], bare: Sequence[dict[str, float]], caption: str
) -> Table:
    least = [sum(spent.values()) for spent in bare]
    waited = [seconds - SETTLE_SECONDS for seconds in dropped]
    return Table(
        "Settled → filed",
        f"the sum of the bare steps ({', '.join(BARE)}), in one process",
        [
            _row("median", _median(filed), _median(least), WANTED_MEDIAN),
            _row("95th percentile", percentile(filed, 95), percentile(least, 95), WANTED_P95),
            _row("worst", max(filed), max(least)),
            _row(
                f"dropped → filed, less the {SETTLE_SECONDS:g} s to settle: median",
                _median(waited),
                _median(least),
            ),
        ],
        caption,
    )


def _row(what: str, here: float, baseline: float, limit: float | None = None) -> Row:
    wanted = "" if limit is None else f"≤ {limit * 1e3:.0f} ms"
    met = None if limit is None else here <= limit
    ratio = times(here / baseline)
    return Row(what, milliseconds(here), milliseconds(baseline), ratio, wanted, met)


def _shares(
    filed: Sequence[float],
    bare: Sequence[dict[str, float]],
    full: Sequence[dict[str, float]],
    caption: str,
) -> Table:
    """Medians of the steps; what is left of the whole goes between threads and processes."""
    whole = _median(filed)
    spent = {step: _median([steps[step] for steps in full]) for step in FULL}
    logged = [step for step in FULL if step != "remove the source"]  # the log line comes before it
    rows = []
    for step in FULL:
        rows.append(_share(step, spent[step], whole))
        if step == "analyse":
            for part in ("decode", "features", "network"):
                rows.append(_share(f"- {part}", _median([steps[part] for steps in bare]), whole))
    between = whole - sum(spent[step] for step in logged)
    rows.append(_share("between threads and processes", between, whole))
    rows.append(_share("settled → filed", whole, whole))
    return Table("Where the time of one file goes", "", rows, f"Medians of {caption}")


def _share(step: str, seconds: float, whole: float) -> Row:
    return Row(step, milliseconds(seconds), ratio=f"{100 * seconds / whole:.0f} %")


def _median(values: Sequence[float]) -> float:
    return float(statistics.median(values))
