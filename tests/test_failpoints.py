"""Whatever step it dies at, or a disk fails at: every sample is there once, whole, and the index knows."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import make_analysis
from drumwatchd.analysis import model_store
from drumwatchd.analysis.model_card import read_card, shipped_model
from drumwatchd.analysis.result import Analysis
from drumwatchd.archive.marker import MANIFEST_FOLDER, MARKER_NAME, QUARANTINE_FOLDER
from drumwatchd.archive.moves import Mover
from drumwatchd.errors import AnalysisError, DrumwatchdError, IndexStoreError
from drumwatchd.files import Source, look
from drumwatchd.index.store import open_index
from failpoints import DIED, ERRORS, Disk, in_a_process
from rounds_at_home import Owner
from torture.kill_loop import add_model

KICK, SNARE, BROKEN, LATE = b"Kick boom", b"Snare crack", b"broken", b"Kick bang"
BEGINNING = LATE[:7]  # of an upload that broke off
NO_LINKS = {"link": errno.EPERM}
NOTHING_NEW = {"link": errno.EPERM, "rename_new": errno.EINVAL}
# How files get there, what the disk can't do, what becomes of duplicates.
WAYS = {
    "move": ("move", {}, "quarantine"),
    "move to a disk without links": ("move", NO_LINKS, "delete"),
    "move to a disk that only renames": ("move", NOTHING_NEW, "quarantine"),
    "copy": ("copy", {}, "keep"),
    "hardlink": ("hardlink", {}, "keep"),
    "symlink": ("symlink", {}, "keep"),
    "none": ("none", {}, "keep"),
}


class Ear:
    """Hears what stands in the file."""

    def analyse(self, path: str, name: str) -> Analysis:
        """Judge one file."""
        content = Path(path).read_bytes()
        if content == BROKEN:
            raise AnalysisError("no audio")
        return make_analysis(content.split()[0].decode())


class Home:
    """One way of filing, and all that a process finds of it when it starts."""

    def __init__(self, folder: Path, way: str) -> None:
        self.folder, self.inbox, self.root = folder, folder / "inbox", folder / "archive"
        self.mode, self.refused, self.duplicates = WAYS[way]

    def drop(self, name: str, content: bytes) -> None:
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a link to it may stand in the archive
        path.write_bytes(content)

    def sources(self) -> list[Source]:
        found = (look(str(path), str(self.inbox)) for path in sorted(self.inbox.rglob("*.wav")))
        return [source for source in found if source is not None]

    @contextlib.contextmanager
    def opened(self, now: float = 1_000.0) -> Iterator[Owner]:
        """What a new process has."""
        index = open_index(str(self.folder / "state" / "index.sqlite3"), "sha256")
        owner = Owner(self.root, index, self.inbox, lambda name, content: None)
        owner.rounds.stop()
        owner.now = now
        owner.house.ear = Ear()
        owner.begin(self.mode, duplicates=self.duplicates)
        yield owner
        owner.rounds.stop()
        index.close()

    def live(self, disk: Disk) -> None:
        """Everything that can happen to a sample, each thing once."""
        # At its very start a daemon that can't open its index says so and ends.
        with contextlib.suppress(IndexStoreError), disk.in_force(), self.opened() as owner:
            mover = Mover(owner.index, owner.house.archive)
            self.take(owner)
            for path in self.root.glob("Kick/kick.wav"):  # its owner moves it
                (self.root / "Tom").mkdir(exist_ok=True)
                path.rename(self.root / "Tom" / path.name)
            self.attempt(owner.round)
            for row in owner.index.rows_in("filed"):
                if row.source.name == "snare.wav" and row.path is not None:
                    self.attempt(
                        lambda row=row: mover.correct(row, "Ride", how="command", note=None)
                    )
            for row in owner.index.rows_in("filed"):
                said = owner.house.archive.corrections.of(row.digest)
                if said is not None and said.how == "command":
                    self.attempt(lambda row=row, said=said: mover.undo(row, said))
            self.drop("late.wav", BEGINNING)
            self.take(owner)
            self.drop("late.wav", LATE)
            self.take(owner)
            self.attempt(owner.house.archive.flush)

    def take(self, owner: Owner) -> None:
        for source in self.sources():
            if not owner.index.is_remembered(source):
                owner.house.pipeline.process(source)

    @staticmethod
    def attempt(step: Callable[[], object]) -> None:
        """A step that may fail: the daemon says so and goes on."""
        with contextlib.suppress(DrumwatchdError, OSError):
            step()

    def start_again(self, disk: Disk | None = None) -> None:
        """A new start, until there is nothing left to do; then look at it all."""
        disk = disk or Disk(refused=self.refused)
        with disk.in_force(), self.opened(100_000.0) as owner:
            owner.house.pipeline.recover()
            owner.house.manifests.recover()
            Mover(owner.index, owner.house.archive).finish_all()
            self.drop("late.wav", LATE) if not owner.index.row_of(_digest(LATE)) else None
            for _ in range(2):
                self.take(owner)
                owner.round()
            owner.house.archive.flush()
            self.check(owner)

    def check(self, owner: Owner) -> None:
        """Every sample exactly once, with its content; index, manifests and disk say the same."""
        filed, aside = self.archived()
        stay = {p.name: p.read_bytes() for p in self.inbox.rglob("*") if p.is_file()}
        if self.mode == "none":
            assert not filed
        else:
            assert sorted(filed.values()) == sorted([KICK, SNARE, LATE]), filed
        expected = {} if self.duplicates != "keep" else {"second.wav": KICK}
        if self.mode != "move":
            expected |= {
                "kick.wav": KICK,
                "snare.wav": SNARE,
                "late.wav": LATE,
                "broken.wav": BROKEN,
            }
        assert expected | self.retained(owner) == stay, stay
        set_aside = [BROKEN] if self.mode == "move" else []
        set_aside += [KICK] if self.duplicates == "quarantine" else []
        set_aside += [BEGINNING] if BEGINNING in aside.values() else []
        assert sorted(aside.values()) == sorted(set_aside), aside
        rows = {row.path: row for row in owner.index.rows_in("filed")}
        if self.mode != "none":
            assert rows.keys() == filed.keys()
            assert all(path.split("/")[0] == row.label for path, row in rows.items())
            assert all(_digest(filed[path]) == row.digest for path, row in rows.items())
            listed = [path for paths in owner.manifested().values() for path in paths]
            assert sorted(listed) == sorted(filed)
        assert not owner.index.rows_in("claimed", "placing")
        (health,) = owner.index._connection.execute("PRAGMA integrity_check").fetchone()
        assert health == "ok"

    def retained(self, owner: Owner) -> dict[str, bytes]:
        """What was dealt with and couldn't be removed: it stays, is marked, and isn't taken again."""
        query = "SELECT source FROM samples WHERE retained = 1"
        paths = [Path(path) for (path,) in owner.index._connection.execute(query)]
        paths += map(Path, owner.index.remembered("duplicate"))
        return {path.name: path.read_bytes() for path in paths}

    def archived(self) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """Every file below the root, by its path: filed ones, and by their names those set aside."""
        filed, aside = {}, {}
        for path in self.root.rglob("*"):
            relative = path.relative_to(self.root)
            if path.is_dir() or relative.parts[0] in (MANIFEST_FOLDER, MARKER_NAME):
                assert not path.name.endswith(".new")
            elif relative.parts[0] == QUARANTINE_FOLDER:
                aside[path.name] = path.read_bytes()
            else:
                filed[str(relative)] = path.read_bytes()
        return filed, aside


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def begin(folder: Path, way: str) -> Home:
    home = Home(folder, way)
    (folder / "archive").mkdir(parents=True)
    home.drop("kick.wav", KICK)
    home.drop("snare.wav", SNARE)
    home.drop("second.wav", KICK)
    home.drop("broken.wav", BROKEN)
    with home.opened():  # index and marker are there already when a day begins
        pass
    return home


def steps_of(folder: Path, way: str) -> list[str]:
    """Every step of a day on which nothing goes wrong."""
    home = begin(folder, way)
    disk, told = Disk(refused=home.refused), folder / "steps.json"

    def live() -> None:
        home.live(disk)
        told.write_text(json.dumps(disk.steps))

    in_a_process(live, folder / "told.txt")
    in_a_process(home.start_again, folder / "told.txt")
    return list(json.loads(told.read_text()))


def fail_at(folder: Path, way: str, number: int, fault: str | int) -> None:
    """One day on which one step goes wrong, and the next morning."""
    home = begin(folder, way)
    disk = Disk(number, fault, home.refused)
    code = in_a_process(lambda: home.live(disk), folder / "told.txt")
    assert code == (0 if isinstance(fault, int) else DIED)
    in_a_process(home.start_again, folder / "told.txt")


def faults(steps: list[str], *, every: bool) -> Iterator[tuple[int, str | int]]:
    """All there is to go wrong; or each kind of step once, with one of the errors in turn."""
    seen: Counter[str] = Counter()
    for number, step in enumerate(steps):
        seen[step] += 1
        if every:
            yield from ((number, fault) for fault in ("before", "after", *ERRORS))
        elif seen[step] == 1:
            yield number, "before"
            yield number, "after"
            yield number, ERRORS[len(seen) % len(ERRORS)]


def walk(tmp_path: Path, way: str, *, every: bool) -> int:
    steps = steps_of(tmp_path / "well", way)
    failed, count = [], 0
    for count, (number, fault) in enumerate(faults(steps, every=every), 1):
        try:
            fail_at(tmp_path / str(count), way, number, fault)
        except AssertionError as error:
            name = fault if isinstance(fault, str) else errno.errorcode[fault]
            failed.append(f"{name} {steps[number]} (step {number}):\n{error}")
    assert not failed, f"{len(failed)} of {count}\n" + "\n".join(failed)
    return count


@pytest.mark.parametrize("way", WAYS)
def test_each_kind_of_step(way: str, tmp_path: Path) -> None:
    """The process dies before it, after it, or the step fails."""
    assert walk(tmp_path, way, every=False) > 30


@pytest.mark.torture
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("way", WAYS)
def test_every_step(way: str, tmp_path: Path) -> None:
    """Each time it is taken, with each of the errors."""
    print(way, walk(tmp_path, way, every=True))


def die_twice(tmp_path: Path, way: str, count: int) -> int:
    """Die anywhere, and again wherever the next start has come to; how often it came to that."""
    n_steps, again = len(steps_of(tmp_path / "well", way)), 0
    for seed in range(count):
        chance = random.Random(seed)
        home = begin(tmp_path / str(seed), way)
        told = home.folder / "told.txt"
        disk = Disk(chance.randrange(n_steps), chance.choice(["before", "after"]), home.refused)
        assert in_a_process(lambda home=home, disk=disk: home.live(disk), told) == DIED
        disk = Disk(chance.randrange(12), chance.choice(["before", "after"]), home.refused)
        again += in_a_process(lambda home=home, disk=disk: home.start_again(disk), told) == DIED
        in_a_process(home.start_again, told)
    return again


def test_dying_again_while_it_recovers(tmp_path: Path) -> None:
    """What recovers from an interruption can be interrupted, too."""
    for way in WAYS:
        assert die_twice(tmp_path / way, way, 12) > 3


@pytest.mark.torture
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("way", WAYS)
def test_dying_again_anywhere(way: str, tmp_path: Path) -> None:
    """The same, four hundred times each."""
    print(way, die_twice(tmp_path, way, 400))


# -- models ---------------------------------------------------------------------------------------


def change_models(store: str) -> None:
    """Everything that happens to models: one is made, judges, gives way, and an old one goes."""
    add_model(store, "third")
    model_store.promote(store, "third")
    model_store.roll_back(store)
    model_store.promote(store, None)
    model_store.prune(store, 1)


def test_every_step_of_a_change_of_models(tmp_path: Path) -> None:
    """Whatever it dies or fails at: one of them judges, whole, and the same can be done again."""
    shipped = str(shipped_model())

    def store_in(folder: Path) -> str:
        (folder / "models").mkdir(parents=True)
        add_model(str(folder / "models"), "second")
        model_store.promote(str(folder / "models"), "second")
        return str(folder / "models")

    def changed(folder: Path, disk: Disk) -> int:
        store = store_in(folder)

        def change() -> None:
            with contextlib.suppress(DrumwatchdError, OSError), disk.in_force():
                change_models(store)
            (folder / "steps.json").write_text(json.dumps(disk.steps))

        return in_a_process(change, folder / "told.txt")

    assert changed(tmp_path / "well", Disk()) == 0
    steps = json.loads((tmp_path / "well" / "steps.json").read_text())
    assert any("write_atomically" in step for step in steps)
    for count, (number, fault) in enumerate(faults(steps, every=True)):
        folder = tmp_path / str(count)
        assert changed(folder, Disk(number, fault)) == (0 if isinstance(fault, int) else DIED)
        store = str(folder / "models")
        judges = model_store.choose(store, shipped)
        assert judges.problem is None, (fault, steps[number])
        assert judges.card.id in ("second", "third", read_card(shipped).id)
        if (folder / "models" / "third").exists():
            model_store.promote(store, "third")
        else:
            change_models(store)
        assert model_store.choose(store, shipped).problem is None, (fault, steps[number])
