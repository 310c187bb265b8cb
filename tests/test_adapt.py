"""What is learned from corrections, what isn't forgotten, and what the gate lets through."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import lessons
from drumwatchd.analysis.head import Head
from drumwatchd.analysis.labels import CANONICAL_OF, FINE_LABELS
from drumwatchd.analysis.model_card import read_card
from drumwatchd.errors import ModelError
from drumwatchd.training.adapt import (
    AdaptSettings,
    Corrections,
    fit_head,
    folds_of,
    gather,
    probabilities_on,
)
from drumwatchd.training.cli import cli
from drumwatchd.training.gate import (
    GateSettings,
    Judgement,
    chance_of,
    chance_of_one_kind,
    judge_candidate,
    judge_network,
    kit_accuracy,
)
from drumwatchd.training.replay import Replay, add_to_model, head_of, read_replay
from test_training_data import write_tree

SETTINGS, GATE = AdaptSettings(), GateSettings(n_shuffles=999)
FEW_SEEDS = 20


@cache
def corpus() -> Replay:
    """One corpus for all tests."""
    return lessons.replay()


def fitted(corrections: Corrections, settings: AdaptSettings = SETTINGS) -> Head:
    return fit_head(lessons.shipped_head(), corpus(), corrections, settings)


def judged(
    corrections: Corrections,
    known: np.ndarray | None = None,
    gate: GateSettings = GATE,
    by_heart: np.ndarray | None = None,
) -> Judgement:
    """Fit a candidate to corrections and put it to the test."""
    nothing = np.zeros(len(corrections.said), dtype=bool)
    return judge_candidate(
        fitted(corrections),
        lessons.shipped_head(),
        corpus(),
        corrections,
        known=nothing if known is None else known,
        by_heart=by_heart,
        adapt=SETTINGS,
        gate=gate,
    )


def folders(head: Head, embeddings: np.ndarray) -> list[str]:
    """Where each sound would be filed."""
    best = head.probabilities(embeddings).argmax(axis=1)
    return [CANONICAL_OF.get(head.labels[row], head.labels[row]) for row in best]


# -- the fit ------------------------------------------------------------------------------------


def test_what_is_corrected_is_learned() -> None:
    """Further sounds of the same kind go where the owner wants them."""
    said, heard, _ = lessons.owner(30, seed=9)
    before = folders(lessons.shipped_head(), heard)
    after = folders(fitted(lessons.corrections(*lessons.owner(30))), heard)
    assert sum(map(str.__eq__, before, said)) < 12
    assert sum(map(str.__eq__, after, said)) > 27


def test_nothing_else_is_forgotten() -> None:
    """The corpus is judged as before, label by label."""
    head = fitted(lessons.corrections(*lessons.owner(30)))
    before = lessons.shipped_head().probabilities(corpus().embeddings).argmax(axis=1)
    after = head.probabilities(corpus().embeddings).argmax(axis=1)
    assert (before == after).mean() > 0.99


def test_without_corrections_the_head_stays() -> None:
    """No drift from one adaptation to the next: there is nothing to learn, so nothing changes."""
    none = gather(
        [], np.zeros((0, 128)), [], base=FINE_LABELS, targets=(), canonical_of=CANONICAL_OF
    )
    head = fitted(none, replace(SETTINGS, opinion=1.0))
    np.testing.assert_allclose(head.kernel, lessons.shipped_head().kernel, atol=1e-3)


def test_a_label_of_ones_own_is_an_output_more() -> None:
    """It comes last, catches its sounds, and none of the corpus."""
    head = fitted(lessons.corrections(*lessons.owner(40, own="Vocals")))
    assert head.labels == (*FINE_LABELS, "Vocals")
    said, heard, _ = lessons.owner(40, seed=5, own="Vocals")
    found = folders(head, heard)
    assert all(found[row] == "Vocals" for row, label in enumerate(said) if label == "Vocals")
    assert "Vocals" not in folders(head, corpus().embeddings)


@pytest.mark.parametrize(
    ("saying", "targets", "wanted"),
    [
        ("Snare", ("Snare", "Kick"), {"Snare", "Rim"}),
        ("Snare", ("Snare", "Rim"), {"Snare"}),
        ("Rim", ("Snare", "Kick"), {"Rim"}),
        ("Clap", ("Kick",), {"Clap"}),
        ("My own", ("Kick",), {"My own"}),
        ("misc", ("Kick",), set(FINE_LABELS) - {"Kick"}),
    ],
)
def test_what_would_do_for_a_correction(
    saying: str, targets: tuple[str, ...], wanted: set[str]
) -> None:
    """Of a folder any label that is filed there; else the label itself; misc is all the rest."""
    gathered = gather(
        [saying],
        np.zeros((1, 128)),
        ["pack"],
        base=FINE_LABELS,
        targets=targets,
        canonical_of=CANONICAL_OF,
    )
    (row,) = gathered.wanted
    assert {
        label for label, is_wanted in zip(gathered.labels, row, strict=True) if is_wanted
    } == wanted


def test_misc_is_not_the_owners_own_folder() -> None:
    """A sound that is no drum isn't one of his special ones either."""
    gathered = gather(
        ["misc", "Mine"],
        np.zeros((2, 128)),
        ["a", "b"],
        base=FINE_LABELS,
        targets=("Kick",),
        canonical_of=CANONICAL_OF,
    )
    misc = gathered.wanted[gathered.sayings.index("misc")]
    assert not misc[gathered.labels.index("Mine")]


def test_the_same_corrections_give_the_same_head() -> None:
    """Nothing random in the fit."""
    one, two = (fitted(lessons.corrections(*lessons.owner(12))) for _ in range(2))
    np.testing.assert_array_equal(one.kernel, two.kernel)


def test_the_slope_is_the_losss() -> None:
    """The fit ends where the loss is flat: from there no step of any kind helps."""
    corrections = lessons.corrections(*lessons.owner(12, own="Mine"))
    rough = fitted(corrections, replace(SETTINGS, iterations=60))
    fine = fitted(corrections, replace(SETTINGS, iterations=600))
    said = probabilities_on(rough, corrections.embeddings, corrections.labels)
    again = probabilities_on(fine, corrections.embeddings, corrections.labels)
    np.testing.assert_allclose(said, again, atol=0.05)


def test_packs_stay_together_in_a_fold() -> None:
    """Two hits of one pack never stand on both sides; a single pack is parted by sound."""
    groups = np.array([0, 0, 0, 1, 1, 2, 3, 4, 5, 5])
    folds = folds_of(groups, 5)
    assert all(len(set(folds[groups == group])) == 1 for group in groups)
    assert len(set(folds)) == 5
    assert len(set(folds_of(np.zeros(10, dtype=int), 5))) == 5


# -- the gate -----------------------------------------------------------------------------------


@pytest.mark.parametrize("own", ["", "Vocals"])
def test_honest_corrections_pass(own: str) -> None:
    """A dozen that hang together are enough; the figures say what was measured."""
    judgement = judged(lessons.corrections(*lessons.owner(24, own=own)))
    assert judgement.passed, judgement
    assert judgement.figures["right"] > judgement.figures["right_before"]
    assert judgement.figures["n_corrections"] == 24
    json.dumps(judgement.figures)


def test_shuffled_corrections_never_pass() -> None:
    """Labels drawn from a hat are rejected every time, few or many, with own labels or without."""
    passed = []
    for seed in range(FEW_SEEDS):
        count, own = (12, 30, 60)[seed % 3], ("", "Vocals")[seed % 2]
        said, heard, packs = lessons.owner(count, seed=seed, own=own)
        shuffled = np.random.default_rng(seed).permutation(said).tolist()
        passed.append(judged(lessons.corrections(shuffled, heard, packs)).passed)
    assert passed == [False] * FEW_SEEDS


def test_random_labels_never_pass() -> None:
    """Nor do labels that nobody meant."""
    passed = []
    for seed in range(FEW_SEEDS):
        rng = np.random.default_rng(seed)
        _, heard, packs = lessons.owner(30, seed=seed)
        said = rng.choice(["Crash", "Hihat", "Kick", "Ride", "Snare", "Tom", "misc"], 30).tolist()
        passed.append(judged(lessons.corrections(said, heard, packs)).passed)
    assert passed == [False] * FEW_SEEDS


def test_poison_after_honest_corrections_does_not_pass() -> None:
    """The honest ones of before can't vouch for the new ones."""
    honest = lessons.owner(30)
    for seed in range(5):
        said, heard, packs = lessons.owner(30, seed=100 + seed)
        shuffled = np.random.default_rng(seed).permutation(said).tolist()
        both = lessons.corrections(
            [*honest[0], *shuffled], np.concatenate([honest[1], heard]), [*honest[2], *packs]
        )
        known = np.arange(60) < 30
        assert not judged(both, known).passed


def test_a_loss_on_the_corpus_is_too_dear() -> None:
    """An owner who calls every typical kick a snare is not followed, however consistent he is."""
    heard = np.concatenate([lessons.sounds(label, 15, 3) for label in ("Kick", "Hihat")])
    said = ["Snare"] * 15 + ["Tom"] * 15
    judgement = judged(lessons.corrections(said, heard, [f"p{n % 5}" for n in range(30)]))
    assert not judgement.passed
    assert "points on sounds of the corpus" in judgement.reason


def test_corrections_of_one_kind_can_pass() -> None:
    """Shuffling them would change nothing; they are unlike the sounds of the corpus, though."""
    heard = np.stack([lessons.owner(3, seed=n)[1][0] for n in range(12)])
    packs = [f"p{n % 4}" for n in range(12)]
    for saying in ("Kick", "My kicks"):
        judgement = judged(lessons.corrections([saying] * 12, heard, packs))
        assert judgement.passed, judgement


def test_one_folder_for_just_anything_does_not_pass() -> None:
    """A handful of sounds without anything in common, all moved to one place."""
    passed = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        labels = rng.choice(["Kick", "Snare", "Hihat", "Tom", "Ride", "Clap", "Vox"], 14)
        heard = np.stack(
            [lessons.sounds(label, 1, 900 + 50 * seed + n)[0] for n, label in enumerate(labels)]
        )
        said = [("Crash", "My box")[seed % 2]] * 14
        judgement = judged(lessons.corrections(said, heard, [f"p{n % 5}" for n in range(14)]))
        passed.append(judgement.passed)
    assert passed == [False] * 12


def test_without_held_out_sounds_nothing_passes() -> None:
    """What can't be measured isn't trusted."""
    corrections = lessons.corrections(*lessons.owner(24))
    blind = corpus().part(~corpus().validation)
    judgement = judge_candidate(
        fitted(corrections),
        lessons.shipped_head(),
        blind,
        corrections,
        known=np.zeros(24, dtype=bool),
        adapt=SETTINGS,
        gate=GATE,
    )
    assert "no sounds were held out" in judgement.reason


def test_the_active_model_is_asked_of_what_it_did_not_learn() -> None:
    """Where all is known already there is nothing to win, and no unfair comparison either."""
    corrections = lessons.corrections(*lessons.owner(24))
    judgement = judged(corrections, known=np.ones(24, dtype=bool))
    assert judgement.figures["right"] == judgement.figures["right_before"]
    assert not judgement.passed


def test_what_the_network_was_trained_on_is_no_question() -> None:
    """It knows that by heart, whatever its head."""
    corrections = lessons.corrections(*lessons.owner(48))
    by_heart = corrections.groups < 3
    judgement = judged(corrections, by_heart=by_heart)
    asked = int((~by_heart).sum())
    assert (judgement.figures["n_corrections"], judgement.figures["n_new"]) == (asked, asked)
    assert judgement.figures["right_before"] < judgement.figures["right"] <= asked
    assert judgement.passed, judgement.reason
    assert not judged(corrections, by_heart=np.ones(48, dtype=bool)).passed


@pytest.mark.parametrize(
    ("before", "n_right_before", "fault"),
    [(0.5, 0, ""), (1.0, 0, "loses"), (0.5, 24, "right on 24 of 24 .* before on 24")],
)
def test_a_network_is_asked_the_same_questions(
    before: float, n_right_before: int, fault: str
) -> None:
    """It may lose little on the corpus, and has to win on packs that it didn't learn."""
    corrections = lessons.corrections(*lessons.owner(24))
    candidate = fitted(lessons.corrections(*lessons.owner(48)))
    held_out = corpus().part(corpus().validation)
    lossless = kit_accuracy(candidate, held_out)
    judgement = judge_network(
        candidate,
        held_out,
        corrections,
        before=before if before < 1 else lossless + 0.01,
        right_before=np.arange(24) < n_right_before,
        gate=GATE,
    )
    assert judgement.passed == (not fault), judgement
    assert re.search(fault or "right on 24 of 24", judgement.reason)


def test_a_network_that_learned_poison_is_told() -> None:
    """Packs that it didn't learn contradict it."""
    said, heard, packs = lessons.owner(24)
    poison = np.random.default_rng(4).permutation(said).tolist()
    judgement = judge_network(
        fitted(lessons.corrections(poison, heard, packs)),
        corpus().part(corpus().validation),
        lessons.corrections(np.random.default_rng(5).permutation(said).tolist(), heard, packs),
        before=0.0,
        right_before=np.zeros(24, dtype=bool),
        gate=GATE,
    )
    assert "hardly likelier than chance" in judgement.reason


def test_chance_counts_shuffles_that_do_as_well() -> None:
    """Certain labels are never reached by shuffling; labels without meaning always are."""
    said = np.arange(20) % 4
    sure = np.where(np.eye(4)[said] > 0, 0.0, -5.0).astype(np.float32)
    assert chance_of(sure, said, GATE) == pytest.approx(1 / 1000)
    assert chance_of(np.zeros((20, 4), np.float32), said, GATE) == 1.0
    assert chance_of_one_kind(np.zeros(9), np.full(90, -5.0), GATE) == pytest.approx(1 / 1000)
    assert chance_of_one_kind(np.zeros(9), np.zeros(90), GATE) == 1.0


def test_kits_count_alike() -> None:
    """A large kit doesn't outvote a small one."""
    kick, snare = FINE_LABELS.index("Kick"), FINE_LABELS.index("Snare")
    embeddings = np.concatenate([lessons.sounds("Kick", 9, 1), lessons.sounds("Kick", 1, 2)])
    truth = np.array([kick] * 9 + [snare])
    sounds = Replay(FINE_LABELS, embeddings, truth, np.array([7] * 9 + [8]), np.ones(10, bool))
    assert kit_accuracy(lessons.shipped_head(), sounds) == pytest.approx(0.5)


def test_a_folder_of_ones_own_counts_as_misc() -> None:
    """A clap that goes there is no loss, a kick is."""
    head = lessons.shipped_head()
    wide = Head((*head.labels, "Mine"), np.hstack([head.kernel, np.zeros((128, 1), np.float32)]),
                np.append(head.bias, np.float32(99.0)))  # fmt: skip
    for label, share in (("Clap", 1.0), ("Kick", 0.0)):
        truth = np.full(5, FINE_LABELS.index(label))
        embeddings = lessons.sounds(label, 5, 1)
        sounds = Replay(FINE_LABELS, embeddings, truth, np.arange(5), np.ones(5, bool))
        assert kit_accuracy(wide, sounds) == share


# -- what travels with a model ------------------------------------------------------------------


def test_a_replay_is_kept_and_read(tmp_path: Path) -> None:
    """One byte a value changes no verdict; both files are on the card, and small."""
    folder = lessons.teachable_model(tmp_path / "model")
    card, sent = read_card(folder), lessons.replay()
    kept = read_replay(card)
    step = sent.embeddings.max(axis=0) / 255
    assert (np.abs(kept.embeddings - sent.embeddings) <= 0.51 * step).all()
    for name in ("truth", "kits", "validation"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(sent, name))
    base = lessons.base_of(folder)
    np.testing.assert_array_equal(base.kernel, head_of(folder).kernel)
    assert not card.is_adapted


def test_a_model_without_replay_says_what_to_do(tmp_path: Path) -> None:
    """It judges all the same."""
    folder = lessons.teachable_model(tmp_path / "model")
    card = json.loads((folder / "model.json").read_text())
    del card["replay"]
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="drumwatchd-train replay"):
        read_replay(read_card(folder))


def test_a_damaged_replay_is_refused(tmp_path: Path) -> None:
    """A head that was fitted to half a corpus would have forgotten the other half."""
    folder = lessons.teachable_model(tmp_path / "model")
    path = folder / "replay.npz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match="SHA-256"):
        read_replay(read_card(folder))


def test_the_command_hears_a_corpus(tmp_path: Path) -> None:
    """Every sound is heard as the daemon hears it; what is held out is marked, the rest isn't."""
    write_tree(tmp_path / "corpus", n_kits=12)
    (tmp_path / "corpus" / "Kick" / "kit 0" / "bad.wav").write_bytes(b"not audio")
    folder = lessons.teachable_model(tmp_path / "model")
    add_to_model(folder, lessons.replay(per_label=1))
    arguments = ["replay", str(tmp_path / "corpus"), str(folder), "--processes", "2"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    made = read_replay(read_card(folder))
    assert len(made.truth) == 24
    assert 0 < made.validation.sum() < 24
    assert len(set(made.kits)) == 12
    assert {made.labels[number] for number in made.truth} == {"Kick", "Snare"}


def test_adapting_needs_no_tensorflow_and_no_audio() -> None:
    """Neither what trains nor what decodes is imported."""
    code = (
        "import sys; from drumwatchd.training import retrain, cli; "
        "unwanted = {'tensorflow', 'keras', 'matplotlib', 'soundfile', 'ai_edge_litert', 'rich'}; "
        "print(sorted(unwanted & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_fit_is_quick() -> None:
    """A second for a thousand sounds and a hundred corrections is already far too long."""
    corrections = lessons.corrections(*lessons.owner(99))
    started = time.monotonic()
    fitted(corrections)
    assert time.monotonic() - started < 10
