"""`classify --out`: a whole archive, phase one."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drumwatchd.cli import EXIT_PARTLY
from drumwatchd.cli.context import Context
from drumwatchd.cli.output import JSON_SCHEMA, counted, iso_utc, print_json, visible
from drumwatchd.errors import RunError, UsageError

if TYPE_CHECKING:
    from drumwatchd.batch.classify import Ended, Hands, Progress
    from drumwatchd.batch.run_folder import RunFolder
    from drumwatchd.config import ClassifyConfig


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A cluster to work with.

    Attributes:
        scheduler: its address.
        mounted: folders here and where its workers find them.
        send: files go there with the tasks.
    """

    scheduler: str
    mounted: tuple[tuple[str, str], ...] = ()
    send: bool = False


def elsewhere_of(scheduler: str | None, maps: tuple[str, ...], send: bool) -> Elsewhere | None:
    """The cluster that the options name, if they name one.

    Raises:
        UsageError: they don't go together, or one is no pair of absolute folders.
    """
    if scheduler is None:
        if maps or send:
            raise UsageError("--map and --send go with --scheduler")
        return None
    if maps and send:
        raise UsageError("--map goes without --send")
    pairs = [tuple(text.split("=", 1)) for text in maps]
    for text, pair in zip(maps, pairs, strict=True):
        if len(pair) != 2 or not all(os.path.isabs(folder) for folder in pair):
            raise UsageError(f"--map wants /here=/there, not {text}")
    mounted = tuple((os.path.realpath(pair[0]), pair[1]) for pair in pairs)
    return Elsewhere(scheduler, mounted, send)


def classify_archive(
    context: Context,
    paths: tuple[str, ...],
    out: Path,
    as_json: bool,
    elsewhere: Elsewhere | None = None,
) -> None:
    """Judge everything below `paths` and keep the results in a new folder of `out`."""
    from drumwatchd.batch import run_folder
    from drumwatchd.desk import analysis_settings

    context.check_apart(out)
    roots = [_root(path) for path in paths]
    settings = analysis_settings(context.classify_settings(), context.store())
    about, pinned = run_folder.about(roots, context.algorithm(), settings)
    with _connected(elsewhere) as client, run_folder.alone(out):
        for other in run_folder.left_unfinished(out, about):
            click.echo(
                f"drumwatchd: {visible(str(other.path))} stays unfinished: it was begun with another "
                "model, other settings or another version",
                err=True,
            )
        run = run_folder.begin(out, about, settings.store, time.time())
        judge = run_folder.heeding(pinned, run)
        try:
            started = time.time()
            with _hands(judge, context.classify_settings(), client, elsewhere) as hands:
                ended = _run(run, out, judge, hands)
            summary = _finish(run, ended, started)
        except RunError as error:
            click.echo(f"drumwatchd: {visible(str(error))}", err=True)
            raise SystemExit(EXIT_PARTLY) from None
    _tell(run, ended, summary, as_json)
    if ended.tally.errors or ended.unreadable:
        raise SystemExit(EXIT_PARTLY)


def _root(path: str) -> str:
    # A link that somebody names is meant.
    real = os.path.realpath(path)
    try:
        os.stat(real)
    except FileNotFoundError:
        raise UsageError("there is no such file or folder", path=path) from None
    except OSError as error:
        hint = "let the user that runs this read it"
        raise UsageError(f"can't be reached ({error.strerror})", path=path, hint=hint) from error
    return real


def _run(run: RunFolder, out: Path, settings: Any, hands: Hands) -> Ended:
    from drumwatchd.batch.classify import classify
    from drumwatchd.config.model import DEFAULT_IGNORE
    from drumwatchd.inbox.rescan import ignore_matcher

    with bar("classifying") as progress:
        return classify(run, out, settings, hands, ignore_matcher(DEFAULT_IGNORE), progress)


@contextlib.contextmanager
def _connected(elsewhere: Elsewhere | None) -> Iterator[Any]:
    """The cluster's client; None at home. Before anything is written: nobody may answer."""
    if elsewhere is None:
        yield None
        return
    from drumwatchd.batch.cluster import connected

    with contextlib.closing(connected(elsewhere.scheduler)) as client:
        yield client


@contextlib.contextmanager
def _hands(
    settings: Any, how: ClassifyConfig, client: Any, elsewhere: Elsewhere | None
) -> Iterator[Hands]:
    """Processes here, or the workers of a cluster; SIGTERM ends them as Ctrl-C does."""
    from drumwatchd.analysis.workers import worker_count
    from drumwatchd.batch.classify import Hands
    from drumwatchd.batch.pool import Processes

    with _terminated_like_interrupted():
        if elsewhere is not None:
            from drumwatchd.batch.cluster import Cluster, Roads

            roads = Roads(elsewhere.mounted, elsewhere.send)
            with Cluster(client, settings, roads) as cluster:
                yield Hands(cluster, cluster.count)
            return
        count = worker_count(how.worker_count)
        timeout_seconds, memory_mb = how.worker_timeout_seconds, how.worker_memory_mb
        with Processes(count, timeout_seconds=timeout_seconds, memory_mb=memory_mb) as executor:
            yield Hands(executor, count)


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does: workers too."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _finish(run: RunFolder, ended: Ended, started: float) -> dict[str, Any]:
    from drumwatchd.batch import plots, results
    from drumwatchd.batch.run_folder import PICTURE_NAME

    count = sum(ended.tally.labels.values())
    title = f"{count:,} files judged by {run.about.model}"
    try:
        plots.draw_overview(run.path / PICTURE_NAME, ended.tally, title)
    except (UsageError, OSError) as error:
        click.echo(f"drumwatchd: no {PICTURE_NAME}: {visible(str(error))}", err=True)
    now = time.time()
    more = {
        "started": iso_utc(started), "ended": iso_utc(now), "seconds": round(now - started, 3),
        "resumed": ended.resumed, "reused": ended.reused,
        "unreadable_folders": len(ended.unreadable),
    }  # fmt: skip
    return results.write_summary(run, ended.tally, more)


def _tell(run: RunFolder, ended: Ended, summary: dict[str, Any], as_json: bool) -> None:
    for folder, reason in ended.unreadable.items():
        click.echo(f"drumwatchd: {visible(folder)}: {reason}", err=True)
    if as_json:
        print_json({**summary, "schema": JSON_SCHEMA, "run": str(run.path)})
        return
    tally = ended.tally
    seconds = summary["seconds"]
    rate = (tally.files - ended.resumed) / seconds if seconds else 0.0
    parts = [counted(tally.files, "file"), counted(tally.duplicates, "duplicate")]
    if ended.resumed:
        parts.append(f"{ended.resumed:,} done before")
    if ended.reused:
        parts.append(f"{ended.reused:,} known from earlier runs")
    if left_out := sum(tally.errors.values()):
        parts.append(f"{left_out:,} left out, see errors.json")
    click.echo(visible(f"{', '.join(parts)}; {seconds:.1f} s, {rate:,.0f} files/s: {run.path}"))


def outcome_parts(labels: Mapping[str, int], left: Mapping[str, int]) -> list[str]:
    """The rest of a summary: files by label, then what was left out and why, if anything was."""
    parts = [f"{label} {number:,}" for label, number in sorted(labels.items())]
    return parts + [f"{number:,} {what}" for what, number in left.items() if number]


def problems_json(problems: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Files that were left out, each with its reason."""
    return [{"path": path, "reason": reason} for path, reason in problems]


@contextlib.contextmanager
def bar(what: str) -> Iterator[Progress]:
    """A bar with rate and time left, on a terminal only."""
    if not sys.stderr.isatty():
        yield _Silent()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(what), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        yield _Bar(shown)


class _Silent:
    def start(self, done: int, to_do: int) -> None:
        pass

    def advance(self, files: int) -> None:
        pass


class _Bar:
    def __init__(self, shown: Any) -> None:
        self._bar = shown
        self._task = shown.add_task("", total=None, rate="")
        self._done, self._started = 0, time.monotonic()

    def start(self, done: int, to_do: int) -> None:
        self._started = time.monotonic()
        self._bar.update(self._task, completed=done, total=done + to_do)

    def advance(self, files: int) -> None:
        self._done += files
        rate = self._done / max(1e-3, time.monotonic() - self._started)
        self._bar.update(self._task, advance=files, rate=f"{rate:,.0f} files/s")
