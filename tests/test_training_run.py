"""Whole training runs in small: from labelled files to models that the daemon's analysis loads."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import drums
from drumwatchd.analysis.analyse import analyse
from drumwatchd.analysis.model_card import read_card
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.analysis.tags import tag_of
from drumwatchd.errors import UsageError
from drumwatchd.training.artefacts import RunFiles
from drumwatchd.training.cli import cli
from drumwatchd.training.evaluate import judge_corpus
from drumwatchd.training.progress import Progress
from drumwatchd.training.reference import train_reference
from drumwatchd.training.settings import FEATURES_OF, ReferenceConfig
from test_training_data import write_tree

pytestmark = [
    pytest.mark.train,
    # Keras hands TensorFlow's tensors to numpy 2 the way of numpy 1.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

KINDS = ("kick", "snare", "hat", "crash", "cowbell")
SMALL = {
    "small": "--width 0.25 --epochs 10 --versions 2 --synthetic 0 --batch-size 4",
    "model1": "--arch model1 --epochs 6 --batch-size 8",
    "model2": "--arch model2 --epochs 2 --batch-size 8",
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small corpus, one file of it damaged, and a model of each kind."""
    root = tmp_path_factory.mktemp("training")
    write_tree(root / "corpus", KINDS, n_kits=12)
    (root / "corpus" / "Kick" / "kit 0" / "bad.wav").write_bytes(b"not audio")
    for name, options in SMALL.items():
        train(root, "--name", name, *options.split())
    return root


def train(root: Path, *options: str) -> str:
    """Train on the small corpus; return what was printed on stdout."""
    places = ["--cache", str(root / "cache"), "--models", str(root / "models"), "--processes", "1"]
    return run(root, "train", str(root / "corpus"), *options, *places)


def run(root: Path, *arguments: str) -> str:
    """Run one command that succeeds; return what it printed on stdout."""
    result = invoke(*arguments, "--results", str(root / "results"))
    assert result.exit_code == 0, result.output
    return result.stdout


def invoke(*arguments: str) -> Result:
    """Run one command."""
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


@pytest.mark.parametrize("name", SMALL)
def test_the_model_judges(name: str, workplace: Path, tmp_path: Path) -> None:
    """The exported folder is complete: the daemon's analysis loads it and answers."""
    folder = workplace / "models" / name
    wanted = {"model.tflite", "model.json", "label_mapping.json", "canonical_mapping.json"}
    # The reference designs are there to compare with, and aren't adapted.
    wanted |= {"head.npz", "replay.npz"} if name == "small" else set()
    assert {path.name for path in folder.iterdir()} == wanted
    verdict = analyse(
        drums.write(tmp_path / "a.wav", "kick"), AnalysisSettings(str(folder))
    ).verdict
    assert sum(verdict.probabilities.values()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", ["small", "model1"])
def test_a_small_corpus_is_learned(name: str, workplace: Path) -> None:
    """Even a run of a hundred steps tells five plain drums of unheard kits apart."""
    card = read_card(workplace / "models" / name)
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


@pytest.mark.parametrize("name", SMALL)
def test_a_run_leaves_its_record(name: str, workplace: Path) -> None:
    """Network, settings and history stand together; reports, pictures and the skipped in results."""
    left = {path.name for path in (workplace / "models").iterdir()}
    assert {f"{name}.keras", f"{name}_training.json", f"{name}_history.json"} <= left
    endings = ("training.png", "confusion_matrix.png", "report.txt", "report.json", "skipped.txt")
    results = {path.name for path in (workplace / "results").iterdir()}
    assert {f"{name}_{ending}" for ending in endings} <= results
    assert not [left for left in results if "unfinished" in left]
    assert "bad.wav" in (workplace / "results" / f"{name}_skipped.txt").read_text()
    settings = json.loads((workplace / "models" / f"{name}_training.json").read_text())
    assert settings["hold_out"] == "fold:1"
    assert "corpus" not in settings


@pytest.mark.parametrize(
    ("name", "curves"),
    [
        ("small", {"loss", "learning_rate"}),
        ("model1", {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}),
        ("model2", {"autoencoder_loss", "autoencoder_val_loss", "loss", "val_loss"}),
    ],
)
def test_the_history_has_one_value_per_epoch(name: str, curves: set[str], workplace: Path) -> None:
    """Of the loss, and of what is validated where something is."""
    history = json.loads((workplace / "models" / f"{name}_history.json").read_text())
    assert curves <= set(history)
    assert {len(values) for values in history.values()} == {
        {"small": 10, "model1": 6, "model2": 2}[name]
    }


def test_a_model_can_be_measured_again(workplace: Path) -> None:
    """`evaluate` decodes the held-out kits anew and finds the figures of the card."""
    card = read_card(workplace / "models" / "small")
    corpus = str(workplace / "corpus")
    printed = json.loads(run(workplace, "evaluate", corpus, str(card.folder), "--json"))
    assert printed["n_sounds"] == card.details["figures"]["n_sounds"]
    assert printed["accuracy"] == pytest.approx(card.details["figures"]["accuracy"], abs=0.15)
    assert printed["labels"]["Kick"]["support"] == printed["folders"]["Kick"]["support"] > 0


def test_a_finished_run_is_exported_again(workplace: Path, tmp_path: Path) -> None:
    """The network that `train` kept makes the same model folder a second time."""
    folder = workplace / "models" / "model1"
    before = read_card(folder).details["sha256"]
    places = ["--models", str(workplace / "models"), "--cache", str(workplace / "cache")]
    printed = run(workplace, "export", str(workplace / "corpus"), "model1", "--json", *places)
    assert json.loads(printed)["name"] == "model1"
    assert read_card(folder).details["sha256"] == before


def test_a_process_of_its_own_converts(workplace: Path, tmp_path: Path) -> None:
    """What converts for Keras on PyTorch gives the network that is exported here."""
    from drumwatchd.training import export

    network, converted = workplace / "models" / "small.keras", tmp_path / "network.tflite"
    arguments = [sys.executable, "-m", export.__name__, str(network), str(converted)]
    subprocess.run(arguments, check=True, capture_output=True)
    model = keras_model(network)
    assert converted.read_bytes() == export.to_tflite(model)


def keras_model(path: Path) -> Any:
    import keras

    return keras.models.load_model(path, compile=False)


def test_an_export_names_every_corpus_again(workplace: Path, tmp_path: Path) -> None:
    """The card lists all that was trained on, so going on without one of them is refused."""
    more = write_tree(tmp_path / "more", ("tom",), n_kits=2)
    for ending in (".keras", "_training.json", "_history.json"):
        shutil.copy(workplace / "models" / f"model1{ending}", tmp_path)
    settings = tmp_path / "model1_training.json"
    settings.write_text(settings.read_text().replace('"extra": []', '"extra": ["more"]'))
    places = ["--models", str(tmp_path), "--cache", str(tmp_path / "cache")]
    command = ["export", str(workplace / "corpus"), "model1", *places]
    with pytest.raises(UsageError, match="also trained on more"):
        invoke(*command)
    run(tmp_path, *command, "--extra", str(more))
    data = read_card(tmp_path / "model1").details["training_data"]
    assert {source["source"] for source in data["sources"]} == {"corpus", "more"}


def test_details_of_labels_become_tags(workplace: Path, tmp_path: Path) -> None:
    """Export learns them from the sounds that aren't held out; they fit the exported embedding."""
    rows = ["path,label,kit,fold,detail"]
    for number in range(80):
        kind, detail = (("hat", "closed"), ("crash", "open"))[number % 2]
        path = drums.write(tmp_path / f"{number}.wav", kind, seed=number)
        rows.append(f"{path},Hihat,kit {number},{number // 2 % 3},hihat_{detail}")
    (tmp_path / "corpus.csv").write_text("\n".join(rows))
    for ending in (".keras", "_training.json", "_history.json"):
        shutil.copy(workplace / "models" / f"small{ending}", tmp_path)
    places = ["--models", str(tmp_path), "--cache", str(tmp_path / "cache")]
    run(tmp_path, "export", str(tmp_path), "small", *places)
    card = read_card(tmp_path / "small")
    assert card.tags["Hihat"].classes == ("closed", "open")
    assert card.details["tags"]["Hihat"]["figures"]["trained"] == {"closed": 27, "open": 27}
    for number, tag in ((2, "closed"), (3, "open")):
        heard = analyse(str(tmp_path / f"{number}.wav"), AnalysisSettings(str(card.folder)))
        embedding = np.frombuffer(heard.embedding, "<f2").tolist()
        assert tag_of(card.tags["Hihat"], embedding) == tag


def test_models_are_compared(workplace: Path) -> None:
    """All reports of a folder stand in one table and one picture, or those that are named."""
    table = run(workplace, "compare")
    assert all(name in table for name in SMALL)
    assert "the same sounds" not in table
    assert (workplace / "results" / "model_comparison.png").stat().st_size > 10_000
    two = json.loads(run(workplace, "compare", "models/model2", "model1", "--json"))["models"]
    assert [model["name"] for model in two] == ["model2", "model1"]


def test_sounds_that_are_gone_are_left_out_of_the_figures(workplace: Path, tmp_path: Path) -> None:
    """As those that can't be decoded: the rest is measured, the others are listed."""
    gone = str(workplace / "corpus" / "Kick" / "kit 1" / "gone.wav")
    here = drums.write(tmp_path / "here.wav", "kick")
    rows = [f"{file},Kick,5" for file in (gone, here)]
    (tmp_path / "corpus.csv").write_text("\n".join(["path,label,fold", *rows]))
    judged = judge_corpus(workplace / "models" / "small", tmp_path, "fold:5")
    assert [example.path for example in judged.examples] == [here]
    assert [path for path, _ in judged.skipped] == [gone]


class Killed(Progress):
    """Ends everything in the classifier's second epoch."""

    def step(self, what: str, done: int, total: int, note: str = "") -> None:
        """Hear of one step."""
        if (what, done) == ("epochs of the classifier", 2):
            raise KeyboardInterrupt


class Listening(Progress):
    """Remembers every epoch that it hears of."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, int]] = []

    def step(self, what: str, done: int, total: int, note: str = "") -> None:
        """Hear of one step."""
        if what.startswith("epochs"):
            self.heard.append((what, done))


@pytest.mark.parametrize("arch", ["model1", "model2"])
def test_a_killed_run_goes_on(arch: str, workplace: Path, tmp_path: Path) -> None:
    """Started again with the same options it repeats no epoch, and no stage, that it finished."""
    config = ReferenceConfig(
        arch=arch,
        corpus=str(workplace / "corpus"),
        epochs=2,
        batch_size=8,
        features=FEATURES_OF[arch],
    )
    files, cache = RunFiles("killed", tmp_path, tmp_path), workplace / "cache"
    with pytest.raises(KeyboardInterrupt):
        train_reference(config, files, cache=cache, progress=Killed())
    progress = Listening()
    finished = train_reference(config, files, cache=cache, progress=progress)
    assert progress.heard == [("epochs of the classifier", 2)]
    assert {len(values) for values in finished.history.values()} == {2}


def test_a_run_without_a_network_is_no_run(workplace: Path) -> None:
    """`export` of a name that was never trained is one clear line."""
    with pytest.raises(UsageError, match="no finished run nothing"):
        invoke("export", str(workplace / "corpus"), "nothing", "--models", str(workplace))
