"""From a folder of one's own to a model that knows it, with the real daemon and the real commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import drums
from drumwatchd.analysis.precedents import FILE_NAME
from home import Home, wait_for

pytestmark = pytest.mark.e2e


def train(home: Home, *arguments: str) -> dict[str, object]:
    """Run one command of `drumwatchd-train` on the home's configuration; return its JSON."""
    command = [sys.executable, "-m", "drumwatchd.training", *arguments, "--json"]
    done = subprocess.run(
        [*command, "--config", str(home.config)],
        capture_output=True,
        text=True,
        timeout=120,
        env=home.environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_drop_move_adapt_drop(tmp_path: Path) -> None:
    """Bells that are moved to a folder of their own teach a model, and the next bells go there."""
    home = Home(tmp_path)
    with home.running():
        for seed in range(14):
            drums.write(home.inbox / f"pack {seed % 4}" / f"bell {seed}.wav", "cowbell", seed=seed)
        for seed, kind in enumerate(("kick", "snare", "hat")):
            drums.write(home.inbox / "pack" / f"{kind}.wav", kind, seed=seed)
        home.wait_idle(total=17)
        before = {sample["name"]: sample["label"] for sample in home.ls()}
        own = home.archive / "Bells"
        own.mkdir()
        for sample in home.ls("name::^bell"):
            Path(sample["path"]).rename(own / sample["name"])
        wait_for(lambda: len(home.ls("label:Bells")) == 14, "the moves to be understood")

        report = train(home, "adapt", "--min-corrections", "10")
        assert report["state"] == "active", report
        for seed in range(100, 110):
            drums.write(home.inbox / "more" / f"new bell {seed}.wav", "cowbell", seed=seed)
        for seed, kind in enumerate(("kick", "snare", "hat"), start=50):
            drums.write(home.inbox / "more" / f"new {kind}.wav", kind, seed=seed)
        home.wait_idle(total=30)
        after = {sample["name"]: sample for sample in home.ls("name::^new")}
    said = json.loads((home.folder / "state" / "models" / FILE_NAME).read_text())
    assert [each["learned"] for each in said["corrections"]] == [True] * 14
    bells = [sample["label"] for name, sample in after.items() if "bell" in name]
    assert bells.count("Bells") >= 8
    for kind in ("kick", "snare", "hat"):
        assert after[f"new {kind}.wav"]["label"] == before[f"{kind}.wav"]
    assert {sample["model"] for sample in after.values()} == {report["model"]}
