"""A model's card is believed only when it is whole."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drumwatchd.analysis.labels import CANONICAL_OF, FINE_LABELS
from drumwatchd.analysis.model_card import read_card, shipped_model, verify_weights
from drumwatchd.errors import ModelError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the shipped model folder that a test may damage."""
    return Path(shutil.copytree(shipped_model(), tmp_path / "model"))


@pytest.fixture
def edit(model: Path) -> Callable[..., None]:
    """Change a JSON file of the folder by a function."""

    def change(name: str, function: Callable[[dict[str, Any]], Any]) -> None:
        value = json.loads((model / name).read_text())
        (model / name).write_text(json.dumps(function(value) or value))

    return change


def test_the_shipped_card_names_all_labels() -> None:
    """The shipped model has the 34 labels in order and the standard fold."""
    card = read_card(shipped_model())
    assert card.labels == FINE_LABELS
    assert card.canonical_of == CANONICAL_OF
    assert card.id == shipped_model().name
    assert card.features.shape == (card.features.n_mels, card.features.n_frames)


def test_reading_a_card_needs_no_numpy() -> None:
    """The daemon's own process reads the model's id without the analysis libraries."""
    script = (
        "import sys; from drumwatchd.analysis import model_card as m; "
        "m.verify_weights(m.read_card(m.shipped_model())); "
        "assert not {'numpy', 'soundfile', 'ai_edge_litert'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The error names the path and what to do."""
    with pytest.raises(ModelError, match="no model folder") as caught:
        read_card(tmp_path / "none")
    assert caught.value.path == str(tmp_path / "none")
    assert caught.value.hint


@pytest.mark.parametrize(
    "name", ["model.json", "label_mapping.json", "canonical_mapping.json", "model.tflite"]
)
def test_a_missing_file_is_named(name: str, model: Path) -> None:
    """Each file of the folder is needed."""
    (model / name).unlink()
    with pytest.raises(ModelError, match="can't read") as caught:
        verify_weights(read_card(model))
    assert caught.value.path == str(model / name)


def test_damaged_tags_are_refused(model: Path, edit: Callable[..., None]) -> None:
    """The error says which label's, and where."""
    edit("model.json", lambda card: card | {"tags": {"Hihat": {"classes": ["open"]}}})
    with pytest.raises(ModelError, match=r"tags\.Hihat can't be read") as caught:
        read_card(model)
    assert caught.value.path == str(model / "model.json")


@pytest.mark.parametrize("content", ["", "{", "[1]", "\x00"])
def test_a_damaged_card_is_refused(content: str, model: Path) -> None:
    """What isn't a JSON object is said to be so."""
    (model / "model.json").write_text(content)
    with pytest.raises(ModelError, match="JSON"):
        read_card(model)


def test_other_formats_are_refused(model: Path, edit: Callable[..., None]) -> None:
    """A card of a later format isn't guessed at."""
    edit("model.json", lambda card: card | {"format": 99})
    with pytest.raises(ModelError, match="format 99"):
        read_card(model)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sr", 0),
        ("sr", "44100"),
        ("n_fft", 2048.5),
        ("n_samples", 10),
        ("hop_length", 0),
        ("n_mels", True),
        ("n_mfcc", 10_000),
        ("fmax", 30_000.0),
        ("fmin", float("nan")),
        ("scale", 0.0),
        ("kind", "wavelet"),
        ("relative", 1),
        ("onset_search_seconds", 1e9),
    ],
)
def test_feature_parameters_are_checked(
    key: str, value: object, model: Path, edit: Callable[..., None]
) -> None:
    """A parameter of the wrong type or out of range is named."""
    edit("model.json", lambda card: card["features"].update({key: value}))
    with pytest.raises(ModelError, match=rf"features\.{key}"):
        read_card(model)


def test_missing_and_unknown_parameters_are_named(model: Path, edit: Callable[..., None]) -> None:
    """No parameter has a default, and none is ignored."""

    def swap(card: dict[str, Any]) -> None:
        card["features"]["hops"] = card["features"].pop("hop_length")

    edit("model.json", swap)
    with pytest.raises(ModelError, match="hop_length, hops"):
        read_card(model)


def test_a_changed_network_is_refused(model: Path) -> None:
    """One flipped byte is noticed before it is run."""
    weights = bytearray((model / "model.tflite").read_bytes())
    weights[len(weights) // 2] ^= 1
    (model / "model.tflite").write_bytes(weights)
    with pytest.raises(ModelError, match="SHA-256"):
        verify_weights(read_card(model))


def test_the_tables_may_be_edited(model: Path, edit: Callable[..., None]) -> None:
    """Who wants claps among the snares writes that into the table."""
    edit("canonical_mapping.json", lambda table: table | {"Clap": "Snare"})
    assert read_card(model).canonical_of["Clap"] == "Snare"


def test_tables_with_gaps_are_refused(model: Path, edit: Callable[..., None]) -> None:
    """Every output has one name, and every name a folder."""
    edit("canonical_mapping.json", lambda table: table.pop("Vox") and None)
    with pytest.raises(ModelError, match="Vox"):
        read_card(model)
    edit("label_mapping.json", lambda table: table.update({"3": "Kick"}))
    with pytest.raises(ModelError, match="same label"):
        read_card(model)
    edit("label_mapping.json", lambda table: table.pop("0") and None)
    with pytest.raises(ModelError, match="0 to 33"):
        read_card(model)


def test_cards_from_before_the_warped_time_axis_are_read(
    model: Path, edit: Callable[..., None]
) -> None:
    """A model that was exported earlier goes on working: its time axis is even."""

    def forget(card: dict[str, Any]) -> None:
        del card["features"]["warp_frames"], card["features"]["warp_seconds"]
        card["features"]["hop_length"] = 500

    edit("model.json", forget)
    spec = read_card(model).features
    assert (spec.warp_frames, spec.warp_seconds) == (0, 0.0)
    assert spec.n_frames == 1 + spec.n_samples // 500


@pytest.mark.parametrize(
    "warp",
    [
        {"warp_frames": 64, "warp_seconds": 0.0},
        {"warp_frames": 64, "warp_seconds": 1e-300},
        {"warp_frames": 64, "warp_seconds": 10**400},
        {"warp_frames": 0, "warp_seconds": 0.02},
        {"warp_frames": -1, "warp_seconds": 0.02},
    ],
)
def test_a_time_axis_that_no_network_has_is_refused(
    warp: dict[str, Any], model: Path, edit: Callable[..., None]
) -> None:
    """The error names the parameter."""
    edit("model.json", lambda card: card["features"].update(warp))
    with pytest.raises(ModelError, match=r"features\.warp_"):
        read_card(model)
