"""What sounds like a sample: the order, the list, and a file from outside."""

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
from drumwatchd.analysis import likeness
from drumwatchd.analysis.model_card import read_card, shipped_model
from drumwatchd.index.reader import open_reader
from drumwatchd.similar import Similar, known_embedding, similar
from home import Home
from shelf import NOW, Shelf, open_shelf

CARD = read_card(shipped_model())


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "index.sqlite3")


def heard_since(shelf: Shelf) -> None:
    """The shipped network has judged for a day."""
    since = (CARD.network_key, repr(NOW - 86_400.0))
    shelf.connection.execute("INSERT INTO meta VALUES (?, ?)", since)


def add(shelf: Shelf, name: str, sound: np.ndarray, **values: Any) -> int:
    """Add a sample that the network heard so; return its row."""
    row = shelf.add(name, **{"model": CARD.id} | values)
    shelf.connection.execute(
        "UPDATE analyses SET embedding = ? WHERE sample_id = ?",
        (sound.astype("<f2").tobytes(), row["id"]),
    )
    return int(row["id"])


def names(found: Similar) -> list[str]:
    return [sample.name for sample, _ in found.samples]


def test_the_nearest_come_first_and_the_sound_itself_not_at_all(path: str) -> None:
    """The cosine says how alike two are, whatever their level."""
    kick, tom = lessons.sounds("Kick", 2, 1)
    with open_shelf(path) as shelf:
        heard_since(shelf)
        add(shelf, "tom.wav", tom)
        asked = add(shelf, "asked.wav", kick)
        add(shelf, "between.wav", 0.9 * kick + 0.1 * lessons.direction("Ride"))
        add(shelf, "same.wav", 0.5 * kick)
        add(shelf, "ride.wav", lessons.direction("Ride"))
    with open_reader(path) as reader:
        (sample,) = reader.by_name("asked.wav")
        embedding = known_embedding(sample, reader, CARD)
        assert embedding is not None
        found = similar(reader, CARD, embedding, 3, but=asked)
        outside = similar(reader, CARD, embedding, 1)
    assert names(found) == ["same.wav", "between.wav", "tom.wav"]
    assert found.samples[0][1] == pytest.approx(1.0, abs=1e-3)
    assert found.samples[1][1] > found.samples[2][1]
    assert names(outside) == ["asked.wav"]


def test_what_cannot_be_compared_is_counted(path: str) -> None:
    """Another network's, older than this network, without numbers, edited; what is gone is not."""
    kick = lessons.sounds("Kick", 1, 1)[0]
    with open_shelf(path) as shelf:
        heard_since(shelf)
        add(shelf, "kick.wav", kick)
        add(shelf, "alien.wav", kick, model="another")
        add(shelf, "old.wav", kick, added=NOW - 90_000.0)
        add(shelf, "odd.wav", np.full(128, np.inf))
        shelf.add("edited.wav", model=CARD.id)
        add(shelf, "missing.wav", kick, missing=NOW)
    with open_reader(path) as reader:
        found = similar(reader, CARD, kick.astype("<f2").tobytes(), 20)
    assert (names(found), found.unknown) == (["kick.wav"], 4)


def test_lots_change_nothing(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read three at a time or all at once, the same samples come in the same order."""
    sounds = lessons.sounds("Snare", 10, 3)
    with open_shelf(path) as shelf:
        heard_since(shelf)
        for number, sound in enumerate(sounds):
            add(shelf, f"{number}.wav", sound)
    with open_reader(path) as reader:
        asked = sounds[4].astype("<f2").tobytes()
        whole = names(similar(reader, CARD, asked, 5))
        monkeypatch.setattr("drumwatchd.similar.LOT_ROWS", 3)
        assert names(similar(reader, CARD, asked, 5)) == whole
    assert whole[0] == "4.wav"


def test_all_near_pairs_are_found_without_comparing_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as by every cosine there is, zeros left aside."""
    monkeypatch.setattr(likeness, "_BLOCK_ROWS", 100)
    monkeypatch.setattr(likeness, "_BLOCK_COLUMNS", 70)
    rng = np.random.default_rng(5)
    middles = rng.normal(size=(60, 16))
    made = np.repeat(middles, 30, axis=0) + rng.normal(0, 0.15, (1800, 16))
    rows = likeness.directions(np.vstack([made, np.zeros((5, 16))]).astype(np.float32))
    cosines = np.triu(rows @ rows.T, 1)
    wanted = {(a, b) for a, b in np.argwhere(cosines >= 0.98).tolist()}
    first, second, found = likeness.close_pairs(rows, 0.98, 1000)
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    assert len(pairs) == len(set(pairs))
    edge = {pair for pair in wanted ^ set(pairs) if abs(cosines[pair] - 0.98) > 1e-5}
    assert not edge
    assert len(wanted) > 500
    assert found == pytest.approx(cosines[first, second], abs=1e-5)
    assert [len(part) for part in likeness.close_pairs(rows[:1], 0.98, 8)] == [0, 0, 0]


def test_of_many_near_ones_the_nearest_count() -> None:
    """A thousand hits of one drum aren't half a million pairs."""
    along = np.linspace(0.0, 0.1, 200)
    rows = np.stack([np.cos(along), np.sin(along)], axis=1).astype(np.float32)
    first, second, _ = likeness.close_pairs(rows, 0.95, 2)
    assert set((second - first).tolist()) <= {1, 2}
    assert len(first) < 2 * len(rows)


@pytest.mark.e2e
def test_a_file_from_outside_is_listened_to(tmp_path: Path) -> None:
    """By path, by digest, by name; for xargs, as JSON, and with an answer where there is none."""
    home = Home(tmp_path)
    for kind in ("kick", "snare", "tom"):
        for seed in (1, 2):
            drums.write(home.inbox / f"{kind} {seed}.wav", kind, seed=seed)
    home.drumwatchd("scan")
    drums.write(tmp_path / "outside.wav", "kick", seed=3)
    lines = home.drumwatchd("similar", str(tmp_path / "outside.wav"), "--limit", "2").stdout
    assert sorted(line.rpartition("/")[2] for line in lines.splitlines()) == [
        "kick 1.wav", "kick 2.wav",
    ]  # fmt: skip
    assert all(0.5 < float(line.split()[0]) <= 1 for line in lines.splitlines())
    assert (tmp_path / "outside.wav").exists()
    (kick,) = home.ls("name:kick 1.wav")
    by_digest = home.drumwatchd("similar", kick["digest"][:12], "-0", "--limit", "1").stdout
    assert os.path.basename(by_digest) == "kick 2.wav\0"
    told = [
        json.loads(line)
        for line in home.drumwatchd("similar", "kick 1.wav", "--json").stdout.splitlines()
    ]
    assert len(told) == 5
    assert told[0]["name"] == "kick 2.wav"
    assert told[0]["likeness"] == max(one["likeness"] for one in told)
    assert "knows nothing" in home.drumwatchd("similar", "nothing.wav", check=1).stderr
    home.drumwatchd("similar", "kick 1.wav", "--json", "-0", check=2)


@pytest.mark.e2e
def test_what_another_network_heard_is_listened_to_again(tmp_path: Path) -> None:
    """The sample that was asked for, not all the others; those are counted."""
    home = Home(tmp_path)
    for kind in ("kick", "snare"):
        drums.write(home.inbox / f"{kind}.wav", kind, seed=1)
    home.drumwatchd("scan")
    index = sqlite3.connect(home.folder / "state" / "index.sqlite3")
    with index:
        index.execute("UPDATE samples SET model = 'another' WHERE name = 'kick.wav'")
    index.close()
    done = home.drumwatchd("similar", "kick.wav")
    assert done.stdout.rstrip().endswith("snare.wav")
    assert "1 not compared" in done.stderr


@pytest.mark.e2e
def test_the_file_that_stands_there_is_meant(tmp_path: Path) -> None:
    """Not the sample that was filed from its path before, nor one that is only called so."""
    home = Home(tmp_path)
    for kind in ("kick", "snare"):
        for seed in (1, 2):
            drums.write(home.inbox / f"{kind} {seed}.wav", kind, seed=seed)
    home.drumwatchd("scan")
    drums.write(home.inbox / "kick 1.wav", "snare", seed=3)
    lines = home.drumwatchd("similar", str(home.inbox / "kick 1.wav")).stdout.splitlines()
    assert [line.rpartition("/")[2].split(" ")[0] for line in lines] == ["snare"] * 2 + ["kick"] * 2
