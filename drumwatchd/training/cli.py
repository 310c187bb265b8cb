"""`drumwatchd-train`: from labelled sounds to a model folder. Progress on stderr, figures on stdout."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drumwatchd import __version__
from drumwatchd.errors import DrumwatchdError, UsageError
from drumwatchd.training.adapt_command import adapt
from drumwatchd.training.keras_start import start_keras
from drumwatchd.training.retrain_command import retrain
from drumwatchd.training.settings import (
    FEATURES_OF,
    REFERENCE_DESIGNS,
    ReferenceConfig,
    RunConfig,
    TrainingConfig,
    check_extra,
    config_from,
)

if TYPE_CHECKING:
    from drumwatchd.training.artefacts import RunFiles
    from drumwatchd.training.corpus import Example
    from drumwatchd.training.progress import Progress
    from drumwatchd.training.train import TrainingRun

Command = Callable[..., Any]

_DEFAULT_ARCH = TrainingConfig().arch
_FOLDER = click.Path(file_okay=False, path_type=Path)
_CORPUS = click.argument("corpus", type=click.Path(exists=True, file_okay=False, path_type=Path))
_CACHE = click.option("--cache", type=_FOLDER, default=Path("cache"), help="Features, reused.")
_MODELS = click.option(
    "--models", type=_FOLDER, default=Path("models"), help="Networks and model folders."
)
_RESULTS = click.option(
    "--results", type=_FOLDER, default=Path("results"), help="Reports and pictures."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Figures as JSON.")
_PROCESSES = click.option(
    "--processes", type=click.IntRange(1), default=os.cpu_count() or 1, help="For the features."
)
_ARCH = click.option(
    "--arch",
    type=click.Choice(list(FEATURES_OF)),
    help=f"Design.  [default: {_DEFAULT_ARCH}]",
)
_SETTINGS = click.option(
    "--settings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Of another run (its _training.json); options given here come first.",
)


def _setting(option: str, name: str, kind: Any, text: str) -> Callable[[Command], Command]:
    """An option for one setting of a run; which default it has depends on the design."""
    ours, theirs = (
        {field.name: field.default for field in dataclasses.fields(design)}.get(name)
        for design in (TrainingConfig, ReferenceConfig)
    )
    designs = " and ".join(REFERENCE_DESIGNS)
    if theirs is None:
        note = f"default: {ours}; not for {designs}" if ours else f"not for {designs}"
    elif ours is None:
        note = f"default: {theirs}; only for {designs}"
    else:
        note = f"default: {ours}" if ours == theirs else f"default: {ours}; {designs}: {theirs}"
    return click.option(option, name, type=kind, default=None, help=f"{text}  [{note}]")


_HOLD_OUT = _setting(
    "--hold-out",
    "hold_out",
    str,
    "Measured on, never trained on: fold:F, sources:I/N (whole sources), random:I/N or none.",
)
_VERSIONS = _setting("--versions", "n_versions", click.IntRange(1), "Per sound, augmented.")
_SYNTHETIC = _setting(
    "--synthetic", "n_synthetic", click.IntRange(0), "Sounds made per label, at most."
)
_EXTRA = click.option(
    "--extra",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    help="One more corpus to train on; may be repeated.",
)
_SEED = _setting("--seed", "seed", click.IntRange(0, 2**32 - 1), "Of everything random.")


class _InOrder(click.Group):
    """Lists the commands in the order of the work."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """As they stand in this file."""
        return list(self.commands)


@click.group(
    cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.version_option(__version__, prog_name="drumwatchd-train")
def cli() -> None:
    """Train, measure and export the network that drumwatchd hears with.

    CORPUS is a folder with a corpus.csv, or with folders <Label>/<kit>/….
    """


@cli.command()
@click.argument("soundfont", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", type=_FOLDER)
@click.option("--source", help="What the table calls it.  [default: the file's name]")
@click.option("--notes", type=click.IntRange(1, 6), default=5, help="Of each instrument.")
def soundfont(soundfont: Path, out: Path, source: str | None, notes: int) -> None:
    """Make a corpus of notes, for --extra.

    Plays the instruments of SOUNDFONT, a General MIDI .sf2, into the folder OUT: mostly sounds
    that are no drum. Debian's fluid-soundfont-gm has one.
    """
    from drumwatchd.training.soundfont import extract

    count = extract(soundfont, out, source=source or soundfont.stem, notes=notes)
    click.echo(f"{count} sounds in {out}")


@cli.command()
@click.argument("out", type=_FOLDER)
@click.option("--source", default="deb-flite", help="What the table calls it.")
def speech(out: Path, source: str) -> None:
    """Make a corpus of spoken words, for --extra.

    Four voices of flite, which has to be installed, speak into the folder OUT.
    """
    from drumwatchd.training.speech import speak

    click.echo(f"{speak(out, source=source)} sounds in {out}")


@cli.command()
@_CORPUS
@_ARCH
@_SETTINGS
@_HOLD_OUT
@_EXTRA
@_VERSIONS
@_SYNTHETIC
@_SEED
@click.option("--json", "as_json", is_flag=True, help="Also write plain MFCC as JSON, in --data.")
@click.option("--data", type=_FOLDER, default=Path("data"), help="For the JSON files.")
@_CACHE
@_PROCESSES
def features(
    corpus: Path,
    arch: str | None,
    settings: Path | None,
    as_json: bool,
    data: Path,
    cache: Path,
    processes: int,
    **given: Any,
) -> None:
    """Compute the features of CORPUS.

    Those that `train` with the same options will ask for. After a kill it goes on where it was. --json writes mfcc_train_data.json and
    mfcc_test_data.json, the latter of what is held out.
    """
    from drumwatchd.training.artefacts import write_mfcc_json
    from drumwatchd.training.preparation import prepare
    from drumwatchd.training.progress import Progress

    config = _configuration(corpus, arch, settings, given)
    with Progress() as progress:
        prepared = prepare(config, cache, processes, progress)
        if as_json:
            plain = ReferenceConfig(corpus=str(corpus), hold_out=config.hold_out, seed=config.seed)
            mfcc = prepare(plain, cache, processes, progress)
            write_mfcc_json(data / "mfcc_train_data.json", mfcc.features, plain.features, progress)
            write_mfcc_json(data / "mfcc_test_data.json", mfcc.held_out, plain.features, progress)
    click.echo(
        f"{len(prepared.trained_on)} sounds to train on, {len(prepared.held_out.examples)} "
        f"held out ({config.hold_out}), {len(prepared.skipped)} skipped: {cache}"
    )


@cli.command()
@_CORPUS
@_ARCH
@_SETTINGS
@click.option("--name", help="Of the model and its files.  [default: drumwatchd-1, or the design]")
@_HOLD_OUT
@_setting("--width", "width", click.FloatRange(0, min_open=True), "Factor on the channels.")
@_setting("--epochs", "epochs", click.IntRange(1), "Passes.")
@_setting("--batch-size", "batch_size", click.IntRange(2), "Examples per step.")
@_setting("--learning-rate", "learning_rate", click.FloatRange(0, min_open=True), "At its highest.")
@_EXTRA
@_VERSIONS
@_SYNTHETIC
@_setting(
    "--teachers",
    "teachers",
    click.IntRange(0),
    "Larger networks trained first, whose probabilities are half of the targets.",
)
@_setting(
    "--initial",
    "initial",
    click.Path(exists=True, dir_okay=False),
    "Weights to start from (.keras).",
)
@_setting(
    "--precision",
    "precision",
    click.Choice(["float32", "mixed_bfloat16"]),
    "bfloat16 is faster on processors that have it.",
)
@_setting(
    "--validation-split",
    "validation_split",
    click.FloatRange(0, 1, min_open=True, max_open=True),
    "Share of the training sounds, whole kits, that early stopping looks at.",
)
@_setting(
    "--early-stopping-patience",
    "early_stopping_patience",
    click.IntRange(1),
    "Epochs without progress before it ends.",
)
@_setting(
    "--reduce-lr-patience",
    "reduce_lr_patience",
    click.IntRange(1),
    "Epochs without progress before the learning rate is halved.",
)
@_SEED
@_JSON
@_MODELS
@_RESULTS
@_CACHE
@_PROCESSES
def train(
    corpus: Path,
    arch: str | None,
    settings: Path | None,
    as_json: bool,
    models: Path,
    results: Path,
    cache: Path,
    processes: int,
    **given: Any,
) -> None:
    """Train, measure, and write the model folder.

    Whole kits of CORPUS are held out and measured on. A run that was killed goes on where it was when it is started again with the same options.
    """
    start_keras()
    from drumwatchd.training.artefacts import RunFiles
    from drumwatchd.training.progress import Progress
    from drumwatchd.training.runs import train_any

    config = _configuration(corpus, arch, settings, given)
    files = RunFiles(config.name, models, results)
    with Progress() as progress:
        run = train_any(config, files, cache=cache, processes=processes, progress=progress)
        _finish(run, files, cache, processes, progress, as_json=as_json)


@cli.command()
@_CORPUS
@click.argument("name")
@_EXTRA
@_JSON
@_MODELS
@_RESULTS
@_CACHE
@_PROCESSES
def export(
    corpus: Path,
    name: str,
    extra: tuple[Path, ...],
    as_json: bool,
    models: Path,
    results: Path,
    cache: Path,
    processes: int,
) -> None:
    """Write the model folder of a trained network again.

    The network is NAME.keras in --models; it is measured on what it held out of CORPUS. The card
    names all that it was trained on, so --extra has to be given again.
    """
    start_keras()
    from drumwatchd.training.artefacts import RunFiles
    from drumwatchd.training.progress import Progress
    from drumwatchd.training.train import load_run

    files = RunFiles(_checked_name(name), models, results)
    with Progress() as progress:
        run = load_run(files, corpus, cache, tuple(map(str, extra)))
        _finish(run, files, cache, processes, progress, as_json=as_json)


@cli.command()
@_CORPUS
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_EXTRA
@_PROCESSES
def replay(corpus: Path, model: Path, extra: tuple[Path, ...], processes: int) -> None:
    """Write what adaptations of MODEL need into its folder.

    Hears every sound of CORPUS as the daemon does, decoding included, and keeps an embedding of
    each (replay.npz); beside it goes the network's last layer (head.npz). The card says what was
    held out of CORPUS. `train` and `export` do the same at their end.
    """
    from drumwatchd.training.progress import Progress
    from drumwatchd.training.replay import corpus_sides

    with Progress() as progress:
        training, held_out = corpus_sides(model, corpus, extra)
        _add_replay(model, training, held_out, processes, progress)


@cli.command()
@_CORPUS
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--hold-out", default=None, help="Measured part.  [default: what the model's card holds out]"
)
@_JSON
@_RESULTS
def evaluate(corpus: Path, model: Path, hold_out: str | None, as_json: bool, results: Path) -> None:
    """Measure a model folder as the daemon runs it.

    MODEL judges what its card holds out of CORPUS, decoding included. Leaves a classification report, text and JSON, and the confusion matrix in --results.
    """
    from drumwatchd.training.artefacts import (
        RunFiles,
        classification_report,
        write_report,
        write_skipped,
    )
    from drumwatchd.training.evaluate import judge_corpus
    from drumwatchd.training.progress import Progress

    files = RunFiles(model.resolve().name, model.parent, results)
    with Progress() as progress:
        judged = judge_corpus(
            model, corpus, hold_out, lambda done, total: progress.step("sounds", done, total)
        )
        if judged.skipped:
            progress.say(f"{len(judged.skipped)} files can't be read: {files.skipped}")
    write_skipped(files, judged.skipped)
    report = classification_report(files.name, judged)
    write_report(files, report)
    _print(report.as_dict(), report.as_text(), as_json=as_json)


@cli.command()
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@_JSON
@_RESULTS
def compare(names: tuple[str, ...], as_json: bool, results: Path) -> None:
    """Put the figures of several models side by side.

    Of all in --results, if no MODEL is named. Reads the reports that train, export and evaluate leave, and draws model_comparison.png.
    """
    from drumwatchd.training.artefacts import (
        SCHEMA,
        comparison_text,
        draw_comparison,
        read_report,
        reports_in,
    )

    found = [read_report(results, Path(name).name.removesuffix(".keras")) for name in names]
    reports = found or reports_in(results)
    draw_comparison(reports, results / "model_comparison.png")
    _print({"schema": SCHEMA, "models": reports}, comparison_text(reports), as_json=as_json)


@cli.command("report")
@_CORPUS
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("docs/model-report.md"),
    help="The page.",
)
@click.option(
    "--part",
    "parts",
    type=click.Choice(["designs", "trials", "audio"]),
    multiple=True,
    help="Measure only this; the rest of the page stays.  [default: all]",
)
@_EXTRA
@click.option("--without-model2", is_flag=True, help="Leave out the design that takes longest.")
@click.option(
    "--trial",
    "trials",
    multiple=True,
    help="Only these, and the base of their part.  [default: all]",
)
@_RESULTS
@_CACHE
@_PROCESSES
def model_report(
    corpus: Path,
    out: Path,
    parts: tuple[str, ...],
    extra: tuple[Path, ...],
    without_model2: bool,
    trials: tuple[str, ...],
    results: Path,
    cache: Path,
    processes: int,
) -> None:
    """Measure everything that docs/model-report.md claims.

    Every design and every trial is trained once for each part of CORPUS that is held out, which
    takes many hours; what is finished is kept in --results.
    """
    start_keras()
    from drumwatchd.training.progress import Progress
    from drumwatchd.training.report import PARTS, write_report

    with Progress() as progress:
        write_report(
            str(corpus),
            out,
            parts=parts or PARTS,
            extra=tuple(map(str, extra)),
            leave_out=("model2",) if without_model2 else (),
            trials=trials,
            results=results,
            cache=cache,
            processes=processes,
            progress=progress,
        )
    click.echo(out)


@cli.command()
@_CORPUS
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("docs/learning.md"),
    help="The page; its table is replaced.",
)
@_EXTRA
@_RESULTS
@_CACHE
@_PROCESSES
def simulate(
    corpus: Path, out: Path, extra: tuple[Path, ...], results: Path, cache: Path, processes: int
) -> None:
    """Measure what corrections teach.

    An owner who knows the labels corrects sounds of sources that a network never met, one source
    after the other. The networks are those of `report`; what is finished is kept in --results.
    """
    start_keras()
    from drumwatchd.files import write_atomically
    from drumwatchd.training.progress import Progress
    from drumwatchd.training.report import SHIPPED, with_part
    from drumwatchd.training.simulation import render, simulate

    config = dataclasses.replace(SHIPPED, corpus=str(corpus), extra=tuple(map(str, extra)))
    with Progress() as progress:
        gains = simulate(
            config,
            results=results / "trials",
            cache=cache,
            processes=processes,
            progress=progress,
        )
    page = with_part(out.read_text(encoding="utf-8"), "simulated owner", render(gains))
    write_atomically(str(out), page)
    click.echo(render(gains))


cli.add_command(adapt)
cli.add_command(retrain)


def _configuration(
    corpus: Path, arch: str | None, settings: Path | None, given: dict[str, Any]
) -> RunConfig:
    """The settings of a run: those given, then those of `settings`, then the design's own."""
    given = {name: value for name, value in given.items() if value not in (None, ())}
    if "extra" in given:
        given["extra"] = tuple(str(folder) for folder in given["extra"])
    base = _base(arch, settings)
    known = {field.name for field in dataclasses.fields(base)}
    foreign = sorted(set(given) - known)
    if foreign:
        raise UsageError(f"{base.arch} has no {', '.join(foreign)} to set")
    config = dataclasses.replace(base, corpus=str(corpus), **given)
    if "extra" not in given:
        check_extra(base, ())
    _checked_name(config.name)
    return config


def _base(arch: str | None, settings: Path | None) -> RunConfig:
    if settings is None:
        arch = arch or _DEFAULT_ARCH
        if arch in REFERENCE_DESIGNS:
            return ReferenceConfig(name=arch, arch=arch, features=FEATURES_OF[arch])
        return TrainingConfig(arch=arch, features=FEATURES_OF[arch])
    try:
        base = config_from(json.loads(settings.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError("not the settings of a run", path=str(settings)) from error
    if arch not in (None, base.arch):
        raise UsageError(f"these settings are of {base.arch}, not of {arch}", path=str(settings))
    return base


def _checked_name(name: str) -> str:
    if not name or name != Path(name).name or name.startswith("."):
        raise UsageError(f"{name!r} can't be the name of a file")
    return name


def _finish(
    run: TrainingRun,
    files: RunFiles,
    cache: Path,
    processes: int,
    progress: Progress,
    *,
    as_json: bool,
) -> None:
    """From a trained network to its pictures, its reports and its model folder."""
    from drumwatchd.training.artefacts import classification_report, draw_training, write_report
    from drumwatchd.training.export import export, make_shippable
    from drumwatchd.training.tags import learn_tags
    from drumwatchd.training.train import judge_held_out

    if run.history:
        draw_training(run.history, files.training_picture)
    make_shippable(run.model, run.config)
    judged = judge_held_out(run)
    report = None if judged is None else classification_report(files.name, judged)
    export(
        run.model,
        run.config,
        files.model_folder,
        figures=None if report is None else report.figures,
        training=run.training,
        check_x=run.held_out_x,
        tags=learn_tags(run, cache=cache, progress=progress),
    )
    progress.say(f"model: {files.model_folder}")
    if isinstance(run.config, TrainingConfig):  # the reference designs are there to compare with
        _add_replay(files.model_folder, run.training, run.held_out.examples, processes, progress)
    if report is not None:
        write_report(files, report)
        _print(report.as_dict(), report.as_text(), as_json=as_json)


def _add_replay(
    model: Path,
    training: list[Example],
    held_out: list[Example],
    processes: int,
    progress: Progress,
) -> None:
    from drumwatchd.training.replay import add_to_model, make_replay

    made = make_replay(
        model,
        training,
        held_out,
        processes=processes,
        progress=lambda done, total: progress.step("embeddings", done, total),
    )
    add_to_model(model, made)
    count, validation = len(made.truth), int(made.validation.sum())
    progress.say(f"replay: {count:,} embeddings, {validation:,} of them held out")


def _print(values: dict[str, Any], text: str, *, as_json: bool) -> None:
    click.echo(json.dumps(values, indent=2) if as_json else text)


def main() -> None:
    """Run a command; turn errors into one message and an exit code."""
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except ModuleNotFoundError as error:
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
