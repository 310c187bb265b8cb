"""The 34 labels, their fold, and the verdict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumwatchd.analysis.labels import (
    CANONICAL_LABELS,
    CANONICAL_OF,
    FINE_LABELS,
    MISC,
    fold,
    judge,
    target_of,
)

TARGETS = st.lists(st.sampled_from(FINE_LABELS), unique=True).map(tuple)


@st.composite
def probabilities(draw: st.DrawFn) -> dict[str, float]:
    """Any 34 probabilities that sum to one."""
    weights = draw(st.lists(st.floats(0, 1), min_size=34, max_size=34).filter(lambda w: sum(w) > 0))
    return {label: w / sum(weights) for label, w in zip(FINE_LABELS, weights, strict=True)}


def only(**shares: float) -> dict[str, float]:
    return dict.fromkeys(FINE_LABELS, 0.0) | shares


def test_there_are_34_labels_and_each_folds_somewhere() -> None:
    """Each fine label folds onto one of the six, or misc."""
    assert len(FINE_LABELS) == len(set(FINE_LABELS)) == 34
    assert set(CANONICAL_OF) == set(FINE_LABELS)
    assert set(CANONICAL_OF.values()) == {*CANONICAL_LABELS, MISC}


@pytest.mark.parametrize(
    ("fine", "canonical"),
    [
        ("China", "Crash"),
        ("Splash", "Crash"),
        ("Cymbal", "Crash"),
        ("Sizzle", "Crash"),
        ("Rim", "Snare"),
        ("Timbale", "Tom"),
        ("Timpani", "Tom"),
        ("Ride", "Ride"),
        ("Cowbell", MISC),
        ("FX", MISC),
    ],
)
def test_fold_of_a_label(fine: str, canonical: str) -> None:
    """Cymbals are crashes, rims are snares, timbales and timpani toms; others are misc."""
    assert target_of(fine, CANONICAL_LABELS) == canonical


def test_a_wanted_fine_label_keeps_its_own_folder() -> None:
    """Who asks for Rim gets Rim, and the rest of the snares in Snare."""
    targets = ("Snare", "Rim")
    assert target_of("Rim", targets) == "Rim"
    assert target_of("Snare", targets) == "Snare"
    assert target_of("Kick", targets) == MISC


def test_all_labels_may_be_wanted() -> None:
    """Then each goes to its own folder, and nothing is misc but by doubt."""
    assert [target_of(label, FINE_LABELS) for label in FINE_LABELS] == list(FINE_LABELS)
    for label in FINE_LABELS:
        verdict = judge(only(**{label: 1.0}), threshold=0.5, top_k=1, targets=FINE_LABELS)
        assert verdict.label == verdict.folded == verdict.fine == label
    verdict = judge(only(Agogo=0.4, Vox=0.6), threshold=0.7, top_k=1, targets=FINE_LABELS)
    assert (verdict.label, verdict.folded) == (MISC, "Vox")


@given(probabilities(), TARGETS)
def test_folding_loses_nothing(fine: dict[str, float], targets: tuple[str, ...]) -> None:
    """Folded probabilities sum to one, whatever is wanted; misc is always among them."""
    folded = fold(fine, targets)
    assert tuple(folded) == (*targets, MISC)
    assert sum(folded.values()) == pytest.approx(1.0)
    assert all(0 <= p <= 1 + 1e-9 for p in folded.values())


@given(probabilities(), st.floats(0, 1), st.integers(1, 34), TARGETS)
def test_the_verdict_keeps_the_threshold(
    fine: dict[str, float], threshold: float, top_k: int, targets: tuple[str, ...]
) -> None:
    """A sample gets a folder only with the threshold's confidence; the top is sorted."""
    verdict = judge(fine, threshold=threshold, top_k=top_k, targets=targets)
    assert verdict.label in (verdict.folded, MISC)
    if verdict.label != MISC:
        assert verdict.confidence >= threshold
    assert verdict.confidence == max(verdict.probabilities.values())
    assert verdict.top[0][0] == verdict.fine
    assert len(verdict.top) == top_k
    assert list(verdict.top) == sorted(verdict.top, key=lambda item: (-item[1], item[0]))


def test_shares_of_one_folder_add_up() -> None:
    """Half a crash and half a china are one sure crash."""
    verdict = judge(only(Crash=0.5, China=0.5), threshold=0.9, top_k=1)
    assert (verdict.label, verdict.confidence) == ("Crash", 1.0)


def test_below_the_threshold_it_is_misc_and_says_so() -> None:
    """The reason names the label, its confidence and the threshold."""
    verdict = judge(only(Kick=0.45, Tom=0.35, Vox=0.2), threshold=0.5, top_k=2)
    assert (verdict.label, verdict.folded) == (MISC, "Kick")
    assert verdict.reason == "Kick at 0.45 is below the threshold 0.50"


def test_the_reason_for_misc_names_a_label_without_a_folder() -> None:
    """Misc may win by the sum of several; the likeliest of those is named, not a hi-hat."""
    verdict = judge(only(Hihat=0.4, Shaker=0.35, Cabasa=0.25), threshold=0.5, top_k=1)
    assert verdict.label == MISC
    assert verdict.reason == "sounds like Shaker, which has no folder of its own"
