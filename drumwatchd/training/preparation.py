"""What every run begins with: the corpus, parted, and the features of both sides. No TensorFlow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drumwatchd.errors import UsageError
from drumwatchd.training.corpus import Example, read_corpus, split, thin_labels, unit_of
from drumwatchd.training.feature_cache import (
    FeatureSet,
    cached_features,
    synthetic_examples,
)
from drumwatchd.training.progress import Progress
from drumwatchd.training.settings import RunConfig


@dataclass(frozen=True, slots=True)
class PreparedData:
    """Both sides of a corpus.

    Attributes:
        training: examples that are trained on, synthesised ones and unreadable ones left out.
        sets: features of the whole corpus, of what was added to it, and of synthesised sounds;
            mapped from the cache, never copied.
        trained_on: those of their examples that are trained on.
        held_out: features of what is measured on.
    """

    training: list[Example]
    sets: list[FeatureSet]
    trained_on: frozenset[Example]
    held_out: FeatureSet

    @property
    def features(self) -> FeatureSet:
        """A copy of all that is trained on."""
        chosen = [(part, _rows(part, self.trained_on)) for part in self.sets]
        return FeatureSet(
            np.concatenate([part.x[rows] for part, rows in chosen]),
            [part.examples[row] for part, rows in chosen for row in rows],
            self.skipped,
        )

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(path, reason) of files that couldn't be read."""
        return [reason for part in self.sets for reason in part.skipped]


def prepare(
    config: RunConfig, cache: Path, processes: int = 1, progress: Progress | None = None
) -> PreparedData:
    """Read the corpus of a run and compute the features that aren't in the cache yet.

    Raises:
        UsageError: if there is nothing to train on, or nothing where something is held out.
    """
    progress = progress or Progress()
    examples = read_corpus(config.corpus)
    training, held_out = split(examples, config.hold_out)
    _check_sides(training, held_out, config)
    thin = thin_labels(training)
    if thin:
        counts = ", ".join(f"{label} {count}" for label, count in thin.items())
        progress.say(f"fewer than ten examples: {counts}")

    def features_of(what: str, examples: Sequence[Example]) -> FeatureSet:
        return cached_features(
            examples,
            config.features,
            n_versions=config.n_versions,
            changes=config.changes,
            seed=config.seed,
            folder=cache,
            processes=processes,
            progress=lambda done, total: progress.step(what, done, total),
        )

    # The whole corpus at once, whatever is held out: other runs then find it in the cache.
    sets = [features_of("features of the corpus", examples)]
    for root in config.extra:
        more = apart(read_corpus(root), examples, config.hold_out)
        sets.append(features_of(f"features of {root}", more))
        training += more
    made = synthetic_examples(examples, config.n_synthetic)
    if made:
        sets.append(features_of("features of synthesised sounds", made))
    rows = _rows(sets[0], frozenset(held_out))
    held_out_features = FeatureSet(
        sets[0].x[rows, :1], [sets[0].examples[row] for row in rows], sets[0].skipped
    )
    unread = {path: reason for part in sets for path, reason in part.skipped}
    for path, reason in unread.items():
        progress.say(f"skipped {path}: {reason}")
    if unread:
        progress.say(f"{len(unread)} files can't be read and are left out")
    training = [example for example in training if example.path not in unread]
    if not training:
        raise UsageError("none of the sounds to train on can be read", path=config.corpus)
    if held_out and not rows:
        raise UsageError("none of the sounds held out can be read", path=config.corpus)
    trained_on = frozenset([*training, *_made_of(made, held_out)])
    return PreparedData(training, sets, trained_on, held_out_features)


def apart(more: Iterable[Example], corpus: Iterable[Example], hold_out: str) -> list[Example]:
    """Those of `more` that share no kit with what is held out of `corpus`, no source with its sources."""
    corpus, left = list(corpus), list(more)
    for part in hold_out.split("+"):
        what = unit_of if part.startswith("sources:") else _kit_of
        away = {what(example) for example in split(corpus, part)[1]}
        left = [example for example in left if what(example) not in away]
    return left


def _kit_of(example: Example) -> str:
    return f"{example.source}\0{example.kit}"


def _made_of(made: Sequence[Example], held_out: Sequence[Example]) -> list[Example]:
    """Without those that are made of a sound that is held out."""
    away = {f"reverse:{example.path}" for example in held_out}
    return [example for example in made if example.path not in away]


def _rows(part: FeatureSet, wanted: frozenset[Example]) -> list[int]:
    return [row for row, example in enumerate(part.examples) if example in wanted]


def _check_sides(
    training: Sequence[Example], held_out: Sequence[Example], config: RunConfig
) -> None:
    if training and (held_out or config.hold_out == "none"):
        return
    kits = {(example.source, example.kit) for example in [*training, *held_out]}
    if len(kits) == 1:
        raise UsageError(
            "all sounds are of one kit, so none can be held out to measure on",
            path=config.corpus,
            hint="make folders <Label>/<kit>/…, or train on everything with --hold-out none",
        )
    folds = Counter(example.fold for example in [*training, *held_out])
    counts = ", ".join(f"{fold}: {folds[fold]}" for fold in sorted(folds))
    problem = "nothing stands in" if training else "nothing to train on stands outside"
    raise UsageError(
        f"{problem} {config.hold_out}", path=config.corpus, hint=f"sounds per fold: {counts}"
    )
