"""A head of one's own on the network: it judges in the network's place, or is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drums
from drumwatchd.analysis.analyse import analyse
from drumwatchd.analysis.classifier import Classifier
from drumwatchd.analysis.head import Head, head_bytes, read_head
from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.analysis.model_card import CardFile, read_card, shipped_model
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.errors import ModelError
from lessons import shipped_head

OWN = "My 808s"


def adapted(folder: Path, head: Head, /, **details: Any) -> Path:
    """A copy of the shipped model that judges by `head`."""
    shutil.copytree(shipped_model(), folder, dirs_exist_ok=True)
    card = json.loads((folder / "model.json").read_text())
    content = head_bytes(head)
    entry = {"file": "head.npz", "sha256": hashlib.sha256(content).hexdigest(), "base": card["id"]}
    (folder / "head.npz").write_bytes(content)
    card |= {"id": "mine", "labels": head.labels, "head": entry} | details
    (folder / "model.json").write_text(json.dumps(card))
    (folder / "label_mapping.json").write_text(json.dumps(dict(enumerate(head.labels))))
    table = json.loads((folder / "canonical_mapping.json").read_text())
    table |= {label: label for label in head.labels if label not in FINE_LABELS}
    (folder / "canonical_mapping.json").write_text(json.dumps(table))
    return folder


def with_own(bias: float) -> Head:
    """The shipped head with one more output, which is as likely as its bias says."""
    head = shipped_head()
    kernel = np.hstack([head.kernel, np.zeros((128, 1), np.float32)])
    return Head((*head.labels, OWN), kernel, np.append(head.bias, np.float32(bias)))


def test_the_networks_own_head_judges_as_the_network(tmp_path: Path) -> None:
    """Taken out of the network and put in its place it changes no probability by a thousandth."""
    x = np.random.default_rng(3).uniform(-1, 1, (9, 64, 64)).astype(np.float32)
    embeddings, probabilities = Classifier(shipped_model()).predict(x)
    again = Classifier(adapted(tmp_path / "m", shipped_head())).predict(x)
    np.testing.assert_array_equal(again[0], embeddings)
    np.testing.assert_allclose(again[1], probabilities, atol=1e-3)


def test_a_label_of_ones_own_has_its_folder(tmp_path: Path) -> None:
    """Nobody has to add it to the target labels; the others stay what they were."""
    path = drums.write(tmp_path / "kick.wav", "kick")
    sure = analyse(path, AnalysisSettings(str(adapted(tmp_path / "sure", with_own(99.0))))).verdict
    assert (sure.label, sure.fine) == (OWN, OWN)
    assert sum(sure.probabilities.values()) == pytest.approx(1.0, abs=1e-5)
    shy = analyse(path, AnalysisSettings(str(adapted(tmp_path / "shy", with_own(-99.0))))).verdict
    assert shy.label == "Kick"


def test_names_count_beside_a_label_of_ones_own(tmp_path: Path) -> None:
    """What a name says is of the 34; it neither fails nor invents."""
    folder = adapted(tmp_path / "m", with_own(-99.0))
    settings = AnalysisSettings(str(folder), use_names=True)
    path = drums.write(tmp_path / "kick.wav", "kick")
    assert analyse(path, settings, name="kick.wav").verdict.label == "Kick"


def test_embeddings_that_overflow_are_answered(tmp_path: Path) -> None:
    """An adapted model, too, gives finite probabilities whatever goes in."""
    x = np.full((1, 64, 64), np.nan, np.float32)
    probabilities = Classifier(adapted(tmp_path / "m", with_own(0.0))).predict(x)[1]
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-5)


def truncate(folder: Path) -> None:
    path = folder / "head.npz"
    path.write_bytes(path.read_bytes()[:-100])


def remove(folder: Path) -> None:
    (folder / "head.npz").unlink()


@pytest.mark.parametrize("damage", [truncate, remove])
def test_a_damaged_head_is_refused(damage: Callable[[Path], None], tmp_path: Path) -> None:
    """Half a head would judge, but not as measured."""
    folder = adapted(tmp_path / "m", with_own(0.0))
    damage(folder)
    with pytest.raises(ModelError, match="head"):
        Classifier(folder)


def test_a_head_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """Its hash may be right: too few outputs, another type, or values that are no numbers."""
    head = with_own(0.0)
    wrong = {
        "shape": Head(head.labels, head.kernel[:, :-1], head.bias),
        "type": Head(head.labels, head.kernel.astype(np.float64), head.bias),
        "values": Head(head.labels, head.kernel * np.float32(np.nan), head.bias),
    }
    for name, unfit in wrong.items():
        with pytest.raises(ModelError, match="head"):
            Classifier(adapted(tmp_path / name, unfit))


@pytest.mark.parametrize(
    "entry", [[], {"file": "head.npz"}, {"file": "../head.npz", "sha256": "0"}, {"file": 1}]
)
def test_a_card_that_names_no_file_is_refused(entry: object, tmp_path: Path) -> None:
    """A name that leads out of the folder, or nothing at all."""
    folder = adapted(tmp_path / "m", with_own(0.0), head=entry)
    with pytest.raises(ModelError, match="head should name a file"):
        read_card(folder)


def test_no_pickle_is_loaded(tmp_path: Path) -> None:
    """A head is numbers; what would run code is refused."""
    folder = adapted(tmp_path / "m", with_own(0.0))
    np.savez(folder / "head.npz", kernel=np.array([{}]), bias=np.array([{}]))
    digest = hashlib.sha256((folder / "head.npz").read_bytes()).hexdigest()
    with pytest.raises(ModelError, match="can't be read"):
        read_head(read_card(folder), CardFile("head.npz", digest, "x"))
