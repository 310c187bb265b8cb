"""In symlink and hardlink mode the library is edited and renamed; the archive goes along."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import drums
from drumwatchd.files import Source, look
from drumwatchd.pipeline import Outcome
from home import Home, wait_for
from rounds_at_home import DAY, Owner

Drop = Callable[..., Source]


def again(source: Source, path: str | None = None) -> Source:
    """The file as the next rescan sees it."""
    found = look(path or source.path, source.inbox)
    assert found is not None
    return found


@pytest.mark.parametrize("mode", ["symlink", "hardlink"])
@pytest.mark.parametrize("first", ["inbox", "archive"])
def test_an_edit_is_one_of_the_archives_sample(
    mode: str, first: str, owner: Owner, drop: Drop
) -> None:
    """Whoever sees it first: the sample stays where it is, marked for review; nothing is filed twice."""
    owner.begin(mode)
    source = drop("bd.wav")
    owner.house.process(source)
    owner.round()
    for content in (b"edited", b"once more edited"):
        Path(source.path).write_bytes(content)
        if first == "inbox":
            assert owner.house.process(again(source)) is Outcome.DUPLICATE
        owner.round(DAY, times=12)
        assert owner.house.process(again(source)) is Outcome.DUPLICATE
        assert owner.index.is_remembered(again(source))
        assert owner.house.files() == {"Kick/bd.wav": content}
        assert owner.labels() == {"Kick/bd.wav": ("filed", "Kick")}
    assert owner.events() == ["changed", "changed"] * 2
    with owner.index.reading() as connection:
        (review,) = connection.execute("SELECT review FROM samples").fetchone()
    assert "edited" in review
    assert owner.rounds.untracked == 0


@pytest.mark.parametrize("mode", ["copy", "hardlink"])
def test_a_new_file_of_the_same_name_is_a_new_sample(mode: str, owner: Owner, drop: Drop) -> None:
    """Where the archive has the old content still, both are kept."""
    owner.begin(mode)
    source = drop("bd.wav")
    owner.house.process(source)
    Path(source.path).unlink()
    assert owner.house.process(drop("bd.wav", b"another")) is Outcome.FILED
    owner.round(times=2)
    assert owner.house.files() == {"Kick/bd.wav": b"boom", "Kick/bd-2.wav": b"another"}
    assert len(owner.labels()) == 2


@pytest.mark.parametrize("mode", ["symlink", "hardlink"])
def test_a_renamed_file_is_followed(mode: str, owner: Owner, drop: Drop) -> None:
    """The link leads to the new name, also from where the owner put it; it is no duplicate."""
    owner.begin(mode)
    source = drop("bd.wav")
    owner.house.process(source)
    owner.house.pipeline._is_sought = owner.rounds.is_sought
    (owner.root / "Snare").mkdir()
    (owner.root / "Kick" / "bd.wav").rename(owner.root / "Snare" / "bd.wav")
    owner.round()
    for name in ("pack 1/bd.wav", "pack 2/kick.wav"):
        target = Path(source.inbox) / name
        target.parent.mkdir()
        Path(source.path).rename(target)
        source = again(source, str(target))
        assert owner.house.process(source) is Outcome.DUPLICATE
        assert owner.house.files() == {"Snare/bd.wav": b"boom"}
        assert owner.index.is_remembered(source)
    owner.round(DAY, times=12)
    assert owner.labels() == {"Snare/bd.wav": ("filed", "Snare")}
    assert owner.events() == ["corrected", "source renamed", "source renamed"]
    assert owner.house.process(drop("copy.wav")) is Outcome.DUPLICATE
    assert owner.events()[-1] == "duplicate"
    if mode == "symlink":
        assert os.readlink(owner.root / "Snare" / "bd.wav") == source.path


def test_a_link_of_the_owners_own_is_left_alone(owner: Owner, drop: Drop) -> None:
    """It leads where he wants it to lead."""
    owner.begin("symlink")
    source = drop("bd.wav")
    owner.house.process(source)
    entry = owner.root / "Kick" / "bd.wav"
    entry.unlink()
    entry.symlink_to("/nowhere/bd.wav")
    Path(source.path).rename(Path(source.inbox) / "renamed.wav")
    owner.house.process(again(source, str(Path(source.inbox) / "renamed.wav")))
    assert os.readlink(entry) == "/nowhere/bd.wav"


@pytest.mark.e2e
@pytest.mark.parametrize("mode", ["symlink", "hardlink"])
def test_edited_and_renamed_while_it_runs(mode: str, tmp_path: Path) -> None:
    """One sample throughout, and nothing waits."""
    home = Home(
        tmp_path, archive=f'mode = "{mode}"\nrescan_seconds = 1', inbox="rescan_seconds = 1"
    )
    path = home.inbox / "a.wav"
    drums.write(path, "kick")
    drums.write(tmp_path / "other.wav", "snare")
    with home.running():
        home.wait_idle(1)
        path.write_bytes((tmp_path / "other.wav").read_bytes())
        wait_for(lambda: home.ls("review:yes"), "the edit to be seen", step=0.2)
        path.rename(home.inbox / "b.wav")
        wait_for(lambda: "source renamed" in home.log_text(), "the new name to be seen", step=0.2)
        home.wait_idle(1)
        home.assert_exactly([(home.inbox / "b.wav").read_bytes()])
        status = home.status()
    assert (status["gone"], status["corrections"], status["archive"]["untracked"]) == (0, 0, 0)
    assert [row["label"] for row in home.ls()] == ["Kick"]
