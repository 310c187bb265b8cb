"""Finer tags on the embedding: closed or open for a hi-hat, low or high for a tom.

One softmax regression per label, fitted on the plain training sounds whose detail is known. The finest
division of a label is kept that sounds never trained on bear out (`is_borne_out`); where none is, the
label has no tags. Sounds whose detail is none of a division's say nothing for or against it.

References:
    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special

from drumwatchd.analysis.tags import THRESHOLD, TagHead
from drumwatchd.training.corpus import Example
from drumwatchd.training.feature_cache import FeatureSet, cached_features
from drumwatchd.training.progress import Progress

if TYPE_CHECKING:
    from drumwatchd.training.train import TrainingRun

_T = TypeVar("_T")
Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Division = Mapping[str, tuple[str, ...]]  # tag → details

# Of each label, the finest first.
DIVISIONS: Mapping[str, tuple[Division, ...]] = {
    "Hihat": (
        {"closed": ("hihat_closed",), "open": ("hihat_open",), "pedal": ("hihat_pedal",)},
        {"closed": ("hihat_closed",), "open": ("hihat_open",)},
    ),
    "Ride": ({"bow": ("ride",), "bell": ("ride_bell",)},),
    "Tom": (
        {
            "floor": ("tom_floor",),
            "low": ("tom_low",),
            "mid": ("tom_mid",),
            "high": ("tom_high",),
        },
        {"low": ("tom_floor", "tom_low"), "high": ("tom_mid", "tom_high")},
    ),
}
_ENOUGH_TO_LEARN, _ENOUGH_TO_MEASURE = 20, 10
_LEAST_RECALL = 0.7
# On standardised embeddings; from 0.01 to 0.3 the held-out accuracy is the same within its error.
_L2 = 0.03
_Z = 1.96  # of a 95 % interval


@dataclass(frozen=True, slots=True)
class TagFigures:
    """What was measured on sounds never trained on; all but counts are fractions.

    Attributes:
        trained: sounds per tag that were learned.
        held_out: sounds per tag that were measured on.
        accuracy: the likeliest tag is the true one.
        commonest: what always saying the commonest would reach.
        recall: per tag.
        coverage: share of the sounds whose tag is likely enough to be said.
        covered_accuracy: accuracy among those.
    """

    trained: dict[str, int]
    held_out: dict[str, int]
    accuracy: float
    commonest: float
    recall: dict[str, float]
    coverage: float
    covered_accuracy: float


def learn_tags(
    run: TrainingRun, *, cache: Path, processes: int = 1, progress: Progress
) -> dict[str, Any]:
    """The tags of a run's network for its card, by label; none where nothing was held out."""
    known = [example for example in run.training if _is_detailed(example)]
    if not known or not any(map(_is_detailed, run.held_out.examples)):
        return {}
    learned = cached_features(
        known,
        run.config.features,
        n_versions=1,
        seed=run.config.seed,
        folder=cache,
        processes=processes,
        progress=lambda done, total: progress.step("features for tags", done, total),
    )
    sides = [(part.examples, _embeddings(run, part)) for part in (learned, run.held_out)]
    heads = fit_tags(*sides)
    for label in DIVISIONS:
        said = ", ".join(heads[label]["classes"]) if label in heads else "none is borne out"
        progress.say(f"tags of {label}: {said}")
    return heads


def fit_tags(
    training: tuple[Sequence[Example], Array], held_out: tuple[Sequence[Example], Array]
) -> dict[str, Any]:
    """Fit and measure every division; of each label the finest that is borne out.

    Args:
        training: examples, and their embeddings, float32 [shape=(n, embedding_size)].
        held_out: the same of sounds that the network never trained on.
    """
    tags = {}
    for label, divisions in DIVISIONS.items():
        for division in divisions:
            x, y = _members(label, division, *training)
            held_x, held_y = _members(label, division, *held_out)
            if not _are_enough(y, held_y, len(division)):
                continue
            head = _fit(tuple(division), x, y)
            figures = measure_tags(head, y, held_x, held_y)
            if is_borne_out(figures):
                rounded = {key: _rounded(value) for key, value in asdict(figures).items()}
                tags[label] = {**asdict(head), "figures": rounded}
                break
    return tags


def is_borne_out(figures: TagFigures) -> bool:
    """Whether tags are worth saying.

    The lower end of a 95 % interval of the accuracy is above always saying the commonest tag, and of
    each tag at least 70 % are found.
    """
    n = sum(figures.held_out.values())
    return (
        _wilson_low(figures.accuracy, n) > figures.commonest
        and min(figures.recall.values()) >= _LEAST_RECALL
    )


def measure_tags(head: TagHead, trained: Rows, x: Array, y: Rows) -> TagFigures:
    """Compare what `head` says of embeddings `x` with the true tags `y`."""
    said = [head.probabilities(row) for row in x.tolist()]
    judged, sure = np.argmax(said, axis=1), np.max(said, axis=1) >= THRESHOLD
    right = judged == y
    counts = np.bincount(y, minlength=len(head.classes))
    return TagFigures(
        trained=_by_class(head, np.bincount(trained, minlength=len(head.classes)).tolist()),
        held_out=_by_class(head, counts.tolist()),
        accuracy=float(right.mean()),
        commonest=float(counts.max() / len(y)),
        recall=_by_class(head, [float(right[y == tag].mean()) for tag in range(len(counts))]),
        coverage=float(sure.mean()),
        covered_accuracy=float(right[sure].mean()) if sure.any() else 0.0,
    )


def _fit(classes: tuple[str, ...], x: Array, y: Rows) -> TagHead:
    """Softmax regression with L2 on the weights; the standardisation is folded in."""
    mean, scale = x.mean(axis=0, dtype=np.float64), float(x.std(axis=0).mean()) or 1.0
    features = (x - mean) / scale
    shape = (len(classes), x.shape[1] + 1)  # the last column are the biases
    true = np.eye(len(classes))[y]

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        weights, biases = flat.reshape(shape)[:, :-1], flat.reshape(shape)[:, -1]
        logits = features @ weights.T + biases
        log_p = logits - scipy.special.logsumexp(logits, axis=1, keepdims=True)
        error = (np.exp(log_p) - true) / len(true)
        slope = np.column_stack([error.T @ features + 2 * _L2 * weights, error.sum(axis=0)])
        value = -(true * log_p).sum() / len(true) + _L2 * (weights**2).sum()
        return float(value), slope.ravel()

    found = scipy.optimize.minimize(loss, np.zeros(math.prod(shape)), jac=True, method="L-BFGS-B")
    weights, biases = found.x.reshape(shape)[:, :-1] / scale, found.x.reshape(shape)[:, -1]
    biases = biases - weights @ mean
    rows = tuple(tuple(row) for row in weights.round(5).tolist())
    return TagHead(classes, rows, tuple(biases.round(5).tolist()))


def _members(
    label: str, division: Division, examples: Sequence[Example], embeddings: Array
) -> tuple[Array, Rows]:
    """Embeddings and tag numbers of the sounds that are in a division."""
    number = {detail: n for n, details in enumerate(division.values()) for detail in details}
    rows = [row for row, e in enumerate(examples) if e.label == label and e.detail in number]
    tags = [number[examples[row].detail] for row in rows]
    return embeddings[rows], np.array(tags, dtype=np.intp)


def _are_enough(trained: Rows, held_out: Rows, n_tags: int) -> bool:
    return bool(
        (np.bincount(trained, minlength=n_tags) >= _ENOUGH_TO_LEARN).all()
        and (np.bincount(held_out, minlength=n_tags) >= _ENOUGH_TO_MEASURE).all()
    )


def _is_detailed(example: Example) -> bool:
    divisions = DIVISIONS.get(example.label, ())
    return any(example.detail in details for d in divisions for details in d.values())


def _embeddings(run: TrainingRun, part: FeatureSet) -> Array:
    x = part.x[:, 0].astype(np.float32)
    return np.asarray(run.model.predict(x, batch_size=256, verbose=0)["embedding"])


def _wilson_low(share: float, n: int) -> float:
    """Lower end of the interval of a share that was found among `n`."""
    middle = share + _Z**2 / (2 * n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n))
    return (middle - half) / (1 + _Z**2 / n)


def _by_class(head: TagHead, values: Sequence[_T]) -> dict[str, _T]:
    return dict(zip(head.classes, values, strict=True))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 4)
