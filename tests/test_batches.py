"""What a network is shown while it learns: targets, draws, and the input it makes itself."""

from __future__ import annotations

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


def opinion(*versions: dict[int, float]) -> np.ndarray:
    """What teachers hear in each version of a sound."""
    probabilities = np.zeros((len(versions), len(FINE_LABELS)), np.float32)
    for row, heard in zip(probabilities, versions, strict=True):
        row[list(heard)] = list(heard.values())
    return probabilities


def targets(config: TrainingConfig, *opinions: np.ndarray) -> np.ndarray:
    """The targets of `EXAMPLES`, by version."""
    from drumwatchd.training.batches import Batches

    x = np.zeros((len(EXAMPLES), 2, 4, 4), np.float16)
    heard = dict(zip(EXAMPLES, opinions, strict=False))
    return Batches([FeatureSet(x, EXAMPLES, [])], lambda _: True, config, heard)._y


def test_opinions_are_blended_into_labels() -> None:
    """What teachers hear in a version has its share in that version's target; the rest is the label."""
    config = TrainingConfig(opinion_weight=0.25, label_smoothing=0.0)
    y = targets(config, opinion({SNARE: 1.0}, {KICK: 1.0}))
    assert (y[0, 0, KICK], y[0, 0, SNARE]) == pytest.approx((0.75, 0.25))
    assert y[0, 1, KICK] == pytest.approx(1.0)
    assert y[1, :, RIM] == pytest.approx(1.0)  # nobody heard the second


@pytest.mark.parametrize(
    ("heard", "kept"), [({SNARE: 0.95, KICK: 0.05}, 0.05), ({SNARE: 0.8, KICK: 0.2}, 1.0)]
)
def test_only_a_sure_contradiction_relabels(heard: dict[int, float], kept: float) -> None:
    """A label gives way to another folder that is sure enough; a finer doubt changes nothing."""
    config = TrainingConfig(opinion_weight=1.0, opinion_above=0.9, label_smoothing=0.0)
    y = targets(config, opinion(heard, heard), opinion({SNARE: 1.0}, {SNARE: 1.0}))
    assert y[0, :, KICK] == pytest.approx(kept)
    assert y[1, :, RIM] == pytest.approx(1.0)  # a rim heard as a snare is in the same folder


def test_each_draw_has_the_target_of_its_version() -> None:
    """Input and target of a draw are of the same version."""
    from drumwatchd.training.batches import Batches

    x = np.stack([np.zeros((4, 4)), np.ones((4, 4))])[None].astype(np.float16)
    config = TrainingConfig(
        opinion_weight=1.0, label_smoothing=0.0, masks=False, mixup=0.0, draws=64, batch_size=64
    )
    heard = {EXAMPLES[0]: opinion({KICK: 1.0}, {SNARE: 1.0})}
    drawn = Batches([FeatureSet(x, EXAMPLES[:1], [])], lambda _: True, config, heard)
    seen, y = drawn[0]
    assert set(seen[:, 0, 0]) == {0.0, 1.0}
    np.testing.assert_array_equal(y[:, SNARE], seen[:, 0, 0])


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
