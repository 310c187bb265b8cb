"""A truncated upload, and the whole file that comes after it: the archive ends with that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import make_analysis
from drumwatchd.archive.moves import Mover
from drumwatchd.archive.requeue import Requeue
from drumwatchd.errors import ArchiveError, DecodeError
from drumwatchd.files import Source, look
from drumwatchd.index.store import Index
from drumwatchd.pipeline import Outcome
from house import House

Drop = Callable[..., Source]
BEGINNING, WHOLE = b"boo", b"boom, and its tail"


@pytest.fixture
def house(tmp_path: Path, index: Index, inbox: Path) -> House:
    return House(tmp_path / "archive", index, inbox)


def filed(house: House) -> dict[str, bytes]:
    return {path: data for path, data in house.files().items() if not path.startswith("_")}


def aside(house: House) -> dict[str, bytes]:
    return {path: data for path, data in house.files().items() if path.startswith("_")}


def listed(house: House, label: str = "Kick") -> list[str]:
    house.archive.flush()
    return house.manifest(label)


@pytest.mark.parametrize("mode", ["move", "copy"])
def test_the_whole_file_takes_the_place_of_its_beginning(
    mode: str, house: House, drop: Drop
) -> None:
    """One sample, of the whole; the beginning is set aside with its reason."""
    house.set_mode(mode)
    house.process(drop("Pack/bd.wav", BEGINNING))
    assert house.process(drop("Pack/bd.wav", WHOLE)) is Outcome.FILED
    assert filed(house) == {"Kick/bd.wav": WHOLE}
    assert aside(house) == {"_quarantine/Pack/bd.wav": BEGINNING}
    (row,) = house.index.rows_in("filed")
    assert listed(house) == [row.path]
    (beginning,) = house.index.rows_in("quarantined")
    assert beginning.reason is not None
    assert beginning.reason.startswith("superseded: it is the beginning of bd.wav")


@pytest.mark.parametrize("mode", ["hardlink", "symlink", "none"])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_where_the_archive_only_links_it_leads_to_the_whole_file(
    mode: str, is_replaced: bool, house: House, drop: Drop
) -> None:
    """Whether the upload goes on in the same file, or comes as another one under its name; judged as a whole."""
    house.set_mode(mode)
    source = drop("bd.wav", BEGINNING)
    house.process(source)
    if is_replaced:
        Path(source.path).unlink()
    house.ear.says = make_analysis("Snare")
    assert house.process(drop("bd.wav", WHOLE)) is Outcome.FILED
    (row,) = house.index.rows_in("filed")
    assert row.label == "Snare"
    assert Path(house.archive.full_path(row)).read_bytes() == WHOLE
    assert filed(house) == ({} if mode == "none" else {"Snare/bd.wav": WHOLE})
    assert (listed(house), len(listed(house, "Snare"))) == ([], 1)
    assert len(aside(house)) == (mode == "hardlink" and is_replaced)


@pytest.mark.parametrize("mode", ["hardlink", "symlink"])
def test_what_is_edited_in_its_library_stays_the_sample_that_it_was(
    mode: str, house: House, drop: Drop
) -> None:
    """Only what begins with all that there was is an upload that went on."""
    house.set_mode(mode)
    house.process(drop("bd.wav", BEGINNING))
    house.ear.says = make_analysis("Snare")
    house.process(drop("bd.wav", b"another sound altogether"))
    (row,) = house.index.rows_in("filed")
    assert (row.label, row.path) == ("Kick", "Kick/bd.wav")


@pytest.mark.parametrize("mode", ["move", "copy"])
def test_a_beginning_that_could_not_be_judged(mode: str, house: House, drop: Drop) -> None:
    """It is in nobody's way any more: what stands in quarantine stays there, by its new reason."""
    house.set_mode(mode)
    house.ear.says = DecodeError("it ends too early")
    house.process(drop("bd.wav", BEGINNING))
    house.ear.says = make_analysis("Snare")
    assert house.process(drop("bd.wav", WHOLE)) is Outcome.FILED
    assert filed(house) == {"Snare/bd.wav": WHOLE}
    reasons = [row.reason or "" for row in house.index.rows_in("quarantined")]
    if mode == "move":
        assert aside(house) == {"_quarantine/bd.wav": BEGINNING}
        assert [reason.startswith("superseded") for reason in reasons] == [True]
    else:
        assert reasons == []


def test_several_beginnings(house: House, drop: Drop) -> None:
    """An upload that broke off again and again."""
    for end in (1, 2, 3):
        house.process(drop("bd.wav", WHOLE[:end]))
    house.process(drop("bd.wav", WHOLE))
    assert list(filed(house).values()) == [WHOLE]
    assert sorted(aside(house).values()) == [WHOLE[:1], WHOLE[:2], WHOLE[:3]]


def test_what_only_has_the_name_of_another_is_no_beginning(house: House, drop: Drop) -> None:
    """Nor is what begins like another of another name; an export over an export is a second sample."""
    house.process(drop("bd.wav", b"bang"))
    house.process(drop("other.wav", BEGINNING))
    house.process(drop("bd.wav", WHOLE))
    assert sorted(filed(house).values()) == sorted([b"bang", BEGINNING, WHOLE])
    assert aside(house) == {}


def test_what_the_owner_said_of_the_beginning_holds_for_the_whole(house: House, drop: Drop) -> None:
    """The correction isn't asked for twice."""
    house.process(drop("bd.wav", BEGINNING))
    (row,) = house.index.rows_in("filed")
    Mover(house.index, house.archive).correct(row, "Tom", how="command", note=None)
    house.process(drop("bd.wav", WHOLE))
    assert filed(house) == {"Tom/bd.wav": WHOLE}
    assert listed(house, "Tom") == ["Tom/bd.wav"]


def test_it_breaks_off_again_after_the_whole_was_filed(house: House, drop: Drop) -> None:
    """Uploaded once more from the start: the beginning gives way when the whole comes as a duplicate."""
    house.set_mode("move", duplicates="delete")
    house.process(drop("bd.wav", WHOLE))
    house.process(drop("bd.wav", BEGINNING))
    assert house.process(drop("bd.wav", WHOLE)) is Outcome.DUPLICATE
    assert list(filed(house).values()) == [WHOLE]
    assert list(aside(house).values()) == [BEGINNING]


def test_retry_takes_a_beginning_only_by_its_name(house: House, drop: Drop) -> None:
    """`retry` of everything is for what may be right now; this never will be."""
    source = drop("bd.wav", BEGINNING)
    house.process(source)
    house.process(drop("bd.wav", WHOLE))
    requeue = Requeue(house.index, str(house.root), "sha256")
    assert list(requeue.run(None)) == []
    (row,) = house.index.rows_in("quarantined")
    assert [one.path for one in requeue.run([row.digest])] == [source.path]
    again = look(source.path, source.inbox)
    assert again is not None
    assert house.process(again) is Outcome.FILED
    assert sorted(filed(house).values()) == sorted([BEGINNING, WHOLE])


def test_a_beginning_that_its_owner_took_away(house: House, drop: Drop) -> None:
    """What isn't in its place is left to the rounds."""
    house.process(drop("bd.wav", BEGINNING))
    (house.root / "Kick" / "bd.wav").unlink()
    assert house.process(drop("bd.wav", WHOLE)) is Outcome.FILED
    assert list(filed(house).values()) == [WHOLE]
    assert aside(house) == {}


def test_where_it_can_not_be_set_aside_now(
    house: House, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole file isn't filed before; the next attempt does both."""
    house.process(drop("bd.wav", BEGINNING))
    source = drop("bd.wav", WHOLE)

    def refuse(mover: Mover, row: object, begin: object) -> None:
        raise ArchiveError("no space", path=str(house.root))

    with monkeypatch.context() as patch:
        patch.setattr(Mover, "set_aside", refuse)
        assert house.process(source) is Outcome.BLOCKED
    assert Path(source.path).exists()
    assert house.process(source) is Outcome.FILED
    assert list(filed(house).values()) == [WHOLE]
    assert list(aside(house).values()) == [BEGINNING]
    assert not Path(source.path).exists()
