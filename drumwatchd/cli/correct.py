"""`correct`, `undo` and `overrides`: the owner says what samples are."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from drumwatchd.cli import EXIT_FOUND, EXIT_PARTLY
from drumwatchd.cli.context import Context
from drumwatchd.cli.history import Moment
from drumwatchd.cli.output import JSON_SCHEMA, LineWriter, json_text, print_json, visible
from drumwatchd.errors import DrumwatchdError, SourceChangedError, UsageError

if TYPE_CHECKING:
    from drumwatchd.archive.archive import Archive
    from drumwatchd.config import Config
    from drumwatchd.index.rows import Row
    from drumwatchd.index.store import Index

BAD, CORRECTED, UNCHANGED, KEPT = "bad", "corrected", "unchanged", "kept"


@click.command()
@click.argument("target", metavar="FILE|DIGEST", type=click.UNPROCESSED)
@click.argument("label")
@click.option("--note", metavar="TEXT", help="Why, in your words.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def correct(context: Context, target: str, label: str, note: str | None, as_json: bool) -> None:
    """Say what a sample is; it is filed there.

    LABEL is one of the 34, misc, or a folder of your own in the archive. A label without a folder
    is filed where it folds to, a Rim in Snare/, and remembered as what you said. What stands in
    quarantine is filed so, too. Works while the daemon runs and while it doesn't; moving the file
    by hand does the same.
    """
    from drumwatchd.archive.moves import Mover
    from drumwatchd.desk import open_desk

    config = context.load()
    with open_desk(config) as (index, archive):
        row = _find(config, index, target)
        meant = archive.classes.resolve(label)
        path = Mover(index, archive).correct(row, meant, how="command", note=note)
        _tell(archive, row, meant, path, as_json)


@click.command()
@click.argument("target", metavar="[FILE|DIGEST]", type=click.UNPROCESSED, required=False)
@click.option("--batch", metavar="N", type=int, help="All that `reclassify` moved in batch N.")
@click.option(
    "--since", metavar="WHEN", type=Moment(),
    help="Every correction and batch since then: 2h, 3d, or 2026-05-01T18:00.",
)  # fmt: skip
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object; a line each with --since."
)
@click.pass_obj
def undo(
    context: Context, target: str | None, batch: int | None, since: float | None, as_json: bool
) -> None:
    """Take the last correction back, or that of FILE or DIGEST, or a batch of reclassify.

    The sample goes back to the class it was filed in before you corrected it first. Of a batch, all
    goes back but what you corrected since. With --since, the newest goes first. `log` shows what
    was done. A file is never overwritten, and none that was changed meanwhile is moved. Exit code 1
    where there is nothing to take back, 3 where a part stays.
    """
    from drumwatchd.archive.moves import Mover
    from drumwatchd.desk import open_desk

    config = context.load()
    if sum(choice is not None for choice in (target, batch, since)) > 1:
        raise UsageError("take back one thing: a sample, a batch, or all since a moment")
    if since is not None:
        _undo_since(config, since, as_json)
        return
    if batch is not None:
        from drumwatchd.cli.reclassify import undo_batch

        undo_batch(config, batch, as_json)
        return
    with open_desk(config) as (index, archive):
        row = None if target is None else _find(config, index, target)
        said = archive.corrections.last() if row is None else archive.corrections.of(row.digest)
        if said is None:
            click.echo("drumwatchd: there is no correction to take back", err=True)
            raise SystemExit(EXIT_FOUND)
        row = row or index.row_of(said.digest)
        if row is None:
            archive.corrections.take_back(said.digest)
            _say_taken_back(said.digest, said.label, as_json)
        else:
            _tell(archive, row, None, Mover(index, archive).undo(row, said), as_json)


def _undo_since(config: Config, since: float, as_json: bool) -> None:
    """Take back every correction and every batch since a moment, the newest first."""
    from drumwatchd.archive.moves import Mover
    from drumwatchd.cli.reclassify import undo_batch
    from drumwatchd.desk import open_desk
    from drumwatchd.index.rejudged import Rejudged

    problems = 0
    with open_desk(config) as (index, archive):
        said = archive.corrections.since(since)
        batches = Rejudged(index).batches_since(since)
        mover = Mover(index, archive)
        for one in said:
            row = index.row_of(one.digest)
            try:
                if row is None:
                    archive.corrections.take_back(one.digest)
                    _say_taken_back(one.digest, one.label, as_json)
                else:
                    _tell(archive, row, None, mover.undo(row, one), as_json)
            except (SourceChangedError, UsageError) as error:
                problems += 1
                click.echo(visible(f"drumwatchd: {error}"), err=True)
    for number in batches:
        try:
            undo_batch(config, number, as_json)
        except SystemExit as ended:  # nothing was left of it to take back, or a part stays
            problems += ended.code == EXIT_PARTLY
    if not said and not batches:
        click.echo("drumwatchd: nothing was corrected or judged again since", err=True)
        raise SystemExit(EXIT_FOUND)
    if problems:
        raise SystemExit(EXIT_PARTLY)


def _find(config: Config, index: Index, target: str) -> Row:
    from drumwatchd.cli.lookup import find_story
    from drumwatchd.index.reader import open_reader

    root, algorithm = str(config.archive.root), config.index.hash_algorithm
    with open_reader(str(config.index.path)) as reader:
        story = find_story(reader, target, root=root, default_algorithm=algorithm)
    sample = None if story is None else story.sample
    row = None if sample is None else index.row_of(sample.digest)
    if row is None:
        raise UsageError(
            f"the index knows nothing of {visible(target)}",
            hint="give a file's path, its name, or four digits of its digest or more",
        )
    return row


def _tell(archive: Archive, row: Row, label: str | None, path: str | None, as_json: bool) -> None:
    root = archive.settings.root
    place = None if path is None else os.path.join(root, path)
    if as_json:
        print_json({
            "schema": JSON_SCHEMA, "digest": row.digest, "label": label, "was": row.label,
            "path": place, "from": archive.full_path(row),
        })  # fmt: skip
        return
    what = "correction taken back" if label is None else label
    if path is None:
        where = "noted; it is filed so when it comes again" if label else "noted"
    elif path == row.path:
        where = f"{place} stays where it is"
    else:
        where = f"{archive.full_path(row)} → {place}"
    click.echo(visible(f"{what}: {where}"))


def _say_taken_back(digest: str, label: str, as_json: bool) -> None:
    if as_json:
        print_json({
            "schema": JSON_SCHEMA, "digest": digest, "label": None, "was": label, "path": None,
            "from": None,
        })  # fmt: skip
    else:
        click.echo(f"correction taken back: {digest[:12]} is not {label} any more")


# -- overrides ----------------------------------------------------------------------------------


@click.group()
def overrides() -> None:
    """Take corrections from one index to another, as JSON Lines."""


@overrides.command("export")
@click.argument("file", required=False, type=click.Path(dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="With FILE: print one JSON object.")
@click.pass_obj
def export_overrides(context: Context, file: str | None, as_json: bool) -> None:
    """Write every correction to FILE, or to stdout, one JSON object a line.

    {"hash": …, "correct_label": …, "note": …}
    """
    from drumwatchd.desk import open_desk
    from drumwatchd.files import write_atomically

    with open_desk(context.load()) as (_, archive):
        lines = [
            json_text({"hash": said.digest, "correct_label": said.label, "note": said.note})
            for said in archive.corrections.all()
        ]
    if file is None or file == "-":
        with LineWriter() as writer:
            for line in lines:
                writer.write(line)
        return
    try:
        write_atomically(file, "".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise UsageError(f"can't be written ({error.strerror})", path=file) from error
    if as_json:
        print_json({"schema": JSON_SCHEMA, "file": os.path.abspath(file), "exported": len(lines)})
    else:
        click.echo(visible(f"{len(lines)} corrections: {file}"))


@overrides.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def import_overrides(context: Context, file: Any, as_json: bool) -> None:
    """Correct by the lines of FILE, - for stdin.

    Samples that are known are filed as `correct` does; what is unknown is remembered for when it
    comes. Bad lines are named and passed over. Exit code 3 if there were some.
    """
    from drumwatchd.archive.moves import Mover
    from drumwatchd.desk import open_desk

    with open_desk(context.load()) as (index, archive):
        importer = _Importer(index, archive, Mover(index, archive).correct)
        results = [importer.take(line) for line in _lines(file)]
    counts = {kind: sum(r.kind == kind for r in results) for kind in (CORRECTED, UNCHANGED, KEPT)}
    bad = [result for result in results if result.kind == BAD]
    for result in bad:
        click.echo(f"drumwatchd: line {result.number}: {visible(result.problem)}", err=True)
    if as_json:
        faults = [{"line": result.number, "problem": result.problem} for result in bad]
        print_json({"schema": JSON_SCHEMA, **counts, "bad": faults})
    else:
        click.echo(
            ", ".join(f"{count} {kind}" for kind, count in (*counts.items(), (BAD, len(bad))))
        )
    if bad:
        raise SystemExit(EXIT_PARTLY)


def _lines(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    return ((number, line) for number, line in enumerate(file, start=1) if line.strip())


@dataclass(frozen=True, slots=True)
class _Imported:
    number: int
    kind: str
    problem: str = ""


class _Importer:
    """Takes one line after the other; a bad one stops nothing."""

    def __init__(self, index: Index, archive: Archive, correct: Callable[..., str | None]) -> None:
        self._index = index
        self._archive = archive
        self._correct = correct
        self._labels: dict[str, str] = {}

    def take(self, numbered: tuple[int, bytes]) -> _Imported:
        number, line = numbered
        try:
            digest, label, note = self._read(line)
            return _Imported(number, self._apply(digest, label, note))
        except DrumwatchdError as error:
            return _Imported(number, BAD, str(error))

    def _read(self, line: bytes) -> tuple[str, str, str | None]:
        try:
            said = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError("this is no JSON") from error
        if not isinstance(said, dict):
            raise UsageError("this is no JSON object")
        digest, word, note = said.get("hash"), said.get("correct_label"), said.get("note")
        if not isinstance(digest, str) or not self._is_digest(digest.lower()):
            algorithm = self._archive.settings.algorithm
            raise UsageError(f"hash must be a whole {algorithm} digest in hexadecimal digits")
        if not isinstance(word, str):
            raise UsageError("correct_label must be a label")
        if note is not None and not isinstance(note, str):
            raise UsageError("note must be text, or null")
        if word not in self._labels:
            self._labels[word] = self._archive.classes.resolve(word)
        return digest.lower(), self._labels[word], note

    def _is_digest(self, digest: str) -> bool:
        import hashlib

        algorithm = self._archive.settings.algorithm
        digits = 2 * hashlib.new(algorithm, usedforsecurity=False).digest_size
        return len(digest) == digits and re.fullmatch(r"[0-9a-f]+", digest) is not None

    def _apply(self, digest: str, label: str, note: str | None) -> str:
        said = self._archive.corrections.of(digest)
        if said is not None and (said.label, said.note) == (label, note):
            return UNCHANGED
        row = self._index.row_of(digest)
        if row is None or row.state == "gone":
            was = None if row is None else row.label
            self._archive.corrections.say(digest, label, was=was, how="imported", note=note)
            return KEPT
        self._correct(row, label, how="imported", note=note)
        return CORRECTED
