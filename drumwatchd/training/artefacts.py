"""What runs leave behind: where each file stands, classification reports, and pictures."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drumwatchd.analysis.labels import CANONICAL_OF, FINE_LABELS, fold
from drumwatchd.analysis.model_card import FeatureSpec
from drumwatchd.errors import UsageError
from drumwatchd.files import write_atomically
from drumwatchd.training.corpus import Example
from drumwatchd.training.evaluate import FOLDERS, Figures, Judged, measure, report
from drumwatchd.training.feature_cache import FeatureSet
from drumwatchd.training.progress import Progress
from drumwatchd.training.settings import RunConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCHEMA = 1
# Figures that a comparison shows: key, and what a person calls it.
COMPARED = {
    "accuracy": "six + misc",
    "kit_accuracy": "over kits",
    "six_accuracy": "six only",
    "fine_accuracy": "34 labels",
    "misc_recall": "misc",
    "covered_accuracy": "right when sure",
    "coverage": "sure",
    "calibration_error": "calibration",
}
_REPORT_KEYS = ("name", "hold_out", "sounds", "n_sounds", "n_kits", *COMPARED)
_SHARES = [key for key in COMPARED if key != "calibration_error"]


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Where everything of the run `name` stands: what can be used in `models`, the rest in `results`."""

    name: str
    models: Path
    results: Path

    @property
    def keras(self) -> Path:
        """The trained network; unlike the exported one it can be trained further."""
        return self.models / f"{self.name}.keras"

    @property
    def config(self) -> Path:
        """Every setting of the run."""
        return self.models / f"{self.name}_training.json"

    @property
    def history(self) -> Path:
        """One value per epoch, by name."""
        return self.models / f"{self.name}_history.json"

    @property
    def model_folder(self) -> Path:
        """What the daemon loads."""
        return self.models / self.name

    @property
    def report_text(self) -> Path:
        """The classification report, to read."""
        return self.results / f"{self.name}_report.txt"

    @property
    def report_json(self) -> Path:
        """The classification report, to compare with others."""
        return self.results / f"{self.name}_report.json"

    @property
    def confusion_picture(self) -> Path:
        """The confusion matrix."""
        return self.results / f"{self.name}_confusion_matrix.png"

    @property
    def training_picture(self) -> Path:
        """The curves of `history`."""
        return self.results / f"{self.name}_training.png"

    @property
    def skipped(self) -> Path:
        """Files that couldn't be read, with their reasons."""
        return self.results / f"{self.name}_skipped.txt"

    @contextlib.contextmanager
    def unfinished(self, config: RunConfig) -> Iterator[Path]:
        """Where a run with these settings keeps what it goes on from; gone once it has finished.

        Raises:
            UsageError: if another process is at the same run.
        """
        settings = json.dumps(dataclasses.asdict(config), sort_keys=True)
        digest = hashlib.sha256(settings.encode()).hexdigest()[:12]
        folder = self.results / f"{self.name}_unfinished_{digest}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                message = f"another process is training {self.name} with the same settings"
                raise UsageError(message, path=str(folder)) from error
            yield folder
            shutil.rmtree(folder)


def write_json(path: Path, value: object) -> None:
    """Write `value`, or leave the file as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(str(path), json.dumps(value, indent=2) + "\n")


def write_skipped(files: RunFiles, skipped: Sequence[tuple[str, str]]) -> None:
    """List the files that were left out; no file is left where none was."""
    if not skipped:
        files.skipped.unlink(missing_ok=True)
        return
    files.results.mkdir(parents=True, exist_ok=True)
    lines = [f"{path}: {reason}\n" for path, reason in skipped]
    write_atomically(str(files.skipped), "".join(lines))


def write_mfcc_json(
    path: Path, features: FeatureSet, spec: FeatureSpec, progress: Progress
) -> None:
    """Write plain MFCC in the layout that tutorials read.

    ``mapping`` names the labels, ``labels`` has their numbers, ``files`` the paths, and ``mfcc``,
    per file, one list of coefficients per frame. Row by row: the whole is larger than memory likes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".new")
    head = {
        "mapping": list(FINE_LABELS),
        "labels": [FINE_LABELS.index(example.label) for example in features.examples],
        "files": [example.path for example in features.examples],
    }
    with part.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(head)[:-1] + ', "mfcc": [')
        for row in range(len(features.examples)):
            mfcc = features.x[row, 0].astype(np.float64) * spec.scale - spec.offset
            stream.write(("," if row else "") + "\n" + json.dumps(mfcc.T.round(2).tolist()))
            progress.step(path.name, row + 1, len(features.examples))
        stream.write("]}\n")
    os.replace(part, path)


@dataclass(frozen=True, slots=True)
class ClassificationReport:
    """Figures of one model on one set of sounds, and its recall and precision label by label.

    Attributes:
        name: of the model.
        hold_out: what part of the corpus was measured on.
        sounds: digest of which sounds these were: only figures on the same ones compare.
        figures: of the whole.
        folders: per folder ``recall``, ``precision``, ``f1`` and ``support`` (how many there are).
        labels: the same per fine label.
    """

    name: str
    hold_out: str
    sounds: str
    figures: Figures
    folders: dict[str, dict[str, float]]
    labels: dict[str, dict[str, float]]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "hold_out": self.hold_out,
            "sounds": self.sounds,
            **self.figures.as_dict(),
            "folders": self.folders,
            "labels": self.labels,
        }

    def as_text(self) -> str:
        """Plain lines; fine labels without a sound are left out."""
        present = {label: row for label, row in self.labels.items() if row["support"]}
        return "\n".join(
            [
                f"{self.name} on {self.hold_out}: {report(self.figures)}",
                "",
                _table("folder", self.folders),
                "",
                _table("label", present),
            ]
        )


def classification_report(name: str, judged: Judged) -> ClassificationReport:
    """Compare what the model `name` said with the labels."""
    true = [example.label for example in judged.examples]
    fine = [FINE_LABELS[index] for index in judged.probabilities.argmax(axis=1)]
    shares = [
        fold(dict(zip(FINE_LABELS, row, strict=True))) for row in judged.probabilities.tolist()
    ]
    return ClassificationReport(
        name=name,
        hold_out=judged.hold_out,
        sounds=_digest_of(judged.examples),
        figures=measure(judged.probabilities, judged.examples, judged.threshold),
        folders=per_class(
            [CANONICAL_OF[label] for label in true],
            [max(share, key=share.__getitem__) for share in shares],
            FOLDERS,
        ),
        labels=per_class(true, fine, FINE_LABELS),
    )


def per_class(
    true: Sequence[str], judged: Sequence[str], classes: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Recall, precision, F1 and support of each class; 0 where nothing can be divided."""
    table = {}
    for name in classes:
        support, claimed = true.count(name), judged.count(name)
        hits = sum(a == b == name for a, b in zip(true, judged, strict=True))
        table[name] = {
            "recall": round(hits / support, 4) if support else 0.0,
            "precision": round(hits / claimed, 4) if claimed else 0.0,
            "f1": round(2 * hits / (support + claimed), 4) if hits else 0.0,
            "support": support,
        }
    return table


def write_report(files: RunFiles, written: ClassificationReport) -> None:
    """Leave the report as text, JSON and confusion matrix."""
    write_json(files.report_json, written.as_dict())
    write_atomically(str(files.report_text), written.as_text() + "\n")
    draw_confusion(written.figures, files.confusion_picture)


def read_report(results: Path, name: str) -> dict[str, Any]:
    """The JSON that `write_report` left of the model `name`.

    Raises:
        UsageError: there is none.
    """
    path = RunFiles(name, results, results).report_json
    try:
        written: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {key: written[key] for key in _REPORT_KEYS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "measure the model first: drumwatchd-train evaluate"
        raise UsageError(f"no report of {name}", path=str(path), hint=hint) from error


def reports_in(results: Path) -> list[dict[str, Any]]:
    """All reports in a folder, the most accurate model first.

    Raises:
        UsageError: there are none.
    """
    ending = "_report.json"
    names = [path.name.removesuffix(ending) for path in sorted(results.glob(f"*{ending}"))]
    if not names:
        hint = "measure models first: drumwatchd-train evaluate"
        raise UsageError("no reports", path=str(results), hint=hint)
    reports = [read_report(results, name) for name in names]
    return sorted(reports, key=lambda written: -written["accuracy"])


def comparison_text(reports: Sequence[Mapping[str, Any]]) -> str:
    """One line per model, with the figures of `COMPARED`."""
    width = max(5, *(len(written["name"]) for written in reports))
    heads = [f"{title:>{max(6, len(title))}}" for title in COMPARED.values()]
    lines = ["  ".join([f"{'model':{width}}", *heads, "measured on"])]
    for written in reports:
        cells = [
            f"{written[key]:{len(head)}.3f}" for key, head in zip(COMPARED, heads, strict=True)
        ]
        where = f"{written['hold_out']}, {written['n_sounds']} sounds of {written['n_kits']} kits"
        lines.append("  ".join([f"{written['name']:{width}}", *cells, where]))
    if len({written["sounds"] for written in reports}) > 1:
        lines += ["", "Not all were measured on the same sounds; such figures don't compare."]
    return "\n".join(lines)


def draw_comparison(reports: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Bars side by side, one group per figure and one colour per model."""
    height = 0.8 / len(reports)
    figure = _figure(8.0, 1.2 + len(_SHARES) * (0.24 + 0.2 * len(reports)))
    axes = figure.add_subplot()
    rows = np.arange(len(_SHARES))
    for number, written in enumerate(reports):
        middle = rows + (number - (len(reports) - 1) / 2) * height
        values = [written[key] for key in _SHARES]
        bars = axes.barh(middle, values, height * 0.92, label=written["name"])
        axes.bar_label(bars, [f"{value:.3f}" for value in values], padding=3, fontsize=8)
    axes.set_yticks(rows, [COMPARED[key] for key in _SHARES])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.08)
    axes.set_xlabel("share")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=min(4, len(reports)), frameon=False)
    _save(figure, path)


def draw_confusion(figures: Figures, path: Path) -> None:
    """The confusion matrix: counts, coloured by their share of the row."""
    counts = np.array(figures.confusion)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure(6.0, 5.4)
    axes = figure.add_subplot()
    axes.imshow(share, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(FOLDERS)), FOLDERS, rotation=45)
    axes.set_yticks(range(len(FOLDERS)), FOLDERS)
    axes.set_xlabel("judged")
    axes.set_ylabel("true")
    for row, column in np.ndindex(counts.shape):
        color = "white" if share[row, column] > 0.6 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=color)
    _save(figure, path)


def draw_training(history: Mapping[str, Sequence[float]], path: Path) -> None:
    """One panel per quantity that `history` holds, training and validation in the same one."""
    quantities = [name for name in history if "val_" not in name]
    n_columns = min(3, len(quantities))
    n_rows = -(-len(quantities) // n_columns)
    figure = _figure(4.2 * n_columns, 3.4 * n_rows)
    for place, name in enumerate(quantities, 1):
        axes = figure.add_subplot(n_rows, n_columns, place)
        _curve(axes, history[name], "training")
        validation = history.get(_validation_of(name))
        if validation:
            _curve(axes, validation, "validation")
            axes.legend(frameon=False)
        axes.set_title(name.replace("_", " "))
        axes.set_xlabel("epoch")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.locator_params(axis="x", integer=True)
    _save(figure, path)


def _validation_of(name: str) -> str:
    """``loss`` → ``val_loss``, ``autoencoder_loss`` → ``autoencoder_val_loss``."""
    stage, _, quantity = name.rpartition("_")
    return f"{stage}_val_{quantity}" if stage else f"val_{quantity}"


def _curve(axes: Axes, values: Sequence[float], label: str) -> None:
    marker = "o" if len(values) == 1 else None  # a line needs two points
    axes.plot(range(1, len(values) + 1), values, label=label, marker=marker)


def _figure(width: float, height: float) -> Figure:
    """A figure of its own, so that no global state and no display is needed; inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _table(title: str, classes: Mapping[str, Mapping[str, float]]) -> str:
    lines = [f"{title:12}{'recall':>8}{'precision':>11}{'F1':>8}{'support':>9}"]
    lines += [
        f"{name:12}{row['recall']:8.3f}{row['precision']:11.3f}{row['f1']:8.3f}{row['support']:9.0f}"
        for name, row in classes.items()
    ]
    return "\n".join(lines)


def _digest_of(examples: Sequence[Example]) -> str:
    """The same for the same sounds wherever the corpus stands."""
    rows = sorted((e.source, e.kit, e.label, Path(e.path).name) for e in examples)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
