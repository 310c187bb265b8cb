"""What can't be judged is filed by its owner's word: by hand, by command, and back into quarantine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from drumwatchd.analysis.model_card import read_card, shipped_model
from drumwatchd.archive.moves import Mover
from drumwatchd.errors import DecodeError, UsageError
from drumwatchd.files import Source
from drumwatchd.index.lessons import usable_lessons
from drumwatchd.index.reader import open_reader
from drumwatchd.index.rows import Row
from drumwatchd.pipeline import Outcome
from home import Home, wait_for
from killing import STEPS, die, killed_at
from rounds_at_home import DAY, Owner

Drop = Callable[..., Source]
BROKEN = b"RIFF, and nothing that was promised"


def set_aside(owner: Owner, drop: Drop, name: str = "pack/bd.wav") -> Row:
    """Drop a file that can't be judged."""
    owner.house.ear.says = DecodeError("not audio")
    assert owner.house.process(drop(name, BROKEN)) is Outcome.QUARANTINED
    (row,) = owner.index.rows_in("quarantined")
    return row


def correct(owner: Owner, row: Row, label: str) -> str | None:
    return Mover(owner.index, owner.house.archive).correct(row, label, how="command", note=None)


def undo(owner: Owner) -> str | None:
    said = owner.house.archive.corrections.last()
    (row,) = owner.index.rows_in("filed")
    assert said is not None
    return Mover(owner.index, owner.house.archive).undo(row, said)


def test_moved_by_hand_it_is_filed(owner: Owner, drop: Drop) -> None:
    """With a line in the manifest, by its owner's word; nothing is learned from it."""
    set_aside(owner, drop)
    owner.round()
    kick = owner.root / "Kick"
    kick.mkdir(exist_ok=True)
    (owner.root / "_quarantine/pack/bd.wav").rename(kick / "mine.wav")
    owner.hint(kick / "mine.wav")
    assert owner.labels() == {"Kick/mine.wav": ("filed", "Kick")}
    assert owner.said() == [("Kick", None, "moved")]
    assert owner.manifested() == {"Kick": ["Kick/mine.wav"]}
    assert owner.rounds.untracked == 0
    (row,) = owner.index.rows_in("filed")
    assert row.reason == "filed by hand, though it can't be judged: not audio"
    with open_reader(owner.index.path) as reader:
        assert usable_lessons(reader, read_card(shipped_model())) == ([], 1)
    (kick / "mine.wav").unlink()
    owner.round(times=2)
    assert owner.labels() == {"Kick/mine.wav": ("gone", "Kick")}


def test_a_copy_of_what_is_in_quarantine_is_left_alone(owner: Owner, drop: Drop) -> None:
    """It is digested once, until the original goes."""
    set_aside(owner, drop)
    aside, copy = owner.root / "_quarantine/pack/bd.wav", owner.root / "Kick" / "bd.wav"
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(aside, copy)
    owner.round(times=2)
    assert owner.labels() == {"_quarantine/pack/bd.wav": ("quarantined", None)}
    assert owner.rounds.untracked == 1
    aside.unlink()
    owner.round(DAY)
    assert owner.labels() == {"Kick/bd.wav": ("filed", "Kick")}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", ["correct", "undo"])
def test_a_crash_at_any_step_is_finished(
    kind: str, step: str, after: bool, owner: Owner, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filed with the owner's word, or set aside without one; there once, and never lost."""
    row = set_aside(owner, drop)
    if kind == "undo":
        assert correct(owner, row, "Rim") == "Snare/bd.wav"
    with killed_at(monkeypatch, step, after=after):
        correct(owner, row, "Rim") if kind == "correct" else undo(owner)
    is_said = owner.said() != []
    owner.begin()
    owner.round()
    if is_said:
        assert owner.labels() == {"Snare/bd.wav": ("filed", "Snare")}
        assert owner.said() == [("Rim", None, "command")]
    else:
        assert owner.labels() == {"_quarantine/pack/bd.wav": ("quarantined", None)}
        assert owner.index.rows_in("quarantined")[0].reason == "not audio"
    assert list(owner.house.files().values()) == [BROKEN]
    assert owner.manifested() == ({"Snare": ["Snare/bd.wav"]} if is_said else {})


@pytest.mark.parametrize("mode", ["copy", "hardlink", "symlink"])
def test_where_it_stays_in_the_inbox_a_copy_files_it(mode: str, owner: Owner, drop: Drop) -> None:
    """There is no other way, which is what the command says."""
    owner.begin(mode)
    row = set_aside(owner, drop)
    with pytest.raises(UsageError, match="copy it into a class folder"):
        correct(owner, row, "Kick")
    (owner.root / "Kick").mkdir(exist_ok=True)
    shutil.copy(row.source.path, owner.root / "Kick" / "bd.wav")
    owner.round()
    assert owner.labels() == {"Kick/bd.wav": ("filed", "Kick")}
    assert owner.index.remembered("failed") == []
    assert Path(row.source.path).is_file()


def test_taken_out_of_quarantine_and_dropped_again_it_is_judged_again(
    owner: Owner, drop: Drop
) -> None:
    """Nobody looks for it for ever."""
    set_aside(owner, drop)
    owner.house.pipeline._is_sought = owner.rounds.is_sought
    (owner.root / "_quarantine/pack/bd.wav").unlink()
    set_aside(owner, drop, "again.wav")
    assert owner.labels() == {"_quarantine/again.wav": ("quarantined", None)}


# -- the real daemon ----------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path, archive="rescan_seconds = 1")
    (home.inbox / "bd.wav").write_bytes(BROKEN)
    home.drumwatchd("scan", check=3)
    assert home.status()["quarantined"] == 1
    return home


@pytest.mark.e2e
def test_by_hand_while_it_runs(home: Home) -> None:
    """Archive, manifest, index, status, ls and show say the same."""
    (row,) = home.ls("state:quarantined")
    with home.running():
        (home.archive / "Kick").mkdir(exist_ok=True)
        Path(row["path"]).rename(home.archive / "Kick" / "bd.wav")
        home.wait_for_label(row["digest"], "Kick")
        home.assert_agree()
        status = home.status()
    assert (status["quarantined"], status["corrections"], status["gone"]) == (0, 1, 0)
    assert status["files"]["by_label"]["Kick"] == 1
    assert home.story("bd.wav")["correction"]["how"] == "moved"
    assert "though it can't be judged" in home.drumwatchd("show", "bd.wav").stdout
    assert home.drumwatchd("reclassify", "label:kick").stdout.startswith("moved: 0;")


@pytest.mark.e2e
@pytest.mark.parametrize("runs", [False, True], ids=["down", "running"])
def test_by_command_and_back(runs: bool, home: Home) -> None:
    """Filed, set aside again, and from there taken again."""
    (row,) = home.ls("state:quarantined")

    def work() -> None:
        home.drumwatchd("correct", row["path"], "rim", "--note", "damaged, but mine")
        assert (home.archive / "Snare" / "bd.wav").read_bytes() == BROKEN
        assert [(r["label"], r["corrected"]) for r in home.ls()] == [("Snare", "Rim")]
        home.assert_agree()
        home.drumwatchd("undo")
        assert Path(row["path"]).read_bytes() == BROKEN
        assert home.ls("state:quarantined") == [row]
        assert home.ls() == []
        wait_for(lambda: home.manifested() == [], "the manifest to follow")
        home.drumwatchd("retry", "--all")

    if runs:
        with home.running():
            work()
            wait_for(lambda: home.ls("state:quarantined"), "it to be judged again", step=0.2)
        assert "corrected " not in home.log_text()
    else:
        work()
        assert (home.inbox / "bd.wav").read_bytes() == BROKEN


@pytest.mark.e2e
def test_killed_on_the_way_out_of_quarantine(home: Home) -> None:
    """The next start finishes what was said."""
    die(home, "link", "after", "correct", home.ls("state:quarantined")[0]["path"], "Kick")
    home.drumwatchd("scan")
    home.assert_exactly([BROKEN])
    assert home.status()["quarantined"] == 0
