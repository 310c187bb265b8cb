"""`classify`: what files sound like, on stdout; nothing is filed."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drumwatchd.analysis.labels import MISC
from drumwatchd.analysis.result import Analysis
from drumwatchd.cli import EXIT_PARTLY
from drumwatchd.cli.context import Context
from drumwatchd.cli.output import JSON_SCHEMA, LineWriter, json_text, visible
from drumwatchd.errors import AnalysisError, SourceChangedError, UsageError

if TYPE_CHECKING:
    from drumwatchd.analysis.workers import Workers
    from drumwatchd.config import ClassifyConfig

Failure = AnalysisError | SourceChangedError  # the latter where there is no such file


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="A whole archive: keep all that is heard in a new folder of DIR.",
)
@click.option("--scheduler", metavar="URL",
              help="With --out: let the workers of a Dask scheduler do it, tcp://host:8786.")  # fmt: skip
@click.option("--map", "maps", metavar="HERE=THERE", multiple=True,
              help="A folder, and where those workers find it; may be repeated.")  # fmt: skip
@click.option("--send", is_flag=True, help="Send them the files instead.")
@click.option(
    "--json", "as_json", is_flag=True,
    help="One JSON object a line, in input order; with --out, the summary.",
)  # fmt: skip
@click.pass_obj
def classify(
    context: Context,
    paths: tuple[str, ...],
    out: Path | None,
    scheduler: str | None,
    maps: tuple[str, ...],
    send: bool,
    as_json: bool,
) -> None:
    """Say what files sound like: label, confidence, and the most probable of the 34.

    Folders are searched for audio files. Nothing is filed. With --out nothing is printed but a
    summary: DIR/run_… gets classification_results.json, errors.json, summary.json and
    statistics.png. Interrupted, even killed, and started again with the same paths, it goes on
    where it was; content that earlier runs in DIR have judged isn't judged again. See rebuild,
    stats and import for what to do with a run. With --scheduler the workers of a Dask cluster judge,
    each with the model of this machine; a file that hangs there holds its worker up.

    Exit code 3 when a file or a folder could not be read, 4 when another run works in DIR.
    """
    from drumwatchd.cli.batch import classify_archive, elsewhere_of

    elsewhere = elsewhere_of(scheduler, maps, send)
    if out is not None:
        classify_archive(context, paths, out, as_json, elsewhere)
        return
    if elsewhere is not None:
        raise UsageError("--scheduler goes with --out")
    settings = context.classify_settings()
    failed = False
    unreadable: dict[str, str] = {}
    workers = _workers(settings, context.store())
    with contextlib.closing(workers), LineWriter() as writer:
        for path, analysis in _analyse_all(list_files(paths, unreadable), workers):
            failed = failed or isinstance(analysis, Failure)
            if as_json:
                writer.write(json_text(_record(path, analysis)))
            else:
                line = _text_line(path, analysis)
                writer.write(visible(line) if writer.is_terminal else line)
    for folder, reason in unreadable.items():
        click.echo(f"drumwatchd: {visible(folder)}: {reason}", err=True)
    if failed or unreadable:
        raise SystemExit(EXIT_PARTLY)


def list_files(paths: Iterable[str], unreadable: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The files that arguments name: files as they are, folders searched in name order.

    Each comes with the name that may count as evidence: a folder's files have their path below it,
    as below an inbox, other files their mere name. Folders that can't be searched are put into
    `unreadable`, each with its reason.
    """
    from drumwatchd.config.model import DEFAULT_IGNORE
    from drumwatchd.inbox.rescan import Tally, ignore_matcher, walk

    ignored = ignore_matcher(DEFAULT_IGNORE)
    for path in paths:
        if os.path.isdir(path):
            tally = Tally(unreadable=unreadable)
            for source in walk(path, ignored, tally):
                yield source.path, os.path.join(source.pack, source.name)
        else:
            yield path, os.path.basename(path)


def _workers(classify: ClassifyConfig, store: str) -> Workers:
    from drumwatchd.daemon import analysis_workers, check_model

    check_model(classify, store)
    return analysis_workers(classify, store)


def _analyse_all(
    files: Iterator[tuple[str, str]], workers: Workers
) -> Iterator[tuple[str, Analysis | Failure]]:
    """Analyse in parallel, a bounded number ahead; yield in input order."""
    ahead = 4 * workers.count
    waiting: deque[tuple[str, Future[Analysis]]] = deque()
    with ThreadPoolExecutor(2 * workers.count) as executor:
        for path, name in files:
            # A link that somebody names is meant; one in an inbox is not followed.
            real = os.path.realpath(path)
            waiting.append((path, executor.submit(workers.analyse, real, name)))
            if len(waiting) > ahead:
                yield _outcome(*waiting.popleft())
        while waiting:
            yield _outcome(*waiting.popleft())


def _outcome(path: str, future: Future[Analysis]) -> tuple[str, Analysis | Failure]:
    try:
        return path, future.result()
    except (AnalysisError, SourceChangedError) as error:
        return path, error


def _record(path: str, analysis: Analysis | Failure) -> dict[str, Any]:
    if isinstance(analysis, Failure):
        return {"schema": JSON_SCHEMA, "path": path, "error": analysis.message}
    verdict = analysis.verdict
    return {
        "schema": JSON_SCHEMA,
        "path": path,
        "label": verdict.label,
        "folded": verdict.folded,
        "fine": verdict.fine,
        "confidence": round(verdict.confidence, 6),
        "probabilities": {label: round(p, 6) for label, p in verdict.probabilities.items()},
        "top": [{"label": label, "probability": round(p, 6)} for label, p in verdict.top],
        "reason": verdict.reason,
        "review": verdict.review,
        "tag": verdict.tag,
        "model": analysis.model,
        "duration": round(analysis.duration_seconds, 6),
        "sample_rate": analysis.sample_rate_hz,
        "channels": analysis.channels,
    }


def _text_line(path: str, analysis: Analysis | Failure) -> str:
    if isinstance(analysis, Failure):
        return f"{'-':<6} {'-':>4}  {path}: {analysis.message}"
    verdict = analysis.verdict
    top = ", ".join(f"{label} {probability:.2f}" for label, probability in verdict.top)
    why = f"; {verdict.reason}" if verdict.label == MISC else ""
    tag = f"; {verdict.fine}, {verdict.tag}" if verdict.tag else ""
    review = f"; review: {verdict.review}" if verdict.review else ""
    return f"{verdict.label:<6} {verdict.confidence:.2f}  {path}  ({top}){why}{tag}{review}"
