"""Judge a run's records again, by another threshold, other labels, or what their owner says.

Nothing is analysed: a record keeps the probability of each of the 34.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from drumwatchd.analysis.labels import (
    FINE_LABELS,
    MISC,
    caseless,
    judge,
    name_problem,
    spelled,
    target_of,
)
from drumwatchd.analysis.verdicts import is_by_sound
from drumwatchd.batch.records import Record
from drumwatchd.batch.run_folder import About
from drumwatchd.errors import UsageError

_FINE = frozenset(FINE_LABELS)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a file is filed as.

    Attributes:
        label: the folder.
        folded: the likeliest folder, before the threshold.
        confidence: of `folded`.
        reason: why.
    """

    label: str
    folded: str
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class Judge:
    """How records are judged now.

    Attributes:
        threshold: confidence below which a file is misc.
        targets: labels with a folder of their own.
        canonical_of: the model's fold.
        overrides: what their owner says, by digest.
        as_judged: whether threshold and targets are those of the run.
        only_targets: whether a label that the owner invented has no folder unless it is named.
    """

    threshold: float
    targets: tuple[str, ...]
    canonical_of: Mapping[str, str]
    overrides: Mapping[str, str] = field(default_factory=dict)
    as_judged: bool = False
    only_targets: bool = False

    def __call__(self, record: Record) -> Judged:
        """The label of a file that was judged, and why."""
        said = record.said
        meant = self.overrides.get(record.seen.digest or "")
        if meant is not None:
            label = meant if meant not in FINE_LABELS else self._folder_of(meant)
            return Judged(label, said["folded"], said["confidence"], f"{meant}, as you said")
        if self.as_judged or not is_by_sound(said["reason"]):
            label, folded = said["label"], said["folded"]
            return Judged(label, folded, said["confidence"], said["reason"])
        verdict = judge(
            said["fine_probabilities"],
            threshold=self.threshold,
            top_k=1,
            targets=self._targets_of(said["fine_probabilities"]),
            canonical_of=self.canonical_of,
        )
        return Judged(verdict.label, verdict.folded, round(verdict.confidence, 6), verdict.reason)

    def _targets_of(self, fine: Mapping[str, float]) -> tuple[str, ...]:
        """The folders; also the owner's own, of which the record speaks because of corrections."""
        own = () if self.only_targets else (label for label in fine if label not in _FINE)
        return tuple(dict.fromkeys((*self.targets, *own)))

    def _folder_of(self, fine: str) -> str:
        return target_of(fine, self.targets, self.canonical_of)


def judge_for(
    about: About,
    *,
    threshold: float | None = None,
    labels: Sequence[str] = (),
    allow_all: bool = False,
    overrides: Mapping[str, str] | None = None,
) -> Judge:
    """How the records of a run are judged, where nothing else is wanted as it judged them.

    Args:
        about: the run.
        threshold: another one.
        labels: other folders than the run's.
        allow_all: a folder for each of the 34, and misc for none.
        overrides: what their owner says, by digest.

    Raises:
        UsageError: a label isn't one of the 34.
    """
    targets = tuple(dict.fromkeys(map(_resolved, labels))) or about.targets
    if allow_all:
        targets = tuple(dict.fromkeys((*about.targets, *FINE_LABELS)))
    wanted = about.threshold if threshold is None else threshold
    same = (wanted, targets) == (about.threshold, about.targets)
    return Judge(wanted, targets, about.canonical_of, overrides or {}, same, bool(labels))


def _resolved(word: str) -> str:
    label = spelled(word, FINE_LABELS)
    if label is not None:
        return label
    raise UsageError(f"there is no label {word!r}", hint="name some of the 34, as Kick,Snare,Rim")


def read_overrides(path: Path) -> dict[str, str]:
    """What an owner says, as `overrides export` writes it; the last line of a digest holds.

    Raises:
        UsageError: it can't be read; the line is named.
    """
    said = {}
    spelling = {caseless(label): label for label in (*FINE_LABELS, MISC)}
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"can't be read ({error.strerror})", path=str(path)) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            read = json.loads(line)
            digest, word = str(read["hash"]).lower(), str(read["correct_label"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f'line {number} isn\'t {{"hash": …, "correct_label": …}}', path=str(path)
            ) from error
        label = spelling.setdefault(caseless(word), word)  # two spellings are no two folders
        if label != MISC and (problem := name_problem(label)):
            raise UsageError(f"line {number}: a label that {problem}", path=str(path))
        said[digest] = label
    return said
