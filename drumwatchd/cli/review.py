"""`review`: which samples to listen to first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from drumwatchd.cli.context import Context, judging_model
from drumwatchd.cli.output import LineWriter, json_text, visible
from drumwatchd.cli.queries import QueryCommand, sample_json
from drumwatchd.errors import UsageError
from drumwatchd.index.reader import open_reader

if TYPE_CHECKING:
    from drumwatchd.index.records import Sample


@click.command(cls=QueryCommand)
@click.argument("query", nargs=-1, type=click.UNPROCESSED)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=20, show_default=True,
              help="So many samples.")  # fmt: skip
@click.option("-0", "--null", is_flag=True, help="End each path with NUL, for xargs -0.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option("--m3u", "m3u", metavar="FILE", type=click.Path(dir_okay=False),
              help="Write a playlist, too.")  # fmt: skip
@click.pass_obj
def review(
    context: Context, query: tuple[str, ...], limit: int, null: bool, as_json: bool, m3u: str | None
) -> None:
    """List the samples whose correction would teach most, by default of all.

    QUERY is one of ls. Doubtful ones come first, above all where name and sound disagree, each
    unlike those before it and unlike what you corrected already. Say what each is with
    `correct`, also where it is right. What you corrected isn't listed, nor are loops and silent
    files.
    """

    from drumwatchd.index.query import compile_query
    from drumwatchd.review import review as ask

    if as_json and null:
        raise UsageError("--json goes without --null")
    config = context.load()
    root = str(config.archive.root)
    compiled = compile_query(query, root=root, now=time.time())
    base = judging_model(config).base
    with open_reader(str(config.index.path)) as reader:
        found = ask(reader, compiled, base, limit)
    if m3u is not None:
        _write_playlist(m3u, found.samples, root)
    with LineWriter("\0" if null else "\n") as writer:
        spell = visible if writer.is_terminal else str
        for sample in found.samples:
            text = json_text(sample_json(sample, root)) if as_json else spell(sample.location(root))
            writer.write(text)
    if not found.samples:
        click.echo("drumwatchd: there is nothing to ask about", err=True)
    if found.unknown:
        click.echo(
            f"drumwatchd: {found.unknown:,} left out: another network heard them, "
            "or they were edited since",
            err=True,
        )


def _write_playlist(file: str, samples: list[Sample], root: str) -> None:
    from drumwatchd.files import write_atomically
    from drumwatchd.review import playlist

    text, left_out = playlist(samples, root)
    try:
        write_atomically(file, text, durable=False)
    except OSError as error:
        raise UsageError(f"the playlist can't be written ({error.strerror})", path=file) from error
    for path in left_out:
        click.echo(
            f"drumwatchd: no playlist can hold this name, it is left out there: {visible(path)}",
            err=True,
        )
