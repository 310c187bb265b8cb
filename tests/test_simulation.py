"""The simulated owner: what corrections of a source never met are measured to teach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drumwatchd.training.simulation import Gain, averages, render

pytestmark = [
    pytest.mark.train,
    # Keras hands arrays to numpy 2 in the way of numpy 1.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def test_the_table_has_every_source_and_order() -> None:
    """A row before, then one for each order and number, with the average gain in points."""
    gains = [
        Gain(source, order, count, 0.6, 0.6 + count / 1000 + extra, -0.001)
        for source, extra in (("a", 0.0), ("b", 0.02))
        for order in ("at random", "asked")
        for count in (50, 100)
    ]
    assert averages(gains)["asked", 100] == pytest.approx((0.11, -0.001))
    lines = render(gains).splitlines()
    assert lines[0] == "| asked about | corrections | a | b | gained | elsewhere, over kits |"
    assert lines[2] == "|  | none | 0.600 | 0.600 |  |  |"
    assert "| asked | 100 | 0.700 | 0.720 | +11.0 | -0.1 |" in lines
    assert len(lines) == 2 + 1 + 4


def test_corrections_of_an_unknown_source_are_learned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Sounds that a network hears apart but names wrongly are right after some corrections."""
    from drumwatchd.analysis.head import Head
    from drumwatchd.analysis.labels import FINE_LABELS
    from drumwatchd.training import simulation
    from drumwatchd.training.adapt import AdaptSettings
    from drumwatchd.training.corpus import Example

    monkeypatch.setattr(simulation, "COUNTS", (10,))
    rng = np.random.default_rng(0)
    sources = {
        "known": ("Kick", "Snare", "Tom"),
        "strange": ("Kick", "Snare", "Tom"),
        "other": ("Kick",),
    }
    examples = [
        Example(f"{source}{n}.wav", labels[n % len(labels)], source, f"{source}{n % 7}", 0)
        for source, labels in sources.items()
        for n in range(60)
    ]
    embeddings = np.maximum(0.05 * rng.normal(size=(len(examples), 8)), 0).astype(np.float32)
    for row, example in enumerate(examples):
        # What is a tom elsewhere is a kick with the stranger.
        number = ("Kick", "Snare", "Tom").index(example.label)
        embeddings[row, (number + 2) % 3 if example.source == "strange" else number] += 1
        embeddings[row, 5] += example.source == "strange"  # and it can be heard
    kernel = np.full((8, len(FINE_LABELS)), -2.0, np.float32)
    for number, label in enumerate(("Kick", "Snare", "Tom")):
        kernel[number, FINE_LABELS.index(label)] = 4.0
    group = np.array([int(e.source != "known") for e in examples])
    head = Head(FINE_LABELS, kernel, np.zeros(len(FINE_LABELS), np.float32))
    heard = simulation.Heard(examples, embeddings, head, group, 1)
    gains = simulation._correct(heard, "strange", AdaptSettings(correction_weight=60.0))
    assert {gain.order for gain in gains} == {
        "at random",
        "as `review` lists them",
        "only what is wrong",
    }
    assert all(gain.before < 0.1 for gain in gains)
    assert all(gain.after > 0.6 for gain in gains)
