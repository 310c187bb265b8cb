"""The model report and the trials it is made of; judgements that are made up cost no training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import drums
from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.errors import UsageError
from drumwatchd.training.corpus import Example
from drumwatchd.training.evaluate import Judged, measure

pytestmark = [
    pytest.mark.train,
    # Keras hands arrays to numpy 2 in the way of numpy 1.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def made_up(n_right: int, n: int = 40, kits: int = 8, hold_out: str = "sources:0/4") -> Judged:
    """Judgements of `n` sounds, any `n_right` of them right."""
    wrong = np.random.default_rng(0).permutation(n) >= n_right
    labels = [FINE_LABELS[row % len(FINE_LABELS)] for row in range(n)]
    examples = [Example(f"{row}.wav", labels[row], "s", f"k{row % kits}", 0) for row in range(n)]
    said = (np.arange(n) + wrong * 10) % len(FINE_LABELS)
    probabilities = np.full((n, len(FINE_LABELS)), 0.2 / (len(FINE_LABELS) - 1), np.float32)
    probabilities[np.arange(n), said] = 0.8
    return Judged(examples, probabilities, hold_out, 0.5, [])


def test_an_interval_holds_the_mean_and_shrinks_with_more_kits() -> None:
    """The bootstrap over kits gives an interval around the accuracy averaged over kits."""
    from drumwatchd.training.report import kit_interval

    few, many = made_up(30, kits=4), made_up(300, n=400, kits=80)
    low, high = kit_interval(few)
    assert low < measure(few.probabilities, few.examples).kit_accuracy < high
    narrow_low, narrow_high = kit_interval(many)
    assert narrow_high - narrow_low < high - low


def test_a_design_is_not_better_than_itself() -> None:
    """The paired interval of a design against itself is zero."""
    from drumwatchd.training.report import kit_interval

    assert kit_interval(made_up(30), made_up(30)) == (0.0, 0.0)
    low, _ = kit_interval(made_up(40), made_up(20))
    assert low > 0


def test_the_report_has_every_table() -> None:
    """Designs, folders, labels, calibration, thresholds and trials are there, with their figures."""
    from drumwatchd.training.experiments import ALL_GROUPS, TRIALS
    from drumwatchd.training.report import render_designs, render_trials

    groups = [made_up(30, hold_out=group) for group in ALL_GROUPS]
    designs = ("model1", "model2", "drumwatchd-1")
    at_random = dict.fromkeys(designs, made_up(38, hold_out="random:0/5"))
    page = render_designs(dict.fromkeys(designs, groups), at_random)
    for part, trials in TRIALS.items():
        table = render_trials(part, {trial.name: made_up(30) for trial in trials})
        assert all(trial.idea in table for trial in trials)
        page += table
    for heading in ("Sources never met", "Folder by folder", "How sure", "What was tried"):
        assert f"## {heading}" in page
    assert "66,000 draws" in page
    widths = [line.count("|") for line in page.splitlines() if line.startswith("|")]
    assert min(widths) > 3


def test_one_part_of_the_page_is_replaced() -> None:
    """What wasn't measured anew stays, whatever was written around it."""
    from drumwatchd.training.report import with_part

    page = "a\n<!-- designs -->\nb\n<!-- end of designs -->\nc\n<!-- trials -->\n<!-- end of trials -->\n"
    changed = with_part(page, "trials", "new")
    assert changed.startswith(page.partition("<!-- trials -->")[0])
    assert "<!-- trials -->\n\nnew\n<!-- end of trials -->" in changed
    assert with_part(changed, "trials", "new") == changed
    with pytest.raises(UsageError, match="no place for trials"):
        with_part("a page of somebody else's", "trials", "new")


def test_what_was_judged_is_kept(tmp_path: Path) -> None:
    """A finished run is not trained again, its network stays; other settings are another run."""
    from drumwatchd.training.experiments import judge_sources
    from drumwatchd.training.settings import ReferenceConfig

    for label in ("kick", "snare", "crash"):
        for kit in range(6):
            path = tmp_path / "corpus" / label.capitalize() / f"kit{kit}" / "one.wav"
            drums.write(path, label, seed=kit)
    config = ReferenceConfig(corpus=str(tmp_path / "corpus"), epochs=1)

    def judge(epochs_seed: int) -> tuple[Judged, list[int]]:
        import dataclasses

        judged = judge_sources(
            dataclasses.replace(config, seed=epochs_seed),
            ("fold:0",),
            folder=tmp_path / "kept",
            cache=tmp_path / "cache",
        )
        return judged, sorted(path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir())

    first, written = judge(1)
    again, as_before = judge(1)
    assert as_before == written
    assert again.examples == first.examples
    np.testing.assert_array_equal(again.probabilities, first.probabilities)
    assert len(judge(2)[1]) == 2 * len(written)
    assert {path.suffix for path in (tmp_path / "kept").iterdir()} == {".npz", ".keras"}
    for kit in range(6):
        drums.write(tmp_path / "corpus" / "Kick" / f"kit{kit}" / "new.wav", "kick", seed=9)
    with pytest.raises(UsageError, match="other sounds"):
        judge(1)


def test_an_unknown_trial_is_told_the_known_ones() -> None:
    """A trial is asked for by its name, and comes with what it is compared with."""
    from drumwatchd.training.experiments import TRIALS, check_trials, trials_of

    assert [trial.name for trial in trials_of("trials", ("no-ema",))] == ["base", "no-ema"]
    assert [trial.name for trial in trials_of("audio", ("no-ema",))] == ["three"]
    assert trials_of("audio") == list(TRIALS["audio"])
    check_trials(("base", "envelope"))
    with pytest.raises(UsageError, match="no trial is called bass"):
        check_trials(("bass",))
