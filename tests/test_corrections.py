"""What the owner does in the archive by hand is understood: by content, and only when it is sure."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from drumwatchd.files import Source
from drumwatchd.pipeline import Outcome
from rounds_at_home import DAY, Owner

Drop = Callable[..., Source]


def move(path: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    assert not target.exists()
    return path.rename(target)


def test_a_move_to_another_class_is_a_correction(owner: Owner) -> None:
    """Row, both manifests, history and the table of corrections follow."""
    path = owner.file("bd.wav")
    owner.round()
    move(path, owner.root / "Snare" / "bd.wav")
    owner.round()
    assert owner.labels() == {"Snare/bd.wav": ("filed", "Snare")}
    assert owner.said() == [("Snare", "Kick", "moved")]
    assert owner.manifested() == {"Snare": ["Snare/bd.wav"]}
    assert owner.events() == ["corrected"]


def test_a_move_while_the_daemon_was_down_counts_too(owner: Owner) -> None:
    """Nothing but the two places is needed to know it."""
    path = owner.file("bd.wav")
    move(path, owner.root / "misc" / "sub" / "renamed.wav")
    owner.begin()
    owner.round()
    assert owner.said() == [("misc", "Kick", "moved")]
    assert owner.labels() == {"misc/sub/renamed.wav": ("filed", "misc")}


def test_events_make_it_sooner(owner: Owner) -> None:
    """Both folders are looked at, and no other."""
    path = owner.file("bd.wav")
    owner.round()
    hinted = move(path, owner.root / "Snare" / "bd.wav")
    owner.hint(path, hinted)
    assert owner.said() == [("Snare", "Kick", "moved")]


def test_delete_first_and_create_later_is_a_move(owner: Owner) -> None:
    """As sync tools do it, a look in between sees neither."""
    path = owner.file("bd.wav")
    content = path.read_bytes()
    owner.round()
    path.unlink()
    owner.hint(path)
    assert owner.labels() == {"Kick/bd.wav": ("filed", "Kick")}
    (owner.root / "Snare").mkdir()
    (owner.root / "Snare" / "bd.wav").write_bytes(content)
    owner.hint(owner.root / "Snare" / "bd.wav")
    assert owner.said() == [("Snare", "Kick", "moved")]
    assert "gone" not in owner.events()


def test_copy_first_and_delete_later_is_a_move(owner: Owner) -> None:
    """A copy is left alone as long as the original stands, and is the sample from then on."""
    path = owner.file("bd.wav")
    (owner.root / "Tom").mkdir()
    shutil.copy(path, owner.root / "Tom" / "bd.wav")
    owner.round(DAY)
    assert owner.said() == []
    assert owner.rounds.untracked == 1
    path.unlink()
    owner.round()
    assert owner.said() == [("Tom", "Kick", "moved")]
    assert owner.rounds.untracked == 0


def test_a_growing_copy_is_waited_for(owner: Owner) -> None:
    """Folder times say nothing of a file that grows; it is looked at again all the same."""
    path = owner.file("bd.wav", b"boom" * 1000)
    owner.round()
    target = owner.root / "Snare" / "bd.wav"
    target.parent.mkdir()
    content = path.read_bytes()
    path.unlink()
    target.write_bytes(content[:1000])
    owner.round(30)
    assert owner.said() == []
    with target.open("ab") as stream:
        stream.write(content[1000:])
    owner.round(30)
    assert owner.said() == [("Snare", "Kick", "moved")]


def test_a_rename_within_its_class_is_no_correction(owner: Owner) -> None:
    """Index and manifest follow, into subfolders, too."""
    path = owner.file("bd.wav")
    owner.round()
    path = move(path, owner.root / "Kick" / "good" / "bd 1.wav")
    owner.round()
    move(path, owner.root / "Kick" / "good" / "bd 2.wav")  # as long a name: no size tells of it
    owner.round()
    assert owner.said() == []
    assert owner.manifested() == {"Kick": ["Kick/good/bd 2.wav"]}
    assert owner.events() == ["renamed", "renamed"]


def test_a_crash_before_the_manifest_is_mended(owner: Owner) -> None:
    """A line of the same length was wrong; the next start knows it."""
    path = owner.file("bd 1.wav")
    owner.house.archive.flush()
    path.rename(path.with_name("bd 2.wav"))
    flush = owner.house.archive.flush
    owner.house.archive.flush = lambda: None  # type: ignore[method-assign]
    owner.round()
    assert owner.house.manifest() == ["Kick/bd 1.wav"]
    del flush
    owner.begin()
    assert owner.house.manifests.recover() == ["Kick"]
    assert owner.house.manifest() == ["Kick/bd 2.wav"]


@pytest.mark.parametrize("folder", ["_quarantine", ".hidden", "_manifests", "#recycle", "@eaDir"])
def test_what_leaves_the_class_folders_is_no_correction(folder: str, owner: Owner) -> None:
    """It is marked gone, once it was missed twice."""
    path = owner.file("bd.wav")
    owner.round()
    move(path, owner.root / folder / "bd.wav")
    owner.round()
    assert owner.labels() == {"Kick/bd.wav": ("filed", "Kick")}
    owner.round()
    assert owner.labels() == {"Kick/bd.wav": ("gone", "Kick")}
    assert owner.said() == []
    assert owner.manifested() == {}


def test_a_folder_of_the_owners_own_is_a_label(owner: Owner) -> None:
    """By its name, with a manifest of its own."""
    move(owner.file("bd.wav"), owner.root / "Größe" / "bd.wav")
    owner.round()
    assert owner.said() == [("Größe", "Kick", "moved")]
    assert owner.manifested() == {"Größe": ["Größe/bd.wav"]}


def test_one_of_the_34_may_be_a_folder_of_the_owners_own(owner: Owner) -> None:
    """Made by hand, in any spelling, it is that label."""
    move(owner.file("bd.wav"), owner.root / "clap" / "bd.wav")
    owner.round()
    assert owner.said() == [("Clap", "Kick", "moved")]
    assert owner.labels() == {"clap/bd.wav": ("filed", "Clap")}


def test_a_deleted_file_is_gone_and_comes_back(owner: Owner) -> None:
    """Back in its class it is that sample again; in another one it is a correction as well."""
    path = owner.file("bd.wav")
    content = path.read_bytes()
    path.unlink()
    owner.round(times=2)
    assert owner.labels() == {"Kick/bd.wav": ("gone", "Kick")}
    path.write_bytes(content)
    owner.round(DAY)
    assert owner.labels() == {"Kick/bd.wav": ("filed", "Kick")}
    assert owner.said() == []
    path.unlink()
    owner.round(times=2)
    (owner.root / "Tom").mkdir()
    (owner.root / "Tom" / "x.wav").write_bytes(content)
    owner.round(DAY)
    assert owner.labels() == {"Tom/x.wav": ("filed", "Tom")}
    assert owner.said() == [("Tom", "Kick", "moved")]
    assert owner.manifested() == {"Tom": ["Tom/x.wav"]}


def test_two_moves_of_one_file(owner: Owner) -> None:
    """The last one counts, the history keeps both, and what it was at first is kept."""
    path = owner.file("bd.wav")
    path = move(path, owner.root / "Snare" / "bd.wav")
    owner.round()
    move(path, owner.root / "Tom" / "bd.wav")
    owner.round()
    assert owner.said() == [("Tom", "Kick", "moved")]
    assert owner.events() == ["corrected", "corrected"]


def test_two_files_that_change_places(owner: Owner) -> None:
    """Each stands under the other's name; both were moved."""
    kick, snare = owner.file("x.wav", b"kick!"), owner.file("y.wav", b"snare", label="Snare")
    owner.round()
    kick.rename(owner.root / "aside")
    snare.rename(kick)
    (owner.root / "aside").rename(snare)
    os.utime(kick, ns=(1, 1))
    os.utime(snare, ns=(2, 2))
    owner.round(DAY, times=12)
    assert owner.labels() == {"Snare/y.wav": ("filed", "Snare"), "Kick/x.wav": ("filed", "Kick")}
    assert sorted(owner.said()) == [("Kick", "Snare", "moved"), ("Snare", "Kick", "moved")]


def test_the_content_comes_again_under_the_owners_label(owner: Owner, drop: Drop) -> None:
    """Deleted and dropped again, it isn't the model that decides; it is still heard."""
    path = move(owner.file("bd.wav"), owner.root / "Snare" / "bd.wav")
    owner.round()
    path.unlink()
    owner.round(times=2)
    heard = len(owner.house.ear.heard)
    assert owner.house.process(drop("again.wav")) is Outcome.FILED
    assert owner.labels() == {"Snare/again.wav": ("filed", "Snare")}
    assert len(owner.house.ear.heard) == heard + 1
    assert owner.said() == [("Snare", "Kick", "moved")]


def test_content_that_comes_while_its_original_is_looked_for_waits(
    owner: Owner, drop: Drop
) -> None:
    """It was moved, and the rounds don't know yet: no second sample, and the correction counts."""
    path = owner.file("bd.wav")
    owner.house.pipeline._is_sought = owner.rounds.is_sought
    target = move(path, owner.root / "Snare" / "bd.wav")
    again = drop("again.wav")
    assert owner.house.process(again) is Outcome.SOUGHT
    owner.hint(target)
    assert owner.said() == [("Snare", "Kick", "moved")]
    assert owner.house.process(again) is Outcome.DUPLICATE


def test_an_edit_in_place_keeps_the_sample(owner: Owner) -> None:
    """It is the sample still, with other content, marked for review, in no one's training."""
    path = owner.file("bd.wav")
    owner.round()
    path.write_bytes(b"boom, with a tag")
    owner.round(times=12)
    assert owner.labels() == {"Kick/bd.wav": ("filed", "Kick")}
    assert owner.events() == ["changed", "changed"]
    with owner.index.reading() as connection:
        digest, review, size = connection.execute(
            "SELECT digest, review, size FROM samples"
        ).fetchone()
        assert connection.execute("SELECT embedding FROM analyses").fetchone() == (None,)
    assert (len(digest), size) == (64, 16)
    assert "edited" in review


def test_an_edit_in_place_keeps_the_correction(owner: Owner) -> None:
    """What the owner said holds for what the owner made of it."""
    path = move(owner.file("bd.wav"), owner.root / "Snare" / "bd.wav")
    owner.round()
    path.write_bytes(b"boom, with a tag")
    owner.hint(path)
    assert owner.said() == [("Snare", "Kick", "moved")] * 2


def test_a_touched_file_is_what_it_was(owner: Owner) -> None:
    """Digested once, not at every round."""
    path = owner.file("bd.wav")
    os.utime(path, ns=(5, 5))
    owner.round(times=2)
    assert owner.events() == []
    (place,) = owner.house.archive.places.places_in("Kick")
    assert place.mtime_ns == 5


def test_files_that_the_index_does_not_know_are_left_alone(owner: Owner) -> None:
    """They are counted; Thumbs.db and the like aren't even that."""
    owner.file("bd.wav")
    for name in ("own.wav", "own.asd", ".hidden.wav", "half.wav.part"):
        (owner.root / "Kick" / name).write_bytes(b"own!")
    owner.round()
    assert owner.rounds.untracked == 1
    assert owner.labels() == {"Kick/bd.wav": ("filed", "Kick")}
    assert len(list((owner.root / "Kick").iterdir())) == 5


@pytest.mark.parametrize("harm", ["unmounted", "emptied", "foreign"])
def test_an_archive_that_is_not_there_proves_nothing(harm: str, owner: Owner) -> None:
    """No sample is missed, nobody is corrected."""
    path = owner.file("bd.wav")
    owner.round()
    root, aside = owner.root, Path(f"{owner.root}.aside")
    root.rename(aside)
    if harm != "unmounted":
        (root / "Snare").mkdir(parents=True)
        (root / "Snare" / "bd.wav").write_bytes(b"boom")
    if harm == "foreign":
        (root / ".drumwatchd-archive").write_text("another\n")
    owner.now += DAY
    owner.rounds.last_rescan = None
    for _ in range(3):
        owner.rounds.step(owner.now)
        owner.now += 301
    assert owner.rounds.degraded
    assert owner.labels() == {"Kick/bd.wav": ("filed", "Kick")}
    assert owner.house.archive.places.count_missing() == 0
    shutil.rmtree(root, ignore_errors=True)
    aside.rename(root)
    owner.round()
    assert owner.rounds.degraded is None
    assert path.exists()
    assert owner.said() == []
    assert owner.events() == []


def test_an_archive_that_goes_during_a_look_proves_nothing(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The marker is looked for after the look as well."""
    owner.file("bd.wav")
    look = owner.rounds._survey.look

    def look_while_it_goes(*, whole: bool) -> object:
        owner.root.rename(f"{owner.root}.aside")
        return look(whole=whole) if owner.root.exists() else _all_missing()

    def _all_missing() -> object:
        owner.root.mkdir()
        return look(whole=True)

    monkeypatch.setattr(owner.rounds._survey, "look", look_while_it_goes)
    owner.rounds.step(owner.now)
    assert owner.rounds.degraded
    assert owner.house.archive.places.count_missing() == 0


def test_many_at_once_are_given_more_time(owner: Owner) -> None:
    """More than half of a large archive is no person's doing: two rescans, not two looks."""
    paths = [owner.file(f"{n}.wav", b"%d" % n) for n in range(60)]
    owner.round()
    for path in paths[:55]:
        path.unlink()
    owner.round()
    for _ in range(3):
        owner.now += 61
        owner.rounds.step(owner.now)
    assert "gone" not in owner.events()
    owner.round(300)
    assert owner.events().count("gone") == 55


def test_a_folder_that_is_moved_whole(owner: Owner) -> None:
    """Every sample in it is corrected; the folder's one event is enough."""
    owner.begin(template="{label}/{pack}/{stem}{suffix}")
    for n in range(5):
        owner.file(f"pack/{n}.wav", b"%d" % n)
    owner.round()
    (owner.root / "Snare").mkdir()
    (owner.root / "Kick" / "pack").rename(owner.root / "Snare" / "pack")
    owner.hint(owner.root / "Kick" / "pack", owner.root / "Snare" / "pack")
    assert owner.said() == [("Snare", "Kick", "moved")] * 5
    assert len(owner.manifested()["Snare"]) == 5


@pytest.mark.parametrize(
    "name",
    [
        os.fsdecode(b"\xff\xe9.wav"), unicodedata.normalize("NFC", "Größe é.wav"),
        unicodedata.normalize("NFD", "Größe é.wav"), "a\nb.wav", "-rf.wav", "%_'\".wav",
    ],
    ids=["bytes", "NFC", "NFD", "newline", "dash", "quotes"],
)  # fmt: skip
def test_odd_names_are_followed(name: str, owner: Owner) -> None:
    """Whatever they are called, in odd folders, too."""
    path = owner.file(name)
    owner.round()
    target = owner.root / "Snare" / os.fsdecode(b"p\xe9k") / name
    move(path, target)
    owner.round()
    assert owner.said() == [("Snare", "Kick", "moved")]
    assert owner.manifested() == {"Snare": [os.path.relpath(target, owner.root)]}
    owner.round(DAY)
    assert "gone" not in owner.events()


def test_nfc_and_nfd_of_one_name_are_two_names(owner: Owner) -> None:
    """Where the file system tells them apart, a rename from one to the other is followed."""
    path = owner.file(unicodedata.normalize("NFC", "é.wav"))
    owner.round()
    path.rename(path.with_name(unicodedata.normalize("NFD", "é.wav")))
    owner.round()
    assert owner.events() in (["renamed"], [])
    owner.round(DAY, times=3)
    assert "gone" not in owner.events()


@pytest.mark.parametrize("mode", ["copy", "hardlink", "symlink"])
def test_other_modes_are_followed_as_well(mode: str, owner: Owner, drop: Drop) -> None:
    """A moved link is a moved sample."""
    owner.begin(mode)
    owner.house.process(drop("bd.wav"))
    owner.round()
    path = owner.root / "Kick" / "bd.wav"
    move(path, owner.root / "Snare" / "bd.wav")
    owner.round()
    assert owner.said() == [("Snare", "Kick", "moved")]
    assert (owner.root / "Snare" / "bd.wav").is_symlink() == (mode == "symlink")


def test_without_an_archive_nothing_is_looked_for(owner: Owner, drop: Drop) -> None:
    """Mode "none" files nothing, so there is nothing to move."""
    owner.begin("none")
    owner.house.process(drop("bd.wav"))
    owner.round(times=3)
    assert [state for state, _ in owner.labels().values()] == ["filed"]


def test_an_archive_at_rest_is_not_listed_again(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look at each folder's time is all it costs."""
    path = owner.file("bd.wav")
    os.utime(path.parent, ns=(10**18, 10**18))
    owner.round()
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(str(folder)) or scandir(folder))
    owner.round()
    assert listed == [str(owner.root)]


def test_thousands_at_once_are_taken_lot_by_lot(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class folder is renamed: what waits is bounded, and in the end all of it is corrected."""
    monkeypatch.setattr("drumwatchd.examiner.SETTLING_AT_ONCE", 7)
    for n in range(30):
        owner.file(f"{n}.wav", b"%d" % n)
    owner.round()
    (owner.root / "Kick").rename(owner.root / "Boom")
    owner.round(times=2)
    assert len(owner.said()) < 30
    assert len(owner.rounds._examiner._settling) <= 7
    for _ in range(40):
        owner.round(11)
    assert owner.said() == [("Boom", "Kick", "moved")] * 30
    assert len(owner.manifested()["Boom"]) == 30


def test_what_is_corrected_needs_no_review(owner: Owner) -> None:
    """A person has looked at it."""
    path = owner.file("bd.wav")
    with owner.index.transaction() as connection:
        connection.execute("UPDATE samples SET review = 'look'")
    move(path, owner.root / "Snare" / "bd.wav")
    owner.round()
    with owner.index.reading() as connection:
        assert connection.execute("SELECT review FROM samples").fetchone() == (None,)


def test_an_unreadable_file_of_the_same_size_keeps_nothing_from_being_gone(owner: Owner) -> None:
    """What can't be read, or is known to be another content, is decided."""
    path = owner.file("bd.wav")
    (owner.root / "Kick" / "own.wav").write_bytes(b"mine")
    os.mkfifo(owner.root / "Kick" / "fifo.wav")
    path.unlink()
    owner.round(times=2)
    assert owner.labels() == {"Kick/bd.wav": ("gone", "Kick")}


def test_a_rename_is_no_move_to_where_a_copy_is(owner: Owner) -> None:
    """The copy stood there before; what was renamed within its class is the sample."""
    path = owner.file("bd.wav")
    for folder in ("Snare", "Aside"):
        (owner.root / folder).mkdir()
        shutil.copy(path, owner.root / folder / "bd.wav")
    owner.round()
    path.rename(path.with_name("zz.wav"))
    owner.round()
    assert owner.said() == []
    assert owner.labels() == {"Kick/zz.wav": ("filed", "Kick")}
    assert owner.rounds.untracked == 2


def test_what_was_moved_last_is_the_sample(owner: Owner) -> None:
    """Of several copies, the one that got its name last."""
    path = owner.file("bd.wav")
    (owner.root / "Snare").mkdir()
    shutil.copy(path, owner.root / "Snare" / "bd.wav")
    owner.round()
    wait_for_a_tick(owner.root / "Snare" / "bd.wav")
    move(path, owner.root / "Tom" / "bd.wav")
    owner.round()
    assert owner.said() == [("Tom", "Kick", "moved")]


def wait_for_a_tick(path: Path) -> None:
    """Until the file system's clock has gone on since a file was made."""
    probe = path.with_name(".probe")
    while not probe.exists() or probe.stat().st_ctime_ns <= path.stat().st_ctime_ns:
        probe.write_bytes(b"")


def test_an_edit_to_what_just_came_again_is_no_crash(owner: Owner, drop: Drop) -> None:
    """Two rows can't have one content; the edited file is another sample's copy then."""
    path = owner.file("bd.wav")
    row = owner.index.rows_in("filed")[0]
    path.write_bytes(b"edited")
    owner.file("other.wav", b"edit.d", label="Snare")
    digest = owner.index.rows_in("filed")[1].digest
    assert not owner.house.archive.corrections.changed(row, digest, 6, 1)
    assert owner.events() == []


def test_hints_of_what_is_passed_over_lead_nowhere(owner: Owner) -> None:
    """Thumbnail folders, files at the archive's top, and our own folders aren't class folders."""
    owner.file("bd.wav")
    owner.round()
    for name in ("Kick/@eaDir/x.wav", "top.wav", "_manifests/x.wav", ".hidden/x.wav"):
        path = owner.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"own!")
        owner.hint(path.parent, path)
    assert owner.rounds.untracked == 0
    assert not owner.rounds._survey.knows("Kick/@eaDir")
    assert not owner.rounds._survey.knows("")


def test_a_folder_that_is_deleted_whole(owner: Owner) -> None:
    """With all below it, though only its own event was seen."""
    owner.begin(template="{label}/{pack}/{stem}{suffix}")
    for n in range(4):
        owner.file(f"pack/{n % 2}/{n}.wav", b"%d" % n)
    owner.round()
    (owner.root / "Kick" / "pack").rename(owner.root.parent / "trash")
    owner.hint(owner.root / "Kick" / "pack")
    assert owner.house.archive.places.count_missing() == 4
    owner.round()
    assert owner.events() == ["gone"] * 4
