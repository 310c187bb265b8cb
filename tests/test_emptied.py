"""A class folder that lost all it held at once is a disk or an accident until its owner says otherwise."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import drums
from drumwatchd.errors import ArchiveError
from drumwatchd.files import Source
from drumwatchd.pipeline import Outcome
from home import Home, wait_for
from rounds_at_home import DAY, Owner

Drop = Callable[..., Source]


def fill(owner: Owner, count: int = 12) -> Path:
    """File some kicks, and a snare, which stays."""
    for n in range(count):
        owner.file(f"{n}.wav", b"%d" % n)
    owner.file("snare.wav", b"crack", "Snare")
    owner.round()
    return owner.root / "Kick"


def confirm(message: str | None) -> None:
    """Do what the hint says."""
    command = str(message).split("if you deleted them: ")[-1].split("if it is right so: ")[-1]
    subprocess.run(["sh", "-c", command.split(")")[0]], check=True)


@pytest.mark.parametrize("how", ["replaced", "removed", "emptied"])
def test_nothing_is_gone_until_it_is_back(how: str, owner: Owner) -> None:
    """Whatever is filed there meanwhile, and whether the daemon was restarted."""
    kick = fill(owner)
    aside = Path(f"{owner.root}.aside")
    kick.rename(aside)
    if how != "removed":
        kick.mkdir()
    owner.round(DAY)
    assert owner.rounds.degraded is None  # at first it is only missing
    owner.round(DAY)
    assert "all 12 samples of Kick are missing" in str(owner.rounds.degraded)
    owner.file("new.wav", b"a new one")
    owner.begin()
    owner.round(DAY, times=3)
    assert "all 12 samples of Kick are missing" in str(owner.rounds.degraded)
    assert owner.events() == []
    for path in aside.iterdir():
        kick.mkdir(exist_ok=True)
        path.rename(kick / path.name)
    owner.round(times=2)
    assert owner.rounds.degraded is None
    assert {state for state, _ in owner.labels().values()} == {"filed"}
    assert len(owner.manifested()["Kick"]) == 13
    assert owner.said() == []


def test_its_owner_says_that_they_are_deleted(owner: Owner) -> None:
    """By one command, that the message spells out; it holds this once."""
    kick = fill(owner)
    for again in (False, True):
        shutil.rmtree(kick)
        owner.round(DAY, times=2)
        assert owner.rounds.degraded is not None
        confirm(owner.rounds.degraded)
        owner.round(DAY)
        assert owner.rounds.degraded is None
        assert owner.events().count("gone") == (24 if again else 12)
        assert list(kick.iterdir()) == []
        if not again:
            for n in range(12):
                (kick / f"{n}.wav").write_bytes(b"%d" % n)
            owner.round(DAY, times=2)
            assert owner.events().count("back") == 12


def test_somebody_who_leaves_some_has_deleted_the_others(owner: Owner) -> None:
    """Nor are a few samples a disk."""
    kick = fill(owner)
    for n in range(11):
        (kick / f"{n}.wav").unlink()
    owner.round(DAY, times=2)
    assert owner.events() == ["gone"] * 11
    shutil.rmtree(owner.root / "Snare")
    owner.round(DAY, times=2)
    assert owner.events() == ["gone"] * 12
    assert owner.rounds.degraded is None


def test_a_folder_that_is_renamed_is_no_accident(owner: Owner) -> None:
    """All of its samples are corrected, and then nothing is amiss."""
    kick = fill(owner)
    kick.rename(owner.root / "Boom")
    owner.round(DAY, times=2)
    assert owner.said() == [("Boom", "Kick", "moved")] * 12
    assert owner.rounds.degraded is None


# -- a disk of its own --------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the tests' own."""
    shm = Path("/dev/shm")
    if not os.access(shm, os.W_OK) or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system to write to")
    folder = Path(tempfile.mkdtemp(dir=shm))
    yield folder
    shutil.rmtree(folder)


def on_a_disk(owner: Owner, drop: Drop, disk: Path) -> Path:
    """File two kicks in a class folder that is elsewhere."""
    kick = owner.root / "Kick"
    kick.symlink_to(disk)
    for n in range(2):
        assert owner.house.process(drop(f"{n}.wav", b"%d" % n)) is Outcome.FILED
    owner.round()
    return kick


def test_while_its_disk_is_away_nothing_is_filed_nor_missed(
    owner: Owner, drop: Drop, disk: Path
) -> None:
    """However few it holds: what is filed in its place would hide beneath it."""
    kick = on_a_disk(owner, drop, disk)
    kick.unlink()
    kick.mkdir()
    owner.begin()
    with pytest.raises(ArchiveError, match="is it mounted"):
        owner.house.archive.check()
    owner.rounds.last_rescan = None
    owner.rounds.step(owner.now + DAY)
    assert "disk of its own" in str(owner.rounds.degraded)
    assert owner.house.process(drop("x.wav", b"late")) is Outcome.BLOCKED
    assert list(kick.iterdir()) == []
    assert owner.house.archive.places.count_missing() == 0
    kick.rmdir()
    kick.symlink_to(disk)
    owner.round(DAY)
    assert owner.rounds.degraded is None
    assert owner.house.process(drop("x.wav", b"late")) is Outcome.FILED


def test_a_disk_that_was_taken_out_for_good(owner: Owner, drop: Drop, disk: Path) -> None:
    """By the same command; from then on its folder is like any other."""
    kick = on_a_disk(owner, drop, disk)
    kick.unlink()
    kick.mkdir()
    owner.rounds.last_rescan = None
    owner.rounds.step(owner.now)
    confirm(owner.rounds.degraded)
    owner.round(DAY, times=2)
    assert owner.events() == ["gone"] * 2
    assert list(kick.iterdir()) == []
    owner.begin()
    owner.house.archive.check()


# -- the real daemon ----------------------------------------------------------------------------


def kicks(home: Home, count: int) -> Path:
    for n in range(count):
        drums.write(home.inbox / f"{n}.wav", "kick", seed=n)
    home.drumwatchd("scan", "--quiet")
    assert len(home.ls("label:kick")) == count
    return home.archive / "Kick"


@pytest.mark.e2e
def test_an_emptied_folder_while_it_runs(tmp_path: Path) -> None:
    """Status and log say so, with what to do; then it is done."""
    home = Home(tmp_path, archive="rescan_seconds = 1")
    kick = kicks(home, 12)
    with home.running():
        kick.rename(tmp_path / "aside")
        kick.mkdir()
        problem = wait_for(lambda: home.status()["archive"]["degraded"], "degraded", step=0.2)
        assert "all 12 samples of Kick are missing" in problem
        assert "all 12 samples of Kick are missing" in home.drumwatchd("status").stdout.replace(
            "\n", " "
        ).replace("│", "").replace("  ", " ")
        time.sleep(2.5)
        status = home.status()
        assert (status["gone"], status["files"]["by_label"]["Kick"]) == (0, 12)
        kick.rmdir()
        (tmp_path / "aside").rename(kick)
        wait_for(lambda: not home.status()["archive"]["degraded"], "it to be back", step=0.2)
        home.assert_agree()
        shutil.rmtree(kick)
        confirm(wait_for(lambda: home.status()["archive"]["degraded"], "degraded", step=0.2))
        wait_for(lambda: home.status()["gone"] == 12, "them to be gone", step=0.2)
        assert not home.status()["archive"]["degraded"]
    assert home.log_text().count("class folder emptied") == 2


@pytest.mark.e2e
def test_a_folder_that_is_unmounted_while_it_runs(tmp_path: Path) -> None:
    """Not one sample is missed, nor filed beneath it; what came meanwhile is filed afterwards."""
    home = Home(tmp_path, archive="rescan_seconds = 1")
    kick = home.archive / "Kick"
    kick.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(kick)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only who may mount can test this")
    mounted = True
    try:
        kicks(home, 3)
        shutil.copytree(kick, tmp_path / "content")
        with home.running():
            time.sleep(1.5)
            subprocess.run(["umount", str(kick)], check=True)
            mounted = False
            problem = wait_for(lambda: home.status()["archive"]["degraded"], "degraded", step=0.2)
            assert "disk of its own" in problem
            drums.write(home.inbox / "late.wav", "kick", seed=99)
            time.sleep(2.5)
            assert (home.status()["gone"], home.status()["files"]["total"]) == (0, 3)
            assert list(kick.iterdir()) == []
            subprocess.run(mount, check=True)
            mounted = True
            shutil.copytree(tmp_path / "content", kick, dirs_exist_ok=True)
            home.wait_idle(4)
            wait_for(lambda: not home.status()["archive"]["degraded"], "it to be back", step=0.2)
        assert (kick / "late.wav").is_file()
        home.assert_agree()
    finally:
        if mounted:
            subprocess.run(["umount", str(kick)], check=True)
