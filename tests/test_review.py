"""Whose correction would teach most: the order, the list, the playlist, and the answer."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drums
import lessons
from drumwatchd.analysis.model_card import read_card, shipped_model
from drumwatchd.index.query import compile_query
from drumwatchd.index.reader import open_reader
from drumwatchd.index.records import Sample
from drumwatchd.review import Review, playlist, review
from home import Home
from shelf import NOW, Shelf, open_shelf

CARD = read_card(shipped_model())


def add(shelf: Shelf, name: str, like: str = "Kick", seed: int = 0, **values: Any) -> str:
    """Add a sample that sounds like a label; return its digest."""
    row = shelf.add(name, **{"model": CARD.id} | values)
    sound = lessons.sounds(like, 1, seed)[0].astype("<f2").tobytes()
    shelf.connection.execute(
        "UPDATE analyses SET embedding = ? WHERE sample_id = ?", (sound, row["id"])
    )
    return str(row["digest"])


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "index.sqlite3")


def heard_since(shelf: Shelf) -> None:
    """The shipped network has judged for a day."""
    since = (CARD.network_key, repr(NOW - 86_400.0))
    shelf.connection.execute("INSERT INTO meta VALUES (?, ?)", since)


def ask(path: str, *terms: str, limit: int = 20) -> Review:
    with open_reader(path) as reader:
        return review(reader, compile_query(terms, root="/archive", now=NOW), CARD, limit)


def names(found: Review) -> list[str]:
    return [sample.name for sample in found.samples]


def test_doubtful_ones_first_and_one_of_each_drum(path: str) -> None:
    """A second hit of a drum that was asked about waits for the others."""
    with open_shelf(path) as shelf:
        heard_since(shelf)
        for number in range(3):
            add(shelf, f"kick {number}.wav", "Kick", number, confidence=0.3 + number / 100)
            add(shelf, f"tom {number}.wav", "Tom", number, confidence=0.5 + number / 100)
        add(shelf, "sure.wav", "Ride", confidence=0.99)
    found = ask(path)
    assert names(found)[:2] == ["kick 0.wav", "tom 0.wav"]
    assert len(found.samples) == 7
    assert names(ask(path, limit=1)) == ["kick 0.wav"]
    assert found.samples[0].top == (("Kick", 0.8), ("Tom", 0.1))


def test_a_name_that_contradicts_the_sound_makes_it_doubtful(path: str) -> None:
    """Its confidence counts as half of what it is."""
    with open_shelf(path) as shelf:
        heard_since(shelf)
        add(shelf, "plain.wav", "Kick", confidence=0.6)
        add(shelf, "marked.wav", "Snare", confidence=0.9, review="its name says Snare")
    assert names(ask(path)) == ["marked.wav", "plain.wav"]


def test_what_was_answered_is_not_asked_again(path: str) -> None:
    """Neither it nor, before others, what sounds like it."""
    with open_shelf(path) as shelf:
        heard_since(shelf)
        answered = add(shelf, "answered.wav", "Kick", 1, confidence=0.1)
        add(shelf, "alike.wav", "Kick", 2, confidence=0.1)
        add(shelf, "other.wav", "Ride", 3, confidence=0.6)
        lessons.correct(shelf.connection, answered, "Kick", NOW)
    assert names(ask(path)) == ["other.wav", "alike.wav"]


def test_what_teaches_nothing_is_left_out(path: str) -> None:
    """Loops and silence; and, counted, what another network heard or what was edited."""
    with open_shelf(path) as shelf:
        heard_since(shelf)
        add(shelf, "loop.wav", reason="a loop: 8 hits in 2.0 s", label="misc")
        add(shelf, "silent.wav", reason="silent", label="misc")
        add(shelf, "alien.wav", model="another")
        add(shelf, "old.wav", added=NOW - 90_000.0)
        add(shelf, "gone.wav", state="gone", missing=NOW)
        shelf.add("edited.wav", model=CARD.id)
        odd = add(shelf, "odd.wav")
        infinite = np.full(128, np.inf, "<f2").tobytes()
        shelf.connection.execute(
            "UPDATE analyses SET embedding = ? WHERE sample_id ="
            " (SELECT id FROM samples WHERE digest = ?)",
            (infinite, odd),
        )
        add(shelf, "kick.wav")
    found = ask(path)
    assert (names(found), found.unknown) == (["kick.wav"], 4)
    assert names(ask(path, "state:gone")) == []


def test_a_query_says_which(path: str) -> None:
    """Every side of a comma, and whatever order it names."""
    with open_shelf(path) as shelf:
        heard_since(shelf)
        add(shelf, "a.wav", "Kick", confidence=0.9)
        add(shelf, "b.wav", "Tom", fine="Tom", confidence=0.1)
        add(shelf, "c.wav", "Ride", fine="Ride", confidence=0.5)
    assert names(ask(path, "label:kick")) == ["a.wav"]
    assert names(ask(path, "label:kick", ",", "label:tom", "confidence-")) == ["b.wav", "a.wav"]
    assert names(ask(path, "-label:tom")) == ["c.wav", "a.wav"]
    assert names(ask(path, "label:snare")) == []


# -- playlists ----------------------------------------------------------------------------------


def sample(path: str, **values: Any) -> Sample:
    name = os.path.basename(path)
    plain = dict.fromkeys(Sample.__dataclass_fields__)
    given = {"path": path, "name": name, "label": "Kick", "confidence": 0.417, "duration": 0.25}
    return Sample(**plain | {"top": (), "probabilities": ()} | given | values)


def test_a_playlist_names_label_confidence_and_file() -> None:
    """Seconds are whole ones; -1 where they aren't known."""
    text, left_out = playlist(
        [sample("Kick/größe.wav"), sample("Tom/#1.wav", label="Tom", duration=None)], "/archive"
    )
    assert text == (
        "#EXTM3U\n"
        "#EXTINF:1,Kick 0.42 größe.wav\n/archive/Kick/größe.wav\n"
        "#EXTINF:-1,Tom 0.42 #1.wav\n/archive/Tom/#1.wav\n"
    )
    assert left_out == []


@pytest.mark.parametrize("name", ["a\nb.wav", "a\rb.wav", os.fsdecode(b"\xff.wav")])
def test_names_that_are_no_line_are_left_out(name: str) -> None:
    """A newline, or bytes that aren't UTF-8; the others stay."""
    text, left_out = playlist([sample(f"Kick/{name}"), sample("Kick/b.wav")], "/archive")
    assert left_out == [f"/archive/Kick/{name}"]
    assert text.splitlines()[-1] == "/archive/Kick/b.wav"
    assert len(text.splitlines()) == 3


# -- the command --------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Filed drums, one of them with an awkward name."""
    home = Home(tmp_path / "home", archive="rescan_seconds = 1")
    for number, kind in enumerate(("kick", "snare", "tom", "cowbell", "silence")):
        drums.write(home.inbox / f"{kind}.wav", kind, seed=number)
    drums.write(home.inbox / "new\nline.wav", "hat_open")
    home.drumwatchd("scan", "--quiet")
    return home


def paths(home: Home, *arguments: str) -> list[str]:
    return home.drumwatchd("review", "-0", *arguments).stdout.split("\0")[:-1]


@pytest.mark.e2e
def test_review_and_an_answer(home: Home) -> None:
    """Listed, played, answered with the label that it has: that is an answer as any other."""
    with home.running():
        asked = paths(home)
        assert {Path(path).name for path in asked} == {
            "kick.wav", "snare.wav", "tom.wav", "cowbell.wav", "new\nline.wav",
        }  # fmt: skip
        first = asked[0]
        (row,) = home.ls(f"path:{first}")
        said = json.loads(home.drumwatchd("correct", first, row["label"], "--json").stdout)
        assert (said["label"], said["was"], said["path"]) == (row["label"], row["label"], first)
        assert first not in paths(home)
        assert home.status()["corrections"] == 1
    with open_reader(str(home.folder / "state" / "index.sqlite3")) as reader:
        (lesson,) = reader.lessons("")
        (event,) = [e for e in reader.history(row["digest"]) if e.event == "corrected"]
    assert (lesson.label, event.detail["from"]) == (row["label"], row["label"])
    assert Path(first).is_file()
    home.drumwatchd("undo")
    assert first in paths(home)


@pytest.mark.e2e
def test_review_in_all_its_forms(home: Home, tmp_path: Path) -> None:
    """JSON says why, a playlist is written beside, what can't be in it is said."""
    lines = home.drumwatchd("review", "--json", "--limit", "2").stdout.splitlines()
    found = [json.loads(line) for line in lines]
    assert len(found) == 2
    assert {"path", "label", "confidence", "top", "review", "schema"} <= set(found[0])
    assert [row["path"] for row in found] == paths(home)[:2]
    file = tmp_path / "listen.m3u8"
    done = home.drumwatchd("review", "--m3u", str(file))
    assert "new\\nline.wav" in done.stderr
    assert done.stdout.count("\n") == 6  # one of them in a name
    played = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert played == [path for path in paths(home) if "\n" not in path]
    assert home.drumwatchd("review", "label:ride", "-fine:ride").stdout == ""
    assert "nothing to ask" in home.drumwatchd("review", "nosuchname").stderr
    wrong = home.drumwatchd("review", "--m3u", str(tmp_path / "no" / "x.m3u"), check=2)
    assert "playlist can't be written (No such file" in wrong.stderr
    assert "without --null" in home.drumwatchd("review", "--json", "-0", check=2).stderr


@pytest.mark.e2e
def test_samples_of_another_network_are_said(home: Home) -> None:
    """They can't be compared with the others."""
    connection = sqlite3.connect(home.folder / "state" / "index.sqlite3")
    connection.execute("UPDATE samples SET model = 'another' WHERE name = 'kick.wav'")
    connection.commit()
    connection.close()
    done = home.drumwatchd("review")
    assert "1 left out: another network heard them" in done.stderr
    assert "kick.wav" not in done.stdout
