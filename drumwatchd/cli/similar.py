"""`similar`: which filed samples sound like another."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import click

from drumwatchd.cli.context import Context, judging_model
from drumwatchd.cli.output import LineWriter, json_text, visible
from drumwatchd.cli.queries import EXIT_NOT_FOUND, sample_json
from drumwatchd.errors import UsageError
from drumwatchd.index.reader import Reader, open_reader

if TYPE_CHECKING:
    from drumwatchd.analysis.model_card import ModelCard
    from drumwatchd.config import Config
    from drumwatchd.index.records import Sample


@click.command()
@click.argument("target", metavar="FILE|DIGEST", type=click.UNPROCESSED)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=20, show_default=True,
              help="So many samples.")  # fmt: skip
@click.option("-0", "--null", is_flag=True, help="Paths only, each ended with NUL, for xargs -0.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_obj
def similar(context: Context, target: str, limit: int, null: bool, as_json: bool) -> None:
    """List the filed samples that sound most like one, each with how much: 1 is the same.

    FILE may be filed, by its path or its name, or stand anywhere: then it is listened to, and stays
    where it is. DIGEST may be cut short, to four digits at least. Only samples are compared that
    the same network has heard.
    """
    from drumwatchd.similar import similar as find

    if as_json and null:
        raise UsageError("--json goes without --null")
    config = context.load()
    root = str(config.archive.root)
    base = judging_model(config).base
    with open_reader(str(config.index.path)) as reader:
        sample, embedding = _sound(reader, target, config, base)
        if embedding is None:
            click.echo(f"drumwatchd: the index knows nothing of {visible(target)}", err=True)
            click.get_current_context().exit(EXIT_NOT_FOUND)
        found = find(reader, base, embedding, limit, but=sample.id if sample else None)
    with LineWriter("\0" if null else "\n") as writer:
        spell = visible if writer.is_terminal else str
        for each, likeness in found.samples:
            path = each.location(root)
            if as_json:
                value = sample_json(each, root) | {"likeness": round(likeness, 6)}
                writer.write(json_text(value))
            else:
                writer.write(path if null else f"{likeness:.3f}  {spell(path)}")
    if found.unknown:
        click.echo(
            f"drumwatchd: {found.unknown:,} not compared: another network heard them, "
            "or they were edited since",
            err=True,
        )


def _sound(
    reader: Reader, target: str, config: Config, base: ModelCard
) -> tuple[Sample | None, bytes | None]:
    """The sample that is meant, if it is one, and what the network makes of it."""
    from drumwatchd.cli.lookup import digest_of_file, find_story
    from drumwatchd.similar import known_embedding

    root, algorithm = str(config.archive.root), config.index.hash_algorithm
    story = find_story(reader, target, root=root, default_algorithm=algorithm)
    sample = story.sample if story else None
    path = os.path.realpath(os.path.expanduser(target))
    content = digest_of_file(path, reader.meta("hash_algorithm") or algorithm)
    if sample and content not in (None, sample.digest):
        if path != os.path.realpath(sample.location(root)):
            sample = None  # it was filed from there, or is called so, but another file stands there
        return sample, _listened_to(path, config)
    if sample and (known := known_embedding(sample, reader, base)) is not None:
        return sample, known
    if sample and not os.path.isfile(path):
        path = os.path.realpath(sample.location(root))
    return sample, _listened_to(path, config) if sample or os.path.isfile(path) else None


def _listened_to(path: str, config: Config) -> bytes:
    from drumwatchd.analysis.model_store import store_folder
    from drumwatchd.daemon import analysis_workers

    workers = analysis_workers(config.classify, store_folder(config.index.path))
    with contextlib.closing(workers):
        return workers.analyse(path, os.path.basename(path)).embedding
