"""`drumwatchd-train adapt`: what the daemon, a timer or a person has a model adapted with.

Of the training commands the only one that runs where samples are filed: no TensorFlow, no corpus.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from typing import TYPE_CHECKING, Any

import click

from drumwatchd.analysis.workers import SINGLE_THREADED

if TYPE_CHECKING:
    from drumwatchd.config import Config
    from drumwatchd.training.retrain import RetrainSettings


@click.command()
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Configuration of the daemon; found as drumwatchd finds it.",
)
@click.option("--min-corrections", type=click.IntRange(1), help="Instead of the configured number.")
@click.option("--no-promote", is_flag=True, help="Keep what passes as a candidate.")
@click.option(
    "--scheduled",
    is_flag=True,
    help="As a timer wants it: with the lowest priority, and only if [retrain] schedule isn't off.",
)
@click.option("--json", "as_json", is_flag=True, help="Figures as JSON.")
def adapt(
    config_path: str | None,
    min_corrections: int | None,
    no_promote: bool,
    scheduled: bool,
    as_json: bool,
) -> None:
    """Adapt the model to what was corrected.

    Fits the network's last layer to the corrections in the index. What loses nothing on the sounds
    that came with the model, and wins on corrections that it hadn't seen, judges from the next file
    on; else it is kept as rejected, with the reason. Corrected samples that another network judged
    are heard again first, a thousand at a time. Needs no TensorFlow and no corpus.
    """
    os.environ.update(SINGLE_THREADED)
    if scheduled:
        # Where a service's filter forbids it, the service has a priority of its own.
        with contextlib.suppress(OSError):
            os.nice(19)
    from drumwatchd.config import find_config, load_config

    config = load_config(find_config(config_path))
    if scheduled and config.retrain.schedule == "off":
        _print_adapted({"state": "off", "reason": "[retrain] schedule is off"}, as_json=as_json)
        return
    if not config.index.path.exists():
        _print_adapted({"state": "waiting", "reason": "there is no index yet"}, as_json=as_json)
        return
    from drumwatchd.training.retrain import retrain

    settings = settings_of(config, promotes=not no_promote)
    if min_corrections is not None:
        settings = dataclasses.replace(settings, min_corrections=min_corrections)
    _print_adapted(dataclasses.asdict(retrain(settings, time.time())), as_json=as_json)


def settings_of(config: Config, *, promotes: bool) -> RetrainSettings:
    """What an adaptation, or a retraining, needs of the configuration."""
    from drumwatchd.analysis.model_card import configured_model
    from drumwatchd.training.retrain import RetrainSettings

    return RetrainSettings(
        index_path=str(config.index.path),
        configured=configured_model(config.classify.model),
        target_labels=config.classify.target_labels,
        min_corrections=config.retrain.min_corrections,
        keep=config.retrain.keep,
        promotes=promotes,
        root=str(config.archive.root),
        algorithm=config.index.hash_algorithm,
    )


def _print_adapted(report: dict[str, Any], *, as_json: bool) -> None:
    name, state = report.get("model"), report["state"]
    text = f"{name} is {state}" if name else state
    if unusable := report.get("n_unusable"):
        text += f"; {unusable} corrections can't be used"
    text += f": {report['reason']}"
    click.echo(json.dumps({"schema": 1, **report}, indent=2) if as_json else text)
