"""Figures of a network on sounds that it never trained on."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from drumwatchd.analysis.labels import CANONICAL_LABELS, CANONICAL_OF, FINE_LABELS, MISC
from drumwatchd.errors import AnalysisError, SourceChangedError, UsageError
from drumwatchd.training.corpus import Example, read_corpus, split

FOLDERS = (*CANONICAL_LABELS, MISC)
FOLD = np.array([[CANONICAL_OF[fine] == folder for folder in FOLDERS] for fine in FINE_LABELS])


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
        non_drums_in_misc: sounds of the label FX that are filed in misc, by label or by doubt.
        six_filed: sounds of the six labels that are filed where they belong.
        recall: per folder.
        precision: per folder.
        coverage: share of sounds with a confidence at the threshold or above.
        covered_accuracy: accuracy among those.
        threshold: of coverage, and of what is filed.
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
    non_drums_in_misc: float
    six_filed: float
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
    true = FOLD[true_fine].argmax(axis=1)
    folded = probabilities @ FOLD
    judged, confidence = folded.argmax(axis=1), folded.max(axis=1)
    right = judged == true
    confusion = np.zeros((len(FOLDERS), len(FOLDERS)), dtype=int)
    np.add.at(confusion, (true, judged), 1)
    hits = confusion.diagonal()
    recall = hits / np.maximum(confusion.sum(axis=1), 1)
    precision = hits / np.maximum(confusion.sum(axis=0), 1)
    six, covered = true != FOLDERS.index(MISC), confidence >= threshold
    kits = kit_means(right, examples)
    return Figures(
        n_sounds=len(examples),
        n_kits=len(kits),
        accuracy=float(right.mean()),
        kit_accuracy=float(np.mean(list(kits.values()))),
        six_accuracy=_mean(right[six]),
        fine_accuracy=float((probabilities.argmax(axis=1) == true_fine).mean()),
        misc_recall=_mean(right[~six]),
        non_drums_in_misc=_mean((~covered | right)[true_fine == FINE_LABELS.index("FX")]),
        six_filed=_mean((covered & right)[six]),
        recall=dict(zip(FOLDERS, recall.tolist(), strict=True)),
        precision=dict(zip(FOLDERS, precision.tolist(), strict=True)),
        coverage=float(covered.mean()),
        covered_accuracy=_mean(right[covered]),
        threshold=threshold,
        calibration_error=calibration_error(confidence, right),
        confusion=confusion.tolist(),
    )


@dataclass(frozen=True, slots=True)
class Judged:
    """What a network said of labelled sounds.

    Attributes:
        examples: the sounds.
        probabilities: of the fine labels, float32 [shape=(n, 34)].
        hold_out: which part of the corpus they are.
        threshold: of the confidence.
        skipped: (path, reason) of sounds that couldn't be read.
    """

    examples: list[Example]
    probabilities: npt.NDArray[np.float32]
    hold_out: str
    threshold: float
    skipped: list[tuple[str, str]]


def judge_corpus(
    folder: Path,
    corpus: Path,
    hold_out: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Judged:
    """Let a model folder judge a corpus through the daemon's own analysis, one file at a time.

    Args:
        folder: of the model.
        corpus: labelled sounds.
        hold_out: which part of them (`corpus.split`); what the model's card holds out, if None.
        progress: told how many of how many are done.

    Raises:
        ModelError: if the model can't be used.
        UsageError: if there is nothing in that part.
    """
    from drumwatchd.analysis import audio
    from drumwatchd.analysis.classifier import Classifier
    from drumwatchd.analysis.features import FeatureExtractor

    classifier = Classifier(folder)
    if hold_out is None:
        hold_out = str(classifier.card.details.get("training", {}).get("hold_out", "none"))
    if hold_out == "none":
        hint = "--hold-out sources:0/1 is all of a corpus that it never met"
        raise UsageError("the model's training held nothing out", path=str(folder), hint=hint)
    extractor = FeatureExtractor(classifier.card.features)
    examples, judged, skipped = [], [], []
    wanted = split(read_corpus(corpus), hold_out)[1]
    for number, example in enumerate(wanted, 1):
        try:
            y = audio.load(example.path, classifier.card.features).y
        except (AnalysisError, SourceChangedError) as error:
            skipped.append((example.path, error.message))
        else:
            judged.append(classifier.predict(extractor(y)[None])[1][0])
            examples.append(example)
        progress(number, len(wanted))
    if not examples:
        raise UsageError(f"no readable sounds in {hold_out}", path=str(corpus))
    threshold = classifier.card.confidence_threshold
    return Judged(examples, np.stack(judged), hold_out, threshold, skipped)


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
    ]
    return "\n".join(lines)


def kit_means(
    right: npt.NDArray[np.bool_], examples: Sequence[Example]
) -> dict[tuple[str, str], float]:
    """Share of each kit, by source and name, that is `right`, bool [shape=(n,)]."""
    kits: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for hit, example in zip(right.tolist(), examples, strict=True):
        kits[example.source, example.kit].append(hit)
    return {kit: float(np.mean(kits[kit])) for kit in sorted(kits)}


def _mean(values: npt.NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else 0.0


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value
