"""From the corrections in the index to a model that judges: read, fit, judge, keep, promote.

The index keeps an embedding of every sample; only corrected ones that another network judged are
decoded and heard again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from drumwatchd.analysis import model_card, model_store
from drumwatchd.analysis.head import Head, head_bytes, read_head
from drumwatchd.analysis.model_card import ModelCard, card_text, read_card
from drumwatchd.analysis.model_store import Standing, StoredModel
from drumwatchd.errors import ModelError
from drumwatchd.index.lessons import usable_lessons
from drumwatchd.index.reader import open_reader
from drumwatchd.index.records import Lesson
from drumwatchd.training.adapt import AdaptSettings, Corrections, Mask, fit_head, gather
from drumwatchd.training.gate import GateSettings, Judgement, judge_candidate
from drumwatchd.training.hearing import hear_again
from drumwatchd.training.replay import read_replay

# On the card of the base, and no longer true of what is adapted from it.
_OF_THE_BASE = ("figures", "figures_on", "parity", "replay")


@dataclass(frozen=True, slots=True)
class RetrainSettings:
    """What an adaptation needs to know.

    Attributes:
        index_path: of the index; adapted models lie beside it.
        configured: folder of the configured or shipped model.
        target_labels: labels with a folder of their own, by the configuration.
        min_corrections: with fewer new ones nothing is done.
        keep: how many adapted models stay.
        promotes: a candidate that passes judges at once.
        root: of the archive; None where no sample can be heard again.
        algorithm: of the index's digests.
        adapt: how the head is fitted.
        gate: what is asked of it.
    """

    index_path: str
    configured: Path
    target_labels: tuple[str, ...]
    min_corrections: int = 30
    keep: int = 5
    promotes: bool = True
    root: str | None = None
    algorithm: str = "sha256"
    adapt: AdaptSettings = field(default_factory=AdaptSettings)
    gate: GateSettings = field(default_factory=GateSettings)


@dataclass(frozen=True, slots=True)
class Report:
    """What an adaptation came to.

    Attributes:
        model: id of the new model; None where none was made.
        state: active, candidate or rejected; ``waiting`` where none was made.
        reason: in one phrase.
        n_usable: corrections that could be learned from.
        n_unusable: corrections of samples that are gone, or that this network hasn't heard.
        figures: what was measured.
        n_heard: samples that it heard again.
    """

    model: str | None
    state: str
    reason: str
    n_usable: int
    n_unusable: int
    figures: dict[str, Any] = field(default_factory=dict)
    n_heard: int = 0


def retrain(settings: RetrainSettings, now: float, base: ModelCard | None = None) -> Report:
    """Adapt a model to all corrections, if there are enough new ones.

    Args:
        settings: what, where from, and how.
        now: Unix time.
        base: the model; by default the one whose network judges.

    Raises:
        ModelError: the model can't be adapted.
        IndexStoreError: the index can't be read.
        UsageError: another adaptation is under way.
    """
    store = model_store.store_folder(settings.index_path)
    base = base or model_store.choose(store, str(settings.configured)).base
    n_heard = 0
    if settings.root is not None:
        path, algorithm = settings.index_path, settings.algorithm
        n_heard = hear_again(path, settings.root, base, algorithm=algorithm).heard
    with open_reader(settings.index_path) as reader:
        usable, n_unusable = usable_lessons(reader, base)
    said = {lesson.digest: lesson.label for lesson in usable}
    n_new = len(said.items() - _learned(_newest(store, base)).items())
    if n_new < settings.min_corrections:
        reason = f"{n_new} new corrections, {settings.min_corrections} are wanted"
        return Report(None, "waiting", reason, len(usable), n_unusable, n_heard=n_heard)
    with model_store.alone(store):
        name, judgement = _make(settings, base, store, usable, now)
        if judgement.passed and settings.promotes:
            model_store.promote(store, name)
        model_store.prune(store, settings.keep)
    state = "rejected" if not judgement.passed else "active" if settings.promotes else "candidate"
    figures = dict(judgement.figures)
    return Report(name, state, judgement.reason, len(usable), n_unusable, figures, n_heard)


def _make(
    settings: RetrainSettings, base: ModelCard, store: str, lessons: Sequence[Lesson], now: float
) -> tuple[str, Judgement]:
    """Fit a candidate, judge it, and put it into the store; its id."""
    if base.head is None or base.is_adapted:
        raise ModelError(
            "this model can't be adapted: it brings no head of its own",
            path=str(base.folder),
            hint="drumwatchd-train replay CORPUS MODEL makes one",
        )
    old, replay = read_head(base, base.head), read_replay(base)
    corrections = gather(
        [lesson.label for lesson in lessons],
        np.stack([_embedding(lesson) for lesson in lessons]),
        [origin_of(lesson) for lesson in lessons],
        base=base.labels,
        targets=settings.target_labels,
        canonical_of=base.canonical_of,
    )
    new = fit_head(old, replay, corrections, settings.adapt)
    judgement = judge_candidate(
        new,
        old,
        replay,
        corrections,
        known=_are_in(_learned(_active(store, base)), lessons),
        by_heart=_are_in(_learned(_stored(store, base)), lessons),
        adapt=settings.adapt,
        gate=settings.gate,
    )
    name = _next_name(store, base)
    standing = Standing(
        made=now,
        passed=judgement.passed,
        reason=judgement.reason,
        figures=judgement.figures,
        learned={lesson.digest: lesson.label for lesson in lessons},
    )
    folder = model_store.add(store, name, _files(name, base, new, corrections, now), standing)
    made = model_store.usable(folder, read_card(settings.configured))
    assert made.head is not None
    read_head(made, made.head)
    return name, judgement


def _files(
    name: str, base: ModelCard, head: Head, corrections: Corrections, now: float
) -> dict[str, bytes | Path]:
    """The new model's folder."""
    content = head_bytes(head)
    own = head.labels[len(base.labels) :]
    details = {key: value for key, value in base.details.items() if key not in _OF_THE_BASE}
    details |= {
        "id": name,
        "labels": [*base.details["labels"], *own],
        "head": {
            "file": model_card.HEAD_NAME,
            "sha256": hashlib.sha256(content).hexdigest(),
            "base": base.id,
        },
        "n_corrections": len(corrections.said),
        "created": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
    }
    tables = {
        model_card.LABEL_MAPPING_NAME: {str(n): label for n, label in enumerate(head.labels)},
        model_card.CANONICAL_MAPPING_NAME: {**base.canonical_of, **{label: label for label in own}},
    }
    return {
        model_card.WEIGHTS_NAME: base.weights_path,
        model_card.HEAD_NAME: content,
        model_card.CARD_NAME: card_text(details).encode(),
        **{file: (json.dumps(table, indent=2) + "\n").encode() for file, table in tables.items()},
    }


def _embedding(lesson: Lesson) -> np.ndarray:
    assert lesson.embedding is not None
    return np.frombuffer(lesson.embedding, "<f2").astype(np.float32)


def origin_of(lesson: Lesson) -> str:
    """The pack that a sample came in; one that came alone is its own."""
    return lesson.pack.split(os.sep)[0] or f"\0{lesson.digest}"


def _relatives(store: str, base: ModelCard) -> list[StoredModel]:
    """What was adapted from `base`, and itself where it was retrained; the oldest first."""
    models = model_store.stored_models(store)
    return [m for m in models if m.id.startswith(base.family) or m.folder == base.folder]


def _newest(store: str, base: ModelCard) -> StoredModel | None:
    return next(reversed(_relatives(store, base)), None)


def _active(store: str, base: ModelCard) -> StoredModel | None:
    """The model adapted from `base` that judges; None where another one does."""
    adapted = (m for m in _relatives(store, base) if m.folder != base.folder)
    return next((model for model in adapted if model.state == "active"), None)


def _stored(store: str, base: ModelCard) -> StoredModel | None:
    """What is known of `base`, where it was retrained itself."""
    return next((m for m in _relatives(store, base) if m.folder == base.folder), None)


def _are_in(learned: Mapping[str, str], lessons: Sequence[Lesson]) -> Mask:
    return np.array([learned.get(lesson.digest) == lesson.label for lesson in lessons])


def _learned(model: StoredModel | None) -> dict[str, str]:
    return {} if model is None else dict(model.standing.learned)


def _next_name(store: str, base: ModelCard) -> str:
    numbers = [model.id.removeprefix(base.family) for model in _relatives(store, base)]
    number = 1 + max((int(text) for text in numbers if text.isdecimal()), default=0)
    while os.path.lexists(os.path.join(store, f"{base.family}{number}")):
        number += 1
    return f"{base.family}{number}"
