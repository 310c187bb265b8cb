"""`stats`: what a run or the index holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from batches import Desk, grown, results
from drumwatchd.batch.tally import Tally
from drumwatchd.cli.stats import _lines
from home import Home
from shelf import open_shelf

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("stats"))
    archive = grown(desk.folder / "archive", 24)
    (archive / "broken.wav").write_text("x")
    desk.run_folder = desk.classify(archive, code=3)
    return desk


def test_a_runs_numbers_are_those_of_its_results(desk: Desk) -> None:
    """Labels, confidence, durations, errors."""
    told, records = desk.json("stats", desk.run_folder), results(desk.run_folder)
    judged = [record for record in records if record["error"] is None]
    assert told["files"] == len(records) == 25
    for label, one in told["labels"].items():
        mine = [record["confidence"] for record in judged if record["label"] == label]
        assert (one["files"], sum(one["confidence_histogram"])) == (len(mine), len(mine))
        assert one["mean_confidence"] == pytest.approx(sum(mine) / len(mine), abs=1e-3)
    assert (told["errors"], sum(told["duration"]["histogram"])) == ({"undecodable": 1}, 24)


def test_in_words(desk: Desk) -> None:
    """One line a label, and what else there is to say."""
    lines = desk.run("stats", desk.run_folder).stdout.splitlines()
    assert lines[0].startswith("label")
    assert any(line.startswith("Kick ") for line in lines)
    assert "left out: undecodable 1" in lines


def test_pictures_show_what_was_corrected(desk: Desk) -> None:
    """Four of them, one a confusion of the model's labels and the owner's."""
    first = results(desk.run_folder)[1]
    said = desk.folder / "said.jsonl"
    said.write_text(json.dumps({"hash": first["digest"], "correct_label": "Rim"}) + "\n")
    told = desk.json(
        "stats", desk.run_folder, "--overrides", said, "--plots", desk.folder / "plots"
    )
    names = [Path(path).name for path in told["plots"]]
    assert names == ["distribution.png", "confidence.png", "duration.png", "confusion.png"]
    for path in told["plots"]:
        assert Path(path).read_bytes().startswith(b"\x89PNG")
    assert told["corrections"] == [{"said": first["label"], "meant": "Rim", "files": 1}]


def test_the_index_answers_the_same_questions(tmp_path: Path) -> None:
    """What is filed, what was a duplicate, what failed, what was corrected."""
    home = Home(tmp_path / "home")
    with open_shelf(str(home.folder / "state" / "index.sqlite3")) as shelf:
        shelf.add("a.wav", fine="Kick", confidence=0.97)
        row = shelf.add("b.wav", fine="Rim", confidence=0.5, duration=2.5, review="look")
        shelf.add("c.wav", state="quarantined", label=None, path=None)
        shelf.note(row["digest"], "duplicate", "/x")
        shelf.connection.execute(
            "INSERT INTO corrections VALUES (?, 'Clap', 'Snare', 'moved', NULL, 0)",
            (row["digest"],),
        )
    told = json.loads(home.drumwatchd("stats", "--index", "--json").stdout)
    assert (told["files"], told["duplicates"], told["review"]) == (2, 1, 1)
    assert {label: one["files"] for label, one in told["labels"].items()} == {"Kick": 1, "Snare": 1}
    assert told["errors"] == {"quarantined": 1}
    assert told["corrections"] == [{"said": "Snare", "meant": "Clap", "files": 1}]
    assert "Snare → Clap" in home.drumwatchd("stats", "--index").stdout


def test_of_nothing_there_is_little_to_say() -> None:
    """No division by nothing."""
    assert _lines(Tally(), {})[-1] == "seconds"


def test_without_matplotlib_it_says_what_to_install(desk: Desk) -> None:
    """A plain install classifies and counts all the same."""
    hidden = desk.folder / "hidden" / "matplotlib"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError")
    environment = desk.environment
    environment["PYTHONPATH"] = f"{hidden.parent}:{environment['PYTHONPATH']}"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "drumwatchd", *arguments], env=environment, cwd=desk.folder,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    done = run("stats", str(desk.run_folder), "--plots", "plots without")
    assert (done.returncode, "drumwatchd[report]" in done.stderr) == (2, True)
    done = run("classify", "archive/pack 0", "--out", "other")
    assert (done.returncode, "no statistics.png" in done.stderr) == (0, True)


def test_a_run_or_the_index(desk: Desk) -> None:
    """One of them has to be named, and it has to be a run."""
    assert "--index" in desk.run("stats", code=2).stderr
    assert "run_…" in desk.run("stats", "archive", code=2).stderr
    both = desk.run("stats", "--index", desk.run_folder, code=2)
    assert "--index goes without a run" in both.stderr
