"""The companion's commands: features, bad input, reports and help; no TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

import drums
from drumwatchd.errors import UsageError
from drumwatchd.training.artefacts import (
    RunFiles,
    classification_report,
    comparison_text,
    draw_comparison,
    draw_training,
    per_class,
    read_report,
    reports_in,
    write_report,
)
from drumwatchd.training.cli import cli
from drumwatchd.training.corpus import Example
from drumwatchd.training.evaluate import Judged
from drumwatchd.training.settings import TrainingConfig, settings_of
from test_training_data import write_tree


def invoke(*arguments: str) -> Result:
    """Run one command."""
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def features(root: Path, *options: str) -> Result:
    """Compute features of the corpus under `root`."""
    places = ["--cache", str(root / "cache"), "--data", str(root / "data"), "--processes", "1"]
    return invoke("features", str(root / "corpus"), *options, *places)


@pytest.mark.parametrize("name", list(cli.commands))
def test_every_command_and_option_has_help(name: str) -> None:
    """Someone at a terminal needs no manual."""
    command = cli.commands[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_features_are_computed_once(tmp_path: Path) -> None:
    """The second call finds everything; data goes to stdout, progress to stderr."""
    write_tree(tmp_path / "corpus", n_kits=12)
    first = features(tmp_path, "--versions", "1", "--synthetic", "0")
    assert first.exit_code == 0
    assert "sounds to train on" in first.stdout
    assert "features of the corpus" in first.stderr
    stamps = [path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*.npy")]
    again = features(tmp_path, "--versions", "1", "--synthetic", "0")
    assert again.stdout == first.stdout
    assert stamps == [path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*.npy")]


def test_mfcc_are_written_as_json(tmp_path: Path) -> None:
    """Labels by number, one list of 40 coefficients per frame, as librosa computes them."""
    librosa = pytest.importorskip("librosa")
    import soundfile

    write_tree(tmp_path / "corpus", n_kits=12)
    assert features(tmp_path, "--arch", "model1", "--json").exit_code == 0
    train, test = (
        json.loads((tmp_path / "data" / f"mfcc_{part}_data.json").read_text())
        for part in ("train", "test")
    )
    assert len(train["files"]) + len(test["files"]) == 24
    assert not set(train["files"]) & set(test["files"])
    assert np.array(train["mfcc"]).shape == (len(train["files"]), 98, 40)
    file = next(file for file in train["files"] if "kick" in file)
    number = train["files"].index(file)
    assert train["mapping"][train["labels"][number]] == "Kick"
    y, sr = soundfile.read(file, dtype="float32")
    y = librosa.util.fix_length(y, size=50_000) / np.abs(y).max()
    expected = librosa.feature.mfcc(y=y, sr=sr, n_mfcc=40, n_fft=2048, hop_length=512).T
    # The cache keeps float16.
    np.testing.assert_allclose(train["mfcc"][number], expected, atol=0.5)


def test_one_kit_is_too_few(tmp_path: Path) -> None:
    """Where nothing can be held out it is said, and what to do."""
    write_tree(tmp_path / "corpus", n_kits=1)
    for fold in ("fold:0", "fold:1"):
        with pytest.raises(UsageError, match="of one kit") as error:
            features(tmp_path, "--hold-out", fold)
        assert "<Label>/<kit>/" in str(error.value)


def test_an_empty_fold_is_said(tmp_path: Path) -> None:
    """A fold that no kit is in measures nothing: an error that counts the folds."""
    write_tree(tmp_path / "corpus", n_kits=12)
    with pytest.raises(UsageError, match="nothing stands in fold:9") as error:
        features(tmp_path, "--hold-out", "fold:9")
    assert "sounds per fold" in str(error.value)


def test_unreadable_files_are_listed_and_counted(tmp_path: Path) -> None:
    """They cost themselves; the command succeeds."""
    write_tree(tmp_path / "corpus", n_kits=12)
    (tmp_path / "corpus" / "Kick" / "kit 0" / "bad.wav").write_bytes(b"not audio")
    result = features(tmp_path, "--versions", "1", "--synthetic", "0")
    assert result.exit_code == 0
    assert "bad.wav" in result.stderr
    assert "1 skipped" in result.stdout


def test_too_few_examples_are_said(tmp_path: Path) -> None:
    """Each label with fewer than ten is named with its count."""
    write_tree(tmp_path / "corpus", n_kits=12)
    told = features(tmp_path, "--versions", "1", "--synthetic", "0").stderr
    assert "fewer than ten examples" in told
    assert "Timpani 0" in told


def test_a_corpus_of_unreadable_files_is_refused(tmp_path: Path) -> None:
    """Sounds that were only synthesised make no model."""
    for kit in range(12):
        folder = tmp_path / "corpus" / "Kick" / str(kit)
        folder.mkdir(parents=True)
        (folder / "a.wav").write_bytes(b"not audio")
    with pytest.raises(UsageError, match="none of the sounds"):
        features(tmp_path, "--versions", "1", "--synthetic", "1")


def test_a_setting_of_another_design_is_refused(tmp_path: Path) -> None:
    """Silently ignoring it would make a record that lies."""
    drums.write(tmp_path / "corpus" / "Kick" / "a.wav", "kick")
    with pytest.raises(UsageError, match="model1 has no n_versions"):
        features(tmp_path, "--arch", "model1", "--versions", "3")


def test_settings_with_other_corpora_ask_for_them(tmp_path: Path) -> None:
    """A record keeps their names, not where they stand; silently going without would be another run."""
    write_tree(tmp_path / "corpus", n_kits=12)
    settings = settings_of(TrainingConfig(name="mine", extra=("/far/away/notes",)))
    (tmp_path / "mine_training.json").write_text(json.dumps(settings))
    with pytest.raises(UsageError, match=r"mine was also trained on notes.*--extra"):
        features(tmp_path, "--settings", str(tmp_path / "mine_training.json"))


def test_a_record_names_no_folder_of_one_machine() -> None:
    """It goes into the model's card, which others read."""
    there = "/home/someone/secret/"
    config = TrainingConfig(corpus=f"{there}c", extra=(f"{there}e",), initial=f"{there}i.keras")
    assert "secret" not in json.dumps(settings_of(config))
    assert settings_of(config)["initial"] == "i.keras"


def test_a_list_is_no_settings(tmp_path: Path) -> None:
    """Any JSON may be named by mistake."""
    write_tree(tmp_path / "corpus", n_kits=1)
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(UsageError, match="not the settings of a run"):
        features(tmp_path, "--settings", str(tmp_path / "list.json"))


@pytest.mark.parametrize("option", [("--seed", "-1"), ("--learning-rate", "0")])
def test_numbers_out_of_range_are_refused(option: tuple[str, str], tmp_path: Path) -> None:
    """Before anything is computed."""
    write_tree(tmp_path, n_kits=1)
    result = CliRunner().invoke(cli, ["train", str(tmp_path), *option])
    assert result.exit_code == 2
    assert option[0] in result.output


def test_nothing_readable_held_out_is_refused(tmp_path: Path) -> None:
    """A model without a figure would look like any other."""
    for fold, content in enumerate((b"not audio", None)):
        path = tmp_path / "corpus" / f"{fold}.wav"
        drums.write(path, "kick")
        if content:
            path.write_bytes(content)
    rows = "path,label,kit,fold\n0.wav,Kick,a,0\n1.wav,Kick,b,1\n"
    (tmp_path / "corpus" / "corpus.csv").write_text(rows)
    with pytest.raises(UsageError, match="none of the sounds held out"):
        features(tmp_path, "--hold-out", "fold:0", "--versions", "1", "--synthetic", "0")


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", ""])
def test_a_name_is_the_name_of_a_file(name: str, tmp_path: Path) -> None:
    """A path in its place would write elsewhere."""
    drums.write(tmp_path / "Kick" / "a.wav", "kick")
    with pytest.raises(UsageError, match="can't be the name"):
        invoke("train", str(tmp_path), "--name", name)


def test_a_run_is_under_way_only_once(tmp_path: Path) -> None:
    """Two at the same backup would ruin it; one that was killed leaves it to the next."""
    files, config = RunFiles("mine", tmp_path, tmp_path), TrainingConfig()

    def killed() -> None:
        with files.unfinished(config) as folder:
            (folder / "history.json").write_text("{}")
            with pytest.raises(UsageError, match="another process"):
                files.unfinished(config).__enter__()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    with files.unfinished(TrainingConfig(seed=2)) as other:
        assert not (other / "history.json").exists()
    with files.unfinished(config) as again:
        assert (again / "history.json").is_file()
    assert not list(tmp_path.iterdir())


def test_recall_precision_and_f1() -> None:
    """Two of three found, two of four claims right; a class that isn't there divides by nothing."""
    table = per_class(list("aaabb"), list("aabaa"), "abc")
    assert table["a"] == {"recall": 0.6667, "precision": 0.5, "f1": 0.5714, "support": 3}
    assert table["c"] == {"recall": 0.0, "precision": 0.0, "f1": 0.0, "support": 0}


def judged(seed: int, n_sounds: int = 60) -> Judged:
    """What a dice-thrower says of sounds of five labels."""
    labels = ("Kick", "Snare", "Hihat", "Rim", "Cowbell")
    examples = [
        Example(f"{number}.wav", labels[number % 5], "s", f"kit {number % 7}", 1)
        for number in range(n_sounds)
    ]
    probabilities = np.random.default_rng(seed).dirichlet(np.full(34, 0.1), n_sounds)
    return Judged(examples, probabilities.astype(np.float32), "fold:1", 0.5, [])


def test_a_report_is_written_and_read(tmp_path: Path) -> None:
    """Text for people, JSON for comparisons, and the folders' figures agree with the labels'."""
    report = classification_report("dice", judged(0))
    write_report(RunFiles("dice", tmp_path, tmp_path), report)
    assert read_report(tmp_path, "dice")["accuracy"] == round(report.figures.accuracy, 4)
    text = (tmp_path / "dice_report.txt").read_text()
    assert "Cowbell" in text
    assert "Timpani" not in text
    assert report.folders["Kick"]["recall"] == pytest.approx(
        report.figures.recall["Kick"], abs=1e-4
    )
    assert sum(row["support"] for row in report.labels.values()) == 60


def test_a_comparison_of_other_sounds_says_so(tmp_path: Path) -> None:
    """Figures on different sounds stand side by side with a warning."""
    for name, n_sounds in (("one", 60), ("two", 50)):
        report = classification_report(name, judged(1, n_sounds))
        write_report(RunFiles(name, tmp_path, tmp_path), report)
    text = comparison_text(reports_in(tmp_path))
    assert "Not all were measured on the same sounds" in text
    assert "Not all" not in comparison_text([read_report(tmp_path, "one")])


def test_a_model_without_a_report_cannot_be_compared(tmp_path: Path) -> None:
    """The error says which, and which command makes one."""
    with pytest.raises(UsageError, match=r"no report of ghost.*evaluate"):
        invoke("compare", "ghost", "--results", str(tmp_path))
    with pytest.raises(UsageError, match="no reports"):
        invoke("compare", "--results", str(tmp_path))


def test_pictures_are_drawn(tmp_path: Path) -> None:
    """Curves of one epoch or many, with and without validation, and bars of any number of models."""
    draw_training({"loss": [2.0], "learning_rate": [1e-3]}, tmp_path / "a.png")
    draw_training({"loss": [2.0, 1.0], "val_loss": [2.1, 1.2]}, tmp_path / "b.png")
    reports = [classification_report(str(seed), judged(seed)).as_dict() for seed in range(3)]
    draw_comparison(reports, tmp_path / "c.png")
    assert all((tmp_path / f"{name}.png").stat().st_size > 5_000 for name in "abc")


def test_features_and_comparisons_need_no_tensorflow() -> None:
    """What doesn't train starts at once."""
    modules = "cli, preparation, artefacts, evaluate"
    code = f"import sys; from drumwatchd.training import {modules}; print('keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
