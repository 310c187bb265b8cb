"""Kill the daemon again and again while files arrive, are corrected, and models change; count the losses.

    python tests/torture/kill_loop.py --kills 1000

In each mode of filing a real daemon gets files bit by bit. SIGKILL ends it at a random moment, also while
it starts; before or after that its owner moves samples to other class folders, and a second process lets
now one model judge, now another, and dies with it. Meanwhile an observer looks into the archive every
millisecond: what stands there under a final name has to be whole. After the last kill the daemon comes to
its end, and every sample has to be there exactly once, with its content, and index and manifests with it.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import soundfile

import drums
from drumwatchd.analysis import model_store
from drumwatchd.analysis.labels import CANONICAL_LABELS
from drumwatchd.analysis.model_card import CARD_NAME, read_card, shipped_model
from drumwatchd.analysis.model_store import Standing
from home import Home, wait_for

MODES = ("move", "copy", "hardlink", "symlink", "none")
KINDS = ("kick", "snare", "hat", "tom", "crash", "clap")
OTHER_MODEL = "another"
FOLDERS = (*CANONICAL_LABELS, "misc")


@dataclass
class Toll:
    """What happened in one mode.

    Attributes:
        mode: how files were filed.
        files: that were dropped.
        kills: of the daemon.
        corrections: samples that their owner moved.
        promotions: switches of the model, by several processes that were killed.
        looks: how often the observer looked.
        seen: files that it saw.
    """

    mode: str
    files: int = 0
    kills: int = 0
    corrections: int = 0
    promotions: int = 0
    looks: int = 0
    seen: int = 0
    moved: dict[str, str] = field(default_factory=dict, repr=False)


def sounds(count: int) -> list[bytes]:
    """So many short WAV files, each of other content."""
    made = {kind: drums.synthesise(kind, 1)[:4_000] for kind in KINDS}
    files = []
    for number in range(count):
        stream = io.BytesIO()
        level = 1 - 0.5 * number / count
        soundfile.write(
            stream, made[KINDS[number % len(KINDS)]] * level, 44_100, "PCM_16", format="WAV"
        )
        files.append(stream.getvalue())
    return files


def add_model(store: str, name: str) -> None:
    """Another model: the shipped network with its own head, as if it had been fitted."""
    folder = read_card(shipped_model()).folder
    files: dict[str, bytes | Path] = {path.name: path for path in folder.iterdir()}
    card = json.loads((folder / CARD_NAME).read_text())
    adapted = card | {"id": name, "head": card["head"] | {"base": card["id"]}}
    files[CARD_NAME] = json.dumps(adapted).encode()
    model_store.add(store, name, files, Standing(time.time(), True, "as good"))


class Loop:
    """One home, in one mode."""

    def __init__(self, folder: Path, mode: str, files: int, chance: random.Random) -> None:
        # Rescans are frequent, so that what was dropped while nobody looked is found soon.
        self.home = Home(folder)
        self.home.configure(
            inbox="rescan_seconds = 2\nsettle_seconds = 0.1\n",
            archive=f'mode = "{mode}"\nrescan_seconds = 2\n',
        )
        self.contents = sounds(files)
        self.toll = Toll(mode)
        self.store = model_store.store_folder(folder / "state" / "index.sqlite3")
        self._switches = folder / "switches"
        self._chance = chance
        self._log = self.home.log.open("ab")

    def run(self, kills: int) -> Toll:
        """Everything; raises AssertionError where something was lost."""
        Path(self.store).mkdir(parents=True)
        add_model(self.store, OTHER_MODEL)
        share = -(-len(self.contents) // max(1, kills))
        with self._observed():
            for _ in range(kills):
                self._drop(share // 2)
                daemon = self._started()
                switching = self._switching()
                self._drop(share - share // 2)
                time.sleep(self._chance.uniform(0.0, 0.8))
                if self._chance.random() < 0.5:
                    self._correct()
                time.sleep(self._chance.uniform(0.0, 0.8))
                daemon.kill()
                os.kill(switching, signal.SIGKILL)
                daemon.wait()
                os.waitpid(switching, 0)
                self.toll.kills += 1
                if self._chance.random() < 0.3:
                    self._correct()
                problem = model_store.choose(self.store, str(shipped_model())).problem
                assert problem is None, problem
            self._drop(len(self.contents))
            with self.home.running():
                seconds = 60 + 0.2 * len(self.contents)
                wait_for(self._is_done, "the last files", seconds=seconds, step=0.5)
                wait_for(
                    lambda: not self._unheeded(), "the last corrections", seconds=seconds, step=0.5
                )
        self._log.close()
        self._check()
        return self.toll

    def _started(self) -> subprocess.Popen[bytes]:
        command = [*self.home.command, "run"]
        return subprocess.Popen(command, stderr=self._log, env=self.home.environment)

    def _switching(self) -> int:
        """A process that lets the two models judge in turns until it is killed."""
        pid = os.fork()
        if pid == 0:
            with suppress(BaseException), self._switches.open("ab", buffering=0) as switches:
                for number in range(100_000):
                    model_store.promote(self.store, (OTHER_MODEL, None)[number % 2])
                    switches.write(b".")
                    time.sleep(0.05)
            os._exit(0)
        return pid

    def _drop(self, count: int) -> None:
        for content in self.contents[self.toll.files : self.toll.files + count]:
            path = self.home.inbox / f"pack {self.toll.files % 5}" / f"{self.toll.files:06}.wav"
            path.parent.mkdir(exist_ok=True)
            with path.open("wb") as stream:  # not at once
                stream.write(content[:1000])
                stream.flush()
                stream.write(content[1000:])
            self.toll.files += 1

    def _correct(self) -> None:
        """Move a sample that the index knows to another class folder."""
        with suppress(OSError, IndexError, sqlite3.Error):
            known = self._asked("SELECT digest, path, label FROM samples WHERE state = 'filed'")
            digest, path, label = self._chance.choice([row for row in known if row[1] is not None])
            said = self._chance.choice([name for name in FOLDERS if name != label])
            new = self.home.archive / said / Path(path).name
            new.parent.mkdir(exist_ok=True)
            if not os.path.lexists(new):
                os.rename(self.home.archive / path, new)
                self.toll.corrections += 1
                self.toll.moved[digest] = said

    def _asked(self, query: str) -> list[tuple[str, ...]]:
        index = self.home.folder / "state" / "index.sqlite3"
        with closing(sqlite3.connect(f"file:{index}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()

    @contextmanager
    def _observed(self) -> Iterator[None]:
        """Somebody looks at the archive all the while."""
        told = self.home.folder / "observer.json"
        wanted = {hashlib.sha256(content).hexdigest() for content in self.contents}
        observer = os.fork()
        if observer == 0:
            with suppress(BaseException):
                observe(self.home.archive, wanted, told)
            os._exit(0)
        try:
            yield
        finally:
            os.kill(observer, signal.SIGTERM)
            os.waitpid(observer, 0)
        said = json.loads(told.read_text())
        assert said["torn"] == [], said["torn"]
        self.toll.looks, self.toll.seen = said["looks"], said["seen"]

    def _is_done(self) -> bool:
        status = self.home.status()
        return status["queue"]["pending"] == 0 and status["files"]["total"] >= len(self.contents)

    def _unheeded(self) -> dict[str, tuple[str, str]]:
        """Samples that aren't filed as their owner moved them: digest → label, and what he said."""
        labels = {row["digest"]: row["label"] for row in self.home.ls()}
        said = self.toll.moved.items()
        return {d: (labels.get(d, "gone"), label) for d, label in said if labels.get(d) != label}

    def _check(self) -> None:
        home, digests = (
            self.home,
            [hashlib.sha256(content).hexdigest() for content in self.contents],
        )
        if self.toll.mode == "none":
            assert sorted(row["digest"] for row in home.ls()) == sorted(digests)
        else:
            home.assert_agree()
            home.assert_exactly(self.contents)
        assert self._unheeded() == {}
        left = [path for path in home.archive.rglob("*") if path.name.endswith((".part", ".new"))]
        assert left == []
        stay = [path for path in home.inbox.rglob("*") if path.is_file()]
        assert len(stay) == (0 if self.toll.mode == "move" else len(self.contents))
        assert self._asked("PRAGMA integrity_check") == [("ok",)]
        self.toll.promotions = self._switches.stat().st_size


def observe(archive: Path, wanted: set[str], told: Path) -> None:
    """Look at each new name in the class folders once, every millisecond, until SIGTERM."""
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))
    looks, seen, torn = 0, set[tuple[str, int]](), list[str]()
    times: dict[str, int] = {}
    while not stop:
        looks += 1
        for folder in FOLDERS:
            with suppress(OSError):
                path = str(archive / folder)
                changed = os.stat(path).st_mtime_ns
                if times.get(path) == changed and time.time_ns() - changed > 50_000_000:
                    continue
                times[path] = changed
                for entry in os.scandir(path):
                    key = (entry.path, entry.inode())
                    if entry.name.startswith(".") or key in seen:
                        continue
                    content = Path(entry.path).read_bytes()
                    if hashlib.sha256(content).hexdigest() not in wanted:
                        torn.append(f"{entry.path}: {len(content)} bytes")
                    seen.add(key)
        time.sleep(0.001)
    told.write_text(json.dumps({"looks": looks, "seen": len(seen), "torn": torn}))


def kill_loop(folder: Path, kills: int, files: int, seed: int = 1) -> Mapping[str, Toll]:
    """So many kills, spread over the modes; `files` in each."""
    tolls = {}
    for number, mode in enumerate(MODES):
        share = kills // len(MODES) + (number < kills % len(MODES))
        loop = Loop(folder / mode, mode, files, random.Random(seed + number))
        tolls[mode] = loop.run(share)
        shutil.rmtree(folder / mode)
    return tolls


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1_000, help="in all [1000]")
    parser.add_argument("--files", type=int, default=5_000, help="in each mode [5000]")
    parser.add_argument("--seed", type=int, default=1, help="of chance [1]")
    chosen = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kill-loop-") as folder:
        tolls = kill_loop(Path(folder), chosen.kills, chosen.files, chosen.seed)
    for toll in tolls.values():
        print(toll)
    kills = sum(toll.kills for toll in tolls.values())
    print(f"{kills} kills in {time.monotonic() - started:.0f} s: nothing lost, nothing there twice")


if __name__ == "__main__":
    main()
