"""`duplicates`: contents that came again, and recordings that are filed more than once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from drumwatchd.cli import EXIT_PARTLY
from drumwatchd.cli.context import Context, judging_model
from drumwatchd.cli.output import JSON_SCHEMA, LineWriter, json_text, visible
from drumwatchd.cli.queries import sample_json
from drumwatchd.index.reader import Reader, open_reader

if TYPE_CHECKING:
    from drumwatchd.batch.twins import Twins
    from drumwatchd.config import Config


@click.command()
@click.option("--near", is_flag=True,
              help="Recordings filed more than once: re-encoded, cut, padded, louder.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, one a group.")
@click.pass_obj
def duplicates(context: Context, near: bool, as_json: bool) -> None:
    """List duplicates, in groups with an empty line between; nothing is deleted.

    Without --near: filed samples whose very content came again, each followed by the paths where it
    did, whatever stands there now. With --near: samples that hold the same recording, the best copy
    first (lossless, longest, of the highest rate). Those of which the network thinks nearly the
    same are read and laid over each other, up to eight comparisons a sample.

    Exit code 3 when a file could not be read.
    """
    config = context.load()
    root = str(config.archive.root)
    with open_reader(str(config.index.path)) as reader:
        if not near:
            _print(_exact(reader, root, as_json), as_json)
            return
        twins = _near(reader, config)
    _print(_alike(twins, root, as_json), as_json)
    if twins.unknown:
        click.echo(
            f"drumwatchd: {twins.unknown:,} not compared: another network heard them, "
            "or they were edited since",
            err=True,
        )
    if twins.unread:
        click.echo(f"drumwatchd: {twins.unread:,} pairs not read", err=True)
        raise SystemExit(EXIT_PARTLY)


def _print(groups: Iterator[list[str]], as_json: bool) -> None:
    """One group after the other: a line each as JSON, else a line for each path."""
    count = 0
    with LineWriter() as writer:
        spell = visible if writer.is_terminal and not as_json else str
        for count, lines in enumerate(groups, start=1):
            if count > 1 and not as_json:
                writer.write("")
            for line in lines:
                writer.write(spell(line))
    if not count:
        click.echo("drumwatchd: no duplicates", err=True)


def _exact(reader: Reader, root: str, as_json: bool) -> Iterator[list[str]]:
    for digest, again in reader.came_again():
        found = reader.by_digest(digest, limit=1)
        path = found[0].location(root) if found and found[0].state == "filed" else None
        if path is None or not os.path.lexists(path):
            continue  # gone: where it came again may be the only copy
        if as_json:
            where = [{"path": one, "exists": os.path.lexists(one)} for one in again]
            about = {"schema": JSON_SCHEMA, "digest": digest, "path": path, "again": where}
            yield [json_text(about)]
        else:
            yield [path, *again]


def _near(reader: Reader, config: Config) -> Twins:
    from drumwatchd.analysis.workers import worker_count
    from drumwatchd.batch.classify import Hands
    from drumwatchd.batch.pool import Processes
    from drumwatchd.batch.twins import find_twins
    from drumwatchd.cli.batch import bar

    how = config.classify
    base = judging_model(config).base
    count = worker_count(how.worker_count)
    timeout_seconds, memory_mb = how.worker_timeout_seconds, how.worker_memory_mb
    with (
        Processes(count, timeout_seconds=timeout_seconds, memory_mb=memory_mb) as executor,
        bar("comparing") as progress,
    ):
        return find_twins(reader, base, str(config.archive.root), Hands(executor, count), progress)


def _alike(twins: Twins, root: str, as_json: bool) -> Iterator[list[str]]:
    for group in twins.groups:
        if as_json:
            about = {
                "schema": JSON_SCHEMA, "agreement": round(group.agreement, 6),
                "samples": [sample_json(sample, root) for sample in group.samples],
            }  # fmt: skip
            yield [json_text(about)]
        else:
            yield [sample.location(root) for sample in group.samples]
