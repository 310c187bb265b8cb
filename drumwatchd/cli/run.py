"""`run` and `scan`: the work itself, for ever or once."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from drumwatchd.cli import EXIT_INTERRUPTED, EXIT_PARTLY, printable
from drumwatchd.cli.context import Context

if TYPE_CHECKING:
    from drumwatchd.workloop import WorkLoop


@click.command()
@click.pass_obj
def run(context: Context) -> None:
    """Watch the inboxes and file what arrives, until SIGTERM or Ctrl-C.

    SIGHUP reads the configuration again; a bad one changes nothing.
    """
    from drumwatchd import daemon
    from drumwatchd.config import load_config

    config = context.load()
    assert config.path is not None
    signals = daemon.Signals()
    signals.install()
    daemon.run(config, functools.partial(load_config, config.path), signals)


@click.command()
@click.option("--quiet", "-q", is_flag=True, help="Only warnings: no bar, no lines, no summary.")
@click.pass_obj
def scan(context: Context, quiet: bool) -> None:
    """File what is in the inboxes now, then exit.

    Waits until files that are still being written are finished. Exit code 0 when everything was
    filed, 3 when something was left out.
    """
    from drumwatchd import daemon, log

    config = context.load()
    shows_bar = sys.stderr.isatty() and not quiet
    log.configure("warning" if shows_bar or quiet else config.log.level, config.log.format)
    signals = daemon.Signals()
    signals.install()
    with _bar(shows_bar) as on_progress:
        loop = daemon.scan(config, signals, on_progress)
    if not quiet:
        click.echo(_summary(loop), err=True)
    if signals.stop:
        raise SystemExit(EXIT_INTERRUPTED)
    if not _all_filed(loop):
        raise SystemExit(EXIT_PARTLY)


@contextlib.contextmanager
def _bar(shown: bool) -> Iterator[Callable[[WorkLoop], None]]:
    if not shown:
        yield lambda loop: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("filing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("filing", total=None)

        def update(loop: WorkLoop) -> None:
            done = loop.done
            progress.update(task, completed=done, total=done + loop.pending)

        yield update


def _summary(loop: WorkLoop) -> str:
    from drumwatchd.pipeline import Outcome

    shown = {
        Outcome.FILED: "filed",
        Outcome.DUPLICATE: "already known",
        Outcome.QUARANTINED: "quarantined",
        Outcome.FAILED: "failed",
    }
    parts = [f"{loop.outcomes[outcome]} {text}" for outcome, text in shown.items()]
    line = ", ".join(part for part in parts if not part.startswith("0 ")) or "nothing to file"
    if loop.pending:
        line += f"; {loop.pending} left in the inbox"
    if loop.degraded is not None:
        line += f"\ndrumwatchd: {printable(str(loop.degraded))}"
    return line


def _all_filed(loop: WorkLoop) -> bool:
    from drumwatchd.pipeline import Outcome

    bad = loop.outcomes[Outcome.QUARANTINED] + loop.outcomes[Outcome.FAILED]
    unreadable = any(inbox.tally.unreadable for inbox in loop.inboxes.values())
    return not (bad or unreadable or loop.pending or loop.degraded)
