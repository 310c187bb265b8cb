"""`import`: years of samples and the inbox become one library."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drumwatchd.cli import EXIT_PARTLY
from drumwatchd.cli.batch import bar, outcome_parts, problems_json
from drumwatchd.cli.context import Context, judging_model
from drumwatchd.cli.output import JSON_SCHEMA, print_json, visible
from drumwatchd.errors import AlreadyRunningError, ArchiveError, DrumwatchdError, UsageError

if TYPE_CHECKING:
    from drumwatchd.archive.archive import Archive
    from drumwatchd.batch.bring_in import BroughtIn
    from drumwatchd.batch.run_folder import RunFolder
    from drumwatchd.config import Config
    from drumwatchd.index.store import Index


@click.command("import")
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--mode",
    type=click.Choice(["move", "copy", "hardlink", "symlink"]),
    help="How files get there, where not as archive.mode says.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def import_(context: Context, run: Path, mode: str | None, as_json: bool) -> None:
    """Take the files of a RUN of classify into the archive and its index.

    Each is filed as if it had come through an inbox, under archive.name_template and with a history,
    but nothing is analysed again; threshold, labels and what you corrected count as they are now.
    With archive.mode = "move" the originals are moved: say --mode copy or hardlink to keep them.
    What the archive has already is left alone. Interrupted, it goes on when it is started again.
    Works while the daemon runs and while it doesn't.

    Exit code 3 where something was left out.
    """
    from drumwatchd import log
    from drumwatchd.batch.bring_in import BroughtIn
    from drumwatchd.batch.run_folder import open_run

    config, opened, brought = context.load(), open_run(run), BroughtIn()
    log.configure("warning", config.log.format)  # what is filed is counted, not told one by one
    _check(config, opened)
    problem: DrumwatchdError | None = None
    with contextlib.ExitStack() as stack:
        index, archive = stack.enter_context(_desk(config, mode))
        try:
            _take_in(config, opened, index, archive, brought)
        except ArchiveError as error:
            problem = error
    for path, reason in brought.problems:
        click.echo(f"drumwatchd: {visible(path)}: {reason}", err=True)
    if problem is not None:
        click.echo(f"drumwatchd: {visible(str(problem))}", err=True)
    _tell(brought, as_json)
    if problem is not None or brought.problems or brought.unjudged:
        raise SystemExit(EXIT_PARTLY)


def _check(config: Config, run: RunFolder) -> None:
    algorithm = config.index.hash_algorithm
    if run.about.algorithm != algorithm:
        raise UsageError(
            f"the run digested with {run.about.algorithm}, the index does with {algorithm}",
            path=str(run.path),
            hint="classify anew with this configuration",
        )


@contextlib.contextmanager
def _desk(config: Config, mode: Any) -> Iterator[tuple[Index, Archive]]:
    """Index and archive; made as the daemon would where it never ran, shared with it where it runs."""
    from drumwatchd import daemon
    from drumwatchd.analysis.model_card import configured_model, read_card
    from drumwatchd.archive.archive import Archive
    from drumwatchd.batch.bring_in import LaterManifests
    from drumwatchd.desk import archive_settings
    from drumwatchd.index import lock
    from drumwatchd.index.store import open_index

    with contextlib.ExitStack() as stack:
        alone = True
        try:
            stack.enter_context(lock.hold(str(config.index.path)))
        except AlreadyRunningError:
            alone = False
        card = read_card(configured_model(config.classify.model))
        index = open_index(str(config.index.path), config.index.hash_algorithm)
        stack.callback(index.close)
        index.meta(card.network_key, repr(time.time()))
        settings = archive_settings(config, index, card)
        daemon.check_archive(settings, index)
        if mode is not None:
            settings = dataclasses.replace(settings, mode=mode)
        manifests = LaterManifests(settings.root, index)
        archive = Archive(settings, index, manifests)
        try:
            yield index, archive
        finally:
            manifests.outdate()
            if alone:
                with contextlib.suppress(ArchiveError, OSError):  # the next start mends them
                    archive.flush()


def _take_in(
    config: Config, run: RunFolder, index: Index, archive: Archive, brought: BroughtIn
) -> None:
    from drumwatchd.batch.bring_in import bring_in
    from drumwatchd.batch.judging import Judge
    from drumwatchd.batch.run_folder import read_summary
    from drumwatchd.batch.tally import Tally

    active = judging_model(config).card
    network = run.about.model if run.about.judgement.get("network") == active.backbone else None
    if network is None:
        click.echo(
            "drumwatchd: the run was judged by another network than the one that is in force; its "
            "files are filed as it judged them, and teach nothing until they are classified anew",
            err=True,
        )
    judge = Judge(
        config.classify.confidence_threshold,
        tuple(dict.fromkeys((*config.classify.target_labels, *active.own_labels))),
        active.canonical_of,
    )
    with bar("importing") as progress:
        progress.start(0, Tally.from_dict(read_summary(run)).files)
        for files in bring_in(run, index, archive, judge, network, brought):
            progress.advance(files)


def _tell(brought: BroughtIn, as_json: bool) -> None:
    count = sum(brought.labels.values())
    if as_json:
        print_json(
            {
                "schema": JSON_SCHEMA, "filed": count,
                "labels": dict(sorted(brought.labels.items())), "known": brought.known,
                "unjudged": brought.unjudged,
                "problems": problems_json(brought.problems),
            }
        )  # fmt: skip
        return
    left = {
        "known already": brought.known, "not judged by the run": brought.unjudged,
        "left out": len(brought.problems),
    }  # fmt: skip
    click.echo("; ".join([f"{count:,} filed", *outcome_parts(brought.labels, left)]))
