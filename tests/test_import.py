"""`import`: a run's files become the archive's, by the same story as any other's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

import drums
from batches import grown, results, snapshot
from home import Home, wait_for

pytestmark = pytest.mark.e2e


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", archive='mode = "copy"')


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Samples that have grown for years."""
    folder = grown(tmp_path / "old", 24)
    shutil.copy(folder / "pack 0" / "kick 0000.wav", folder / "pack 6" / "same.wav")
    return folder


def classify(home: Home, archive: Path) -> Path:
    done = home.drumwatchd("classify", str(archive), "--out", str(home.folder / "out"), "--json")
    return Path(json.loads(done.stdout)["run"])


def bring_in(home: Home, run: Path, *options: str, code: int = 0) -> dict[str, object]:
    done = home.drumwatchd("import", str(run), "--json", *options, check=code)
    return json.loads(done.stdout)


def contents(archive: Path) -> list[bytes]:
    return list({path.read_bytes() for path in archive.rglob("*.wav")})


def test_results_keep_out_of_what_the_daemon_looks_through(home: Home, archive: Path) -> None:
    """In the archive they would be classes, in an inbox samples; nothing is made there."""
    run = classify(home, archive)
    for folder in (home.archive, home.inbox / "new"):
        for command in (["classify", str(archive)], ["rebuild", str(run)]):
            done = home.drumwatchd(*command, "--out", str(folder), check=2)
            assert "name a folder elsewhere with --out" in done.stderr
    assert not list(home.inbox.iterdir())
    assert not list(home.archive.glob("*_2*"))


def test_years_of_samples_and_the_inbox_become_one_library(home: Home, archive: Path) -> None:
    """On a server where nothing ran yet; each content once, as the run heard it; no originals lost."""
    run, before = classify(home, archive), snapshot(archive)
    told = bring_in(home, run)
    assert (told["filed"], told["known"], told["problems"]) == (24, 1, [])
    assert snapshot(archive) == before
    home.assert_exactly(contents(archive))
    rows = {row["digest"]: row for row in home.ls()}
    for record in results(run):
        row = rows[record["digest"]]
        assert (row["label"], row["reason"]) == (record["label"], record["reason"])
        assert row["model"] == record["model"]
    index = sqlite3.connect(home.folder / "state" / "index.sqlite3")
    events = index.execute("SELECT event, count(*) FROM history GROUP BY event").fetchall()
    embeddings = index.execute("SELECT count(*) FROM analyses WHERE length(embedding) = 256")
    assert (events, embeddings.fetchone()) == ([("filed", 24)], (24,))
    index.close()
    # What comes through the inbox now is known.
    shutil.copy(archive / "pack 0" / "kick 0000.wav", home.inbox / "again.wav")
    drums.write(home.inbox / "new.wav", "cowbell")
    assert "1 filed, 1 already known" in home.drumwatchd("scan").stderr


def test_to_import_twice_changes_nothing(home: Home, archive: Path) -> None:
    """All is known; no event more."""
    run = classify(home, archive)
    bring_in(home, run)
    before = snapshot(home.archive)
    assert bring_in(home, run)["known"] == 25
    assert snapshot(home.archive) == before


def test_the_originals_are_moved_where_that_is_said(home: Home, archive: Path) -> None:
    """By archive.mode or by --mode; what is moved isn't missed by a second import."""
    run = classify(home, archive)
    expected = contents(archive)
    assert bring_in(home, run, "--mode", "move")["filed"] == 24
    assert [path.name for path in archive.rglob("*.wav")] == ["same.wav"]
    home.assert_exactly(expected)
    assert bring_in(home, run)["known"] == 25


def test_a_killed_import_goes_on(home: Home, archive: Path) -> None:
    """SIGKILL among the files: nothing is lost, nothing is there twice."""
    run = classify(home, archive)
    expected = contents(archive)
    command = [*home.command, "import", str(run), "--mode", "move"]
    process = subprocess.Popen(command, env=home.environment, stdout=subprocess.DEVNULL)
    wait_for(lambda: list(home.archive.glob("*/*.wav")), "a sample", step=0.002)
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    told = bring_in(home, run, "--mode", "move")
    assert told["problems"] == []
    home.assert_exactly(expected)
    assert [path.name for path in archive.rglob("*.wav")] == ["same.wav"]


def test_it_works_beside_the_daemon(home: Home, archive: Path) -> None:
    """Both write the one index; the daemon brings the manifests up to date."""
    run = classify(home, archive)
    with home.running():
        drums.write(home.inbox / "new.wav", "cowbell")
        assert bring_in(home, run)["filed"] == 24
        home.wait_idle(25)
    expected = [*contents(archive), (home.inbox / "new.wav").read_bytes()]
    home.assert_exactly(expected)


def test_what_changed_or_went_is_named(home: Home, archive: Path) -> None:
    """Exit code 3; the rest is filed."""
    run = classify(home, archive)
    (archive / "pack 1" / "snare 0001.wav").unlink()
    slyly = archive / "pack 2" / "hat 0002.wav"
    found = slyly.stat()
    slyly.write_bytes(slyly.read_bytes()[:-2] + b"\x7f\x7f")
    os.utime(slyly, ns=(found.st_atime_ns, found.st_mtime_ns))
    told = bring_in(home, run, code=3)
    assert {Path(p["path"]).name: p["reason"] for p in told["problems"]} == {
        "snare 0001.wav": "it is gone", "hat 0002.wav": "it changed since it was judged",
    }  # fmt: skip
    assert told["filed"] == 22


def test_what_was_corrected_before_counts(home: Home, archive: Path) -> None:
    """The owner's word, threshold and labels are as they are now."""
    run = classify(home, archive)
    digest = results(run)[0]["digest"]
    said = home.folder / "said.jsonl"
    said.write_text(json.dumps({"hash": digest, "correct_label": "Ride"}) + "\n")
    home.drumwatchd("scan")
    home.drumwatchd("overrides", "import", str(said))
    home.configure(archive='mode = "copy"', classify="confidence_threshold = 1.0")
    told = bring_in(home, run)
    assert told["labels"] == {"Ride": 1, "misc": 23}


def test_another_networks_embeddings_are_left_out(home: Home, archive: Path) -> None:
    """They would mislead; the files are filed as they were judged, and that is said."""
    run = classify(home, archive)
    about = json.loads((run / "run.json").read_text())
    about["judgement"]["network"] = "another"
    (run / "run.json").write_text(json.dumps(about))
    done = home.drumwatchd("import", str(run))
    assert "another network" in done.stderr
    index = sqlite3.connect(home.folder / "state" / "index.sqlite3")
    query = "SELECT count(*) FROM analyses WHERE length(embedding) > 0"
    assert index.execute(query).fetchone() == (0,)
    index.close()


def test_a_run_of_another_digest_is_refused(home: Home, archive: Path) -> None:
    """Its digests would be other names for the same contents."""
    run = classify(home, archive)
    home.configure(index='hash_algorithm = "md5"')
    assert "classify anew" in home.drumwatchd("import", str(run), check=2).stderr


def test_a_duplicate_stands_in_for_what_is_gone(home: Home, archive: Path) -> None:
    """What the archive doesn't have isn't known; another file of the run holds it."""
    run = classify(home, archive)
    expected = contents(archive)
    (archive / "pack 0" / "kick 0000.wav").unlink()
    told = bring_in(home, run)
    assert (told["filed"], told["known"], told["problems"]) == (24, 1, [])
    home.assert_exactly(expected)


def test_what_stands_in_the_archive_unfiled_stays_there(home: Home, archive: Path) -> None:
    """Also where the archive's root is a link: a run's paths lead to the folder itself."""
    home.archive.rename(home.folder / "disk")
    home.archive.symlink_to(home.folder / "disk")
    home.drumwatchd("scan")
    drums.write(home.folder / "disk" / "mine" / "kick.wav", "kick")
    run = classify(home, home.folder / "disk")
    told = bring_in(home, run, "--mode", "move", code=3)
    assert "stands in the archive" in told["problems"][0]["reason"]
    assert (home.folder / "disk" / "mine" / "kick.wav").exists()
