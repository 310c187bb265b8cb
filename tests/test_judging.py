"""Records are judged again as their owner wishes, and nothing is analysed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drumwatchd.analysis.labels import CANONICAL_LABELS, CANONICAL_OF
from drumwatchd.batch.judging import judge_for, read_overrides
from drumwatchd.batch.records import Place, Record, Seen
from drumwatchd.batch.run_folder import About
from drumwatchd.batch.unique import Names
from drumwatchd.errors import UsageError

ABOUT = About(
    ("/archive",),
    "sha256",
    {
        "model": "m", "confidence_threshold": 0.5, "target_labels": list(CANONICAL_LABELS),
        "canonical_of": CANONICAL_OF, "use_names": False,
    },
)  # fmt: skip


def record(fine: dict[str, float], label: str, reason: str, **more: Any) -> Record:
    said = {
        "label": label, "folded": label, "fine": max(fine, key=fine.__getitem__),
        "confidence": max(fine.values()), "reason": reason, "fine_probabilities": fine, **more,
    }  # fmt: skip
    return Record(Seen(Place(0, "a.wav"), 1, 1, "ab"), None, None, said)


RIM = record({"Rim": 0.6, "Kick": 0.3, "Clap": 0.1}, "Snare", "Snare at 0.60")


def test_as_the_run_judged_it() -> None:
    """Where nothing else is wanted, its very words."""
    judged = judge_for(ABOUT)(RIM)
    assert (judged.label, judged.reason, judged.confidence) == ("Snare", "Snare at 0.60", 0.6)


def test_another_threshold_and_other_labels() -> None:
    """The fold is made anew from the probabilities of the 34."""
    assert judge_for(ABOUT, threshold=0.7)(RIM).label == "misc"
    assert "below the threshold 0.70" in judge_for(ABOUT, threshold=0.7)(RIM).reason
    assert judge_for(ABOUT, labels=["rim"])(RIM).label == "Rim"
    assert judge_for(ABOUT, labels=["Kick"])(RIM).label == "misc"
    assert judge_for(ABOUT, allow_all=True)(RIM).label == "Rim"


def test_what_is_no_single_hit_stays_in_misc() -> None:
    """No threshold makes a hit of a loop."""
    loop = record({"Kick": 0.99}, "misc", "a loop: 8 hits in 2.0 s")
    judged = judge_for(ABOUT, threshold=0.0, allow_all=True)(loop)
    assert (judged.label, judged.reason) == ("misc", "a loop: 8 hits in 2.0 s")


def test_a_folder_of_the_owners_own_outlives_another_threshold() -> None:
    """It came into the record by corrections of sounds like it."""
    own = record({"Found": 0.8, "Kick": 0.2}, "Found", "Found at 0.80")
    assert judge_for(ABOUT, threshold=0.6)(own).label == "Found"
    assert judge_for(ABOUT, labels=["Kick"], threshold=0.1)(own).label == "misc"


def test_the_owners_word_goes_before_all() -> None:
    """A label of the 34 is filed where it folds to, any other in its own folder."""
    assert judge_for(ABOUT, overrides={"ab": "China"})(RIM).label == "Crash"
    assert judge_for(ABOUT, overrides={"ab": "Gongs"})(RIM).label == "Gongs"
    assert judge_for(ABOUT, overrides={"ab": "misc"})(RIM).label == "misc"
    assert judge_for(ABOUT, overrides={"cd": "Gongs"})(RIM).label == "Snare"


@pytest.mark.parametrize("label", ["../up", "_manifests", "a/b", ".hidden"])
def test_overrides_name_no_place_outside(tmp_path: Path, label: str) -> None:
    """A label is a folder's name and nothing more."""
    path = tmp_path / "said.jsonl"
    path.write_text(f'{{"hash": "ab", "correct_label": "{label}"}}\n')
    with pytest.raises(UsageError, match="line 1"):
        read_overrides(path)


def test_overrides_in_another_spelling_are_the_same_label(tmp_path: Path) -> None:
    """As `overrides import` takes them; a label of the owner's own is as it was spelled first."""
    path = tmp_path / "said.jsonl"
    words = ["kick", "MISC", "Gongs", "gongs", "Caf\u00e9", "Cafe\u0301"]
    lines = [json.dumps({"hash": f"{n}", "correct_label": w}) for n, w in enumerate(words)]
    path.write_text("\n".join(lines))
    wanted = ["Kick", "misc", "Gongs", "Gongs", "Caf\u00e9", "Caf\u00e9"]
    assert list(read_overrides(path).values()) == wanted


def test_no_two_files_get_one_name() -> None:
    """Also where upper and lower case are the same, or an accent is written in two ways."""
    names = Names()
    wanted = [
        "Kick/a.wav",
        "Kick/A.wav",
        "Kick/a.wav",
        "Kick/a-2.wav",
        "Kick/é.wav",
        "Kick/e\u0301.wav",
    ]
    given = [names.free(name) for name in wanted]
    assert given == [
        "Kick/a.wav", "Kick/A-2.wav", "Kick/a-3.wav", "Kick/a-2-2.wav", "Kick/é.wav",
        "Kick/e\u0301-2.wav",
    ]  # fmt: skip
