"""Corrected samples that another network judged are heard again from the archive; the real network."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

import drums
import pupil
from drumwatchd.analysis.model_card import ModelCard, read_card, shipped_model
from drumwatchd.analysis.precedents import FILE_NAME
from drumwatchd.index.hearings import Hearings
from drumwatchd.index.lessons import usable_lessons
from drumwatchd.index.reader import open_reader
from drumwatchd.index.store import open_index
from drumwatchd.learning import PrecedentsFile
from drumwatchd.training.hearing import Heard, hear_again
from home import Home

KINDS = ("kick", "snare", "hat", "clap", "cowbell")


class House:
    """A home whose owner corrected five samples, and then got another network under the same id."""

    def __init__(self, folder: Path) -> None:
        first = folder / "first" / shipped_model().name
        shutil.copytree(shipped_model(), first)
        self.home = Home(folder / "home")
        self.home.configure(classify=f'model = "{first}"\n')
        for kind in KINDS:
            drums.write(self.home.inbox / "pack" / f"{kind}.wav", kind)
        self.home.drumwatchd("scan")
        pupil.say(self.home, {row["digest"]: "Tom" for row in self.home.ls()})
        self.first = read_card(first)
        self.second = read_card(another_network(folder / "second" / shipped_model().name))
        self.home.configure(classify=f'model = "{self.second.folder}"\n')
        self.index = str(self.home.folder / "state" / "index.sqlite3")

    def hear(self, card: ModelCard | None = None, **keys: int) -> Heard:
        return hear_again(self.index, str(self.home.archive), card or self.second, **keys)

    def usable(self, card: ModelCard) -> int:
        with open_reader(self.index) as reader:
            return len(usable_lessons(reader, card)[0])


def another_network(folder: Path) -> Path:
    """The shipped one, but that its embeddings are others."""
    shutil.copytree(shipped_model(), folder)
    content = bytearray((folder / "model.tflite").read_bytes())
    place = content.index(bytes(content[400_000:400_064]))  # amidst the weights
    content[place : place + 2] = b"\x00\x3c"
    (folder / "model.tflite").write_bytes(content)
    card = json.loads((folder / "model.json").read_text())
    card["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "model.json").write_text(json.dumps(card))
    return folder


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_an_upgrade_of_the_network_costs_no_correction(house: House) -> None:
    """What the new one makes of them is kept beside; what the old one did, and the judgement, stay."""
    before = house.home.ls()
    assert (house.usable(house.first), house.usable(house.second)) == (5, 0)
    assert house.hear().heard == 5
    assert (house.usable(house.first), house.usable(house.second)) == (5, 5)
    assert house.home.ls() == before
    assert house.hear() == Heard()


def test_it_goes_on_where_it_was(house: House) -> None:
    """So many at a time; what is left is for the next run."""
    assert house.hear(most=2) == Heard(heard=2, left=3)
    assert house.usable(house.second) == 2
    assert house.hear(most=2) == Heard(heard=2, left=1)
    assert house.hear(most=2) == Heard(heard=1)


def test_what_is_not_there_is_not_heard(house: House) -> None:
    """Nor is what was edited since, for that is other content; both may be there again the next time."""
    gone, edited, *_ = (Path(row["path"]) for row in house.home.ls())
    kept, content = gone.with_name("kept"), edited.read_bytes()
    gone.rename(kept)
    edited.write_bytes(content[:-2])
    assert house.hear() == Heard(heard=3, absent=2)
    kept.rename(gone)
    edited.write_bytes(content)
    assert house.hear() == Heard(heard=2)


def test_what_cannot_be_decoded_is_tried_once(house: House) -> None:
    """Or it would take its turn at every run."""
    path = Path(house.home.ls()[0]["path"])
    path.write_bytes(b"not audio")
    digests = hashlib.sha256(b"not audio").hexdigest(), house.home.ls()[0]["digest"]
    with sqlite3.connect(house.index) as connection:
        for table in ("samples", "corrections"):
            connection.execute(f"UPDATE {table} SET digest = ? WHERE digest = ?", digests)
    assert house.hear() == Heard(heard=4, failed=1)
    assert house.hear() == Heard()


def test_links_are_followed(tmp_path: Path) -> None:
    """Where samples are filed as links, the file is in the library."""
    home = Home(tmp_path / "home")
    home.configure(archive='mode = "symlink"\n')
    drums.write(home.inbox / "kick.wav", "kick")
    home.drumwatchd("scan")
    pupil.say(home, {row["digest"]: "Tom" for row in home.ls()})
    other = read_card(another_network(tmp_path / "other"))
    index = str(home.folder / "state" / "index.sqlite3")
    assert hear_again(index, str(home.archive), other).heard == 1


def test_what_is_of_no_use_is_forgotten(house: House) -> None:
    """What networks heard that can't judge any more, and of sounds that nobody corrects any more."""
    house.hear()
    house.home.drumwatchd("undo")
    index = open_index(house.index, "sha256")
    try:
        hearings = Hearings(index)
        hearings.add(house.home.ls("corrected:yes")[0]["digest"], "a third", b"")
        hearings.keep_only({house.second.backbone})
        assert (hearings.count("a third"), hearings.count(house.second.backbone)) == (0, 4)
    finally:
        index.close()


def test_adapt_hears_first(house: House) -> None:
    """Whoever upgrades has to do nothing; few corrections wait all the same."""
    done = pupil.invoke("adapt", "--config", str(house.home.config), "--json")
    report = json.loads(done.stdout)
    assert (report["state"], report["n_heard"]) == ("waiting", 5)
    assert (report["n_usable"], report["n_unusable"]) == (5, 0)


def test_precedents_follow_at_once(house: House, tmp_path: Path) -> None:
    """A running daemon lets what was heard again speak for the next sample."""
    index = open_index(house.index, "sha256")
    try:
        store, configured = str(tmp_path / "models"), str(house.second.folder)
        precedents = PrecedentsFile(index, store, configured, list)
        precedents.refresh()
        written = Path(store, FILE_NAME)
        assert json.loads(written.read_text())["corrections"] == []
        house.hear()
        precedents.refresh()
        found = json.loads(written.read_text())
        assert (len(found["corrections"]), found["network"]) == (5, house.second.backbone)
    finally:
        index.close()
