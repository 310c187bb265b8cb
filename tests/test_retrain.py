"""From corrections in the index to a model that judges; the real command, no audio, no TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lessons
from drumwatchd.analysis import model_store
from drumwatchd.analysis.classifier import Classifier
from drumwatchd.analysis.model_card import read_card, shipped_model
from drumwatchd.errors import ModelError, UsageError
from drumwatchd.training.replay import add_to_model
from drumwatchd.training.retrain import Report, RetrainSettings, retrain
from home import Home
from shelf import NOW, open_shelf

BASE = shipped_model().name


class School:
    """An index with corrections, and a model that can be adapted."""

    def __init__(self, folder: Path) -> None:
        self.index = str(folder / "state" / "index.sqlite3")
        self.model = lessons.teachable_model(folder / "models" / BASE)
        self.store = model_store.store_folder(self.index)
        self._lessons: list[tuple[Sequence[str], np.ndarray, Sequence[str], str]] = []

    def teach(
        self, lesson: tuple[Sequence[str], np.ndarray, Sequence[str]], model: str = BASE
    ) -> None:
        """Add corrections; the index is written anew."""
        self._lessons.append((*lesson, model))
        for suffix in ("", "-wal", "-shm"):
            Path(self.index + suffix).unlink(missing_ok=True)
        with open_shelf(self.index) as shelf:
            for said, heard, packs, judge in self._lessons:
                lessons.write_lessons(shelf, (said, heard, packs), model=judge, at=NOW)

    def retrain(self, now: float = NOW, **settings: Any) -> Report:
        settings = {"min_corrections": 10, **settings}
        targets = ("Crash", "Hihat", "Kick", "Ride", "Snare", "Tom")
        return retrain(RetrainSettings(self.index, self.model, targets, **settings), now)

    @property
    def active(self) -> str:
        return model_store.choose(self.store, str(self.model)).card.id


@pytest.fixture
def school(tmp_path: Path) -> School:
    return School(tmp_path)


def shuffled(lesson: tuple[list[str], np.ndarray, list[str]], seed: int) -> tuple:
    return np.random.default_rng(seed).permutation(lesson[0]).tolist(), *lesson[1:]


def test_corrections_make_a_model_that_judges(school: School) -> None:
    """It is promoted, loads, hears what was taught, and shares the network on disk."""
    school.teach(lessons.owner(24, own="Vocals"))
    report = school.retrain()
    assert report.state == "active", report
    assert school.active == report.model
    card = read_card(Path(school.store, report.model))
    assert card.own_labels == ("Vocals",)
    assert card.head is not None
    assert card.head.base == BASE
    assert os.path.samefile(card.weights_path, school.model / "model.tflite")
    assert Classifier(card.folder).card.labels[-1] == "Vocals"
    assert "figures" not in card.details  # the base's, and not true of it


def test_too_few_new_corrections_wait(school: School) -> None:
    """Nine are too few; those that were learned from aren't new."""
    school.teach(lessons.owner(9))
    report = school.retrain()
    assert (report.state, report.model) == ("waiting", None)
    assert not os.path.exists(school.store)
    school.teach(lessons.owner(15, seed=1))
    assert school.retrain().state == "active"
    assert school.retrain(NOW + 1).reason == "0 new corrections, 10 are wanted"


def test_the_next_model_learns_everything_again(school: School) -> None:
    """From the base, so that no adaptation builds on another's errors."""
    school.teach(lessons.owner(24))
    first = school.retrain()
    new = lessons.owner(24, seed=3, own="Vocals")
    school.teach(new, model=first.model or "")
    second = school.retrain(NOW + 1)
    assert second.state == "active", second
    assert second.figures["n_corrections"] == 48
    assert second.figures["n_new"] == 24
    base = read_card(Path(school.store, second.model or "")).head
    assert base is not None
    assert base.base == BASE


def test_poison_is_rejected_and_kept(school: School) -> None:
    """With its reason; the model from before judges on, and it isn't tried again without new ones."""
    school.teach(lessons.owner(24))
    first = school.retrain()
    school.teach(shuffled(lessons.owner(30, seed=8), 1))
    second = school.retrain(NOW + 1)
    assert second.state == "rejected"
    assert school.active == first.model
    states = {model.id: model.state for model in model_store.stored_models(school.store)}
    assert states == {first.model: "active", second.model: "rejected"}
    assert school.retrain(NOW + 2).state == "waiting"


def test_embeddings_of_another_network_teach_nothing(school: School) -> None:
    """They are points in another space; samples that are gone have none at all."""
    school.teach(lessons.owner(24), model="another-1")
    report = school.retrain()
    assert (report.n_usable, report.n_unusable) == (0, 24)
    assert report.state == "waiting"
    with open_shelf(school.index + "2") as shelf:
        for number in range(12):
            lessons.correct(shelf.connection, f"{number:064x}", "Kick", NOW)
    os.replace(school.index + "2", school.index)
    assert school.retrain().n_unusable == 12


def test_embeddings_from_before_an_upgrade_teach_nothing(school: School) -> None:
    """Another network may have judged under the same id: the index knows since when this one does."""
    key = read_card(school.model).network_key
    for since, n_usable in ((repr(NOW), 0), (None, 0), (repr(NOW - 7200), 24)):
        with open_shelf(school.index) as shelf:
            lessons.write_lessons(shelf, lessons.owner(24), model=BASE, at=NOW)
            shelf.connection.execute("UPDATE meta SET value = ? WHERE key = ?", (since or "", key))
            if since is None:
                shelf.connection.execute("DELETE FROM meta")
        assert school.retrain(min_corrections=99).n_usable == n_usable
        Path(school.index).unlink()


def test_labels_that_are_no_folders_teach_nothing(school: School) -> None:
    """The same as are no class folders: nothing is ever filed outside of one."""
    _, heard, packs = lessons.owner(12)
    school.teach((["../up", ".x", "_quarantine", "a/b", "#recycle", "x" * 201] * 2, heard, packs))
    assert school.retrain().n_unusable == 12


def test_a_candidate_waits_where_it_should(school: School) -> None:
    """It passed, and judges when somebody says so."""
    school.teach(lessons.owner(24))
    report = school.retrain(promotes=False)
    assert report.state == "candidate"
    assert school.active == BASE
    model_store.promote(school.store, report.model)
    assert school.active == report.model


def test_a_model_without_replay_is_not_adapted(school: School) -> None:
    """The error says how to make one; nothing is left behind."""
    card = json.loads((school.model / "model.json").read_text())
    del card["head"]
    (school.model / "model.json").write_text(json.dumps(card))
    school.teach(lessons.owner(24))
    with pytest.raises(ModelError, match="drumwatchd-train replay"):
        school.retrain()
    assert model_store.stored_models(school.store) == []


def test_only_one_at_a_time(school: School) -> None:
    """A timer and a person may start it at once."""
    school.teach(lessons.owner(24))
    with model_store.alone(school.store), pytest.raises(UsageError, match="just now"):
        school.retrain()


def test_old_models_go(school: School) -> None:
    """`keep` of them stay; the active one and the newest in any case."""
    made = []
    for number in range(4):
        school.teach(lessons.owner(12, seed=number, own=f"Own {number}"))
        made.append(school.retrain(NOW + number, keep=2))
    left = [model.id for model in model_store.stored_models(school.store)]
    assert len(left) <= 3
    assert {school.active, made[-1].model} <= set(left)
    assert made[-1].model == f"{BASE}-{read_card(school.model).backbone[:6]}-4"


# -- the command --------------------------------------------------------------------------------


def adapt(home: Home, *arguments: str, check: int = 0) -> str:
    """Run `drumwatchd-train adapt` as a timer would, in a process of its own."""
    command = [sys.executable, "-m", "drumwatchd.training", "adapt", "--config", str(home.config)]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, env=home.environment, check=False
    )
    assert done.returncode == check, done.stderr
    return done.stdout + done.stderr


def taught_home(
    folder: Path, *, retrain: str = "min_corrections = 10", lesson: tuple | None = None
) -> Home:
    """A home whose owner has corrected."""
    home = Home(folder / "home")
    model = lessons.teachable_model(folder / BASE)
    home.configure(classify=f'model = "{model}"\n[retrain]\n{retrain}\n')
    if lesson is not None:
        with open_shelf(str(home.folder / "state" / "index.sqlite3")) as shelf:
            lessons.write_lessons(shelf, lesson, model=BASE, at=NOW)
    return home


def test_the_command_adapts(tmp_path: Path) -> None:
    """What became of it on stdout, as text or JSON; the index isn't written to."""
    home = taught_home(tmp_path, lesson=lessons.owner(24))
    index = home.folder / "state" / "index.sqlite3"
    before = index.read_bytes()
    said = json.loads(adapt(home, "--json"))
    assert said["state"] == "active", said
    assert said["figures"]["right"] > said["figures"]["right_before"]
    assert index.read_bytes() == before
    assert "0 new corrections" in adapt(home)


@pytest.mark.parametrize(
    ("retrain", "lesson", "word"),
    [
        ("", None, "no index yet"),
        ("", lessons.owner(3), "3 new corrections, 30 are wanted"),
        ('schedule = "off"', lessons.owner(24), "schedule is off"),
    ],
)
def test_a_timer_with_nothing_to_do_ends_well(
    retrain: str, lesson: tuple | None, word: str, tmp_path: Path
) -> None:
    """Exit code 0, and a word that says why."""
    home = taught_home(tmp_path, retrain=retrain, lesson=lesson)
    assert word in adapt(home, "--scheduled")


# A process of its own that starts the measured one: a child's peak counts its parent's at the fork.
MEASURED = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:])
_, code, used = os.wait4(process.pid, 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(code))
"""


def test_a_thousand_corrections_take_seconds(tmp_path: Path) -> None:
    """On one core at most 20 s, and 400 MB, with a corpus as large as the shipped model's."""
    home = taught_home(tmp_path, lesson=lessons.owner(999, n_packs=40, own="Vocals"))
    add_to_model(tmp_path / BASE, lessons.replay(per_label=308))
    command = [sys.executable, "-m", "drumwatchd.training", "adapt", "--config", str(home.config)]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command],
        env=home.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds, kilobytes = map(float, done.stdout.split()[-2:])
    (made,) = model_store.stored_models(model_store.store_folder(home.folder / "state" / "x"))
    assert made.standing.figures["n_corrections"] == 999
    assert seconds < 20
    assert kilobytes < 400_000
