"""The model that comes with drumwatchd is the one that its card describes."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import drums
from drumwatchd.analysis.analyse import analyse, analyse_many
from drumwatchd.analysis.classifier import Classifier
from drumwatchd.analysis.features import FeatureExtractor
from drumwatchd.analysis.labels import target_of
from drumwatchd.analysis.model_card import ModelCard, read_card, shipped_model, verify_weights
from drumwatchd.analysis.result import Analysis
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.training.corpus import read_corpus, split

SETTINGS = AnalysisSettings(model_dir=str(shipped_model()))


@pytest.fixture(scope="module")
def card() -> ModelCard:
    """The shipped card."""
    return read_card(shipped_model())


def test_it_is_small_and_whole(card: ModelCard) -> None:
    """The network is the card's, and at most two megabytes."""
    assert len(verify_weights(card)) <= 2_000_000


def test_the_card_says_where_it_comes_from(card: ModelCard) -> None:
    """Data with licences, held-out figures, seeds and versions stand on the card."""
    details = card.details
    sources = details["training_data"]["sources"]
    assert sum(source["n_sounds"] for source in sources) == details["training_data"]["n_sounds"]
    assert all(source["licence"] for source in sources)
    assert details["figures"]["n_sounds"] > 500
    assert details["figures"]["accuracy"] > 0.78
    assert details["figures"]["kit_accuracy"] > 0.75
    assert details["training"]["seed"] is not None
    assert "corpus" not in details["training"]
    assert details["versions"]["tensorflow"]
    assert details["parity"]["probabilities"] <= 1e-3


def test_the_page_shows_what_the_card_says(card: ModelCard) -> None:
    """docs/model-card.md is what make_model_card.py makes of it with the shipped card."""
    docs = Path(__file__).parent.parent / "docs"
    render = runpy.run_path(str(docs / "reference" / "make_model_card.py"))["render"]
    page = (docs / "model-card.md").read_text(encoding="utf-8")
    assert page == render(page, card)


# The drum machine's cymbals are left out: they are as much noise as cymbal, to people too.
@pytest.mark.parametrize("kind", ["kick", "snare", "hat", "tom"])
def test_plain_drums_are_heard(kind: str, tmp_path: Path) -> None:
    """Of seven variations of a plain synthesised drum, most go where they belong."""
    paths = [drums.write(tmp_path / f"{seed}.wav", kind, seed=seed) for seed in range(7)]
    wanted = target_of(drums.FINE_LABEL_OF[kind], SETTINGS.target_labels)
    heard = [r.verdict.folded for r in analyse_many(paths, SETTINGS) if isinstance(r, Analysis)]
    assert heard.count(wanted) >= 5


@pytest.mark.parametrize("kind", ["noise", "bass", "cowbell", "silence"])
def test_what_is_none_of_the_six_goes_to_misc(kind: str, tmp_path: Path) -> None:
    """Noise, a held bass note, a cowbell and silence get no drum's folder."""
    verdict = analyse(drums.write(tmp_path / "a.wav", kind), SETTINGS).verdict
    assert verdict.label == "misc"


@pytest.mark.parametrize("suffix", ["flac", "mp3", "opus", "aif"])
def test_the_format_does_not_matter(suffix: str, tmp_path: Path) -> None:
    """The same kick is a kick in every format, rate and number of channels."""
    path = drums.write(tmp_path / f"kick.{suffix}", "kick", sr=48_000, channels=2)
    assert analyse(path, SETTINGS).verdict.label == "Kick"


@pytest.mark.corpus
def test_the_figures_on_the_card_are_reproduced(corpus: Path, card: ModelCard) -> None:
    """On 200 sounds of the held-out fold the daemon's own analysis reaches the card's accuracy."""
    held_out = split(read_corpus(corpus), card.details["training"]["hold_out"])[1]
    rng = np.random.default_rng(0)
    sample = [held_out[row] for row in rng.choice(len(held_out), 200, replace=False)]
    results = analyse_many([example.path for example in sample], SETTINGS)
    right = [
        isinstance(result, Analysis)
        and result.verdict.folded == target_of(example.label, SETTINGS.target_labels)
        for example, result in zip(sample, results, strict=True)
    ]
    # Three standard errors of a share of 200.
    assert np.mean(right) == pytest.approx(card.details["figures"]["accuracy"], abs=0.08)


@pytest.fixture
def keras_model(card: ModelCard) -> Iterator[object]:
    """The trained network, made what was exported of it."""
    keras = pytest.importorskip("keras")
    from drumwatchd.training.artefacts import RunFiles
    from drumwatchd.training.export import make_shippable
    from drumwatchd.training.settings import config_from

    files = RunFiles(card.id, card.folder.parent, card.folder.parent)
    model = keras.models.load_model(files.keras, compile=False)
    make_shippable(model, config_from(json.loads(files.config.read_text(encoding="utf-8"))))
    yield model
    keras.utils.clear_session()


@pytest.mark.train
# Keras hands TensorFlow's tensors to numpy 2 the way of numpy 1.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_keras_and_tflite_agree(card: ModelCard, keras_model: object) -> None:
    """Export to float16 changed no probability by more than 1e-3."""
    extract = FeatureExtractor(card.features)
    x = np.stack([extract(drums.synthesise(k, seed)) for k in drums.KINDS for seed in range(3)])
    expected = keras_model.predict(x, verbose=0)  # type: ignore[attr-defined]
    embeddings, probabilities = Classifier(card.folder).predict(x)
    np.testing.assert_allclose(probabilities, expected["probabilities"], atol=1e-3)
    reach = np.abs(expected["embedding"]).max()
    np.testing.assert_allclose(embeddings, expected["embedding"], atol=5e-3 * reach)
