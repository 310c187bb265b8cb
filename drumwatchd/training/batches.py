"""What the network sees while it learns: random draws, masked and mixed.

References:
    Park et al., "SpecAugment", 2019 (masks); Zhang et al., "mixup", 2018.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import numpy.typing as npt

from drumwatchd.analysis.labels import CANONICAL_OF, FINE_LABELS
from drumwatchd.training.corpus import CORRECTIONS, Example
from drumwatchd.training.evaluate import FOLD, FOLDERS
from drumwatchd.training.feature_cache import FeatureSet
from drumwatchd.training.settings import TrainingConfig

Array = npt.NDArray[np.float32]


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # keras ships no types
    """Draws batches: a random version of each sound, masked and mixed."""

    def __init__(
        self,
        sets: Sequence[FeatureSet],
        chosen: Callable[[Example], bool],
        config: TrainingConfig,
        opinions: Mapping[Example, Array] | None = None,
    ) -> None:
        """Draw from those examples of `sets` that are `chosen`.

        Args:
            sets: features, which stay where they are.
            chosen: whether an example is trained on.
            config: of the run.
            opinions: what teachers hear in each version of an example (`teachers.opinions_for`).
        """
        super().__init__(workers=1, use_multiprocessing=False)
        self._config = config
        places = [
            (example, features.x, row)
            for features in sets
            for row, example in enumerate(features.examples)
            if chosen(example)
        ]
        self.examples = [example for example, _, _ in places]
        self._sounds = [(x, row) for _, x, row in places]
        self._y = _targets(self.examples, config, opinions or {})
        self._chances = _chances(self.examples, config)
        self._n_draws = config.draws or len(places)
        self.begin(0)

    def __len__(self) -> int:
        return math.ceil(self._n_draws / self._config.batch_size)

    def __getitem__(self, number: int) -> tuple[Array, Array]:
        config = self._config
        rng = np.random.default_rng([config.seed, 1, self._epoch, number])
        rows = self._order[number * config.batch_size : (number + 1) * config.batch_size]
        drawn = [self._version(row, rng) for row in rows]
        x = np.stack([x for x, _ in drawn]).astype(np.float32)
        y = self._y[rows, [version % self._y.shape[1] for _, version in drawn]]
        if config.mixup and rng.random() < 0.5:
            x, y = mixup(x, y, config.mixup, rng)
        return mask(x, rng) if config.masks else x, y

    def begin(self, epoch: int) -> None:
        """Draw for `epoch`, from 0; a run that goes on after a kill doesn't begin with the first."""
        self._epoch = epoch + 1
        self._order = self._draw()

    def _version(self, row: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.float16], int]:
        x, place = self._sounds[row]
        version = int(rng.integers(x.shape[1]))
        return np.asarray(x[place, version]), version

    def _draw(self) -> npt.NDArray[np.int64]:
        rng = np.random.default_rng([self._config.seed, 0, self._epoch])
        return rng.choice(len(self._y), size=self._n_draws, p=self._chances)


def mixup(x: Array, y: Array, alpha: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Blend each example with another of the batch, targets alike."""
    share = rng.beta(alpha, alpha, size=len(x)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    other = rng.permutation(len(x))
    by_x, by_y = share[:, None, None], share[:, None]
    return x * by_x + x[other] * (1 - by_x), y * by_y + y[other] * (1 - by_y)


def mask(x: Array, rng: np.random.Generator) -> Array:
    """Hide a few bands and a few frames, and lift the floor of some, as a noisy room does."""
    _, n_bands, n_frames = x.shape
    floor = x.min()
    for example in x:
        for _ in range(rng.integers(0, 3)):
            width, start = rng.integers(1, max(2, n_bands // 8)), rng.integers(n_bands)
            example[start : start + width] = floor
        if rng.random() < 0.5:
            width, start = rng.integers(1, max(2, n_frames // 8)), rng.integers(n_frames)
            example[:, start : start + width] = floor
        if rng.random() < 0.2:
            np.maximum(example, rng.uniform(-1.0, -0.4), out=example)
    return x


def _targets(
    examples: Sequence[Example], config: TrainingConfig, opinions: Mapping[Example, Array]
) -> Array:
    """Smoothed labels, blended with opinions: float32 [shape=(n, n_versions or 1, 34)]."""
    one_hot = np.eye(len(FINE_LABELS), dtype=np.float32)
    labels = one_hot[[FINE_LABELS.index(example.label) for example in examples]]
    n_versions = max((len(opinion) for opinion in opinions.values()), default=1)
    y = np.repeat(labels[:, None], n_versions, axis=1)
    share = np.float32(config.opinion_weight)
    for row, example in enumerate(examples):
        if example in opinions and _counts(opinions[example], example, config):
            y[row] = (1 - share) * y[row] + share * opinions[example]
    smooth = config.label_smoothing
    return y * (1 - smooth) + smooth / len(FINE_LABELS)


def _counts(opinion: Array, example: Example, config: TrainingConfig) -> bool:
    """Whether an opinion is among those that are heeded."""
    if not config.opinion_above:
        return True
    folded = opinion.mean(axis=0) @ FOLD
    best = int(folded.argmax())
    contradicts = FOLDERS[best] != CANONICAL_OF[example.label]
    return bool(contradicts and folded[best] >= config.opinion_above)


def _chances(examples: Sequence[Example], config: TrainingConfig) -> npt.NDArray[np.float64]:
    per_label = Counter(example.label for example in examples)
    per_kit = Counter((example.source, example.kit) for example in examples)
    chances = np.array(
        [
            per_label[e.label] ** -config.label_balance
            * per_kit[e.source, e.kit] ** -config.kit_balance
            * (config.correction_weight if e.source == CORRECTIONS else 1.0)
            for e in examples
        ]
    )
    return np.asarray(chances / chances.sum())
