"""Samples are judged again from what the index keeps, and filed by that; and all of it goes back."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drums
import lessons
from conftest import make_analysis
from drumwatchd.analysis import model_store
from drumwatchd.analysis.analyse import analyse
from drumwatchd.analysis.head import Head
from drumwatchd.analysis.labels import CANONICAL_LABELS, CANONICAL_OF, judge
from drumwatchd.analysis.model_card import read_card, shipped_model
from drumwatchd.analysis.neighbours import precedents_of
from drumwatchd.analysis.precedents import Precedent, Said
from drumwatchd.analysis.rehearing import Rehearing, Sound
from drumwatchd.analysis.result import Verdict
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.analysis.verdicts import is_by_sound
from drumwatchd.archive import moves
from drumwatchd.files import Source
from drumwatchd.index.query import Query, compile_query
from drumwatchd.index.reader import open_reader
from drumwatchd.index.rejudged import Rejudged
from drumwatchd.index.store import Index
from drumwatchd.reclassify import Batch, Outcome, SecondHearing, Tally, take_back
from home import Home, wait_for
from killing import STEPS, die, killed_at
from rounds_at_home import Owner
from test_head import OWN, adapted, with_own
from test_model_store import put

CARD = read_card(shipped_model())
FIRST = f"{CARD.family}1"


def swapped(one: str, other: str) -> Head:
    """The shipped head, taking one label for the other."""
    head = lessons.shipped_head()
    order = np.arange(len(head.labels))
    a, b = head.labels.index(one), head.labels.index(other)
    order[[a, b]] = b, a
    return Head(head.labels, head.kernel[:, order], head.bias[order])


def learn(folder: Path, state: Path, head: Head) -> None:
    """Let a model judge that is adapted from the shipped one."""
    store = model_store.store_folder(state / "index.sqlite3")
    os.makedirs(store, exist_ok=True)
    put(store, folder / "work", FIRST, 1, head=head)
    model_store.promote(store, FIRST)


# -- the judgement ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["kick", "snare", "hat_open", "cowbell"])
def test_the_embedding_says_what_the_sound_said(kind: str, tmp_path: Path) -> None:
    """Label, tag and probabilities, up to the rounding of what the index keeps."""
    settings = AnalysisSettings(str(adapted(tmp_path / "m", lessons.shipped_head())))
    heard = analyse(drums.write(tmp_path / "x.wav", kind), settings)
    store = model_store.store_folder(tmp_path / "state" / "x")
    learn(tmp_path, tmp_path / "state", lessons.shipped_head())
    rehearing = Rehearing(AnalysisSettings(str(shipped_model()), store=store))
    (again,) = rehearing.verdicts([Sound(heard.embedding, "x.wav")])
    assert again is not None
    assert (again.label, again.fine, again.tag) == (
        heard.verdict.label, heard.verdict.fine, heard.verdict.tag,
    )  # fmt: skip
    for label, probability in heard.verdict.probabilities.items():
        assert again.probabilities[label] == pytest.approx(probability, abs=2e-3)


def test_names_count_where_they_count_for_new_files(tmp_path: Path) -> None:
    """`use_names` holds here as well, for the name that the file came with."""
    learn(tmp_path, tmp_path / "state", lessons.shipped_head())
    store = model_store.store_folder(tmp_path / "state" / "x")
    doubtful = lessons.sounds("Kick", 1, 1, like="Tom", share=0.5)[0].astype("<f2").tobytes()
    settings = AnalysisSettings(str(shipped_model()), store=store)
    for name, label in (("bd.wav", "Kick"), ("floor tom.wav", "Tom")):
        rehearing = Rehearing(replace(settings, use_names=True))
        (verdict,) = rehearing.verdicts([Sound(doubtful, f"pack/{name}")])
        assert verdict is not None
        assert (verdict.label, is_by_sound(verdict.reason)) == (label, True)
        assert f"its name says {label}" in verdict.reason


def test_what_is_no_embedding_of_this_network_is_not_judged(tmp_path: Path) -> None:
    """None, cut short, too large for a number: each alone, and all together."""
    learn(tmp_path, tmp_path / "state", lessons.shipped_head())
    store = model_store.store_folder(tmp_path / "state" / "x")
    rehearing = Rehearing(AnalysisSettings(str(shipped_model()), store=store))
    odd = [None, b"\0\0", np.full(128, np.inf, "<f2").tobytes()]
    assert rehearing.verdicts([Sound(embedding, "") for embedding in odd]) == [None] * 3
    fine = lessons.sounds("Kick", 1, 1)[0].astype("<f2").tobytes()
    assert [v is None for v in rehearing.verdicts([Sound(e, "") for e in [*odd, fine]])] == [
        True, True, True, False,
    ]  # fmt: skip
    assert rehearing.verdicts([]) == []


@pytest.mark.parametrize("said", [False, True], ids=["nothing said", "corrections"])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("use_names", [False, True], ids=["sound", "names"])
def test_what_has_changed_is_what_each_judged_alone_would_be(
    said: bool, threshold: float, use_names: bool, tmp_path: Path
) -> None:
    """Sounds of every label and between two, under every label; no move more and none less."""
    rehearing = Rehearing(
        AnalysisSettings(str(shipped_model()), confidence_threshold=threshold, use_names=use_names)
    )
    rng, labels = np.random.default_rng(6), list(CANONICAL_OF)
    mixed = [
        lessons.sounds(one, 1, n, like=other, share=float(rng.uniform(0.0, 0.8)))[0]
        for n, (one, other) in enumerate(rng.choice(labels, (120, 2)).tolist())
    ]
    if said:
        corrections = [
            Precedent(str(label), sound.astype("<f2").tobytes(), len(label) % 2 == 0)
            for label, sound in zip(rng.choice([*labels, "misc", "Bells"], 40), mixed, strict=False)
        ]
        rehearing.said = precedents_of(Said(corrections, ["Clap"]), CARD.embedding_size)
    names = ("x.wav", "tom.wav", "loop 120.wav")
    sounds = [Sound(e.astype("<f2").tobytes(), names[n % 3]) for n, e in enumerate(mixed)]
    filed = [str(label) for label in rng.choice([*CANONICAL_LABELS, "misc", "Bells", "Clap"], 120)]
    wanted = [
        (v.label, v.fine, v.reason) if v and is_other(v, label, threshold) else None
        for v, label in zip(rehearing.verdicts(sounds), filed, strict=True)
    ]
    found = rehearing.second_thoughts(sounds, filed)
    assert [v and (v.label, v.fine, v.reason) for v in found] == wanted
    assert 5 < sum(verdict is not None for verdict in wanted) < 120


def is_other(verdict: Verdict, label: str, threshold: float) -> bool:
    return verdict.label != label and verdict.confidence >= threshold


@pytest.mark.parametrize("confidences", [(0.9, 0.1), (0.45, 0.3), (0.1, 0.9)])
def test_reasons_tell_what_was_judged_by_its_sound(confidences: tuple[float, float]) -> None:
    """All that the fold says; none of the others."""
    heard = dict(zip(("Kick", "Cowbell"), confidences, strict=True))
    verdict = judge(heard, threshold=0.5, top_k=1)
    assert is_by_sound(verdict.reason)
    assert is_by_sound(f"{verdict.reason}; its name says Kick")
    others = [
        None, "silent", "a loop: 8 hits in 2.0 s", "several sounds: 3 in 1.0 s",
        "a long take: 4.0 s without a decay", "Kick, as you said; was misc",
        "its name says that it is a loop", "misc, as before: the correction was taken back",
        "moved from Kick by hand",
    ]  # fmt: skip
    assert not any(map(is_by_sound, others))


def test_whose_embeddings_belong_to_a_network() -> None:
    """Those of its own since it has its id, and of all that were adapted from it."""
    assert CARD.has_heard(CARD.id, 20.0, "10.0")
    assert CARD.has_heard(FIRST, 5.0, None)
    assert not CARD.has_heard(CARD.id, 5.0, "10.0")
    assert not CARD.has_heard(CARD.id, 20.0, None)
    assert not CARD.has_heard(f"{CARD.id}-other-1", 20.0, "10.0")
    assert not CARD.has_heard(None, 20.0, "10.0")


# -- the moves, step by step --------------------------------------------------------------------


class Court:
    """An owner's archive of toms that were taken for cowbells, and a model that knows better."""

    def __init__(self, owner: Owner, folder: Path) -> None:
        self.owner = owner
        learn(folder, folder / "state", lessons.shipped_head())
        store = model_store.store_folder(folder / "state" / "x")
        self.rehearing = Rehearing(AnalysisSettings(str(shipped_model()), store=store))
        self.count = 0

    def file(self, name: str, content: bytes = b"boom", like: str = "Tom", **fields: Any) -> Path:
        """File a sample in misc whose embedding is that of another label."""
        sound = lessons.sounds(like, 1, self.count)[0]
        self.count += 1
        heard = make_analysis("misc", 0.8, fine="Cowbell")
        reason = fields.pop("reason", "sounds like Cowbell, which has no folder of its own")
        says = replace(
            heard,
            model=fields.pop("model", FIRST),
            embedding=sound.astype("<f2").tobytes(),
            verdict=replace(heard.verdict, reason=reason, review="look at it"),
        )
        self.owner.house.ear.says = says
        self.owner.house.process(self.owner._drop(name, content))
        (path,) = [
            p for p in self.owner.root.rglob("*") if p.is_file() and p.read_bytes() == content
        ]
        return path

    def changes(self, *terms: str) -> tuple[list[int], Tally]:
        tally = Tally()
        with open_reader(self.owner.index.path) as reader:
            hearing = SecondHearing(reader, self.rehearing, str(self.owner.root))
            return [c.id for c in hearing.changes(self.query(*terms), tally)], tally

    def query(self, *terms: str) -> Query:
        return compile_query(terms or ("label:misc",), root=str(self.owner.root), now=0.0)

    def run(self) -> tuple[Batch, list[Outcome]]:
        ids, _ = self.changes()
        batch = Batch(self.owner.index, self.owner.house.archive, FIRST, "label:misc")
        with open_reader(self.owner.index.path) as reader:
            hearing = SecondHearing(reader, self.rehearing, str(self.owner.root))
            return batch, list(batch.run(hearing, ids))

    def take_back(self, batch: Batch) -> list[Outcome]:
        assert batch.number is not None
        return list(take_back(self.owner.index, self.owner.house.archive, batch.number))

    def rows(self) -> list[tuple[Any, ...]]:
        """All that the index says of the samples and their analyses."""
        with self.owner.index.reading() as connection:
            return connection.execute(
                """SELECT samples.*, top, probabilities, embedding
                   FROM samples JOIN analyses ON sample_id = samples.id ORDER BY samples.id"""
            ).fetchall()


@pytest.fixture
def court(
    tmp_path: Path, index: Index, inbox: Path, drop: Callable[..., Source]
) -> Iterator[Court]:
    owner = Owner(tmp_path / "archive", index, inbox, drop)
    yield Court(owner, tmp_path)
    owner.rounds.stop()


def test_a_batch_goes_and_comes_back(court: Court) -> None:
    """Index, manifests and files follow; afterwards all is what it was, and nobody said a thing."""
    court.file("a.wav")
    court.file("pack/b.wav", b"bang")
    court.owner.house.archive.flush()
    before = court.rows(), court.owner.house.files()
    batch, outcomes = court.run()
    assert {(o.was, o.label, o.problem) for o in outcomes} == {("misc", "Tom", None)}
    court.owner.round()
    assert court.owner.labels() == {
        "Tom/a.wav": ("filed", "Tom"),
        "Tom/b.wav": ("filed", "Tom"),
    }
    assert court.owner.manifested() == {"Tom": ["Tom/a.wav", "Tom/b.wav"]}
    assert court.owner.said() == []
    assert court.owner.events() == ["reclassification", "reclassified", "reclassified"]
    with open_reader(court.owner.index.path) as reader:
        (sample,) = reader.by_path("Tom/a.wav")
    assert (sample.fine, sample.model, sample.review) == ("Tom", FIRST, None)
    assert sample.reason == f"Tom at {sample.confidence:.2f}"
    assert sample.top[0][0] == "Tom"
    assert dict(sample.probabilities)["Tom"] == pytest.approx(sample.confidence, abs=1e-5)
    assert court.run()[1] == []
    assert {o.problem for o in court.take_back(batch)} == {None}
    court.owner.round()
    assert (court.rows(), court.owner.house.files()) == before
    assert court.owner.manifested() == {"misc": ["misc/a.wav", "misc/b.wav"]}
    assert court.take_back(batch) == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", ["there", "back"])
def test_a_crash_at_any_step_is_finished(
    kind: str, step: str, after: bool, court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next rescan: file, label and judgement together, or nothing; never a correction."""
    path = court.file("a.wav")
    court.owner.house.archive.flush()
    batch = None
    if kind == "back":
        batch, _ = court.run()
    with killed_at(monkeypatch, step, after=after, journal=Rejudged):
        court.run() if batch is None else court.take_back(batch)
    begun = court.owner.index.rows_in("filed")[0]
    was_begun = begun.moving_to is not None or (begun.label == "Tom") == (kind == "there")
    court.owner.begin()
    court.owner.round(times=3)
    label = "Tom" if was_begun == (kind == "there") else "misc"
    assert court.owner.labels() == {f"{label}/a.wav": ("filed", label)}
    assert court.owner.house.files() == {f"{label}/{path.name}": b"boom"}
    assert court.owner.manifested() == {label: [f"{label}/a.wav"]}
    assert court.owner.said() == []
    with open_reader(court.owner.index.path) as reader:
        (sample,) = reader.by_path(f"{label}/a.wav")
    assert (sample.fine, sample.top[0][0]) == (("Tom",) * 2 if label == "Tom" else ("Cowbell",) * 2)
    assert court.owner.rounds.untracked == 0


def test_what_stays_is_counted(court: Court) -> None:
    """What was corrected, loops and silence, other networks, and what is the same as before."""
    court.file("tom.wav")
    court.file("bell.wav", b"ding", like="Cowbell")
    said = court.file("said.wav", b"said")
    court.file("loop.wav", b"loop", reason="a loop: 8 hits in 2.0 s")
    court.file("silent.wav", b"hush", reason="silent")
    court.file("alien.wav", b"alien", model="another-1")
    edited = court.file("edited.wav", b"edit")
    edited.write_bytes(b"edited by hand")
    row = next(r for r in court.owner.index.rows_in("filed") if r.path == "misc/said.wav")
    mover = moves.Mover(court.owner.index, court.owner.house.archive)
    mover.correct(row, "misc", how="command", note=None)
    court.owner.round(times=2)
    ids, tally = court.changes()
    assert len(ids) == 1
    assert tally == Tally(changed=1, same=1, corrected=1, no_hit=2, unknown=2)
    court.run()
    assert said.is_file()
    labels = {path: label for path, (_, label) in court.owner.labels().items()}
    assert [path for path, label in labels.items() if label == "Tom"] == ["Tom/tom.wav"]


def test_below_the_threshold_nothing_moves(court: Court) -> None:
    """Not even to misc."""
    court.file("a.wav", like="Tom")
    court.rehearing.threshold = 1.01
    assert court.changes() == ([], Tally(same=1))


def test_what_was_corrected_of_sounds_like_it_counts(court: Court) -> None:
    """Twins of what its owner corrected are moved as new ones would be; other sounds stay."""
    for n in range(6):
        court.count = 0  # the same sound, whatever it is called
        court.file(f"bell {n}.wav", b"ding %d" % n, like="Cowbell")
    court.count = 7
    court.file("clap.wav", b"clap", like="Clap")
    assert court.changes()[0] == []
    own = court.owner.root / "Bells"
    own.mkdir()
    for n in range(5):
        (court.owner.root / "misc" / f"bell {n}.wav").rename(own / f"bell {n}.wav")
    court.owner.round(times=2)
    batch, outcomes = court.run()
    assert [(o.was, o.label, o.problem) for o in outcomes] == [("misc", "Bells", None)]
    court.owner.round()
    assert court.owner.labels()["Bells/bell 5.wav"] == ("filed", "Bells")
    (row,) = [r for r in court.owner.index.rows_in("filed") if r.path == "Bells/bell 5.wav"]
    assert str(row.reason).endswith("by corrections of sounds like it")
    assert len(court.owner.said()) == 5
    court.take_back(batch)
    assert court.owner.labels()["misc/bell 5.wav"] == ("filed", "misc")


def test_no_file_is_replaced(court: Court) -> None:
    """A name that is taken gets a number, there and back."""
    path = court.file("a.wav")
    theirs = court.owner.root / "Tom" / "a.wav"
    theirs.parent.mkdir()
    theirs.write_bytes(b"the owner's own")
    batch, _ = court.run()
    assert "Tom/a-2.wav" in court.owner.labels()
    path.write_bytes(b"another of the owner's")
    court.take_back(batch)
    assert court.owner.house.files() == {
        "Tom/a.wav": b"the owner's own",
        "misc/a.wav": b"another of the owner's",
        "misc/a-2.wav": b"boom",
    }


def test_a_word_of_the_owner_in_the_midst_holds(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said between the judgement and the move, it is the owner's label that stays."""
    court.file("a.wav")
    begin = Rejudged.begin

    def begin_late(self: Rejudged, row: Any, *rest: Any) -> bool:
        court.owner.house.archive.corrections.say(
            row.digest, "misc", was="misc", how="imported", note=None
        )
        return begin(self, row, *rest)

    monkeypatch.setattr(Rejudged, "begin", begin_late)
    _, (outcome,) = court.run()
    assert outcome.path is None
    assert "changed meanwhile" in str(outcome.problem)
    assert court.owner.labels() == {"misc/a.wav": ("filed", "misc")}


def test_two_processes_at_one_move_finish_it_once(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rescan that brings the file there just before the command does makes it no correction."""
    court.file("a.wav")
    name = moves.Mover._name

    def name_late(self: moves.Mover, row: Any, old: str, new: str) -> None:
        os.makedirs(os.path.dirname(new))
        os.rename(old, new)
        name(self, row, old, new)

    with monkeypatch.context() as patch:
        patch.setattr(moves.Mover, "_name", name_late)
        _, (outcome,) = court.run()
    assert outcome.problem is None
    court.owner.round(times=3)
    assert court.owner.labels() == {"Tom/a.wav": ("filed", "Tom")}
    assert court.owner.said() == []


def test_a_file_that_is_taken_away_in_the_midst_of_its_move_is_no_move(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its owner does with it counts, as ever."""
    path = court.file("a.wav")
    theirs = court.owner.root / "Snare" / "a.wav"
    theirs.parent.mkdir()
    name = moves.Mover._name

    def name_late(self: moves.Mover, row: Any, old: str, new: str) -> None:
        path.rename(theirs)
        name(self, row, old, new)

    with monkeypatch.context() as patch:
        patch.setattr(moves.Mover, "_name", name_late)
        _, (outcome,) = court.run()
    assert "changed meanwhile" in str(outcome.problem)
    court.owner.round(times=3)
    assert court.owner.labels() == {"Snare/a.wav": ("filed", "Snare")}
    assert court.owner.said() == [("Snare", "misc", "moved")]


def test_a_file_that_is_taken_away_stops_no_other(court: Court) -> None:
    """It is named; the rest goes on."""
    court.file("a.wav").unlink()
    court.file("b.wav", b"bang")
    _, outcomes = court.run()
    assert ["isn't in its place" in str(o.problem) for o in outcomes] == [True, False]
    assert "Tom/b.wav" in court.owner.labels()


def test_what_was_corrected_since_does_not_go_back(court: Court) -> None:
    """Nor what is gone; a name that the owner gave it meanwhile stays."""
    for name in ("a", "b", "c"):
        court.file(f"{name}.wav", name.encode())
    batch, _ = court.run()
    tom, snare = court.owner.root / "Tom", court.owner.root / "Snare"
    snare.mkdir()
    (tom / "a.wav").rename(snare / "a.wav")
    (tom / "b.wav").unlink()
    (tom / "c.wav").rename(tom / "my tom.wav")
    court.owner.round(times=3)
    outcomes = {Path(o.stood).name: o for o in court.take_back(batch)}
    assert "you corrected it since" in str(outcomes["a.wav"].problem)
    assert "isn't in the archive" in str(outcomes["b.wav"].problem)
    assert outcomes["my tom.wav"].problem is None
    assert court.owner.house.files() == {"Snare/a.wav": b"a", "misc/my tom.wav": b"c"}


def test_only_the_newest_batch_of_a_sample_goes_back(court: Court) -> None:
    """What a later one moved belongs to that."""
    court.file("a.wav")
    first, _ = court.run()
    court.take_back(first)
    second, _ = court.run()
    assert court.take_back(first) == []
    assert [o.label for o in court.take_back(second)] == ["misc"]


# -- the command --------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Kicks, cowbells in misc, and then a model that takes cowbells for toms."""
    home = Home(tmp_path / "home", archive="rescan_seconds = 1")
    for number in range(3):
        drums.write(home.inbox / f"cowbell {number}.wav", "cowbell", seed=number)
    drums.write(home.inbox / "kick.wav", "kick")
    drums.write(home.inbox / "silence.wav", "silence")
    home.drumwatchd("scan", "--quiet")
    assert len(home.ls("label:misc", "fine:cowbell")) == 3
    learn(tmp_path, home.folder / "state", swapped("Cowbell", "Tom"))
    return home


def everything(home: Home) -> list[dict[str, Any]]:
    """All that `show` says, but for the history."""
    stories = [home.story(row["digest"]) for row in home.ls()]
    return [{key: said[key] for key in said if key != "history"} for said in stories]


@pytest.mark.e2e
@pytest.mark.parametrize("runs", [False, True], ids=["down", "running"])
def test_reclassify_and_undo(runs: bool, home: Home) -> None:
    """The plan, the moves, the summary; then everything back by one command."""
    before = everything(home)

    def work() -> None:
        plan = home.drumwatchd("reclassify", "--dry-run").stdout
        assert plan.count("→ Tom/\n") == 3
        assert "would move: 3;" in plan
        assert everything(home) == before
        done = home.drumwatchd("reclassify").stdout
        assert "moved: 3;" in done
        assert "silent or no single hit: 1" in done
        assert [Path(row["path"]).parent.name for row in home.ls("fine:tom")] == ["Tom"] * 3
        assert {row["model"] for row in home.ls("label:tom")} == {FIRST}
        home.assert_agree()
        status = home.status()
        assert (status["corrections"], status["files"]["by_label"]["Tom"]) == (0, 3)
        (event,) = home.story(home.ls("label:tom")[0]["digest"])["history"][1:]
        assert (event["event"], event["detail"]["to"]) == ("reclassified", "Tom")
        assert "reclassified" in home.drumwatchd("show", home.ls("label:tom")[0]["digest"]).stdout
        number = done.split("--batch ")[1].strip()
        assert int(number) == event["detail"]["batch"]
        again = json.loads(home.drumwatchd("reclassify", "--json").stdout)
        assert (again["moves"], again["batch"], again["judged"]) == ([], None, 0)
        back = home.drumwatchd("undo", "--batch", number).stdout
        assert "taken back: 3" in back
        assert everything(home) == before
        home.assert_agree()
        home.drumwatchd("undo", "--batch", number, check=1)

    if not runs:
        work()
        return
    with home.running():
        work()
        time.sleep(2.5)
        assert home.status()["corrections"] == 0
    assert "corrected " not in home.log_text()
    assert "gone " not in home.log_text()


@pytest.mark.e2e
def test_any_query_may_be_judged_again(home: Home) -> None:
    """Terms of `ls`, negated ones among them; what is sure belongs in misc goes there, too."""
    said = json.loads(home.drumwatchd("reclassify", "--json", "-label:misc").stdout)
    assert (said["judged"], said["moves"]) == (1, [])
    home.drumwatchd("reclassify")
    store, second = model_store.store_folder(home.folder / "state" / "x"), f"{CARD.family}2"
    put(store, home.folder / "work", second, 2)  # it hears as the shipped one
    model_store.promote(store, second)
    said = json.loads(home.drumwatchd("reclassify", "--json", "label:tom", "-kick").stdout)
    assert [(move["was"], move["label"]) for move in said["moves"]] == [("Tom", "misc")] * 3


@pytest.mark.e2e
def test_a_folder_of_ones_own_is_filled(home: Home, tmp_path: Path) -> None:
    """What the owner taught needs no folder to be there, and is filed there from misc."""
    store = model_store.store_folder(home.folder / "state" / "x")
    put(store, tmp_path / "own", f"{CARD.family}7", 7, head=with_own(99.0))
    model_store.promote(store, f"{CARD.family}7")
    home.drumwatchd("reclassify")
    assert len(list((home.archive / OWN).iterdir())) == 3
    home.assert_agree()
    home.drumwatchd("scan", "--quiet")
    assert home.status()["corrections"] == 0


@pytest.mark.e2e
def test_in_mode_none_only_the_label_changes(tmp_path: Path) -> None:
    """Nothing was placed, so nothing moves, there and back."""
    home = Home(tmp_path / "home", archive='mode = "none"')
    path = drums.write(home.inbox / "cowbell.wav", "cowbell")
    home.drumwatchd("scan", "--quiet")
    before = everything(home)
    learn(tmp_path, home.folder / "state", swapped("Cowbell", "Tom"))
    said = json.loads(home.drumwatchd("reclassify", "--json").stdout)
    (move,) = said["moves"]
    assert (move["from"], move["path"]) == (path, path)
    assert (home.ls()[0]["label"], home.ls()[0]["path"]) == ("Tom", path)
    home.drumwatchd("undo", "--batch", str(said["batch"]))
    assert everything(home) == before


@pytest.mark.e2e
def test_a_daemon_that_runs_finishes_what_was_killed(home: Home) -> None:
    """At its next rescan, with label and judgement; it takes it for no move by hand."""
    with home.running():
        die(home, "unlink", "after", "reclassify", journal=Rejudged)
        wait_for(lambda: home.ls("label:tom"), "the move to be finished", step=0.2)
        home.assert_agree()
        (row,) = home.ls("label:tom")
        assert (row["fine"], row["model"]) == ("Tom", FIRST)
        time.sleep(2.5)
        status = home.status()
        assert (status["corrections"], status["gone"], status["archive"]["untracked"]) == (0, 0, 0)
    assert "corrected " not in home.log_text()


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("step", "after"), [("begin", "before"), ("link", "after"), ("unlink", "after")]
)
def test_killed_in_the_midst_of_a_batch(step: str, after: str, home: Home) -> None:
    """The next start finishes the sample that was begun; nothing counts as a correction."""
    contents = list(home.archived().values())
    die(home, step, after, "reclassify", journal=Rejudged)
    home.drumwatchd("scan", "--quiet")
    home.assert_exactly(contents)
    assert home.status()["corrections"] == 0
    begun = (step, after) != ("begin", "before")
    assert len(home.ls("label:tom")) == begun
    home.drumwatchd("reclassify")
    assert len(home.ls("label:tom")) == 3
    home.assert_exactly(contents)
    assert home.status()["corrections"] == 0


@pytest.mark.e2e
def test_what_is_wrong_is_said(home: Home, tmp_path: Path) -> None:
    """A batch that there never was, a query that can't be read, a model without a head."""
    assert "made none" in home.drumwatchd("undo", "--batch", "1", check=2).stderr
    assert "take back one thing" in home.drumwatchd("undo", "--batch", "1", "x.wav", check=2).stderr
    assert "no field" in home.drumwatchd("reclassify", "labl:misc", check=2).stderr
    home.drumwatchd("reclassify")
    assert "the last one is" in home.drumwatchd("undo", "--batch", "1", check=2).stderr
    headless = tmp_path / "headless"
    shutil.copytree(shipped_model(), headless)
    card = json.loads((headless / "model.json").read_text())
    (headless / "model.json").write_text(json.dumps({**card, "head": None}))
    home.configure(classify=f'model = "{headless}"')
    home.drumwatchd("promote", CARD.id)
    done = home.drumwatchd("reclassify", check=2)
    assert "brings no head" in done.stderr


@pytest.mark.e2e
def test_what_cannot_be_moved_is_named(home: Home) -> None:
    """Exit code 3; the others are moved, and can be taken back as far as they weren't corrected."""
    (home.archive / "misc" / "cowbell 1.wav").unlink()
    done = home.drumwatchd("reclassify", check=3)
    assert "cowbell 1.wav" in done.stderr
    assert "moved: 2; couldn't be moved: 1;" in done.stdout
    number = done.stdout.split("--batch ")[1].strip()
    home.drumwatchd("correct", str(home.archive / "Tom" / "cowbell 0.wav"), "Clave")
    back = home.drumwatchd("undo", "--batch", number, "--json", check=3)
    said = json.loads(back.stdout)
    assert (len(said["moves"]), said["not_moved"]) == (1, 1)
    assert (home.archive / "misc" / "cowbell 2.wav").is_file()
