"""`check` finds what doesn't agree, `repair` mends it, and no sample is lost by either."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import drums
from drumwatchd.analysis import model_store
from drumwatchd.archive.marker import MARKER_NAME
from drumwatchd.cli.check import backup, check, repair
from drumwatchd.cli.context import Context
from drumwatchd.cli.correct import undo
from drumwatchd.cli.history import log
from drumwatchd.errors import AlreadyRunningError, ArchiveError, DrumwatchdError, UsageError
from home import Home

KINDS = ("kick", "snare", "hat", "crash")


@pytest.fixture(scope="module")
def filed(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with samples of every kind, and one that can't be judged."""
    home = Home(tmp_path_factory.mktemp("filed") / "home")
    for seed in range(4):
        for kind in KINDS:
            drums.write(home.inbox / "pack" / f"{kind} {seed}.wav", kind, seed=seed)
    (home.inbox / "broken.wav").write_bytes(b"RIFF, or not")
    home.drumwatchd("scan", check=3)
    return home


@pytest.fixture
def home(filed: Home, tmp_path: Path) -> Home:
    """A copy of it, to break."""
    home = Home(tmp_path / "home")
    for name in ("archive", "inbox", "state"):
        shutil.rmtree(home.folder / name, ignore_errors=True)
        shutil.copytree(filed.folder / name, home.folder / name)
    move_sources(home, str(filed.folder), str(home.folder))
    return home


def move_sources(home: Home, old: str, new: str) -> None:
    """The index names the inbox by its path."""
    with sqlite3.connect(index_of(home)) as connection:
        connection.execute("UPDATE samples SET source = replace(source, ?, ?)", (old, new))
        connection.execute("UPDATE samples SET inbox = replace(inbox, ?, ?)", (old, new))
    connection.close()
    for manifest in (home.archive / "_manifests").glob("*.csv"):  # which name it, too
        manifest.unlink()
    invoke(home, repair, "--json")


def index_of(home: Home) -> Path:
    return home.folder / "state" / "index.sqlite3"


def invoke(home: Home, command: Any, *arguments: str, code: int | None = 0) -> str:
    done = CliRunner().invoke(
        command, arguments, obj=Context(str(home.config)), catch_exceptions=False
    )
    assert code is None or done.exit_code == code, done.output
    return done.stdout


def found(home: Home, command: Any = check, *arguments: str) -> dict[str, Any]:
    return dict(json.loads(invoke(home, command, "--json", *arguments, code=None)))


def problems(home: Home, *arguments: str) -> dict[str, str]:
    """File name → what is wrong with it."""
    return {
        Path(one["path"]).name: one["problem"] for one in found(home, check, *arguments)["problems"]
    }


def contents(home: Home) -> Counter[str]:
    """Every content below archive and inbox, with how often it is there."""
    return Counter(
        hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in (home.archive, home.inbox)
        for path in folder.rglob("*")
        if path.is_file() and path.name != MARKER_NAME and path.suffix == ".wav"
    )


def samples(home: Home) -> list[Path]:
    return sorted(home.archive / path for path in home.archived())


def test_a_sound_archive_has_no_problems(home: Home) -> None:
    """With its contents read, or some of them, by chance."""
    assert found(home, check, "--read-data")["problems"] == []
    assert found(home, check, "--read-data")["read"] == 17
    assert found(home, check, "--read-data-subset", "50%")["read"] < 17
    assert "17 samples: no problems" in invoke(home, check)
    with pytest.raises(UsageError, match="goes without"):
        invoke(home, check, "--read-data", "--read-data-subset", "10%")


def test_everything_that_is_wrong_is_named(home: Home) -> None:
    """Each with its path, the problem and the way out; what can be mended is."""
    moved, gone, rotten, cut, *_ = samples(home)
    (home.archive / "Tom").mkdir()
    moved.rename(home.archive / "Tom" / moved.name)
    gone.unlink()
    before = rotten.stat()
    rotten.write_bytes(rotten.read_bytes()[:-4] + b"\1\2\3\4")
    os.utime(rotten, ns=(before.st_atime_ns, before.st_mtime_ns))
    cut.write_bytes(cut.read_bytes()[:1000])
    (home.archive / "Snare" / "mine.wav").write_bytes(b"mine")
    manifest = home.archive / "_manifests" / "Kick.csv"
    manifest.write_text(manifest.read_text().replace("kick", "kack"))
    whole = home.ls()[-1]["digest"]
    (home.archive / "Kick" / f".drumwatchd-{whole[:32]}.part").write_bytes(b"part")

    said = problems(home, "--read-data")
    assert said.pop(f".drumwatchd-{whole[:32]}.part") == "left of an interrupted copy"
    assert said.pop("Kick.csv") == "8 of its lines aren't the index's"
    assert said[cut.name].startswith("it has 1,000 bytes, not ")
    assert said == {
        moved.name: "it isn't in its place",
        gone.name: "it isn't in its place",
        rotten.name: "its content isn't what was filed, though its size is",
        cut.name: said[cut.name],
    }
    notes = [Path(note["path"]).name for note in found(home)["notes"]]
    assert sorted(notes) == sorted([moved.name, "mine.wav"])

    there = contents(home)
    assert invoke(home, repair, "--dry-run", code=1) == invoke(home, check, code=1)
    invoke(home, repair, code=0)
    assert contents(home) == there
    assert problems(home) == {}
    (row,) = home.ls(
        f"digest:{hashlib.sha256((home.archive / 'Tom' / moved.name).read_bytes()).hexdigest()}"
    )
    assert (row["label"], row["corrected"]) == ("Tom", "Tom")


def broken(home: Home, seed: int) -> None:
    """Break something, or several things."""
    chance = random.Random(seed)
    _cut(home, samples(home)[seed % 5])  # so that there is something to find
    for _ in range(chance.randint(1, 4)):
        chance.choice(HARM)(home, chance.choice(samples(home)))


def _delete(home: Home, path: Path) -> None:
    path.rename(home.inbox / f"{path.stem}.kept")  # by its owner


def _move(home: Home, path: Path) -> None:
    target = home.archive / "Ride" / "deep" / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)


def _cut(home: Home, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def _edit(home: Home, path: Path) -> None:
    path.write_bytes(path.read_bytes() + os.urandom(8))


def _copy(home: Home, path: Path) -> None:
    shutil.copy(path, path.with_name(f"copy of {path.name}"))


def _lose_manifest(home: Home, path: Path) -> None:
    (home.archive / "_manifests" / f"{path.relative_to(home.archive).parts[0]}.csv").unlink(True)


def _spoil_row(home: Home, path: Path) -> None:
    relative = str(path.relative_to(home.archive))
    with sqlite3.connect(index_of(home)) as connection:
        wrong = f"Kick/no such {path.name}"
        connection.execute(
            "UPDATE OR IGNORE samples SET path = ? WHERE path = ?", (wrong, relative)
        )
    connection.close()


def _double_a_line(home: Home, path: Path) -> None:
    manifest = home.archive / "_manifests" / f"{path.relative_to(home.archive).parts[0]}.csv"
    if manifest.exists():
        manifest.write_text(manifest.read_text() + manifest.read_text().splitlines()[-1] + "\n")


def _add_a_manifest(home: Home, path: Path) -> None:
    manifests = home.archive / "_manifests"
    (manifests / "Nowhere.csv").write_text(next(manifests.glob("[K-S]*.csv")).read_text())


HARM = (
    _delete, _move, _cut, _edit, _copy, _lose_manifest, _spoil_row, _double_a_line, _add_a_manifest,
)  # fmt: skip


@pytest.mark.parametrize("harm", [_double_a_line, _add_a_manifest])
def test_lines_that_no_sample_has_are_found(harm: Callable[..., None], home: Home) -> None:
    """Twice the same line, and the manifest of a class that has no samples."""
    harm(home, samples(home)[0])
    (problem,) = problems(home).values()
    assert "lines aren't the index's" in problem
    invoke(home, repair, code=0)
    assert problems(home) == {}


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_broken_is_mended_and_nothing_lost(seed: int, home: Home) -> None:
    """Found, mended, and mended again without changing anything; every content stays."""
    broken(home, seed)
    there = contents(home)
    assert problems(home)
    invoke(home, repair, code=None)
    assert contents(home) == there
    once = (problems(home), state_of(home))
    assert once[0] == {}
    invoke(home, repair)
    assert (problems(home), state_of(home)) == once


def state_of(home: Home) -> list[Any]:
    """Rows, manifests and files, all but the times at which somebody looked."""
    with sqlite3.connect(index_of(home)) as connection:
        rows = connection.execute(
            "SELECT digest, state, label, path, missing FROM samples"
        ).fetchall()
        events = connection.execute("SELECT count(*) FROM history").fetchall()
    connection.close()
    files = {str(p): p.read_bytes() for p in home.archive.rglob("*") if p.is_file()}
    return [sorted(rows, key=str), events, files]


def test_a_lost_index_is_made_anew(home: Home) -> None:
    """Of the archive and its manifests: labels, confidences, sources, and the owner's word."""
    before = {row["digest"]: row for row in home.ls()}
    said = samples(home)[0]
    (home.archive / "Ride").mkdir()
    said.rename(home.archive / "Ride" / said.name)
    (home.archive / "Kick" / "by hand.wav").write_bytes(b"put there by hand")
    index_of(home).write_bytes(b"no index any more" * 1000)
    for name in ("index.sqlite3-wal", "index.sqlite3-shm"):
        (home.folder / "state" / name).unlink(missing_ok=True)
    with pytest.raises(DrumwatchdError, match="rebuild-index"):
        invoke(home, check)
    there = contents(home)
    made = found(home, repair, "--rebuild-index")
    assert (made["listed"], made["unlisted"], made["quarantined"], made["lost"]) == (16, 1, 1, 0)
    assert Path(made["set_aside"]).read_bytes().startswith(b"no index any more")
    assert contents(home) == there
    assert found(home, check, "--read-data")["problems"] == []
    after = {row["digest"]: row for row in home.ls()}
    assert len(after) == 17
    for digest, row in before.items():
        same = ("fine", "source", "model")
        assert after[digest]["confidence"] == pytest.approx(row["confidence"], abs=1e-4)
        assert [after[digest][key] for key in same] == [row[key] for key in same]
    (moved,) = [row for row in after.values() if row["label"] == "Ride"]
    assert moved["corrected"] == "Ride"
    with home.running():  # and the daemon works with it
        drums.write(home.inbox / "new.wav", "tom", seed=9)
        home.wait_idle(total=18)


def test_a_lost_index_of_samples_that_stayed_where_they_were(tmp_path: Path) -> None:
    """In mode "none" the manifests know where they are."""
    home = Home(tmp_path / "none", archive='mode = "none"')
    for seed, kind in enumerate(("kick", "snare")):
        drums.write(home.inbox / "pack" / f"{kind}.wav", kind, seed=seed)
    home.drumwatchd("scan")
    before = {(row["digest"], row["label"], row["path"]) for row in home.ls()}
    shutil.rmtree(home.folder / "state")
    made = found(home, repair, "--rebuild-index")
    assert (made["listed"], made["lost"]) == (2, 0)
    assert {(row["digest"], row["label"], row["path"]) for row in home.ls()} == before
    home.drumwatchd("scan")
    assert found(home, check, "--read-data")["problems"] == []
    assert home.status()["files"]["total"] == 2
    assert home.status()["duplicates"] == 0


def test_an_archive_that_isnt_mounted_is_no_list_of_losses(home: Home) -> None:
    """Its marker tells; neither is anything mended then."""
    home.archive.rename(home.folder / "elsewhere")
    home.archive.mkdir()
    for command, options in ((check, ()), (repair, ()), (repair, ("--rebuild-index",))):
        with pytest.raises(ArchiveError, match="marker"):
            invoke(home, command, *options)
    assert index_of(home).exists()


@pytest.mark.e2e
def test_beside_a_daemon(home: Home) -> None:
    """`check` and `backup` work, `repair` waits until it is stopped."""
    with home.running():
        for seed in range(20, 40):
            drums.write(home.inbox / f"new {seed}.wav", "kick", seed=seed)
        assert problems(home) == {}
        copy = home.folder / "copy.sqlite3"
        invoke(home, backup, str(copy))
        with pytest.raises(UsageError, match="already"):
            invoke(home, backup, str(copy))
        with pytest.raises(AlreadyRunningError):
            invoke(home, repair)
        home.wait_idle(total=36)
    for name in ("index.sqlite3", "index.sqlite3-wal", "index.sqlite3-shm"):
        (home.folder / "state" / name).unlink(missing_ok=True)
    copy.rename(index_of(home))
    invoke(home, repair, code=None)  # what was filed since is there, and unknown
    assert problems(home) == {}


def test_a_damaged_model_is_named(home: Home) -> None:
    """Beside the index; the configured one goes on."""
    store = Path(model_store.store_folder(index_of(home)))
    standing = model_store.Standing(1.0, passed=True, reason="as good")
    store.mkdir(exist_ok=True)
    model_store.add(str(store), "odd", {"model.json": b"{}"}, standing)
    (note,) = found(home)["notes"]
    assert note["path"] == str(store / "odd")
    model_store.promote(str(store), "odd")
    assert list(problems(home)) == ["odd"]


def test_the_log_and_what_is_taken_back(home: Home) -> None:
    """Every filing and move is a line; all corrections since a moment go back, the newest first."""
    lines = [json.loads(line) for line in invoke(home, log, "--json", "--limit", "0").splitlines()]
    assert Counter(line["event"] for line in lines)["filed"] == 16
    first, second, *_ = samples(home)
    here = {first.name: first, second.name: second}
    for path, label in ((first, "Ride"), (second, "Tom"), (first, "Snare")):
        home.drumwatchd("correct", path.name, label)
    assert "corrected" in invoke(home, log, first.name)
    assert invoke(home, log, "--since", "1h", "--limit", "1").count("\n") == 1
    with pytest.raises(UsageError, match="one thing"):
        invoke(home, undo, first.name, "--since", "1h")
    assert len(invoke(home, undo, "--since", "1h").splitlines()) == 2
    assert all(path.exists() for path in here.values())
    assert problems(home) == {}
    invoke(home, undo, "--since", "1h", code=1)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """`repair` turns the log down for itself; tests that come later want it as it was."""
    from drumwatchd import log as logging

    yield
    logging.configure("info")
