"""`check`, `repair` and `backup`: whether index, manifests and disk agree, and what to do if not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drumwatchd.cli import EXIT_FOUND
from drumwatchd.cli.batch import bar
from drumwatchd.cli.context import Context
from drumwatchd.cli.output import JSON_SCHEMA, byte_size, counted, print_json, visible
from drumwatchd.errors import UsageError

if TYPE_CHECKING:
    from drumwatchd.archive.check import Checked, Finding
    from drumwatchd.config import Config

# What a daemon is at right now isn't at its end yet: looked at once more, it is.
SECOND_LOOK_SECONDS = 3.0


class Share(click.ParamType[float]):
    """A share in percent, as 10%."""

    name = "percent"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The share, 0 to 1."""
        try:
            share = float(str(value).removesuffix("%")) / 100
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            self.fail(f"{value} is no share; say 10%", param, ctx)
        return share


@click.command()
@click.option("--read-data", is_flag=True, help="Read and digest every file, too.")
@click.option(
    "--read-data-subset", "subset", metavar="PERCENT", type=Share(),
    help="Read so many of the files, by chance which: 10%.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def check(context: Context, read_data: bool, subset: float | None, as_json: bool) -> None:
    """Check that index, manifests, disk and models agree.

    Changes nothing, and works while the daemon runs. What the index doesn't know is a note and no
    problem. An archive that isn't mounted is said as that, and nothing else.

    Exit code 1 where there is a problem.
    """
    if read_data and subset is not None:
        raise UsageError("--read-data goes without --read-data-subset")
    config = context.load()
    share = 1.0 if read_data else subset or 0.0
    found = _check(config, share)
    _tell(found, as_json)
    if _problems(found.findings):
        raise SystemExit(EXIT_FOUND)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what there is to mend.")
@click.option(
    "--rebuild-index", is_flag=True,
    help="Make a new index of archive and manifests; the old one is set aside.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def repair(context: Context, dry_run: bool, rebuild_index: bool, as_json: bool) -> None:
    """Mend what check finds.

    What was interrupted is finished, what was moved is found by its content, what is gone is noted,
    and manifests are written anew. No sample is deleted, and none is overwritten. The daemon has to
    be stopped. --rebuild-index is for an index that is lost or damaged: what a manifest says of each
    file is kept, but not what only the index knew (embeddings, history, reasons).

    Exit code 1 where a problem is left that needs you, 4 while the daemon runs.
    """
    from drumwatchd import log

    config = context.load()
    log.configure("error", config.log.format)
    if rebuild_index:
        _rebuild_index(config, dry_run, as_json)
        return
    before = _check(config, 0.0)
    if dry_run:
        _tell(before, as_json)
        raise SystemExit(EXIT_FOUND if _problems(before.findings) else 0)
    from drumwatchd.repair import repair as mend

    mend(config, before.findings)
    after = _check(config, 0.0)
    mended = [finding for finding in _problems(before.findings) if finding not in after.findings]
    if not as_json:
        for finding in mended:
            click.echo(visible(f"mended: {finding.path}: {finding.problem}"))
    _tell(after, as_json, mended)
    if _problems(after.findings):
        raise SystemExit(EXIT_FOUND)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def backup(context: Context, file: Path) -> None:
    """Copy the index to FILE, while the daemon runs or not.

    The copy is whole, as of one moment, and checked. To go back to it: stop the daemon, move the
    index and what is called like it (…-wal, …-shm) away, put FILE in its place, and run repair.
    """
    from drumwatchd.index.backup import back_up

    size = back_up(str(context.load().index.path), str(file))
    click.echo(visible(f"{byte_size(size)}: {file}"))


def _check(config: Config, share: float) -> Checked:
    from dataclasses import replace

    from drumwatchd.analysis.model_card import configured_model
    from drumwatchd.analysis.model_store import store_folder
    from drumwatchd.archive.check import check_models
    from drumwatchd.index import lock

    found = _look(config, share)
    if _problems(found.findings) and lock.is_held(str(config.index.path)):
        time.sleep(SECOND_LOOK_SECONDS)
        again = {(f.path, f.problem) for f in _look(config, 0.0).findings}
        left = [f for f in found.findings if (f.path, f.problem) in again or "content" in f.problem]
        found = replace(found, findings=left)
    store = store_folder(config.index.path)
    models = list(check_models(store, str(configured_model(config.classify.model))))
    return replace(found, findings=found.findings + models)


def _look(config: Config, share: float) -> Checked:
    from drumwatchd.archive import check as checking
    from drumwatchd.config.model import DEFAULT_IGNORE
    from drumwatchd.inbox.rescan import ignore_matcher
    from drumwatchd.index.reader import open_reader

    with open_reader(str(config.index.path)) as reader, bar("checking") as progress:
        progress.start(0, sum(reader.count_samples().values()))
        return checking.check(
            reader,
            str(config.archive.root),
            config.index.hash_algorithm,
            share=share,
            ignored=ignore_matcher(DEFAULT_IGNORE),
            progress=progress.advance,
        )


def _problems(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if not finding.is_note]


def _tell(found: Checked, as_json: bool, mended: list[Finding] | None = None) -> None:
    problems = _problems(found.findings)
    if as_json:
        print_json(
            {
                "schema": JSON_SCHEMA, "samples": found.samples, "read": found.read,
                "read_bytes": found.read_bytes, "problems": [_as_json(f) for f in problems],
                "notes": [_as_json(f) for f in found.findings if f.is_note],
                **({} if mended is None else {"mended": [_as_json(f) for f in mended]}),
            }
        )  # fmt: skip
        return
    for finding in found.findings:
        kind = "note: " if finding.is_note else ""
        click.echo(visible(f"{kind}{finding.path}: {finding.problem} ({finding.remedy})"))
    read = f", {found.read:,} read ({byte_size(found.read_bytes)})" if found.read else ""
    ended = counted(len(problems), "problem") if problems else "no problems"
    click.echo(f"{counted(found.samples, 'sample')}{read}: {ended}")


def _as_json(finding: Finding) -> dict[str, str]:
    return {"path": finding.path, "problem": finding.problem, "remedy": finding.remedy}


def _rebuild_index(config: Config, dry_run: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from drumwatchd.repair import rebuild_index

    if dry_run:
        raise UsageError("--rebuild-index goes without --dry-run", hint="it keeps the old index")
    with bar("reading the archive") as progress:
        made = rebuild_index(config, time.time(), progress.advance)
    if as_json:
        print_json({"schema": JSON_SCHEMA, **asdict(made)})
        return
    parts = [f"{made.listed:,} as a manifest said"]
    for count, what in (
        (made.unlisted, "where they stood"), (made.quarantined, "in quarantine"),
        (made.duplicates, "duplicates left alone"), (made.lost, "listed and not found"),
    ):  # fmt: skip
        if count:
            parts.append(f"{count:,} {what}")
    kept = f"; the old index: {made.set_aside}" if made.set_aside else ""
    click.echo(visible(f"a new index: {', '.join(parts)}{kept}"))
