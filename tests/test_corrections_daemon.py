"""Corrections with the real daemon and the real commands, whatever happens in between."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest

import drums
from drumwatchd.files import digest_of
from home import Home, wait_for
from killing import die

pytestmark = pytest.mark.e2e


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, archive="rescan_seconds = 1")


def filed(home: Home, name: str = "bd.wav", kind: str = "kick", seed: int = 0) -> Path:
    """Drop one drum and file it; return where it stands."""
    drums.write(home.inbox / name, kind, seed=seed)
    home.drumwatchd("scan")
    return Path(home.ls(f"name:={name}")[0]["path"])


def other_class(path: Path) -> Path:
    return path.parent.parent / ("Snare" if path.parent.name != "Snare" else "Tom") / path.name


def test_a_move_by_hand_while_it_runs(home: Home) -> None:
    """One log line, the manifests of both classes, status, ls and show."""
    path = filed(home)
    digest, was = digest_of(str(path), "sha256"), path.parent.name
    target = other_class(path)
    with home.running():
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
        home.wait_for_label(digest, target.parent.name)
        home.assert_agree()
        assert home.status()["corrections"] == 1
    assert home.log_text().count("corrected ") == 1
    (row,) = home.ls("corrected:yes")
    assert (row["path"], row["corrected"]) == (str(target), target.parent.name)
    said = home.story(str(target))
    assert (said["correction"]["was"], said["correction"]["how"]) == (was, "moved")
    (event,) = [event for event in said["history"] if event["event"] == "corrected"]
    assert (event["detail"]["from"], event["detail"]["to"]) == (was, target.parent.name)


def test_a_move_by_hand_is_told_by_events(tmp_path: Path) -> None:
    """Long before the next rescan."""
    home = Home(tmp_path, archive="rescan_seconds = 3600")
    path = filed(home)
    digest, target = digest_of(str(path), "sha256"), other_class(path)
    with home.running():
        if home.status()["archive"]["watched"] != "native":
            pytest.skip("no events on this file system")
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
        home.wait_for_label(digest, target.parent.name)


@pytest.mark.parametrize("how", ["move", "copy and delete", "delete and create"])
def test_a_move_while_it_was_down(how: str, home: Home) -> None:
    """`scan` sees it as well as `run`."""
    path = filed(home)
    content, target = path.read_bytes(), home.archive / "Größe" / "my own.wav"
    target.parent.mkdir()
    if how == "move":
        path.rename(target)
    else:
        path.unlink()
        target.write_bytes(content)
    home.drumwatchd("scan")
    (row,) = home.ls("corrected:yes")
    assert (row["label"], row["path"]) == ("Größe", str(target))
    home.assert_agree()


def test_the_daemons_own_placements_never_count(home: Home) -> None:
    """Many files filed with rounds all the time."""
    with home.running():
        for n in range(30):
            drums.write(home.inbox / f"{n}.wav", ("kick", "snare", "tom")[n % 3], seed=n)
        status = home.wait_idle(30)
        time.sleep(2.5)
        status = home.status()
    assert (status["corrections"], status["gone"], status["archive"]["untracked"]) == (0, 0, 0)
    home.assert_agree()


def test_what_was_corrected_and_deleted_is_filed_so_again(home: Home) -> None:
    """The owner's label outlives the row; nothing else is asked."""
    path = filed(home)
    content, digest, target = path.read_bytes(), digest_of(str(path), "sha256"), other_class(path)
    with home.running():
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
        home.wait_for_label(digest, target.parent.name)
        target.unlink()
        wait_for(lambda: home.status()["gone"] == 1, "it to be gone", step=0.2)
        assert home.ls("state:gone")[0]["path"] == str(target)
        (home.inbox / "again.wav").write_bytes(content)
        wait_for(lambda: home.ls(f"digest:{digest}"), "it to be filed again", step=0.2)
        (row,) = home.ls("corrected:yes")
        assert row["path"] == str(target.with_name("again.wav"))
        home.assert_agree()


def test_an_unmounted_archive_yields_nothing(home: Home) -> None:
    """0 gone, 0 corrections, until it is back."""
    path = filed(home)
    with home.running():
        home.archive.rename(home.folder / "unmounted")
        home.archive.mkdir()
        (home.archive / "Snare").mkdir()
        shutil.copy(
            home.folder / "unmounted" / path.relative_to(home.archive), home.archive / "Snare"
        )
        wait_for(lambda: home.status()["archive"]["degraded"], "degraded", step=0.2)
        time.sleep(2.5)
        status = home.status()
        assert (status["corrections"], status["gone"], status["files"]["total"]) == (0, 0, 1)
        shutil.rmtree(home.archive)
        (home.folder / "unmounted").rename(home.archive)
        wait_for(lambda: not home.status()["archive"]["degraded"], "it to be back", step=0.2)
    assert path.exists()
    home.assert_agree()


# -- by command ---------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [False, True], ids=["down", "running"])
def test_correct_and_undo(runs: bool, home: Home) -> None:
    """The file goes where the template puts it, and back; the history keeps both."""
    path = filed(home)
    was = path.parent.name

    def work() -> None:
        fine, folder = ("Rim", "Snare") if was != "Snare" else ("China", "Crash")
        done = home.drumwatchd(
            "correct", str(path), fine.lower(), "--note", "a side stick", "--json"
        )
        said = json.loads(done.stdout)
        target = home.archive / folder / path.name
        assert (said["label"], said["was"], said["path"]) == (fine, was, str(target))
        assert target.is_file()
        assert not path.exists()
        (row,) = home.ls("corrected:yes")
        assert (row["label"], row["corrected"]) == (folder, fine)
        home.assert_agree()
        assert "→" in home.drumwatchd("undo").stdout
        assert path.is_file()
        assert home.ls("corrected:yes") == []
        assert home.ls()[0]["label"] == was
        home.assert_agree()
        events = [event["event"] for event in home.story(str(path))["history"]]
        assert events == ["filed", "corrected", "moved", "correction taken back", "moved"]
        home.drumwatchd("undo", check=1)

    if not runs:
        work()
        return
    with home.running():
        work()
        time.sleep(2.5)
        assert home.status()["corrections"] == 0
    assert "corrected " not in home.log_text()


def test_correct_overwrites_nothing(home: Home) -> None:
    """A taken name gets a number; a name that the owner gave stays."""
    path = filed(home)
    target = other_class(path)
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(b"the owner's own")
    home.drumwatchd("correct", str(path), target.parent.name)
    moved = target.with_name("bd-2.wav")
    assert moved.is_file()
    assert target.read_bytes() == b"the owner's own"
    mine = moved.rename(moved.with_name("good one.wav"))
    home.drumwatchd("scan")
    home.drumwatchd("correct", str(mine), "Tom" if target.parent.name != "Tom" else "Ride")
    assert [Path(row["path"]).name for row in home.ls()] == ["good one.wav"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{path}", "Snar"], "did you mean Snare?"),
        (["{path}", "_old"], "doesn't begin with a letter or digit"),
        (["{path}", "Risers"], "make its folder"),
        (["nothing.wav", "Snare"], "the index knows nothing of nothing.wav"),
        (["abcdef", "Snare"], "the index knows nothing of abcdef"),
    ],
)
def test_what_cannot_be_corrected_is_refused(arguments: list[str], says: str, home: Home) -> None:
    """Exit code 2, with what to write instead."""
    path = filed(home)
    done = home.drumwatchd("correct", *(a.format(path=path) for a in arguments), check=2)
    assert says in done.stderr
    assert home.status()["corrections"] == 0


def test_correct_in_symlink_mode_moves_the_link(tmp_path: Path) -> None:
    """And not what it leads to."""
    home = Home(tmp_path, archive='mode = "symlink"')
    path = filed(home)
    target = other_class(path)
    home.drumwatchd("correct", str(path), target.parent.name)
    assert target.is_symlink()
    assert target.read_bytes() == (home.inbox / "bd.wav").read_bytes()
    assert not os.path.lexists(path)


def test_correct_in_mode_none_only_says_so(tmp_path: Path) -> None:
    """Nothing is placed, so nothing moves."""
    home = Home(tmp_path, archive='mode = "none"')
    path = filed(home)
    label = "Ride" if home.ls()[0]["label"] != "Ride" else "Tom"
    home.drumwatchd("correct", str(path), label)
    assert (home.ls()[0]["label"], home.ls()[0]["path"]) == (label, str(path))
    assert path.is_file()


@pytest.mark.parametrize(
    ("step", "after"), [("begin", "before"), ("link", "after"), ("unlink", "after")]
)
def test_killed_in_the_middle_of_a_correction(step: str, after: str, home: Home) -> None:
    """The next start finishes what was said, or nothing was; never two, never none."""
    path = filed(home)
    content, was = path.read_bytes(), path.parent.name
    die(home, step, after, "correct", str(path), "Rim" if was != "Snare" else "China")
    home.drumwatchd("scan")
    home.assert_exactly([content])
    said = (step, after) != ("begin", "before")
    assert home.status()["corrections"] == said
    (row,) = home.ls()
    assert (row["label"] != was) == said
    assert row["corrected"] == (None if not said else "Rim" if was != "Snare" else "China")
    home.drumwatchd("scan")
    home.assert_exactly([content])


def test_overrides_go_from_one_index_to_another(home: Home, tmp_path: Path) -> None:
    """Known samples are filed so, unknown ones when they come; bad lines are named."""
    path = filed(home)
    home.drumwatchd("correct", str(path), "Vox", "--note", "a voice")
    refused = home.drumwatchd("overrides", "export", str(tmp_path / "no" / "x"), check=2)
    assert "can't be written" in refused.stderr
    home.drumwatchd("overrides", "export", str(tmp_path / "said.jsonl"))
    line = (tmp_path / "said.jsonl").read_text()
    assert line == home.drumwatchd("overrides", "export").stdout
    digest = json.loads(line)["hash"]
    assert json.loads(line) == {"hash": digest, "correct_label": "Vox", "note": "a voice"}

    other = Home(tmp_path / "other")
    first = filed(other, "tom.wav", "tom")
    first_digest = digest_of(str(first), "sha256")
    lines = [
        line.strip(), "no json", json.dumps({"hash": "12", "correct_label": "Vox"}), "",
        json.dumps({"hash": first_digest, "correct_label": "Ridd"}),
        json.dumps({"hash": first_digest, "correct_label": "Ride", "note": None}),
    ]  # fmt: skip
    (tmp_path / "lines.jsonl").write_text("\n".join(lines))
    done = other.drumwatchd("overrides", "import", str(tmp_path / "lines.jsonl"), check=3)
    assert done.stdout == "1 corrected, 0 unchanged, 1 kept, 3 bad\n"
    assert re.findall(r"line (\d)", done.stderr) == ["2", "3", "5"]
    assert "did you mean Ride?" in done.stderr
    assert (other.archive / "Ride" / "tom.wav").is_file()
    again = other.drumwatchd(
        "overrides", "import", str(tmp_path / "lines.jsonl"), "--json", check=3
    )
    assert json.loads(again.stdout)["unchanged"] == 2
    shutil.copy(home.ls()[0]["path"], other.inbox / "late.wav")
    other.drumwatchd("scan")
    (row,) = other.ls("name:=late.wav")
    assert (row["label"], row["corrected"]) == ("misc", "Vox")
    other.assert_agree()
