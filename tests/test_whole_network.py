"""Whole networks from what was corrected: real small networks, real files, the real commands."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest

import drums
import lessons
import pupil
from drumwatchd.analysis import model_store
from drumwatchd.analysis.head import read_head
from drumwatchd.analysis.model_card import read_card, shipped_model
from drumwatchd.errors import UsageError
from drumwatchd.files import digest_of
from drumwatchd.index.records import Lesson
from drumwatchd.training.progress import Progress
from drumwatchd.training.retrain import RetrainSettings
from home import Home

pytestmark = [
    pytest.mark.train,
    # Keras hands TensorFlow's tensors to numpy 2 the way of numpy 1.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus and a network that learned it."""
    folder = tmp_path_factory.mktemp("school")
    pupil.small_network(folder)
    return folder


def model(school: Path) -> Path:
    return school / "models" / "small"


def adapt(home: Home) -> dict[str, object]:
    done = pupil.invoke("adapt", "--config", str(home.config), "--json")
    return dict(json.loads(done.stdout))


@pytest.mark.e2e
def test_correct_retrain_drop(school: Path, tmp_path: Path) -> None:
    """Drums that the network never met are learned; the daemon files the next by the new network.

    A label of the owner's own can't be one of its outputs: a head that is fitted to it at once has it.
    """
    home = pupil.owners_home(tmp_path / "home", model(school), kinds=pupil.OWN)
    (home.archive / "Basses").mkdir()
    pupil.correct(home, pupil.OWN)
    with home.running():
        report = pupil.retrain(home, school, *pupil.LEARNING)
        assert report["state"] == "active", report
        assert report["own"] == ["Basses"]
        assert report["figures"]["right"] > report["figures"]["right_before"]
        for seed in range(300, 306):
            for kind in pupil.OWN:
                drums.write(home.inbox / "more" / f"{kind} {seed}.wav", kind, seed=seed)
        home.wait_idle(total=48 + 24)
        new = home.ls("pack:more")
    wanted = [pupil.OWN[row["name"].split(" ")[0]] == row["label"] for row in new]
    assert sum(wanted) >= 16, [(row["name"], row["label"]) for row in new]
    assert {row["model"] for row in new} == {report["head"]["model"]}

    store = model_store.store_folder(home.folder / "state" / "index.sqlite3")
    choice = model_store.choose(store, str(model(school)))
    assert (choice.card.id, choice.base.id) == (report["head"]["model"], report["model"])
    assert choice.base.root == read_card(model(school)).backbone != choice.base.backbone
    assert choice.card.own_labels == ("Basses",)
    # What was corrected was heard by the new network, and nothing of it is new to the next adaptation.
    said = adapt(home)
    assert (said["n_usable"], said["n_unusable"], said["state"]) == (48, 0, "waiting")
    assert [path.name for path in (school / "cache" / "retrain").iterdir()] == ["lock"]
    # The network can't be made to forget: the next one is compared with it on what is new alone.
    for pack in range(12, 14):
        for kind in pupil.SAID:
            drums.write(home.inbox / f"pack {pack}" / f"{kind}.wav", kind, seed=100 + pack)
    home.drumwatchd("scan")
    pupil.correct(home, pupil.OWN)
    second = pupil.retrain(home, school, *pupil.LEARNING, "--no-promote")
    assert second["state"] in ("candidate", "rejected")
    assert second["model"] != report["model"]
    assert model_store.choose(store, str(model(school))).card.id == choice.card.id
    home.drumwatchd("rollback")
    assert model_store.choose(store, str(model(school))).card.id == "small"


class Killed(Progress):
    """Ends everything in the first network's second epoch."""

    def step(self, what: str, done: int, total: int, note: str = "") -> None:
        """Hear of one step."""
        if (what, done) == ("epochs of small-trial", 2):
            raise KeyboardInterrupt


class Listening(Progress):
    """Remembers the epochs and remarks that it hears of."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[tuple[str, int]] = []
        self.said: list[str] = []

    def say(self, message: str) -> None:
        """Hear of a remark."""
        self.said.append(message)

    def step(self, what: str, done: int, total: int, note: str = "") -> None:
        """Hear of one step."""
        if what.startswith("epochs"):
            self.epochs.append((what, done))


def test_a_killed_run_goes_on_and_poison_is_rejected(school: Path, tmp_path: Path) -> None:
    """No epoch is trained twice. Labels that belong to no sound make a network that never judges."""
    from drumwatchd.training.network_training import NetworkSettings
    from drumwatchd.training.whole_network import retrain_network

    home = pupil.owners_home(tmp_path / "home", model(school))
    rows = home.ls()
    labels = [("Kick", "Snare", "Hihat")[number % 3] for number in range(len(rows))]
    random.Random(3).shuffle(labels)
    pupil.say(home, {row["digest"]: label for row, label in zip(rows, labels, strict=True)})
    gone = Path(home.ls("corrected:yes")[0]["path"])
    gone.rename(tmp_path / "elsewhere.wav")

    index = str(home.folder / "state" / "index.sqlite3")
    targets = ("Crash", "Hihat", "Kick", "Ride", "Snare", "Tom")
    adapting = RetrainSettings(index, model(school), targets, root=str(home.archive))
    settings = NetworkSettings(
        str(school / "corpus"), cache=school / "cache", epochs=2, learning_rate=1e-3
    )
    with pytest.raises(KeyboardInterrupt):
        retrain_network(settings, adapting, time.time(), Killed())
    listening = Listening()
    report = retrain_network(settings, adapting, time.time(), listening)
    assert listening.epochs == [("epochs of small-trial", 2)]
    assert any("1 corrected samples are not in their place" in text for text in listening.said)
    assert (report.state, report.n_absent) == ("rejected", 1)
    store = model_store.store_folder(index)
    assert model_store.choose(store, str(model(school))).card.id == "small"
    (kept,) = model_store.stored_models(store)
    assert (kept.id, kept.state, kept.standing.reason) == (report.model, "rejected", report.reason)
    assert os.path.samefile(kept.folder, Path(store, report.model))
    listed = home.drumwatchd("models").stdout
    assert f"{report.model}  rejected" in listed


def test_too_few_corrections_are_said(school: Path, tmp_path: Path) -> None:
    """Before anything is trained."""
    home = pupil.owners_home(tmp_path / "home", model(school), n_packs=1)
    command = ["retrain", str(school / "corpus"), "--config", str(home.config)]
    with pytest.raises(UsageError, match="no corrections that a network can learn from"):
        pupil.invoke(*command)
    pupil.correct(home)
    with pytest.raises(UsageError, match="3 corrections that a network can learn from, 30 are"):
        pupil.invoke(*command)


def test_without_an_index_there_is_nothing_to_learn(school: Path, tmp_path: Path) -> None:
    """The error says what makes one."""
    home = Home(tmp_path / "home")
    with pytest.raises(UsageError, match="no index yet"):
        pupil.invoke("retrain", str(school / "corpus"), "--config", str(home.config))


def test_only_its_own_folders_are_cleared_away(tmp_path: Path) -> None:
    """The cache is a folder that somebody named; a folder `retrain` in it may hold other things."""
    from drumwatchd.training.network_training import NetworkSettings
    from drumwatchd.training.taught import teach
    from drumwatchd.training.whole_network import _working_folder

    base = read_card(shipped_model())
    assert base.head is not None
    taught = teach([], base, read_head(base, base.head), str(tmp_path), ("Kick",))
    (tmp_path / "retrain" / "my samples").mkdir(parents=True)
    (tmp_path / "retrain" / "0123456789abcdef").mkdir()  # of an earlier run, with other corrections
    with _working_folder(NetworkSettings("corpus", cache=tmp_path), base, taught) as work:
        found = {path.name for path in (tmp_path / "retrain").iterdir()}
        assert found == {"my samples", work.name, "lock"}


def test_one_correction_is_too_few(tmp_path: Path) -> None:
    """However few are wanted: a network that learned none of them couldn't be asked about one."""
    from drumwatchd.training.taught import teach
    from drumwatchd.training.whole_network import _check_enough

    base = read_card(shipped_model())
    assert base.head is not None
    (tmp_path / "one.wav").write_bytes(b"one")
    heard = lessons.direction("Kick").astype("<f2").tobytes()
    one = Lesson("1" * 64, "Snare", 1.0, base.id, 1.0, "pack", heard, place="one.wav")
    taught = teach([one], base, read_head(base, base.head), str(tmp_path), ("Snare",))
    with pytest.raises(UsageError, match="2 are wanted"):
        _check_enough(taught, 1)


def test_what_was_taught_is_no_proof(tmp_path: Path) -> None:
    """Sounds of the corpus that the owner has, too: nothing of such a kit is measured on."""
    from drumwatchd.training.corpus import Example
    from drumwatchd.training.feature_cache import FeatureSet
    from drumwatchd.training.network_training import never_taught
    from drumwatchd.training.taught import teach

    examples = []
    for kit in ("his", "theirs"):
        for kind in ("kick", "snare"):
            path = drums.write(tmp_path / kit / f"{kind}.wav", kind, seed=len(examples))
            examples.append(Example(str(path), kind.capitalize(), "maker", kit, 1))
    x = np.arange(4, dtype=np.float16).reshape(4, 1, 1, 1)
    base = read_card(shipped_model())
    assert base.head is not None
    heard = lessons.direction("Kick").astype("<f2").tobytes()
    digest = digest_of(examples[0].path, "sha256")
    one = Lesson(digest, "Tom", 1.0, base.id, 1.0, "his", heard, place="his/kick.wav")
    taught = teach([one], base, read_head(base, base.head), str(tmp_path), ("Tom",))
    left = never_taught(FeatureSet(x, examples, []), taught, "sha256")
    assert [example.kit for example in left.examples] == ["theirs", "theirs"]
    assert left.x.ravel().tolist() == [2.0, 3.0]
