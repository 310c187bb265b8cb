"""Tags: how they are learned and kept, and when they are said."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from drumwatchd.analysis.tags import THRESHOLD, TagHead, read_tags, tag_of
from drumwatchd.training.corpus import Example
from drumwatchd.training.tags import TagFigures, fit_tags, is_borne_out

SIZE = 16
HEAD = TagHead(("closed", "open"), ((1.0, 0.0), (0.0, 1.0)), (0.0, 0.0))


def on_card(**change: Any) -> dict[str, Any]:
    """What a card may say under ``tags``, for embeddings of two numbers."""
    head = {"classes": ["closed", "open"], "weights": [[1, 0.5], [0, 1]], "biases": [0.1, -0.1]}
    return {"Hihat": {**head, **change}}


def sounds(counts: dict[str, int], apart: float, seed: int, label: str = "Hihat") -> Any:
    """Examples, and embeddings whose details lie `apart` standard deviations from one another."""
    rng = np.random.default_rng(seed)
    details = [detail for detail, count in counts.items() for _ in range(count)]
    examples = [
        Example(f"{row}.wav", label, "s", f"k{row}", 0, detail)
        for row, detail in enumerate(details)
    ]
    x = rng.normal(3.0, 2.0, (len(details), SIZE)).astype(np.float32)
    for row, detail in enumerate(details):
        x[row, list(counts).index(detail)] += 2.0 * apart
    return examples, x


def test_the_likeliest_tag_is_said() -> None:
    """The probabilities are a softmax of the head's products with the embedding."""
    closed, opened = HEAD.probabilities([2.0, 0.0])
    assert closed == pytest.approx(1 / (1 + math.exp(-2)))
    assert closed + opened == pytest.approx(1.0)
    assert tag_of(HEAD, [2.0, 0.0]) == "closed"
    assert tag_of(HEAD, [0.0, 2.0]) == "open"


def test_a_doubtful_tag_is_not_said() -> None:
    """Just below the threshold there is no tag, just above there is."""
    edge = math.log(THRESHOLD / (1 - THRESHOLD))
    assert tag_of(HEAD, [edge - 0.01, 0.0]) is None
    assert tag_of(HEAD, [edge + 0.01, 0.0]) == "closed"


@pytest.mark.parametrize("embedding", [[math.nan, 0.0], [math.inf, math.inf], [1e308, -1e308]])
def test_absurd_embeddings_break_nothing(embedding: list[float]) -> None:
    """Whatever a network puts out, a tag is one of the head's or none."""
    assert tag_of(HEAD, embedding) in ("closed", "open", None)


def test_a_label_without_tags_has_none() -> None:
    """Most labels have no head."""
    assert tag_of(None, [1.0, 2.0]) is None


def test_heads_are_read_from_a_card() -> None:
    """Whole numbers are numbers too; other keys, such as figures, are left alone."""
    heads = read_tags(on_card(figures={"accuracy": 0.9}), 2)
    assert heads == {"Hihat": TagHead(("closed", "open"), ((1.0, 0.5), (0.0, 1.0)), (0.1, -0.1))}


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (["Hihat"], "tags should be an object"),
        ({"Hihat": []}, "tags.Hihat can't be read"),
        ({"Hihat": {"classes": ["closed", "open"]}}, "tags.Hihat can't be read"),
        (on_card(biases=[0.1, "b"]), "tags.Hihat can't be read"),
        (on_card(biases=[0.1, math.nan]), "tags.Hihat can't be read"),
        (on_card(biases=[0.1]), "tags.Hihat has the wrong shape"),
        (on_card(classes=["closed", "closed"]), "tags.Hihat has the wrong shape"),
        (on_card(classes=["closed", ""]), "tags.Hihat can't be read"),
        (on_card(classes=["closed", ["open"]]), "tags.Hihat can't be read"),
        (on_card(classes=["closed", "half/open"]), "tags.Hihat can't be read"),
        (on_card(classes=["closed", ".."]), "tags.Hihat can't be read"),
        (on_card(classes=["closed", "\ud800"]), "tags.Hihat can't be read"),
        (on_card(biases=[0.1, 10**400]), "tags.Hihat can't be read"),
        (on_card(weights=[[1.0, 2.0], [1.0]]), "tags.Hihat has the wrong shape"),
        (on_card(weights=[[1.0], [1.0]]), "tags.Hihat has the wrong shape"),
    ],
)
def test_a_damaged_head_is_named(tags: Any, message: str) -> None:
    """A slip in the card is an error that names the label, not a traceback."""
    with pytest.raises(ValueError, match=message):
        read_tags(tags, 2)


def test_details_become_tags() -> None:
    """What can be told apart is learned; the head works on raw embeddings and survives the card."""
    counts = {"hihat_closed": 60, "hihat_open": 40}
    held_examples, held_x = sounds(counts, 3.0, 2)
    tags = fit_tags(sounds(counts, 3.0, 1), (held_examples, held_x))
    assert set(tags) == {"Hihat"}
    figures = tags["Hihat"]["figures"]
    assert figures["trained"] == figures["held_out"] == {"closed": 60, "open": 40}
    assert figures["commonest"] == 0.6
    assert figures["accuracy"] > 0.9
    head = read_tags(json.loads(json.dumps(tags)), SIZE)["Hihat"]
    right = [
        tag_of(head, row) in (None, example.detail.removeprefix("hihat_"))
        for example, row in zip(held_examples, held_x.tolist(), strict=True)
    ]
    assert np.mean(right) > 0.95


def test_what_cannot_be_told_apart_is_no_tag() -> None:
    """Details that are not in the embedding leave the label without tags."""
    counts = {"hihat_closed": 60, "hihat_open": 60}
    assert fit_tags(sounds(counts, 0.0, 1), sounds(counts, 0.0, 2)) == {}


def test_the_finest_division_that_is_borne_out_is_kept() -> None:
    """A detail with too few sounds to measure on falls away, the others stay."""
    many = {"hihat_closed": 60, "hihat_open": 60, "hihat_pedal": 60}
    few = {**many, "hihat_pedal": 3}
    tags = fit_tags(sounds(many, 3.0, 1), sounds(many, 3.0, 2))
    assert tags["Hihat"]["classes"] == ("closed", "open", "pedal")
    tags = fit_tags(sounds(many, 3.0, 1), sounds(few, 3.0, 2))
    assert tags["Hihat"]["classes"] == ("closed", "open")


def test_details_of_other_labels_are_left_alone() -> None:
    """A hi-hat's detail under another label, or a detail that is no tag, counts for nothing."""
    for counts, label in [
        ({"hihat_closed": 60, "hihat_open": 60}, "Ride"),
        ({"snare": 99}, "Snare"),
    ]:
        assert fit_tags(sounds(counts, 3.0, 1, label), sounds(counts, 3.0, 2, label)) == {}


@pytest.mark.parametrize(
    ("accuracy", "commonest", "recall", "kept"),
    [
        (0.875, 0.5, {"a": 0.85, "b": 0.9}, True),
        (0.875, 0.8, {"a": 0.85, "b": 0.9}, False),
        (0.875, 0.5, {"a": 0.69, "b": 0.95}, False),
    ],
)
def test_tags_beat_the_commonest_or_are_left_out(
    accuracy: float, commonest: float, recall: dict[str, float], kept: bool
) -> None:
    """Beyond the error of so few sounds, and with no tag that is seldom found."""
    counts = {"a": 32, "b": 32}
    figures = TagFigures(counts, counts, accuracy, commonest, recall, 0.8, 0.9)
    assert is_borne_out(figures) is kept
