"""`retry`: give quarantined and failed files another chance."""

from __future__ import annotations

import os

import click

from drumwatchd.cli import EXIT_FOUND, EXIT_PARTLY, EXIT_USAGE
from drumwatchd.cli.context import Context
from drumwatchd.cli.output import visible


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE|DIGEST]…")
@click.option("--all", "everything", is_flag=True, help="All that is quarantined or failed.")
@click.pass_obj
def retry(context: Context, files: tuple[str, ...], everything: bool) -> None:
    """Take quarantined and failed files again.

    A quarantined file goes back to the inbox it came from; a file that stayed in its inbox is
    looked at again. The daemon takes both at its next look.
    """
    from drumwatchd.archive.requeue import Requeue
    from drumwatchd.index.store import open_index

    if not files and not everything:
        raise click.UsageError("name files or digests, or say --all")
    config = context.load()
    if not config.index.path.exists():
        click.echo("drumwatchd: nothing to retry, there is no index yet", err=True)
        raise SystemExit(EXIT_FOUND)
    index = open_index(str(config.index.path), config.index.hash_algorithm)
    try:
        requeue = Requeue(index, str(config.archive.root), config.index.hash_algorithm)
        wanted = None if everything else [_absolute(file) for file in files]
        results = list(requeue.run(wanted))
    finally:
        index.close()
    for result in results:
        click.echo(visible(f"{result.path}: {result.problem or 'queued again'}"))
    if not results:
        click.echo("drumwatchd: nothing to retry", err=True)
        raise SystemExit(EXIT_FOUND if everything else EXIT_USAGE)
    if any(result.problem for result in results):
        raise SystemExit(EXIT_PARTLY)


def _absolute(file: str) -> str:
    """A path made absolute; a digest as it is."""
    return os.path.abspath(file) if os.path.lexists(file) else file
