"""A sample that its owner corrects by command is moved, once, whatever interrupts it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from drumwatchd.analysis.labels import name_problem
from drumwatchd.archive.classes import Classes
from drumwatchd.archive.moves import Mover
from drumwatchd.errors import ArchiveError, SourceChangedError, UsageError
from drumwatchd.files import Source
from drumwatchd.index.corrections import Corrections
from drumwatchd.index.rows import Row
from killing import STEPS, killed_at
from rounds_at_home import Owner

Drop = Callable[..., Source]


def mover(owner: Owner) -> Mover:
    return Mover(owner.index, owner.house.archive)


def row_of(owner: Owner) -> Row:
    (row,) = owner.index.rows_in("filed")
    return row


def correct(owner: Owner, label: str) -> str | None:
    return mover(owner).correct(row_of(owner), label, how="command", note=None)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("mode", ["move", "copy", "symlink"])
@pytest.mark.parametrize("kind", ["correct", "undo"])
def test_a_crash_at_any_step_is_finished(
    kind: str, mode: str, step: str, after: bool, owner: Owner, drop: Drop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The next rescan finishes what was begun; the file is never lost, nor there twice."""
    owner.begin(mode)
    owner.house.process(drop("bd.wav"))
    if kind == "undo":
        correct(owner, "Rim")
    with killed_at(monkeypatch, step, after=after):
        if kind == "undo":
            said = owner.house.archive.corrections.last()
            assert said is not None
            mover(owner).undo(row_of(owner), said)
        else:
            correct(owner, "Rim")
    was_said = owner.said() != []
    owner.begin(mode)
    owner.round()
    label = "Snare" if was_said else "Kick"
    assert owner.labels() == {f"{label}/bd.wav": ("filed", label)}
    assert owner.said() == ([("Rim", "Kick", "command")] if was_said else [])
    assert owner.house.files() == {f"{label}/bd.wav": b"boom"}
    assert owner.manifested() == {label: [f"{label}/bd.wav"]}
    assert owner.rounds.untracked == 0


def test_a_name_that_is_taken_meanwhile_is_left_to_its_file(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the link somebody put a file there."""
    owner.file("bd.wav")
    begin = Corrections.begin

    def begin_and_meanwhile(self: Corrections, row: Row, label: str, *rest: object) -> bool:
        (owner.root / "Snare").mkdir()
        (owner.root / "Snare" / "bd.wav").write_bytes(b"another")
        return begin(self, row, label, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Corrections, "begin", begin_and_meanwhile)
    assert correct(owner, "Snare") == "Snare/bd-2.wav"
    assert owner.house.files() == {"Snare/bd.wav": b"another", "Snare/bd-2.wav": b"boom"}


def test_the_name_of_a_file_that_just_went_is_not_taken(owner: Owner) -> None:
    """The index doesn't know yet that it is free; no name belongs to two samples."""
    owner.file("bd.wav", b"another", "Snare").unlink()
    owner.file("pack/bd.wav")
    (row,) = [row for row in owner.index.rows_in("filed") if row.label == "Kick"]
    moved = mover(owner).correct(row, "Snare", how="command", note=None)
    assert moved == "Snare/bd-2.wav"
    owner.round(times=2)
    assert owner.labels()["Snare/bd-2.wav"] == ("filed", "Snare")
    assert owner.labels()["Snare/bd.wav"] == ("gone", "Snare")


def test_a_name_whose_file_goes_during_the_move_is_taken_over(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sample is missing from then on, and the move comes to its end."""
    begin = Corrections.begin

    def begin_and_meanwhile(self: Corrections, row: Row, label: str, *rest: object) -> bool:
        owner.file("pack/bd.wav", b"another", "Snare").unlink()
        return begin(self, row, label, *rest)  # type: ignore[arg-type]

    owner.file("bd.wav")
    with monkeypatch.context() as patch:
        patch.setattr(Corrections, "begin", begin_and_meanwhile)
        assert correct(owner, "Snare") == "Snare/bd.wav"
    owner.round(times=2)
    rows = owner.index.rows_in("filed", "gone")
    assert [(row.path, row.state) for row in rows] == [
        ("Snare/bd.wav", "filed"),
        ("Snare/bd.wav", "gone"),
    ]


def test_a_link_to_the_file_itself_is_no_second_name(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the new name turns out to be a link to the old one, the old one stays."""
    path = owner.file("bd.wav")
    begin = Corrections.begin

    def begin_and_meanwhile(self: Corrections, row: Row, label: str, *rest: object) -> bool:
        (owner.root / "Snare").mkdir()
        (owner.root / "Snare" / "bd.wav").symlink_to(path)
        return begin(self, row, label, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Corrections, "begin", begin_and_meanwhile)
    assert correct(owner, "Snare") == "Snare/bd-2.wav"
    assert (owner.root / "Snare" / "bd-2.wav").read_bytes() == b"boom"


def test_a_class_folder_that_is_a_link_to_another_loses_nothing(owner: Owner) -> None:
    """Both names are one file; it isn't removed as the old one."""
    owner.file("bd.wav")
    (owner.root / "Snare").symlink_to(owner.root / "Kick")
    correct(owner, "Snare")
    assert b"boom" in owner.house.files().values()


def test_where_there_are_no_hard_links_it_is_copied(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verified, and only then the old name goes."""

    def no_link(*arguments: object, **keywords: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    owner.file("bd.wav")
    monkeypatch.setattr(os, "link", no_link)
    assert correct(owner, "Snare") == "Snare/bd.wav"
    assert owner.house.files() == {"Snare/bd.wav": b"boom"}
    assert owner.labels() == {"Snare/bd.wav": ("filed", "Snare")}


def test_a_file_that_was_edited_is_not_tried_for_ever(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays where it is, to be looked at as any other, and nothing of it is lost."""

    def no_link(*arguments: object, **keywords: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    path = owner.file("bd.wav")
    path.write_bytes(b"edited")
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", no_link)
        with pytest.raises(SourceChangedError):
            correct(owner, "Snare")
    assert owner.house.files() == {"Kick/bd.wav": b"edited"}
    assert owner.house.archive.places.moving() == []


def test_the_template_names_it_anew(owner: Owner) -> None:
    """What it is called by changes with what it is; the owner's own name stays."""
    owner.begin(template="{label}/{pack}/{fine} {stem}{suffix}")
    path = owner.file("pack/bd.wav")
    assert path == owner.root / "Kick" / "pack" / "Kick bd.wav"
    assert correct(owner, "Rim") == "Snare/pack/Rim bd.wav"
    mine = owner.root / "Snare" / "pack" / "my rim.wav"
    (owner.root / "Snare" / "pack" / "Rim bd.wav").rename(mine)
    owner.round()
    assert correct(owner, "Tom") == "Tom/pack/my rim.wav"


def test_an_unmounted_archive_changes_nothing(owner: Owner) -> None:
    """Neither file nor correction."""
    owner.file("bd.wav")
    (owner.root / ".drumwatchd-archive").unlink()
    with pytest.raises(ArchiveError, match="marker"):
        correct(owner, "Snare")
    assert owner.said() == []


def test_a_file_that_is_not_in_its_place_is_waited_for(owner: Owner) -> None:
    """Moved by hand just now: the rescan says where it is."""
    path = owner.file("bd.wav")
    path.rename(path.with_name("renamed.wav"))
    with pytest.raises(UsageError, match="isn't in its place"):
        correct(owner, "Snare")
    owner.round()
    assert correct(owner, "Snare") == "Snare/renamed.wav"


def test_a_gone_sample_is_corrected_for_when_it_comes(owner: Owner, drop: Drop) -> None:
    """There is no file to move, but the owner's word holds."""
    owner.file("bd.wav").unlink()
    owner.round(times=2)
    (row,) = owner.index.rows_in("gone")
    assert mover(owner).correct(row, "Tom", how="command", note=None) is None
    owner.house.process(drop("again.wav"))
    assert owner.labels() == {"Tom/again.wav": ("filed", "Tom")}
    said = owner.house.archive.corrections.last()
    assert said is not None
    assert mover(owner).undo(row_of(owner), said) == "Kick/again.wav"
    assert owner.said() == []


def test_a_correction_that_is_taken_back_leaves_the_reason_from_before(owner: Owner) -> None:
    """However often it was corrected meanwhile, by hand or by command, or only confirmed."""
    owner.file("bd.wav")
    reason = row_of(owner).reason
    assert reason == "Kick at 0.90"

    def undo() -> str | None:
        said = owner.house.archive.corrections.last()
        assert said is not None
        mover(owner).undo(row_of(owner), said)
        return row_of(owner).reason

    correct(owner, "Kick")
    assert row_of(owner).reason == "Kick, as you said"
    assert undo() == reason
    correct(owner, "Snare")
    (owner.root / "Tom").mkdir()
    (owner.root / "Snare" / "bd.wav").rename(owner.root / "Tom" / "bd.wav")
    owner.round(times=2)
    assert row_of(owner).reason == "moved from Snare by hand"
    assert undo() == reason
    assert owner.labels() == {"Kick/bd.wav": ("filed", "Kick")}


# -- class folders ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "label"),
    [
        ("Kick", "Kick"), ("misc", "misc"), ("kick", "Kick"), ("Risers", "Risers"),
        ("Größe", "Größe"), ("808s", "808s"), ("rim", "Rim"), ("_quarantine", None),
        (".hidden", None), ("#recycle", None), ("@eaDir", None), ("$RECYCLE.BIN", None),
        ("Organized_20261126_031925", None), ("run_20261126_031925-2", None), ("run_dmc", "run_dmc"),
        ("lost+found", None), ("a\nb", None), ("x" * 201, None), (" Kick", None),
        (os.fsdecode(b"\xff"), None), (os.fsdecode(b"a\xff"), None),
    ],
)  # fmt: skip
def test_which_folders_are_labels(folder: str, label: str | None, tmp_path: Path) -> None:
    """The daemon's, in any spelling, and the owner's; not the system's, nor what can't be spelled."""
    assert Classes(str(tmp_path)).label_of(folder) == label
    if label in ("Risers", "808s", "Rim"):
        assert Classes(str(tmp_path), own_folders=False).label_of(folder) is None


def test_where_a_label_is_filed(tmp_path: Path) -> None:
    """In its own folder if there is one, else where it folds to."""
    classes = Classes(str(tmp_path))
    assert [classes.folder_of(label) for label in ("Kick", "Rim", "Vox", "misc", "Risers")] == [
        "Kick", "Snare", "misc", "misc", "Risers",
    ]  # fmt: skip
    (tmp_path / "Rim").mkdir()
    assert classes.folder_of("Rim") == "Rim"
    assert Classes(str(tmp_path), own_folders=False).folder_of("Rim") == "Snare"
    assert Classes(str(tmp_path), own_folders=False).folder_of("Risers") == "misc"
    assert Classes(str(tmp_path), targets=("Kick", "Clap")).folder_of("Clap") == "Clap"


@pytest.mark.parametrize(
    ("word", "label"),
    [("Rim", "Rim"), ("rim", "Rim"), ("MISC", "misc"), ("risers", "Risers")],
)
def test_which_label_is_meant(word: str, label: str, tmp_path: Path) -> None:
    """Case doesn't matter."""
    (tmp_path / "Risers").mkdir()
    assert Classes(str(tmp_path)).resolve(word) == label


def test_a_name_that_is_no_label_says_why() -> None:
    """For the message."""
    assert name_problem("../x") == "doesn't begin with a letter or digit"
    assert name_problem("a/b") == "can't be a folder's name here"
    assert name_problem("") is not None
    assert name_problem("Risers") is None
