"""What a network is shown while it learns: targets, draws, and the input it makes itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.fft

from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.training.corpus import Example
from drumwatchd.training.feature_cache import FeatureSet
from drumwatchd.training.settings import TrainingConfig

pytestmark = [
    pytest.mark.train,
    # Keras hands arrays to numpy 2 in the way of numpy 1.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

KICK, SNARE, RIM = (FINE_LABELS.index(label) for label in ("Kick", "Snare", "Rim"))
EXAMPLES = [Example(f"{n}.wav", label, "s", f"k{n}", 0) for n, label in enumerate(("Kick", "Rim"))]


def opinions(path: Path, *heard: dict[int, float]) -> str:
    """A file of what other networks heard of `EXAMPLES`."""
    probabilities = np.zeros((len(heard), len(FINE_LABELS)), np.float32)
    for row, opinion in zip(probabilities, heard, strict=True):
        row[list(opinion)] = list(opinion.values())
    np.savez(path, paths=[e.path for e in EXAMPLES], probabilities=probabilities)
    return str(path)


def targets(config: TrainingConfig) -> np.ndarray:
    """The targets of `EXAMPLES`."""
    from drumwatchd.training.batches import Batches

    x = np.zeros((len(EXAMPLES), 1, 4, 4), np.float16)
    return Batches([FeatureSet(x, EXAMPLES, [])], lambda _: True, config)._y


def test_opinions_are_blended_into_labels(tmp_path: Path) -> None:
    """What other networks heard has its share in the target."""
    path = opinions(tmp_path / "o.npz", {SNARE: 1.0}, {RIM: 1.0})
    y = targets(TrainingConfig(opinions=path, opinion_weight=0.25, label_smoothing=0.0))
    assert (y[0, KICK], y[0, SNARE]) == pytest.approx((0.75, 0.25))
    assert y[1, RIM] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("heard", "kept"), [({SNARE: 0.95, KICK: 0.05}, 0.05), ({SNARE: 0.8, KICK: 0.2}, 1.0)]
)
def test_only_a_sure_contradiction_relabels(
    heard: dict[int, float], kept: float, tmp_path: Path
) -> None:
    """A label gives way to another folder that is sure enough; a finer doubt changes nothing."""
    path = opinions(tmp_path / "o.npz", heard, {SNARE: 1.0})
    config = TrainingConfig(
        opinions=path, opinion_weight=1.0, opinion_above=0.9, label_smoothing=0.0
    )
    y = targets(config)
    assert y[0, KICK] == pytest.approx(kept)
    assert y[1, RIM] == pytest.approx(1.0)  # a rim heard as a snare is in the same folder


def test_a_network_makes_its_own_cepstrum() -> None:
    """The fixed layer is the orthonormal cosine transform of each frame."""
    import keras

    from drumwatchd.training.networks import cepstral_cnn

    model = cepstral_cnn((16, 12), len(FINE_LABELS), 0.25)
    inner = keras.Model(model.input, model.get_layer("cosines").output)
    x = np.random.default_rng(0).standard_normal((2, 16, 12)).astype(np.float32)
    expected = scipy.fft.dct(x, axis=1, norm="ortho").transpose(0, 2, 1)
    np.testing.assert_allclose(inner.predict(x, verbose=0), expected, atol=1e-4)
    assert not model.get_layer("cosines").trainable
