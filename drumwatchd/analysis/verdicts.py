"""From fine probabilities to a verdict, as configured: the fold, the threshold, names and tags.

Pure Python. What was heard just now and what is judged again from an embedding come through here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from drumwatchd.analysis import labels, names
from drumwatchd.analysis.model_card import ModelCard
from drumwatchd.analysis.result import Verdict
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.analysis.tags import tag_of

# How the reasons begin that `labels.judge` gives. All others say that it is no single hit, or silent,
# or what its owner said.
_BY_SOUND = re.compile(r"sounds like .+, which has no folder of its own|\S.* at \d\.\d\d\b")


def targets_of(
    card: ModelCard, settings: AnalysisSettings, own: Sequence[str] = ()
) -> tuple[str, ...]:
    """Labels with a folder of their own: those configured, and the owner's own.

    Args:
        card: of the model that judges, which may know some of the latter.
        settings: how to judge.
        own: more labels of folders that an owner made.
    """
    return tuple(dict.fromkeys((*settings.target_labels, *card.own_labels, *own)))


def judge_of(
    card: ModelCard, settings: AnalysisSettings, own: Sequence[str] = ()
) -> Callable[[Mapping[str, float]], Verdict]:
    """What makes a verdict of fine probabilities, by the card's fold and the settings."""
    return functools.partial(
        labels.judge,
        threshold=settings.confidence_threshold,
        top_k=settings.top_k,
        targets=targets_of(card, settings, own),
        canonical_of=card.canonical_of,
    )


def verdict_on(
    heard: Mapping[str, float],
    embedding: Sequence[float],
    card: ModelCard,
    settings: AnalysisSettings,
    name: str,
    own: Sequence[str] = (),
) -> Verdict:
    """The verdict on one hit.

    Args:
        heard: fine probabilities of the sound.
        embedding: what tags are told from.
        card: of the model that judges.
        settings: how to judge.
        name: path below the inbox, evidence where `settings.use_names` says so.
        own: labels of folders that an owner made, which the model may not know.
    """
    judge = judge_of(card, settings, own)
    verdict = names.weigh(name, heard, judge) if settings.use_names else judge(heard)
    return replace(verdict, tag=tag_of(card.tags.get(verdict.fine), embedding))


def is_by_sound(reason: str | None) -> bool:
    """Whether a label was given for what one hit sounds like, by the reason that was noted."""
    return reason is not None and _BY_SOUND.match(reason) is not None
