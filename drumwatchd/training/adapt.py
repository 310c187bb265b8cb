"""Fit a new head to what an owner corrected, without forgetting the corpus. Pure: arrays in, head out.

A multinomial logistic regression on the network's embeddings, started at the head that came with the
network and held near it.

References:
    Li & Hoiem, "Learning without Forgetting", IEEE TPAMI 40(12), 2018: what the old head said is part
    of the target.
    Robins, "Catastrophic Forgetting, Rehearsal and Pseudorehearsal", Connection Science 7(2), 1995.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.optimize

from drumwatchd.analysis.head import Head
from drumwatchd.analysis.labels import FINE_LABELS, MISC, target_of
from drumwatchd.training.replay import Replay

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]

_LEAST = np.float32(1e-12)  # of a probability whose logarithm is taken


@dataclass(frozen=True, slots=True)
class AdaptSettings:
    """How much corrections count, and how much the old head.

    Attributes:
        correction_weight: how many sounds of the corpus one correction counts as. A pack's worth of
            corrections should move a boundary that some hundred sounds of the corpus hold.
        most_weight: all corrections together count at most this share of the corpus, so that an
            archive that was sorted by hand can't drown it.
        opinion: share of the old head's own answers in what the corpus asks for; the rest are its
            labels. With labels alone a head grows surer of sounds that its network was trained on,
            even where there is nothing to learn.
        pull: towards the old head: half the squared distance of the weights times this.
        new_label_bias: how much less likely than an average label one of the owner's own starts out.
        iterations: of L-BFGS, at most; later ones change no verdict.
    """

    correction_weight: float = 20.0
    most_weight: float = 1.0
    opinion: float = 0.5
    pull: float = 3e-3
    new_label_bias: float = 3.0
    iterations: int = 60


@dataclass(frozen=True, slots=True)
class Corrections:
    """What an owner said of sounds.

    Attributes:
        labels: outputs of the head to be fitted: the old head's, then the owner's own.
        folder_of: number of the folder that each output is filed in [shape=(n_labels,)].
        embeddings: float32 [shape=(n, embedding_size)].
        said: number of what the owner said, into `sayings` [shape=(n,)].
        sayings: what owners say: folders, fine labels, misc.
        wanted: which outputs would do for a saying, bool [shape=(n_sayings, n_labels)].
        groups: number of the pack that each sound came in [shape=(n,)].
    """

    labels: tuple[str, ...]
    folder_of: Rows
    embeddings: Array
    said: Rows
    sayings: tuple[str, ...]
    wanted: Mask
    groups: Rows

    def part(self, rows: Mask) -> Corrections:
        """Only those sounds."""
        return Corrections(
            self.labels,
            self.folder_of,
            self.embeddings[rows],
            self.said[rows],
            self.sayings,
            self.wanted,
            self.groups[rows],
        )


def gather(
    said: Sequence[str],
    embeddings: Array,
    groups: Sequence[str],
    *,
    base: Sequence[str],
    targets: Sequence[str],
    canonical_of: Mapping[str, str],
) -> Corrections:
    """Make arrays of corrections.

    Args:
        said: what the owner says of each sound: a folder, one of the 34, misc, or a label of his own.
        embeddings: float32 [shape=(n, embedding_size)].
        groups: the pack of each, or what else stands for its origin.
        base: labels of the old head.
        targets: labels with a folder of their own, by the configuration.
        canonical_of: the model's fold.
    """
    known = {*base, *targets, *FINE_LABELS, MISC}
    own = tuple(sorted(set(said) - known))
    labels = (*base, *own)
    folders = {label: target_of(label, (*targets, *own), canonical_of) for label in labels}
    places = sorted(set(folders.values()))
    sayings = tuple(sorted(set(said)))
    packs = sorted(set(groups))
    wanted = [
        # Of a folder whatever is filed there will do; else only the label itself.
        [folders[label] == saying or (saying not in places and label == saying) for label in labels]
        for saying in sayings
    ]
    return Corrections(
        labels,
        np.array([places.index(folders[label]) for label in labels]),
        np.asarray(embeddings, dtype=np.float32),
        np.array([sayings.index(saying) for saying in said], dtype=np.intp),
        sayings,
        np.array(wanted, dtype=bool).reshape(len(sayings), len(labels)),
        np.array([packs.index(group) for group in groups], dtype=np.intp),
    )


def fit_head(base: Head, replay: Replay, corrections: Corrections, settings: AdaptSettings) -> Head:
    """The head that does what the corrections say, and else what `base` does.

    Args:
        base: the head that came with the network.
        replay: sounds of the corpus; those that are for validation are left aside.
        corrections: at least none: then the head stays about as it is.
        settings: how much each counts.
    """
    learned = replay.part(~replay.validation)
    start = _widened(base, corrections.labels, settings)
    old = _Part(learned.embeddings, start)
    new = _Part(corrections.embeddings, start)
    target = _targets(base, learned, len(corrections.labels), settings)
    folds = fold_matrix(corrections.folder_of)
    folded_target = target @ folds
    wanted = corrections.wanted[corrections.said].astype(np.float32)
    weight = _weight_of_one(len(target), len(wanted), settings)
    size = start.kernel.size

    def loss(change: Doubles) -> tuple[float, Doubles]:
        kernel = change[:size].reshape(start.kernel.shape).astype(np.float32)
        bias = change[size:].astype(np.float32)
        value, slope = _corpus_loss(old.probabilities(kernel, bias), target, folds, folded_target)
        in_kernel, in_bias = old.slopes(slope * np.float32(1 / len(target)))
        value /= len(target)
        if len(wanted):
            more, slope = _correction_loss(new.probabilities(kernel, bias), wanted)
            value += weight * more
            more_kernel, more_bias = new.slopes(slope * np.float32(weight))
            in_kernel, in_bias = in_kernel + more_kernel, in_bias + more_bias
        value += 0.5 * settings.pull * float(change[:size] @ change[:size])
        gradient = np.concatenate([in_kernel.ravel(), in_bias]).astype(np.float64)
        gradient[:size] += settings.pull * change[:size]
        return value, gradient

    found = scipy.optimize.minimize(
        loss,
        np.zeros(size + start.bias.size),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": settings.iterations},
    ).x
    kernel = start.kernel + found[:size].reshape(start.kernel.shape).astype(np.float32)
    return Head(corrections.labels, kernel, start.bias + found[size:].astype(np.float32))


class _Part:
    """Embeddings, and the logits that the start gives them: each step computes only the change."""

    def __init__(self, embeddings: Array, start: Head) -> None:
        self._embeddings = embeddings
        self._logits = embeddings @ start.kernel + start.bias

    def probabilities(self, kernel: Array, bias: Array) -> Array:
        """With the start changed by these."""
        odds = self._embeddings @ kernel
        odds += self._logits
        odds += bias
        odds -= odds.max(axis=1, keepdims=True)
        np.exp(odds, out=odds)
        odds /= odds.sum(axis=1, keepdims=True)
        return np.asarray(odds)

    def slopes(self, slope: Array) -> tuple[Array, Array]:
        """Of kernel and bias, from those of the logits."""
        return self._embeddings.T @ slope, slope.sum(axis=0)


def _corpus_loss(p: Array, target: Array, folds: Array, folded: Array) -> tuple[float, Array]:
    """Cross-entropy on the labels plus that on the folders, summed, and its slope in the logits."""
    in_folders = np.maximum(p @ folds, _LEAST)
    value = -float((target * np.log(np.maximum(p, _LEAST))).sum())
    value -= float((folded * np.log(in_folders)).sum())
    slope = 2 * p - target
    slope -= p * ((folded / in_folders) @ folds.T)
    return value, slope


def _correction_loss(p: Array, wanted: Array) -> tuple[float, Array]:
    """What is missing of the outputs that would do, as the negative logarithm, summed; its slope."""
    hit = np.maximum((p * wanted).sum(axis=1, keepdims=True), _LEAST)
    # Where no output would do there is nothing to learn.
    can_be = wanted.any(axis=1, keepdims=True)
    return -float(np.log(hit).sum()), can_be * (p - p * wanted / hit)


def _weight_of_one(n_corpus: int, n_corrections: int, settings: AdaptSettings) -> float:
    most = settings.most_weight / max(1, n_corrections)
    return min(settings.correction_weight / n_corpus, most)


def _targets(base: Head, replay: Replay, n_labels: int, settings: AdaptSettings) -> Array:
    """What the corpus asks for: the old answers and the labels, mixed; nothing of new labels."""
    target = np.zeros((len(replay.truth), n_labels), dtype=np.float32)
    target[:, : len(base.labels)] = settings.opinion * base.probabilities(replay.embeddings)
    target[np.arange(len(target)), replay.truth] += np.float32(1 - settings.opinion)
    return target


def _widened(base: Head, labels: Sequence[str], settings: AdaptSettings) -> Head:
    """`base` with an output for each further label: an average one, but less likely."""
    more = len(labels) - len(base.labels)
    kernel = np.repeat(base.kernel.mean(axis=1, keepdims=True), more, axis=1)
    bias = np.full(more, base.bias.mean() - settings.new_label_bias, dtype=np.float32)
    return Head(tuple(labels), np.hstack([base.kernel, kernel]), np.concatenate([base.bias, bias]))


def fold_matrix(folder_of: Rows) -> Array:
    """Probabilities of labels to those of folders, float32 [shape=(n_labels, n_folders)]."""
    return np.eye(int(folder_of.max()) + 1, dtype=np.float32)[folder_of]


def probabilities_on(head: Head, embeddings: Array, labels: Sequence[str]) -> Array:
    """What `head` says, in the columns of `labels`; nothing of labels that it doesn't know."""
    said = np.zeros((len(embeddings), len(labels)), dtype=np.float32)
    columns = [labels.index(label) for label in head.labels if label in labels]
    rows = [number for number, label in enumerate(head.labels) if label in labels]
    said[:, columns] = head.probabilities(embeddings)[:, rows]
    return said


def folds_of(groups: Rows, n_folds: int) -> Rows:
    """Part sounds into folds, whole groups each, of about equal size [shape=(n,)].

    Where all are of one group, each sound is its own.
    """
    names, numbers, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) == 1:
        return np.arange(len(groups)) % n_folds
    loads, fold_of = [0] * n_folds, np.zeros(len(names), dtype=np.intp)
    for name in np.argsort(-counts, kind="stable"):
        fold_of[name] = min(range(n_folds), key=loads.__getitem__)
        loads[fold_of[name]] += math.ceil(counts[name])
    return np.asarray(fold_of[numbers])
