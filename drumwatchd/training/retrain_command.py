"""`drumwatchd-train retrain`: a whole network, from a corpus and what an owner corrected."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path

import click

from drumwatchd.errors import UsageError
from drumwatchd.training.adapt_command import settings_of


@click.command()
@click.argument("corpus", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--extra",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    help="One more corpus to train on; may be repeated.",
)
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Configuration of the daemon; found as drumwatchd finds it.",
)
@click.option("--epochs", type=click.IntRange(1), default=4, help="Of 2,048 sounds each.")
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    default=3e-4,
    help="At its highest.",
)
@click.option("--no-promote", is_flag=True, help="Keep what passes as a candidate.")
@click.option("--json", "as_json", is_flag=True, help="Figures as JSON.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("cache"),
    help="Features, and what is unfinished.",
)
@click.option(
    "--processes", type=click.IntRange(1), default=os.cpu_count() or 1, help="For the features."
)
def retrain(
    corpus: Path,
    extra: tuple[Path, ...],
    config_path: str | None,
    epochs: int,
    learning_rate: float,
    no_promote: bool,
    as_json: bool,
    cache: Path,
    processes: int,
) -> None:
    """Train the whole network further, on CORPUS and on what was corrected.

    Where `adapt` fits the last layer, this trains all of them, from the configured network on. A
    first network is asked about a part of the corrections that it didn't learn, whole packs, and
    about what is held out of CORPUS; if it is better, a second one learns all and judges from the
    next file on. Else the first is kept as rejected, with the reason. Takes ten minutes or
    so; a run that was killed goes on where it was when it is started again.
    """
    from drumwatchd.config import find_config, load_config

    config = load_config(find_config(config_path))
    if not config.index.path.exists():
        hint = "`drumwatchd scan` or `run` makes it"
        raise UsageError("there is no index yet", path=str(config.index.path), hint=hint)
    from drumwatchd.training.keras_start import start_keras

    start_keras()
    from drumwatchd.training.network_training import NetworkSettings
    from drumwatchd.training.progress import Progress
    from drumwatchd.training.whole_network import retrain_network

    settings = NetworkSettings(
        corpus=str(corpus),
        extra=tuple(map(str, extra)),
        cache=cache,
        epochs=epochs,
        learning_rate=learning_rate,
        processes=processes,
    )
    adapting = settings_of(config, promotes=not no_promote)
    with Progress() as progress:
        report = retrain_network(settings, adapting, time.time(), progress)
    if as_json:
        click.echo(json.dumps({"schema": 1, **dataclasses.asdict(report)}, indent=2))
        return
    click.echo(f"{report.model} is {report.state}: {report.reason}")
    if report.head is not None and report.head.model is not None:
        head, own = report.head, ", ".join(report.own)
        click.echo(f"{head.model}, its head that knows {own}, is {head.state}: {head.reason}")
