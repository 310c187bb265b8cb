"""A small network, and an owner whose drums it never met; real files, real commands, no mocks.

The network knows five kinds of synthesised drums. The owner has others, and says what they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

import drums
from drumwatchd.training.cli import cli
from home import Home
from test_training_data import write_tree

KNOWN = ("kick", "snare", "hat", "crash", "cowbell")
# What the network never met, and what its owner says of it.
SAID = {"tom": "Tom", "ride": "Ride", "clap": "misc"}
OWN = SAID | {"bass": "Basses"}
# Enough to learn them.
LEARNING = ("--epochs", "1", "--learning-rate", "0.003")
N_KITS = 12


def invoke(*arguments: str) -> Result:
    """Run one command of `drumwatchd-train`."""
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def small_network(folder: Path, name: str = "small") -> Path:
    """A corpus in `folder`, and a network that was trained on it; its model folder."""
    corpus = write_tree(folder / "corpus", KNOWN, n_kits=N_KITS)
    places = ["--models", str(folder / "models"), "--results", str(folder / "results")]
    done = invoke(
        *("train", str(corpus), "--name", name, "--width", "0.25", "--epochs", "30"),
        *("--versions", "2", "--synthetic", "0", "--batch-size", "16", "--processes", "1"),
        *("--cache", str(folder / "cache"), *places),
    )
    assert done.exit_code == 0, done.output
    return folder / "models" / name


def owners_home(
    folder: Path, model: Path, *, kinds: Iterable[str] = SAID, n_packs: int = 12
) -> Home:
    """A home that `model` judges in, and packs of drums that it doesn't know."""
    home = Home(folder)
    home.configure(classify=f'model = "{model}"\n')
    for pack in range(n_packs):
        for kind in kinds:
            drums.write(home.inbox / f"pack {pack}" / f"{kind}.wav", kind, seed=100 + pack)
    home.drumwatchd("scan")
    return home


def correct(home: Home, said: Mapping[str, str] = SAID) -> None:
    """Say of each sample what it is, by the name of its file."""
    say(home, {row["digest"]: said[re.split(r"[- .]", row["name"])[0]] for row in home.ls()})


def say(home: Home, labels: Mapping[str, str]) -> None:
    """Say what contents are."""
    lines = [json.dumps({"hash": d, "correct_label": label}) for d, label in labels.items()]
    table = home.folder / "said.jsonl"
    table.write_text("\n".join(lines))
    home.drumwatchd("overrides", "import", str(table))


def retrain(home: Home, folder: Path, *options: str) -> dict[str, Any]:
    """Train the whole network further; what the command says as JSON."""
    done = invoke(
        *("retrain", str(folder / "corpus"), "--config", str(home.config), "--json"),
        *("--cache", str(folder / "cache"), "--processes", "1", *options),
    )
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))
