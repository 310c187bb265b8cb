"""The daemon and the commands, with models that were adapted; real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import drums
import lessons
from drumwatchd.analysis import model_store
from drumwatchd.analysis.model_card import read_card
from drumwatchd.analysis.model_store import store_folder
from drumwatchd.config import load_config
from drumwatchd.daemon import scheduled_retraining
from drumwatchd.index.reader import open_reader
from drumwatchd.learning import DAY_SECONDS, FIRST_SECONDS, ModelWatch, Retraining
from home import Home, wait_for
from test_head import OWN, with_own
from test_model_store import put
from test_retrain import BASE, adapt, taught_home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with the adapted model "mine" in its store, and "poor", which was rejected."""
    home = Home(tmp_path / "home")
    store = store_of(home)
    os.makedirs(store)
    put(store, tmp_path / "work" / "mine", "mine", 1)
    put(store, tmp_path / "work" / "poor", "poor", 2, passed=False)
    return home


def store_of(home: Home) -> str:
    return store_folder(home.folder / "state" / "index.sqlite3")


def test_models_are_listed(home: Home) -> None:
    """Text for people, JSON for scripts, with or without adapted models."""
    text = home.drumwatchd("models").stdout
    assert f"{BASE} judges" in text
    assert "mine  candidate" in text
    said = json.loads(home.drumwatchd("models", "--json").stdout)
    assert said["schema"] == 1
    assert said["judges"] == said["configured"]["id"] == BASE
    assert [(model["id"], model["state"]) for model in said["models"]] == [
        ("mine", "candidate"),
        ("poor", "rejected"),
    ]


def test_a_model_is_promoted_and_taken_back(home: Home) -> None:
    """`classify`, `status` and `check-config` go by it."""
    sample = drums.write(home.folder / "kick.wav", "kick")
    assert "mine judges" in home.drumwatchd("promote", "mine").stdout
    assert json.loads(home.drumwatchd("classify", "--json", sample).stdout)["model"] == "mine"
    assert home.status()["model"]["id"] == "mine"
    assert "mine judges" in home.drumwatchd("check-config").stdout
    assert f"{BASE} judges" in home.drumwatchd("rollback").stdout
    assert home.status()["model"]["id"] == BASE
    assert "no model to go back to" in home.drumwatchd("rollback", check=2).stderr


def test_what_cannot_judge_is_not_promoted(home: Home) -> None:
    """One that isn't there, one that was rejected, one that is broken: each with its reason."""
    assert "`drumwatchd models` lists" in home.drumwatchd("promote", "ghost", check=2).stderr
    assert "because" in home.drumwatchd("promote", "poor", check=2).stderr
    home.drumwatchd("promote", "poor", "--force")
    home.drumwatchd("promote", BASE)
    Path(store_of(home), "mine", "head.npz").write_bytes(b"")
    assert "SHA-256" in home.drumwatchd("promote", "mine", check=2).stderr
    assert home.status()["model"]["id"] == BASE


@pytest.mark.e2e
def test_a_running_daemon_takes_the_new_model(home: Home) -> None:
    """Between two files; log and status say so, and a broken one costs nothing."""
    ids = []

    def file(seed: int) -> None:
        drums.write(home.inbox / f"{seed}.wav", "kick", seed=seed)
        home.wait_idle(seed)
        ids.append(home.ls(f"name:{seed}.wav")[0]["model"])

    with home.running():
        file(1)
        home.drumwatchd("promote", "mine")
        file(2)
        wait_for(lambda: home.status()["model"]["id"] == "mine", "status to say so")
        Path(store_of(home), "poor", "head.npz").write_bytes(b"")
        model_store.promote(store_of(home), "poor")
        file(3)
        home.drumwatchd("rollback")
        home.drumwatchd("rollback")
        file(4)
    assert ids == [BASE, "mine", "mine", BASE]
    log = home.log_text()
    assert log.count("model changed") == 2
    assert log.count("model refused") == 1


def test_samples_are_filed_in_a_folder_of_ones_own(home: Home, tmp_path: Path) -> None:
    """It needs no configuration, and has its manifest and its count as every other."""
    put(store_of(home), tmp_path / "work" / "own", "own", 3, head=with_own(99.0))
    home.drumwatchd("promote", "own")
    drums.write(home.inbox / "boom.wav", "kick")
    home.drumwatchd("scan", "--quiet")
    assert (home.archive / OWN / "boom.wav").is_file()
    assert "boom.wav" in (home.archive / "_manifests" / f"{OWN}.csv").read_text()
    assert home.status()["files"]["by_label"][OWN] == 1
    assert [row["label"] for row in home.ls(f"label:{OWN}")] == [OWN]
    home.drumwatchd("validate-mapping", os.path.join(store_of(home), "own"))


def test_a_change_is_told_once(home: Home) -> None:
    """However often one looks."""
    watch = ModelWatch(store_of(home), str(lessons.shipped_model()), BASE)
    assert [watch.look() for _ in range(3)] == [BASE] * 3
    model_store.promote(store_of(home), "mine")
    assert [watch.look() for _ in range(3)] == ["mine"] * 3


# -- once a day, without systemd ----------------------------------------------------------------


def run_to_its_end(retraining: Retraining, now: float) -> None:
    """Ask until what was started has ended."""
    retraining.step(now)
    assert retraining.is_running
    wait_for(lambda: retraining.step(now) > now + 1 or not retraining.is_running, "the adaptation")


def test_the_daemon_has_a_model_made_once_a_day(tmp_path: Path) -> None:
    """Not at once after a start, then by the command, in a process of its own."""
    home = taught_home(tmp_path, lesson=lessons.owner(24))
    retraining = Retraining(str(home.config), store_of(home), now=0.0)
    assert retraining.step(0.0) == FIRST_SECONDS
    assert not retraining.is_running
    run_to_its_end(retraining, FIRST_SECONDS)
    (made,) = model_store.stored_models(store_of(home))
    assert made.state == "active"
    assert retraining.step(FIRST_SECONDS + 1) == FIRST_SECONDS + DAY_SECONDS


def test_an_adaptation_gives_way_and_ends_with_the_daemon(tmp_path: Path) -> None:
    """Lowest priority, one at a time, and gone when told to stop, with nothing half made."""
    home = taught_home(tmp_path, lesson=lessons.owner(24))
    retraining = Retraining(str(home.config), store_of(home), now=0.0)
    retraining.step(FIRST_SECONDS)
    process = retraining._process
    assert process is not None
    retraining.step(FIRST_SECONDS + DAY_SECONDS)
    assert retraining._process is process
    wait_for(
        lambda: process.poll() is not None or os.getpriority(os.PRIO_PROCESS, process.pid) == 19,
        "the lowest priority", step=0.005,
    )  # fmt: skip
    retraining.stop()
    assert process.poll() is not None
    assert not retraining.is_running
    with model_store.alone(store_of(home)):
        pass
    adapt(home)


@pytest.mark.parametrize(
    ("schedule", "manager", "wanted"),
    [("daily", "", True), ("off", "", False), ("daily", "/run/systemd/notify", False)],
)
def test_who_has_models_made(
    schedule: str, manager: str, wanted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon, unless it is told not to, or systemd runs it and so has a timer."""
    home = taught_home(tmp_path, retrain=f'schedule = "{schedule}"')
    monkeypatch.setenv("NOTIFY_SOCKET", manager)
    assert (scheduled_retraining(load_config(home.config, {})) is not None) is wanted


def test_a_failed_adaptation_is_tried_again_the_next_day(tmp_path: Path) -> None:
    """The daemon goes on."""
    retraining = Retraining(str(tmp_path / "none.toml"), str(tmp_path / "models"), now=0.0)
    run_to_its_end(retraining, FIRST_SECONDS)
    assert retraining.step(FIRST_SECONDS + 5) == FIRST_SECONDS + DAY_SECONDS


@pytest.mark.e2e
def test_killing_an_adaptation_leaves_a_model_that_judges(tmp_path: Path) -> None:
    """At any moment: the old one or the new one, and the next run is not in its way."""
    home = taught_home(tmp_path, lesson=lessons.owner(24))
    command = [sys.executable, "-m", "drumwatchd.training", "adapt", "--config", str(home.config)]
    started = time.monotonic()
    subprocess.run(command, env=home.environment, check=True, capture_output=True)
    whole = time.monotonic() - started
    base = str(tmp_path / BASE)
    for share in (0.5, 0.8, 0.9, 0.95, 1.0):
        shutil.rmtree(store_of(home), ignore_errors=True)
        process = subprocess.Popen(command, env=home.environment, stdout=subprocess.DEVNULL)
        time.sleep(share * whole)
        process.send_signal(signal.SIGKILL)
        process.wait()
        choice = model_store.choose(store_of(home), base)
        assert choice.problem is None
    adapt(home)


def test_the_index_keeps_since_when_a_network_judges(home: Home) -> None:
    """From its first start on, and not from the last one."""
    key = read_card(lessons.shipped_model()).network_key
    kept = []
    for _ in range(2):
        home.drumwatchd("scan", "--quiet")
        with open_reader(str(home.folder / "state" / "index.sqlite3")) as reader:
            kept.append(reader.meta(key))
    assert kept[0] == kept[1]
    assert float(kept[0] or 0) == pytest.approx(time.time(), abs=120)
