"""A cluster on loopback: what a file costs each who has a hand in it, and what ten million would.

Processor time, for walls tell little where one machine plays them all.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import samples
from benchmarks.measuring import Row, Table, children, times, usage
from drumwatchd.analysis.model_card import shipped_model
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.batch import run_folder
from drumwatchd.batch.classify import Hands, classify
from drumwatchd.batch.cluster import Cluster, Roads, connected
from drumwatchd.batch.pool import Processes
from farm import farm

FILES = 2_000
MANY = 10_000_000
CORES = 4  # of each of the machines that are reckoned with
SETTINGS = AnalysisSettings(str(shipped_model()))


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of processor time for one file.

    Attributes:
        client: who asks: walks, takes in what comes back, writes.
        scheduler: who deals out.
        workers: who reads, digests and judges, all of them together.
    """

    client: float
    scheduler: float
    workers: float


class _Silent:
    def start(self, done: int, to_do: int) -> None:
        pass

    def advance(self, files: int) -> None:
        pass


def measure(quick: bool) -> list[Table]:
    """At home and on two workers, mounted and sent; then the sums."""
    count = 100 if quick else FILES
    with tempfile.TemporaryDirectory(prefix="drumwatchd-") as name:
        folder = Path(name)
        made = samples.files(folder / "archive", count)
        size = sum(path.stat().st_size for path in made) / count
        home = _at_home(folder, count)
        mounted, sent = (_on_cluster(folder, count, send=send) for send in (False, True))
    rows = [
        *_rows("mounted there", mounted, home),
        *_rows("sent", sent, home),
        Row("bytes on the way to a worker, sent", f"{size / 1e3:.0f} kB"),
    ]
    caption = f"{count:,} files of {samples.source()}; processor time for each file, the start of the workers aside"
    return [
        Table("A file's costs", "two processes of one machine, no cluster", rows, caption),
        Table(
            f"{MANY // 1_000_000} million files", "", list(_sums(mounted, sent, size)),
            f"Reckoned from the figures above, machines of {CORES} cores like this one's, one thread a worker",
        ),
    ]  # fmt: skip


def _rows(how: str, costs: Costs, home: Costs) -> list[Row]:
    return [
        _row(f"a worker, {how}", costs.workers, home.workers),
        _row(f"who asks, {how}", costs.client, home.client),
        Row(f"the scheduler, {how}", f"{costs.scheduler * 1e3:.2f} ms"),
    ]


def _row(what: str, here: float, there: float) -> Row:
    return Row(what, f"{here * 1e3:.2f} ms", f"{there * 1e3:.2f} ms", times(here / there))


def _sums(mounted: Costs, sent: Costs, size: float) -> list[Row]:
    rows = []
    for count in (1, 4, 16, 64):
        hours = MANY * mounted.workers / (count * CORES) / 3600
        bounds = [MANY * max(costs.client, costs.scheduler) / 3600 for costs in (mounted, sent)]
        what = f"{count} machine{'s' * (count > 1)}"
        here = f"{max(hours, bounds[0]):.1f} h mounted, {max(hours, bounds[1]):.1f} h sent"
        rows.append(Row(what, here))
    most = mounted.workers / max(mounted.client, mounted.scheduler) / CORES
    rows.append(Row("machines beyond which who asks or deals out is the limit", f"{most:.0f}"))
    rows.append(Row("bytes over the network, sent", f"{MANY * size / 1e12:.1f} TB"))
    return rows


def _at_home(folder: Path, count: int) -> Costs:
    with Processes(2, timeout_seconds=300, memory_mb=2048) as executor:
        return _costs(folder, "home", count, Hands(executor, 2), [])


def _on_cluster(folder: Path, count: int, *, send: bool) -> Costs:
    name = "sent" if send else "mounted"
    with farm(folder / f"farm {name}") as machines:
        workers = [machines.add_worker().pid for _ in range(2)]
        with Cluster(connected(machines.address), SETTINGS, Roads(send=send)) as cluster:
            scheduler = machines.processes[0].pid
            return _costs(folder, name, count, Hands(cluster, 2), [scheduler, *workers])


def _costs(folder: Path, name: str, count: int, hands: Hands, others: list[int]) -> Costs:
    """Judge some to warm up, then all, and see who took how long.

    Args:
        folder: with the archive.
        name: of the results' folder.
        count: of the files.
        hands: who judges.
        others: the scheduler and the workers; none where they are our own processes.
    """
    archive = folder / "archive"
    _run(folder / "warm" / name, [str(path) for path in sorted(archive.iterdir())[:64]], hands)
    own = time.process_time()
    before = _seconds(others or children(os.getpid()))
    _run(folder / "out" / name, [str(archive)], hands)
    spent = [
        now - then
        for now, then in zip(_seconds(others or children(os.getpid())), before, strict=True)
    ]
    own = time.process_time() - own
    scheduler = spent.pop(0) if others else 0.0
    return Costs(own / count, scheduler / count, sum(spent) / count)


def _seconds(pids: list[int]) -> list[float]:
    return [usage(pid).cpu_seconds for pid in pids]


def _run(out: Path, roots: list[str], hands: Hands) -> None:
    about, pinned = run_folder.about(roots, "sha256", SETTINGS)
    run = run_folder.begin(out, about, "", time.time())
    classify(run, out, run_folder.heeding(pinned, run), hands, lambda name: False, _Silent())
