"""`stats`: what a run or the index holds, in numbers and pictures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drumwatchd.cli.context import Context
from drumwatchd.cli.output import JSON_SCHEMA, byte_size, counted, print_json, visible
from drumwatchd.errors import UsageError

if TYPE_CHECKING:
    from drumwatchd.batch.tally import Tally

BLOCKS = " ▁▂▃▄▅▆▇█"
Confusion = Counter[tuple[str, str]]


@click.command()
@click.argument("run", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--index", "of_index", is_flag=True, help="Of what the index holds, not of a run.")
@click.option(
    "--overrides",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Compare a run with corrections, as `overrides export` writes them.",
)
@click.option(
    "--plots",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Draw pictures into DIR; needs the extra `report`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def stats(
    context: Context,
    run: Path | None,
    of_index: bool,
    overrides: Path | None,
    plots: Path | None,
    as_json: bool,
) -> None:
    """Show what a RUN of classify holds, or with --index what is filed.

    Files by label with their confidence, durations, duplicates, errors, and which labels were
    corrected to which.
    """
    if run is None and not of_index:
        raise UsageError("name a run, or say --index")
    if run is not None and of_index:
        raise UsageError("--index goes without a run")
    if run is not None:
        tally, confusion = _of_run(run, overrides)
    else:
        tally, confusion = _of_index(context)
    drawn = _drawn(plots, tally, confusion)
    if as_json:
        corrected = [
            {"said": said, "meant": meant, "files": count}
            for (said, meant), count in sorted(confusion.items())
        ]
        print_json(
            {"schema": JSON_SCHEMA, **tally.as_dict(), "corrections": corrected, "plots": drawn}
        )
        return
    for line in _lines(tally, confusion):
        click.echo(line)
    for path in drawn:
        click.echo(visible(path))


def _of_run(path: Path, overrides: Path | None) -> tuple[Tally, Confusion]:
    from drumwatchd.batch.judging import read_overrides
    from drumwatchd.batch.report import confusion_of
    from drumwatchd.batch.run_folder import open_run, read_summary
    from drumwatchd.batch.tally import Tally

    run = open_run(path)
    tally = Tally.from_dict(read_summary(run))
    said = {} if overrides is None else read_overrides(overrides)
    return tally, confusion_of(run, said) if said else Counter()


def _of_index(context: Context) -> tuple[Tally, Confusion]:
    from drumwatchd.batch.report import tally_of_index
    from drumwatchd.index.query import compile_query
    from drumwatchd.index.reader import open_reader

    config = context.load()
    everything = compile_query((), root=str(config.archive.root), now=time.time())
    with open_reader(str(config.index.path)) as reader:
        return tally_of_index(reader, everything), Counter(reader.corrected_labels())


def _drawn(
    folder: Path | None, tally: Tally, confusion: Mapping[tuple[str, str], int]
) -> list[str]:
    if folder is None:
        return []
    from drumwatchd.batch import plots

    try:
        return [str(path) for path in plots.draw_all(folder, tally, confusion)]
    except OSError as error:
        raise UsageError(f"can't be drawn there ({error.strerror})", path=str(folder)) from error


def _lines(tally: Tally, confusion: Mapping[tuple[str, str], int]) -> list[str]:
    judged = sum(tally.labels.values())
    width = max(map(len, (*tally.labels, "label")))
    lines = [f"{'label':<{width}}  {'files':>9}  share  mean confidence, from 0 to 1"]
    for label, count in tally.labels.most_common():
        mean = tally.mean_confidence(label)
        lines.append(
            f"{visible(label):<{width}}  {count:>9,}  {count / judged:>4.0%}   {mean:.2f}  "
            f"{_spark(tally.confidences[label])}"
        )
    lines += [
        "",
        f"{counted(tally.files, 'file')}, {byte_size(tally.size)}, {_hours(tally.seconds)} of sound",
    ]
    lines.append(f"{counted(tally.duplicates, 'duplicate')}, {tally.review:,} to be reviewed")
    errors = ", ".join(f"{kind} {count:,}" for kind, count in sorted(tally.errors.items()))
    lines.append(f"left out: {errors or 'nothing'}")
    lines += ["", *_durations(tally)]
    if confusion:
        lines += ["", "corrected, what the model said → what you said"]
        ordered = sorted(confusion.items(), key=lambda item: (-item[1], item[0]))
        lines += [f"{count:>6,}  {visible(a)} → {visible(b)}" for (a, b), count in ordered]
    return lines


def _durations(tally: Tally) -> list[str]:
    from drumwatchd.batch.tally import DURATION_EDGES

    most = max(tally.durations) or 1
    ends = [f"{edge:g}" for edge in DURATION_EDGES[1:]] + ["…"]
    return ["seconds"] + [
        f"{edge:>5g} - {end:<4}  {count:>9,}  {'█' * round(30 * count / most)}".rstrip()
        for edge, end, count in zip(DURATION_EDGES, ends, tally.durations, strict=True)
        if count
    ]


def _spark(bins: list[int]) -> str:
    most = max(bins) or 1
    return "".join(BLOCKS[-(-count * (len(BLOCKS) - 1) // most)] for count in bins)


def _hours(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
