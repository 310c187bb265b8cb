"""`reclassify`: judge filed samples again and file them by that; and the way back."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from drumwatchd.cli import EXIT_FOUND, EXIT_PARTLY
from drumwatchd.cli.context import Context
from drumwatchd.cli.output import JSON_SCHEMA, print_json, visible
from drumwatchd.cli.queries import QueryCommand
from drumwatchd.errors import ArchiveError, UsageError
from drumwatchd.index.reader import open_reader

if TYPE_CHECKING:
    from drumwatchd.analysis.model_card import ModelCard
    from drumwatchd.config import Config
    from drumwatchd.index.query import Query
    from drumwatchd.reclassify import Change, Outcome, SecondHearing, Tally

DEFAULT_QUERY = ("label:misc",)


@click.command(cls=QueryCommand)
@click.argument("query", nargs=-1, type=click.UNPROCESSED)
@click.option("--dry-run", is_flag=True, help="Only say what would go where.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def reclassify(context: Context, query: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Judge filed samples again by the model that is active now.

    QUERY is one of ls; by default label:misc. What surely belongs in another class folder is
    moved there; what you corrected of sounds nearly the same counts as it does for new ones. No
    audio is read. What you corrected stays, and so do loops and silent files,
    and samples that another network heard. These moves are no corrections, and all of them
    can be taken back with `undo --batch`. Works while the daemon runs and while it doesn't.

    Exit code 3 where something couldn't be moved.
    """
    from drumwatchd.analysis.workers import SINGLE_THREADED

    os.environ.update(
        SINGLE_THREADED
    )  # before numpy is loaded: its threads cost more than they save

    from drumwatchd.analysis.model_store import store_folder
    from drumwatchd.analysis.rehearing import Rehearing
    from drumwatchd.desk import analysis_settings
    from drumwatchd.index.query import compile_query
    from drumwatchd.reclassify import SecondHearing, Tally

    config = context.load()
    root, terms = str(config.archive.root), query or DEFAULT_QUERY
    compiled = compile_query(terms, root=root, now=time.time())
    rehearing = Rehearing(analysis_settings(config.classify, store_folder(config.index.path)))
    tally = Tally()
    with open_reader(str(config.index.path)) as reader:
        hearing = SecondHearing(reader, rehearing, root, _own_folders(config, rehearing.card))
        told = _Told(hearing.model, as_json)
        if dry_run:
            for change in hearing.changes(compiled, tally):
                told.planned(change)
            told.end(tally, None, "would move")
        else:
            _run(config, hearing, compiled, " ".join(terms), tally, told)
    if told.problems:
        raise SystemExit(EXIT_PARTLY)


def _own_folders(config: Config, card: ModelCard) -> list[str]:
    from drumwatchd.archive.classes import Classes

    return Classes(
        str(config.archive.root), config.classify.target_labels, card.canonical_of,
        config.archive.own_folders,
    ).own()  # fmt: skip


def _run(
    config: Config, hearing: SecondHearing, query: Query, words: str, tally: Tally, told: _Told
) -> None:
    from drumwatchd.archive.moves import Mover
    from drumwatchd.desk import open_desk
    from drumwatchd.reclassify import Batch

    with open_desk(config) as (index, archive):
        Mover(index, archive).finish_all()
        ids = array("q", (change.id for change in hearing.changes(query, tally)))
        batch = Batch(index, archive, hearing.model, words)
        try:
            told.all(batch.run(hearing, ids))
        finally:
            told.end(tally, batch.number, "moved")


def undo_batch(config: Config, batch: int, as_json: bool) -> None:
    """Take back what a batch moved."""
    from drumwatchd.desk import open_desk
    from drumwatchd.index.rejudged import Rejudged
    from drumwatchd.reclassify import take_back

    with open_desk(config) as (index, archive):
        rejudged = Rejudged(index)
        if not rejudged.is_batch(batch):
            last = rejudged.last_batch()
            hint = "reclassify made none so far" if last is None else f"the last one is {last}"
            raise UsageError(f"there is no batch {batch}", hint=hint)
        told = _Told(None, as_json)
        try:
            told.all(take_back(index, archive, batch))
        finally:
            told.end(None, batch, "taken back")
    if told.problems:
        raise SystemExit(EXIT_PARTLY)
    if not told.count:
        raise SystemExit(EXIT_FOUND)


class _Told:
    """What was said so far: lines at once, or one JSON object in the end."""

    def __init__(self, model: str | None, as_json: bool) -> None:
        self.model = model
        self.count = 0
        self.problems = 0
        self._as_json = as_json
        self._moves: list[dict[str, Any]] = []

    def all(self, outcomes: Iterator[Outcome]) -> None:
        """Say what became of each; where it can't go on, why."""
        try:
            for outcome in outcomes:
                self._done(outcome)
        except ArchiveError as error:
            self.problems += 1
            click.echo(visible(f"drumwatchd: {error}"), err=True)

    def planned(self, change: Change) -> None:
        """Say what would go where."""
        verdict = change.verdict
        self._say(
            {
                "digest": change.digest, "was": change.was, "label": verdict.label,
                "confidence": round(verdict.confidence, 6), "from": change.path, "path": None,
            },
            f"{verdict.label} {verdict.confidence:.2f}: {change.path} → {verdict.label}/",
        )  # fmt: skip

    def _done(self, outcome: Outcome) -> None:
        if outcome.problem is not None:
            self.problems += 1
            click.echo(visible(f"drumwatchd: {outcome.problem}"), err=True)
            return
        confidence = outcome.confidence
        sure = "" if confidence is None else f" {confidence:.2f}"
        self._say(
            {
                "digest": outcome.digest, "was": outcome.was, "label": outcome.label,
                "confidence": None if confidence is None else round(confidence, 6),
                "from": outcome.stood, "path": outcome.path,
            },
            f"{outcome.label}{sure}: {outcome.stood} → {outcome.path}",
        )  # fmt: skip

    def _say(self, move: dict[str, Any], line: str) -> None:
        self.count += 1
        if self._as_json:
            self._moves.append(move)
        else:
            click.echo(visible(line))

    def end(self, tally: Tally | None, batch: int | None, what: str) -> None:
        """Sum it up."""
        if self._as_json:
            print_json(
                {
                    "schema": JSON_SCHEMA, "batch": batch, "model": self.model, "moves": self._moves,
                    "not_moved": self.problems, "dry_run": what == "would move",
                    "left_alone": None if tally is None else _left_alone(tally),
                    "judged": None if tally is None else tally.changed + tally.same,
                }
            )  # fmt: skip
            return
        parts = [f"{what}: {self.count:,}"]
        if self.problems:
            parts.append(f"couldn't be moved: {self.problems:,}")
        if tally is not None:
            parts.append(f"same as before, or not sure: {tally.same:,}")
            parts += [f"{_IN_WORDS[kind]}: {n:,}" for kind, n in _left_alone(tally).items() if n]
        click.echo("; ".join(parts))
        if batch is not None and tally is not None and self.count:
            click.echo(f"all of it can be taken back: drumwatchd undo --batch {batch}")


_IN_WORDS = {
    "corrected": "corrected by you",
    "no_hit": "silent or no single hit",
    "unknown": "heard by another network, or edited since",
}


def _left_alone(tally: Tally) -> dict[str, int]:
    return {kind: getattr(tally, kind) for kind in _IN_WORDS}
