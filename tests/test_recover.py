"""A network out of a model folder answers as it did, and can be trained further."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drums
from drumwatchd.analysis.classifier import Classifier
from drumwatchd.analysis.features import FeatureExtractor
from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.analysis.model_card import read_card, shipped_model
from drumwatchd.errors import ModelError
from drumwatchd.training.settings import TrainingConfig, config_from

pytestmark = [
    pytest.mark.train,
    # Keras hands TensorFlow's tensors to numpy 2 the way of numpy 1.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

SMALL = TrainingConfig(name="small", width=0.25, temperature=1.6, doubt=0.7)


def sounds() -> np.ndarray:
    """Features of every kind of drum."""
    extract = FeatureExtractor(SMALL.features)
    return np.stack(
        [extract(drums.synthesise(kind, seed)) for kind in drums.KINDS for seed in (1, 2)]
    )


def network(arch: str, seed: int) -> Any:
    """An untrained one whose normalisations have statistics of their own."""
    import keras

    from drumwatchd.training.networks import NETWORKS

    keras.utils.set_random_seed(seed)
    model = NETWORKS[arch](SMALL.features.shape, len(FINE_LABELS), SMALL.width)
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            ranges = ((0.5, 1.5), (-0.3, 0.3), (-0.3, 0.3), (0.5, 2.0))
            layer.set_weights([rng.uniform(*r, layer.gamma.shape) for r in ranges])
    return model


@pytest.mark.parametrize("arch", ["residual_cnn", "cepstral_cnn", "envelope_cnn"])
def test_what_was_exported_is_recovered(arch: str, tmp_path: Path) -> None:
    """Its answers, calibration taken out; and while it is trained it hears what it heard before."""
    from drumwatchd.training.export import export, make_shippable
    from drumwatchd.training.recover import recover_network

    config, x = dataclasses.replace(SMALL, arch=arch), sounds()
    model = network(arch, 1)
    before = model.predict(x, verbose=0)
    make_shippable(model, config)
    folder = export(model, config, tmp_path / "small", figures=None, training=[], check_x=x)
    found = recover_network(read_card(folder), config, x)
    after = found.predict(x, verbose=0)
    np.testing.assert_allclose(after["probabilities"], before["probabilities"], atol=2e-3)
    layers = [layer for layer in found.layers if "batch_normalization" in layer.name]
    # What a layer is given has the spread that its normalisation expects.
    for layer in layers:
        assert np.median(layer.get_weights()[3]) == pytest.approx(1.0, abs=0.05)


def test_the_shipped_network_is_recovered() -> None:
    """Users have its folder and nothing else."""
    from drumwatchd.training.recover import recover_network

    card, x = read_card(shipped_model()), sounds()
    config = config_from(
        {**card.details["training"], "features": dataclasses.asdict(card.features)}
    )
    assert isinstance(config, TrainingConfig)
    model = recover_network(card, config, x)
    heard = model.predict(x, verbose=0)["embedding"]
    np.testing.assert_allclose(heard, Classifier(card.folder).predict(x)[0], atol=0.02)


def test_another_design_is_refused(tmp_path: Path) -> None:
    """A card that names one width, and a network of another."""
    from drumwatchd.training.export import export, make_shippable
    from drumwatchd.training.recover import recover_network

    model = network("residual_cnn", 2)
    make_shippable(model, SMALL)
    folder = export(model, SMALL, tmp_path / "small", figures=None, training=[], check_x=sounds())
    with pytest.raises(ModelError, match="isn't of the design"):
        recover_network(read_card(folder), dataclasses.replace(SMALL, width=0.5), sounds())
    card = json.loads((folder / "model.json").read_text())
    assert card["training"]["width"] == 0.25
