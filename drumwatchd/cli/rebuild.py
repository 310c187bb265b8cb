"""`rebuild`: an organised archive made of a run, as often as its owner likes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drumwatchd.cli import EXIT_PARTLY
from drumwatchd.cli.batch import bar, outcome_parts, problems_json
from drumwatchd.cli.context import Context
from drumwatchd.cli.output import JSON_SCHEMA, LineWriter, counted, json_text, print_json, visible
from drumwatchd.errors import RunError, UsageError

if TYPE_CHECKING:
    from drumwatchd.batch.judging import Judge
    from drumwatchd.batch.rebuild import Plan, Rebuilt, Wanted
    from drumwatchd.batch.run_folder import RunFolder

Folder = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("run", type=Folder)
@click.option("--out", metavar="DIR", type=Folder, required=True, help="Where to make it.")
@click.option(
    "--mode",
    type=click.Choice(["copy", "symlink", "hardlink", "none"]),
    default="copy",
    show_default=True,
    help="How a file gets there; none makes manifests only.",
)
@click.option(
    "--labels", metavar="LIST", help="Labels with a folder of their own, as Kick,Snare,Clap."
)
@click.option("--allow-all", is_flag=True, help="A folder for each of the 34.")
@click.option(
    "--threshold",
    metavar="P",
    type=click.FloatRange(0, 1),
    help="Confidence below which a file is misc.",
)
@click.option(
    "--overrides",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What files are by your word, as `overrides export` writes it.",
)
@click.option("--mirror", is_flag=True, help="Keep pack folders below each label.")
@click.option("--dry-run", is_flag=True, help="Only say where each file would go.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object; a line a file with --dry-run."
)
@click.pass_obj
def rebuild(
    context: Context,
    run: Path,
    out: Path,
    mode: Any,
    labels: str | None,
    allow_all: bool,
    threshold: float | None,
    overrides: Path | None,
    mirror: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make an organised archive of a RUN of classify.

    Organized_…/ below DIR gets Crash/ … misc/ and _manifests/. The originals stay what and where
    they are, and nothing is analysed: another threshold or other labels need no new run. Of equal
    files one is filed. Interrupted, it goes on when it is started again; repeated, it finds
    everything in its place. Copies are compared with what was judged; a file that changed since is
    named and left out.

    Exit code 3 where something was left out, or would be.
    """
    from drumwatchd.batch.judging import judge_for, read_overrides
    from drumwatchd.batch.rebuild import Rebuilt, Wanted
    from drumwatchd.batch.run_folder import open_run

    context.check_apart(out)
    words = [word.strip() for word in (labels or "").split(",") if word.strip()]
    if labels is not None and not words:
        raise UsageError("--labels names none")
    if words and allow_all:
        raise UsageError("--allow-all goes without --labels")
    opened = open_run(run)
    judge = judge_for(
        opened.about,
        threshold=threshold,
        labels=words,
        allow_all=allow_all,
        overrides=None if overrides is None else read_overrides(overrides),
    )
    wanted = Wanted(mode, mirror)
    rebuilt = Rebuilt()
    if dry_run:
        _say_plans(opened, judge, wanted, rebuilt, as_json)
    else:
        folder, rebuilt = _make(opened, out, judge, wanted)
    for path, reason in rebuilt.problems:
        click.echo(f"drumwatchd: {visible(path)}: {reason}", err=True)
    if dry_run:
        click.echo(f"nothing was made; would be: {_summary(rebuilt)}", err=True)
    else:
        _tell(folder, rebuilt, as_json)
    if rebuilt.problems or rebuilt.unjudged:
        raise SystemExit(EXIT_PARTLY)


def _make(run: RunFolder, out: Path, judge: Judge, wanted: Wanted) -> tuple[Path, Rebuilt]:
    from drumwatchd.batch import rebuild as phase_two
    from drumwatchd.batch import run_folder
    from drumwatchd.batch.tally import Tally

    with run_folder.alone(out), bar("rebuilding") as progress:
        made_of = phase_two.about(run, judge, wanted)
        folder = phase_two.folder_for(out, made_of, time.time())
        tally = Tally.from_dict(run_folder.read_summary(run))
        progress.start(0, sum(tally.labels.values()) - tally.duplicates)
        try:
            return phase_two.rebuild(run, folder, judge, wanted, progress.advance)
        except RunError as error:
            click.echo(f"drumwatchd: {visible(str(error))}", err=True)
            raise SystemExit(EXIT_PARTLY) from None


def _say_plans(
    run: RunFolder, judge: Judge, wanted: Wanted, rebuilt: Rebuilt, as_json: bool
) -> None:
    from drumwatchd.batch.rebuild import rehearse

    with LineWriter() as writer:
        for plan in rehearse(run, judge, wanted, rebuilt):
            line = f"{plan.source} → {plan.relative}"
            writer.write(
                json_text(_as_json(plan))
                if as_json
                else visible(line)
                if writer.is_terminal
                else line
            )


def _as_json(plan: Plan) -> dict[str, Any]:
    judged = plan.judged
    return {
        "schema": JSON_SCHEMA, "source": plan.source, "path": plan.relative,
        "digest": plan.record.seen.digest, "label": judged.label, "confidence": judged.confidence,
        "reason": judged.reason,
    }  # fmt: skip


def _tell(folder: Path, rebuilt: Rebuilt, as_json: bool) -> None:
    count = sum(rebuilt.labels.values())
    if as_json:
        print_json(
            {
                "schema": JSON_SCHEMA, "folder": os.path.abspath(folder), "files": count,
                "made": rebuilt.made, "labels": dict(sorted(rebuilt.labels.items())),
                "duplicates": rebuilt.duplicates, "unjudged": rebuilt.unjudged,
                "problems": problems_json(rebuilt.problems),
            }
        )  # fmt: skip
        return
    click.echo(visible(f"{_summary(rebuilt)}: {folder}"))


def _summary(rebuilt: Rebuilt) -> str:
    left = {
        "duplicates left out": rebuilt.duplicates, "not judged": rebuilt.unjudged,
        "left out": len(rebuilt.problems),
    }  # fmt: skip
    count = sum(rebuilt.labels.values())
    parts = [f"{counted(count, 'file')}, {rebuilt.made:,} of them new"]
    return "; ".join(parts + outcome_parts(rebuilt.labels, left))
