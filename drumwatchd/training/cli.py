"""`drumwatchd-train`: from labelled sounds to a model folder. Progress on stderr, figures on stdout."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drumwatchd import __version__
from drumwatchd.errors import DrumwatchdError

if TYPE_CHECKING:
    from drumwatchd.training.evaluate import Figures
    from drumwatchd.training.train import TrainingRun

_FOLDER = click.Path(file_okay=False, path_type=Path)
_CORPUS = click.argument("corpus", type=click.Path(exists=True, file_okay=False, path_type=Path))
_CACHE = click.option(
    "--cache", type=_FOLDER, default=Path("cache"), show_default=True, help="Features, reused."
)
_RESULTS = click.option(
    "--results", type=_FOLDER, default=Path("results"), show_default=True, help="Runs and reports."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="drumwatchd-train")
def cli() -> None:
    """Train, measure and export the network that drumwatchd hears with."""


@cli.command()
@_CORPUS
@click.option("--name", default="drumwatchd-1", help="Of the run, and id of the model.")
@click.option("--arch", type=click.Choice(["residual_cnn", "model1"]), default="residual_cnn")
@click.option("--models", type=_FOLDER, default=Path("models"), help="Where the model folder goes.")
@_RESULTS
@_CACHE
@click.option(
    "--hold-out", default="fold:1", help="Measured on, never trained on: fold:F, sources:I/N, none."
)
@click.option("--epochs", type=click.IntRange(1), default=42)
@click.option("--batch-size", type=click.IntRange(2), default=128)
@click.option("--learning-rate", type=float, default=2e-3)
@click.option("--versions", type=click.IntRange(1), default=10, help="Per sound, augmented.")
@click.option("--synthetic", type=click.IntRange(0), default=150, help="Made per recipe.")
@click.option("--seed", type=int, default=1)
@click.option(
    "--initial",
    type=click.Path(exists=True, dir_okay=False),
    help="Weights to start from (.keras).",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "mixed_bfloat16"]),
    default="float32",
    help="bfloat16 is faster on processors that have it.",
)
@click.option("--processes", type=click.IntRange(1), default=os.cpu_count() or 1)
def train(
    corpus: Path,
    name: str,
    arch: str,
    models: Path,
    results: Path,
    cache: Path,
    hold_out: str,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    versions: int,
    synthetic: int,
    seed: int,
    initial: str | None,
    precision: str,
    processes: int,
) -> None:
    """Train on CORPUS (a corpus.csv, or folders <Label>/…), measure, and write the model folder.

    A run that was killed goes on where it was when it is started again with the same options.
    """
    from drumwatchd.training import train as training
    from drumwatchd.training.settings import FEATURES_OF, TrainingConfig

    config = TrainingConfig(
        name=name,
        arch=arch,
        corpus=str(corpus),
        hold_out=hold_out,
        n_versions=versions,
        n_synthetic=synthetic,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        initial=initial or "",
        precision=precision,
        seed=seed,
        features=FEATURES_OF[arch],
    )
    run = training.train(config, folder=results / name, cache=cache, processes=processes, say=_say)
    _finish(run, results / name, models / name)


@cli.command()
@_CORPUS
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--models", type=_FOLDER, default=Path("models"), help="Where the model folder goes.")
@_CACHE
def export(corpus: Path, run: Path, models: Path, cache: Path) -> None:
    """Measure the finished RUN (a folder under results/) and write its model folder."""
    from drumwatchd.training import train as training

    finished = training.load_run(run, corpus, cache)
    _finish(finished, run, models / finished.config.name)


@cli.command()
@_CORPUS
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--hold-out", default=None, help="Measured part; else the one its card holds out.")
@click.option("--json", "as_json", is_flag=True, help="Figures as JSON.")
@_RESULTS
def evaluate(corpus: Path, model: Path, hold_out: str | None, as_json: bool, results: Path) -> None:
    """Measure the exported MODEL (a model folder) as the daemon runs it, decoding included."""
    from drumwatchd.training.evaluate import evaluate_model

    _report(evaluate_model(model, corpus, hold_out), results / model.name, as_json=as_json)


def _finish(run: TrainingRun, results: Path, folder: Path) -> None:
    from drumwatchd.training.export import export as write_model
    from drumwatchd.training.export import round_to_float16
    from drumwatchd.training.train import figures_of

    round_to_float16(run.model)
    figures = figures_of(run.model, run.held_out_x, run.held_out)
    write_model(
        run.model,
        run.config,
        folder,
        figures=figures,
        training=run.training,
        check_x=run.held_out_x,
        history=run.history,
    )
    _say(f"model: {folder}")
    if figures is not None:
        _report(figures, results, as_json=False)


def _report(figures: Figures, results: Path, *, as_json: bool) -> None:
    """Print the figures; leave them, and the confusion matrix as a picture, in `results`."""
    from drumwatchd.training.evaluate import draw_confusion, report

    results.mkdir(parents=True, exist_ok=True)
    figures_json = json.dumps({"schema": 1, **figures.as_dict()}, indent=2)
    (results / "figures.json").write_text(figures_json + "\n", encoding="utf-8")
    (results / "report.txt").write_text(report(figures) + "\n", encoding="utf-8")
    draw_confusion(figures, results / "confusion_matrix.png")
    click.echo(figures_json if as_json else report(figures))


def _say(message: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {message}", err=True)


def main() -> None:
    """Run a command; turn errors into one message and an exit code."""
    # TensorFlow's start-up notes on processors and missing graphics cards help nobody here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except ImportError as error:
        click.echo(
            f"drumwatchd-train needs {error.name}: pip install 'drumwatchd[train]'", err=True
        )
        sys.exit(2)
    except DrumwatchdError as error:
        click.echo(f"drumwatchd-train: {error}", err=True)
        sys.exit(2)
    except OSError as error:  # a folder that can't be written, most of all
        click.echo(f"drumwatchd-train: {error}", err=True)
        sys.exit(2)
