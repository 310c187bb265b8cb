"""A whole training run in small: from labelled files to a model that the daemon's analysis loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import drums
from drumwatchd.analysis.analyse import analyse
from drumwatchd.analysis.model_card import read_card
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.errors import UsageError
from drumwatchd.training import train as training
from drumwatchd.training.cli import cli
from drumwatchd.training.evaluate import evaluate_model
from drumwatchd.training.settings import TrainingConfig
from test_training_data import write_tree

pytestmark = [
    pytest.mark.train,
    # Keras hands TensorFlow's tensors to numpy 2 the way of numpy 1.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

KINDS = ("kick", "snare", "hat", "crash", "cowbell")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small corpus and a model trained on it."""
    root = tmp_path_factory.mktemp("training")
    write_tree(root / "corpus", KINDS, n_kits=12)
    (root / "corpus" / "Kick" / "kit 0" / "bad.wav").write_bytes(b"not audio")
    run(root, "train", "--epochs", "10", "--versions", "2", "--synthetic", "3", "--batch-size", "4")
    return root


def run(root: Path, command: str, *options: str) -> str:
    """Run one command on the small corpus; return what it printed on stdout."""
    places = ["--results", str(root / "results")]
    if command == "train":
        places += ["--models", str(root / "models"), "--cache", str(root / "cache")]
        places += ["--name", "small", "--processes", "1"]
    result = CliRunner().invoke(
        cli, [command, str(root / "corpus"), *options, *places], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_model_judges(workplace: Path, tmp_path: Path) -> None:
    """The exported folder is complete: the daemon's analysis loads it and answers."""
    settings = AnalysisSettings(str(workplace / "models" / "small"))
    verdict = analyse(drums.write(tmp_path / "a.wav", "kick"), settings).verdict
    assert sum(verdict.probabilities.values()) == pytest.approx(1.0, abs=1e-5)


def test_a_small_corpus_is_learned(workplace: Path) -> None:
    """Even a run of a hundred steps tells five plain drums of unheard kits apart."""
    card = read_card(workplace / "models" / "small")
    assert card.details["figures"]["accuracy"] >= 0.6


def test_the_card_says_how_it_was_made(workplace: Path) -> None:
    """Configuration, data and figures on the held-out kits stand on the card."""
    card = read_card(workplace / "models" / "small")
    assert card.id == "small"
    assert card.details["training"]["epochs"] == 10
    assert card.details["figures"]["n_kits"] > 0
    labels = card.details["training_data"]["labels"]
    assert labels["Kick"] > 0
    assert labels["Vox"] == 0
    assert card.details["training_data"]["sources"][0]["licence"] == "not recorded"


def test_a_corpus_of_unreadable_files_is_refused(tmp_path: Path) -> None:
    """Sounds that were only synthesised make no model."""
    (tmp_path / "Kick").mkdir()
    (tmp_path / "Kick" / "a.wav").write_bytes(b"not audio")
    config = TrainingConfig(name="none", corpus=str(tmp_path), n_versions=1, n_synthetic=1)
    with pytest.raises(UsageError, match="none of the sounds"):
        training.train(config, folder=tmp_path / "run", cache=tmp_path / "cache")


def test_sounds_that_are_gone_are_left_out_of_the_figures(workplace: Path, tmp_path: Path) -> None:
    """As those that can't be decoded: the rest is measured."""
    rows = [
        f"{file},Kick,5"
        for file in (workplace / "corpus" / "Kick" / "kit 1" / "gone.wav",
                     drums.write(tmp_path / "here.wav", "kick"))
    ]  # fmt: skip
    (tmp_path / "corpus.csv").write_text("\n".join(["path,label,fold", *rows]))
    assert evaluate_model(workplace / "models" / "small", tmp_path, 5).n_sounds == 1


def test_a_run_leaves_its_record(workplace: Path) -> None:
    """Configuration and history stand beside the weights, report and picture in the results."""
    history = json.loads((workplace / "models" / "small" / "history.json").read_text())
    assert len(history["loss"]) == 10
    results = {path.name for path in (workplace / "results" / "small").iterdir()}
    wanted = {"training.json", "history.json", "model.keras"}
    assert wanted | {"figures.json", "report.txt", "confusion_matrix.png"} <= results


def test_a_model_can_be_measured_again(workplace: Path) -> None:
    """`evaluate` decodes the held-out kits anew and finds the figures of the card."""
    card = read_card(workplace / "models" / "small")
    printed = json.loads(run(workplace, "evaluate", str(card.folder), "--json"))
    assert printed["n_sounds"] == card.details["figures"]["n_sounds"]
    assert printed["accuracy"] == pytest.approx(card.details["figures"]["accuracy"], abs=0.15)
