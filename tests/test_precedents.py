"""Corrections that speak at once for sounds like them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import drums
from drumwatchd.analysis.labels import CANONICAL_LABELS, CANONICAL_OF
from drumwatchd.analysis.model_card import shipped_model
from drumwatchd.analysis.neighbours import Precedents, current
from drumwatchd.analysis.precedents import FILE_NAME, Precedent, precedents_text
from drumwatchd.index.store import Index
from drumwatchd.learning import PrecedentsFile
from home import Home, wait_for

HEARD = {"Kick": 0.55, "Tom": 0.3, "FX": 0.1, "Clap": 0.05}


def unit(*numbers: int) -> np.ndarray:
    return np.eye(8, dtype=np.float32)[list(numbers)]


def heed(precedents: Precedents, embedding: np.ndarray) -> dict[str, float]:
    return precedents.heed(HEARD, embedding, CANONICAL_LABELS, CANONICAL_OF)


def test_one_correction_has_a_say_and_no_more() -> None:
    """The same sound again: one correction is worth half of what the network says."""
    heeded = heed(Precedents(("Tom",), unit(0)), unit(0)[0] * 5)
    assert heeded["Tom"] == pytest.approx(0.3 * 2 / 3 + 1 / 3)
    assert sum(heeded.values()) == pytest.approx(1.0)


def test_several_decide() -> None:
    """Three corrections of the very same sound are believed against a doubtful network."""
    heeded = heed(Precedents(("Snare",) * 3, unit(0, 0, 0)), unit(0)[0])
    assert max(heeded, key=lambda label: heeded[label]) == "Snare"


def test_another_sound_is_left_alone() -> None:
    """What is unlike everything that was corrected is judged as before."""
    heeded = heed(Precedents(("Snare",) * 8, unit(*[0] * 8)), unit(1)[0])
    assert heeded == pytest.approx({**HEARD, "Snare": 0.0}, abs=1e-6)


def test_misc_and_labels_of_ones_own() -> None:
    """Misc is what is likeliest of all that has no folder; a new label is one more."""
    assert heed(Precedents(("misc",), unit(0)), unit(0)[0])["FX"] > 0.3
    own = Precedents(("Glitch",), unit(0))
    assert heed(own, unit(0)[0])["Glitch"] == pytest.approx(1 / 3)
    assert own.own_labels == ("Glitch",)


def test_one_of_the_34_needs_a_folder() -> None:
    """Who puts claps into a folder `Clap/` wants the next ones there; who says Rim of a snare doesn't."""
    said = Precedents(
        ("Clap", "Rim", "misc", "Clap"), unit(0, 1, 2, 3), folders=("Clap", "Tambourine")
    )
    assert said.own_labels == ("Clap",)


@given(st.integers(0, 12), st.integers(0, 1000))
def test_probabilities_stay_probabilities(n: int, seed: int) -> None:
    """Whatever was corrected, nothing is negative and the sum is 1."""
    rng = np.random.default_rng(seed)
    directions = np.maximum(rng.normal(size=(n, 8)), 0.01).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    labels = tuple(rng.choice(["Kick", "misc", "Glitch", "Rim"], n).tolist())
    embedding = np.maximum(rng.normal(size=8), 0).astype(np.float32)
    heeded = heed(Precedents(labels, directions), embedding)
    assert min(heeded.values()) >= 0.0
    assert sum(heeded.values()) == pytest.approx(1.0, abs=1e-5)


def test_what_was_learned_is_said_of_twins_only() -> None:
    """Of the very same sound it is as sure as ever; of one that is a little like it, half as far."""
    like = np.array([1.0, 0.2, *[0.0] * 6], np.float32)
    likeness = 1.0 / np.linalg.norm(like)
    said = Precedents(("Snare",) * 3, unit(0, 0, 0))
    learned = Precedents(said.labels, said.directions, learned=(True,) * 3)
    assert heed(learned, unit(0)[0]) == heed(said, unit(0)[0])
    for precedents, width in ((said, 0.02), (learned, 0.01)):
        weight = 3 * np.exp((likeness - 1) / width)
        assert heed(precedents, like)["Snare"] == pytest.approx(weight / (weight + 2), abs=1e-5)


def test_many_at_once_are_judged_as_each_alone() -> None:
    """What has no embedding is left as it was heard, and disturbs no other."""
    rng = np.random.default_rng(4)
    directions = rng.random((20, 8), np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    said = Precedents(tuple(rng.choice(["Kick", "misc", "Glitch", "Rim"], 20)), directions)
    embeddings = np.concatenate([directions[:3], rng.random((5, 8), np.float32), np.zeros((1, 8))])
    embeddings = np.vstack([embeddings, np.full((1, 8), np.inf)]).astype(np.float32)
    heard = np.tile(list(HEARD.values()), (len(embeddings), 1))
    labels, heeded = said.heed_all(tuple(HEARD), heard, embeddings, CANONICAL_LABELS, CANONICAL_OF)
    for row, embedding in zip(heeded, embeddings, strict=True):
        each = heed(said, embedding)
        assert dict(zip(labels, row.tolist(), strict=True)) == pytest.approx(each, abs=1e-6)
    np.testing.assert_allclose(heeded[-2:, :4], heard[-2:])
    moved = np.abs(heeded[:, :4] - heard).max(axis=1)
    assert (moved <= said.most_share(embeddings) + 1e-6).all()


def test_the_file_is_read_as_written(tmp_path: Path) -> None:
    """Labels of any script and embeddings come back; silence and damage are left out."""
    path = tmp_path / FILE_NAME
    said = [
        Precedent("Größe", np.array([3, 4], "<f2").tobytes(), True),
        Precedent("Kick", np.array([0, 0], "<f2").tobytes()),
        Precedent("Tom", np.array([np.nan, 1], "<f2").tobytes()),
    ]
    path.write_text(precedents_text("net", said), encoding="utf-8")
    found = current(str(tmp_path), "net", 2)
    assert found is not None
    assert (found.labels, found.learned) == (("Größe",), (True,))
    np.testing.assert_allclose(found.directions, [[0.6, 0.8]], atol=1e-3)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1, "network": "net"}', "\0"])
def test_a_damaged_file_is_none(text: str, tmp_path: Path) -> None:
    """It is only a help: judging goes on without."""
    assert current(str(tmp_path), "net", 2) is None
    (tmp_path / FILE_NAME).write_text(text)
    assert current(str(tmp_path), "net", 2) is None


def test_embeddings_of_another_network_say_nothing(tmp_path: Path) -> None:
    """After an upgrade of the network nothing old is heeded."""
    said = [Precedent("Kick", np.array([3, 4], "<f2").tobytes())]
    (tmp_path / FILE_NAME).write_text(precedents_text("old", said))
    found = current(str(tmp_path), "new", 2)
    assert found is not None
    assert found.heed(HEARD, np.ones(2, np.float32), CANONICAL_LABELS, CANONICAL_OF) == HEARD


def test_what_was_taken_back_while_nobody_looked_says_nothing(tmp_path: Path, index: Index) -> None:
    """A file that outlived its corrections is removed by the next daemon."""
    (tmp_path / FILE_NAME).write_text(precedents_text("net", [Precedent("Kick", b"\0\0")]))
    PrecedentsFile(index, str(tmp_path), str(shipped_model()), list).refresh()
    assert not (tmp_path / FILE_NAME).exists()


def write_take(path: Path, take: int) -> None:
    """One bell, struck once more: nearly the same sound, other content."""
    y = drums.synthesise("cowbell", seed=3)
    noise = np.random.default_rng(take).normal(0.0, 1e-3, len(y))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.9 * y + noise, 44_100)


@pytest.mark.e2e
@pytest.mark.parametrize("folder", ["Bells", "Cowbell"])
def test_what_is_moved_counts_for_the_next_sample(folder: str, tmp_path: Path) -> None:
    """Drop, move, drop sounds like them: they land where the owner put the others, at once."""
    home = Home(tmp_path)
    with home.running():
        for take in range(4):
            write_take(home.inbox / "pack" / f"bell {take}.wav", take)
        home.wait_idle(total=4)
        wrong = [Path(found["path"]) for found in home.ls()]
        assert {path.parent.name for path in wrong} == {"misc"}
        own = home.archive / folder
        own.mkdir()
        for path in wrong:
            path.rename(own / path.name)
        wait_for(lambda: len(home.ls(f"label:{folder}")) == 4, "the moves to be understood")
        for take in range(4, 7):
            write_take(home.inbox / "pack" / f"more {take}.wav", take)
        home.wait_idle(total=7)
        found = home.ls("name::^more")
    assert [sample["label"] for sample in found] == [folder] * 3
    store = json.loads((home.folder / "state" / "models" / FILE_NAME).read_text())
    assert len(store["corrections"]) == 4
