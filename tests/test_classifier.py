"""From a path to an analysis, by the shipped network."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import drums
from drumwatchd.analysis.analyse import analyse, analyse_many
from drumwatchd.analysis.classifier import Classifier
from drumwatchd.analysis.model_card import shipped_model
from drumwatchd.analysis.result import Analysis
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.errors import DecodeError, ModelError, SourceChangedError

SETTINGS = AnalysisSettings(model_dir=str(shipped_model()))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """The shipped network."""
    return Classifier(shipped_model())


def test_batches_of_every_size_give_the_same(classifier: Classifier) -> None:
    """A sound is judged alike alone and in a batch; rows are probabilities."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (7, *classifier.card.features.shape)).astype(np.float32)
    embeddings, probabilities = classifier.predict(x)
    assert embeddings.shape == (7, classifier.card.embedding_size)
    assert probabilities.shape == (7, 34)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    for size in (1, 3):
        again = classifier.predict(x[:size])
        np.testing.assert_allclose(again[0], embeddings[:size], atol=1e-3)
        np.testing.assert_allclose(again[1], probabilities[:size], atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_probabilities_are_finite_whatever_goes_in(classifier: Classifier, value: float) -> None:
    """Even absurd features give finite probabilities that sum to one."""
    x = np.full((1, *classifier.card.features.shape), value, np.float32)
    probabilities = classifier.predict(x)[1]
    assert np.isfinite(probabilities).all()
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-5)


def test_an_analysis_is_whole_and_plain(tmp_path: Path) -> None:
    """It crosses a process border, and carries an embedding of the card's size."""
    path = drums.write(tmp_path / "kick.wav", "kick", sr=48_000, channels=2)
    analysis = analyse(path, SETTINGS)
    assert pickle.loads(pickle.dumps(analysis)) == analysis
    assert (analysis.sample_rate_hz, analysis.channels) == (48_000, 2)
    assert analysis.duration_seconds == pytest.approx(0.6)
    assert analysis.model == shipped_model().name
    assert np.isfinite(np.frombuffer(analysis.embedding, "<f2")).all()
    assert len(analysis.embedding) == 2 * 128
    assert sum(analysis.verdict.probabilities.values()) == pytest.approx(1.0, abs=1e-5)
    assert len(analysis.verdict.top) == 3
    json.dumps(analysis.verdict.probabilities)


def test_the_same_file_is_always_judged_the_same(tmp_path: Path) -> None:
    """Nothing random, nothing left over from the file before."""
    path = drums.write(tmp_path / "a.wav", "snare")
    first = analyse(path, SETTINGS)
    analyse(drums.write(tmp_path / "b.wav", "noise"), SETTINGS)
    assert analyse(path, SETTINGS) == first


def test_silence_is_misc_and_says_so(tmp_path: Path) -> None:
    """Silence has no folder, whatever the network sees in an empty picture."""
    verdict = analyse(drums.write(tmp_path / "a.wav", "silence"), SETTINGS).verdict
    assert (verdict.label, verdict.reason, verdict.confidence) == ("misc", "silent", 1.0)


def test_a_loop_is_misc_and_says_so(tmp_path: Path) -> None:
    """However sure the network is of its first hit; what it made of that stays to be read."""
    kick = np.pad(drums.synthesise("kick"), (0, 11_025))
    soundfile.write(tmp_path / "kick.wav", kick, 44_100)
    soundfile.write(tmp_path / "loop.wav", np.tile(kick, 6), 44_100)
    once = analyse(str(tmp_path / "kick.wav"), SETTINGS).verdict
    loop = analyse(str(tmp_path / "loop.wav"), SETTINGS).verdict
    assert (once.label, loop.label) == ("Kick", "misc")
    assert loop.reason == "a loop: 6 hits in 5.1 s"
    assert loop.confidence == loop.probabilities[loop.folded]


def test_a_tag_is_said_of_one_hit(tmp_path: Path) -> None:
    """Of the best fine label; not of silence, nor of a loop, of which only the beginning is heard."""
    model = Path(shutil.copytree(shipped_model(), tmp_path / "model"))
    card = json.loads((model / "model.json").read_text())
    sure = {"classes": ["wet", "dry"], "weights": [[0.0] * 128] * 2, "biases": [0.0, 3.0]}
    settings = AnalysisSettings(str(model))

    def tag(path: str, tags: object) -> str | None:
        (model / "model.json").write_text(json.dumps(card | {"tags": tags}))
        return analyse(path, settings).verdict.tag

    path = drums.write(tmp_path / "a.wav", "kick")
    fine = analyse(path, settings).verdict.fine
    assert tag(path, {fine: sure}) == "dry"
    assert tag(path, {fine: {**sure, "biases": [0.0, 0.1]}}) is None
    assert tag(path, {"Vox": sure}) is None
    soundfile.write(tmp_path / "loop.wav", np.tile(soundfile.read(path)[0], 6), 44_100)
    every = dict.fromkeys(card["labels"], sure)
    assert tag(str(tmp_path / "loop.wav"), every) is None
    assert tag(drums.write(tmp_path / "silence.wav", "silence"), every) is None


def test_a_card_without_tags_is_a_card(tmp_path: Path) -> None:
    """Older models have none."""
    model = Path(shutil.copytree(shipped_model(), tmp_path / "model"))
    card = json.loads((model / "model.json").read_text())
    card.pop("tags", None)
    (model / "model.json").write_text(json.dumps(card))
    path = drums.write(tmp_path / "a.wav", "hat")
    assert analyse(path, AnalysisSettings(str(model))).verdict.tag is None


def test_settings_decide_folders_threshold_and_top(tmp_path: Path) -> None:
    """The wanted folders, the threshold and the length of the list are the caller's."""
    path = drums.write(tmp_path / "a.wav", "kick")
    settings = AnalysisSettings(SETTINGS.model_dir, 1.01, 5, ("Kick", "Vox"))
    verdict = analyse(path, settings).verdict
    assert verdict.label == "misc"
    assert len(verdict.top) == 5
    assert tuple(verdict.probabilities) == ("Kick", "Vox", "misc")


def test_many_are_judged_in_order_and_errors_stand_in_place(tmp_path: Path) -> None:
    """A batch gives what single files give; bad and missing files don't stop it."""
    kinds = [*drums.KINDS] * 3
    paths = [drums.write(tmp_path / f"{i}.wav", kind, seed=i) for i, kind in enumerate(kinds)]
    (tmp_path / "bad.wav").write_bytes(b"not audio")
    paths[3:3] = [str(tmp_path / "bad.wav"), str(tmp_path / "gone.wav")]
    results = analyse_many(paths, SETTINGS)
    assert isinstance(results[3], DecodeError)
    assert isinstance(results[4], SourceChangedError)
    for path, result in zip(paths, results, strict=True):
        if isinstance(result, Analysis):
            alone = analyse(path, SETTINGS)
            assert result.verdict.label == alone.verdict.label
            assert result.verdict.confidence == pytest.approx(alone.verdict.confidence, abs=1e-4)
    assert analyse_many([], SETTINGS) == []
    assert [type(r) for r in analyse_many(paths[3:5], SETTINGS)] == [
        DecodeError,
        SourceChangedError,
    ]


def test_a_model_exchanged_on_disk_is_taken(tmp_path: Path) -> None:
    """A new card in the same folder is read anew, without a new process."""
    folder = Path(shutil.copytree(shipped_model(), tmp_path / "model"))
    path = drums.write(tmp_path / "a.wav", "kick")
    settings = AnalysisSettings(str(folder))
    assert analyse(path, settings).model == shipped_model().name
    card = json.loads((folder / "model.json").read_text()) | {"id": "another"}
    (folder / "new.json").write_text(json.dumps(card))
    os.replace(folder / "new.json", folder / "model.json")
    assert analyse(path, settings).model == "another"


def test_a_network_that_is_none_is_refused(tmp_path: Path) -> None:
    """A file that isn't a network, hash and all, gives a clear error, not a crash."""
    import hashlib

    folder = Path(shutil.copytree(shipped_model(), tmp_path / "model"))
    (folder / "model.tflite").write_bytes(b"no network" * 100)
    card = json.loads((folder / "model.json").read_text())
    card["sha256"] = hashlib.sha256((folder / "model.tflite").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="can't load the network"):
        Classifier(folder)
    with pytest.raises(ModelError, match="no model card"):
        analyse("a.wav", AnalysisSettings(str(tmp_path / "none")))


def test_loading_says_nothing_on_stderr(tmp_path: Path) -> None:
    """The runtime's greeting would stand between the lines of the log."""
    path = drums.write(tmp_path / "a.wav", "kick")
    script = (
        "import sys; from drumwatchd.analysis.analyse import analyse; "
        "from drumwatchd.analysis.settings import AnalysisSettings; "
        "print(analyse(sys.argv[1], AnalysisSettings(sys.argv[2])).verdict.label)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, path, SETTINGS.model_dir],
        check=True,
        capture_output=True,
        text=True,
    )
    assert result.stderr == ""
    assert result.stdout.strip()
