"""Figures of a network on sounds that it never trained on."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from drumwatchd.analysis.labels import CANONICAL_LABELS, CANONICAL_OF, FINE_LABELS, MISC
from drumwatchd.errors import AnalysisError, SourceChangedError, UsageError
from drumwatchd.training.corpus import Example, read_corpus, split

FOLDERS = (*CANONICAL_LABELS, MISC)
_FOLD = np.array([[CANONICAL_OF[fine] == folder for folder in FOLDERS] for fine in FINE_LABELS])


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured; all but counts and the confusion matrix are fractions in [0, 1].

    Attributes:
        n_sounds: measured on.
        n_kits: they come from.
        accuracy: best of the six and misc before the threshold is the true one.
        kit_accuracy: the same, averaged over kits.
        six_accuracy: the same, among sounds of the six labels.
        fine_accuracy: best of the 34 is the true one.
        misc_recall: sounds of no folder that are put into misc.
        recall: per folder.
        precision: per folder.
        coverage: share of sounds with a confidence at the threshold or above.
        covered_accuracy: accuracy among those.
        threshold: of the two above.
        calibration_error: expected calibration error of the confidence, 15 bins.
        confusion: counts, rows true, columns judged, both in the order of `FOLDERS`.
    """

    n_sounds: int
    n_kits: int
    accuracy: float
    kit_accuracy: float
    six_accuracy: float
    fine_accuracy: float
    misc_recall: float
    recall: dict[str, float]
    precision: dict[str, float]
    coverage: float
    covered_accuracy: float
    threshold: float
    calibration_error: float
    confusion: list[list[int]]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, rounded to four places, for JSON."""
        return {key: _rounded(value) for key, value in dataclasses.asdict(self).items()}


def measure(
    probabilities: npt.NDArray[np.float32], examples: Sequence[Example], threshold: float = 0.5
) -> Figures:
    """Compare fine probabilities, float32 [shape=(n, 34)], with the labels of `examples`."""
    true_fine = np.array([FINE_LABELS.index(example.label) for example in examples])
    true = _FOLD[true_fine].argmax(axis=1)
    folded = probabilities @ _FOLD
    judged, confidence = folded.argmax(axis=1), folded.max(axis=1)
    right = judged == true
    confusion = np.zeros((len(FOLDERS), len(FOLDERS)), dtype=int)
    np.add.at(confusion, (true, judged), 1)
    hits = confusion.diagonal()
    recall = hits / np.maximum(confusion.sum(axis=1), 1)
    precision = hits / np.maximum(confusion.sum(axis=0), 1)
    six, covered = true != FOLDERS.index(MISC), confidence >= threshold
    kits = _kit_means(right, examples)
    return Figures(
        n_sounds=len(examples),
        n_kits=len(kits),
        accuracy=float(right.mean()),
        kit_accuracy=float(np.mean(kits)),
        six_accuracy=_mean(right[six]),
        fine_accuracy=float((probabilities.argmax(axis=1) == true_fine).mean()),
        misc_recall=_mean(right[~six]),
        recall=dict(zip(FOLDERS, recall.tolist(), strict=True)),
        precision=dict(zip(FOLDERS, precision.tolist(), strict=True)),
        coverage=float(covered.mean()),
        covered_accuracy=_mean(right[covered]),
        threshold=threshold,
        calibration_error=calibration_error(confidence, right),
        confusion=confusion.tolist(),
    )


def evaluate_model(folder: Path, corpus: Path, hold_out: str | None = None) -> Figures:
    """Measure a model folder through the daemon's own analysis, one file at a time.

    Args:
        folder: of the model.
        corpus: labelled sounds.
        hold_out: which part of them (`corpus.split`); what the model's card holds out, if None.

    Raises:
        ModelError: if the model can't be used.
        UsageError: if the fold is empty.
    """
    from drumwatchd.analysis import audio
    from drumwatchd.analysis.classifier import Classifier
    from drumwatchd.analysis.features import FeatureExtractor

    classifier = Classifier(folder)
    if hold_out is None:
        hold_out = str(classifier.card.details.get("training", {}).get("hold_out", "none"))
    extractor = FeatureExtractor(classifier.card.features)
    examples, judged = [], []
    for example in split(read_corpus(corpus), hold_out)[1]:
        with contextlib.suppress(AnalysisError, SourceChangedError):
            y = audio.load(example.path, classifier.card.features).y
            judged.append(classifier.predict(extractor(y)[None])[1][0])
            examples.append(example)
    if not examples:
        raise UsageError(f"no readable sounds in {hold_out}", path=str(corpus))
    return measure(np.stack(judged), examples, classifier.card.confidence_threshold)


def calibration_error(
    confidence: npt.NDArray[np.float32], right: npt.NDArray[np.bool_], n_bins: int = 15
) -> float:
    """Mean distance of confidence and accuracy over bins of equal width, weighted by their size.

    References:
        Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    error = 0.0
    for number in np.unique(bins):
        inside = bins == number
        error += inside.mean() * abs(float(confidence[inside].mean()) - float(right[inside].mean()))
    return float(error)


def report(figures: Figures) -> str:
    """The figures as a few lines of text."""
    lines = [
        f"{figures.n_sounds} sounds of {figures.n_kits} kits",
        f"accuracy, six + misc      {figures.accuracy:.3f}",
        f"  averaged over kits      {figures.kit_accuracy:.3f}",
        f"  the six only            {figures.six_accuracy:.3f}",
        f"accuracy, 34 labels       {figures.fine_accuracy:.3f}",
        f"no drum of the six → misc {figures.misc_recall:.3f}",
        f"confidence ≥ {figures.threshold:.2f}: {figures.coverage:.3f} of the sounds, "
        f"{figures.covered_accuracy:.3f} of them right",
        f"calibration error         {figures.calibration_error:.3f}",
        "",
        f"{'':8}{'recall':>8}{'precision':>11}",
    ]
    lines += [
        f"{folder:8}{figures.recall[folder]:8.3f}{figures.precision[folder]:11.3f}"
        for folder in FOLDERS
    ]
    return "\n".join(lines)


def draw_confusion(figures: Figures, path: Path) -> None:
    """The confusion matrix as a picture, rows normalised to one."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = np.array(figures.confusion)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(share, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(FOLDERS)), FOLDERS, rotation=45)
    axes.set_yticks(range(len(FOLDERS)), FOLDERS)
    axes.set_xlabel("judged")
    axes.set_ylabel("true")
    for row, column in np.ndindex(counts.shape):
        color = "white" if share[row, column] > 0.6 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=color)
    figure.savefig(path, dpi=110)


def _kit_means(right: npt.NDArray[np.bool_], examples: Sequence[Example]) -> list[float]:
    kits: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for hit, example in zip(right.tolist(), examples, strict=True):
        kits[example.source, example.kit].append(hit)
    return [float(np.mean(hits)) for hits in kits.values()]


def _mean(values: npt.NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else 0.0


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value
