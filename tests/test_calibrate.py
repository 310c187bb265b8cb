"""Temperature and doubt, on probabilities that are made up."""

from __future__ import annotations

import numpy as np
import pytest

from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.training.corpus import Example
from drumwatchd.training.evaluate import measure

pytestmark = [
    pytest.mark.train,
    # Keras hands arrays to numpy 2 in the way of numpy 1.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

KICK, FX = FINE_LABELS.index("Kick"), FINE_LABELS.index("FX")


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def boastful(n: int = 2_000) -> tuple[np.ndarray, list[Example]]:
    """Kicks and non-drums of a network that is right four times in five and always nearly sure."""
    rng = np.random.default_rng(3)
    true = np.where(rng.random(n) < 0.5, KICK, FX)
    judged = np.where(rng.random(n) < 0.8, true, KICK + FX - true)
    logits = rng.normal(0.0, 0.1, (n, len(FINE_LABELS)))
    logits[np.arange(n), true] += 7.0
    logits[np.arange(n), judged] += np.where(judged == true, 2.0, 9.0)
    examples = [
        Example(str(row), FINE_LABELS[label], "s", "k", 0) for row, label in enumerate(true)
    ]
    return softmax(logits), examples


def test_without_a_calibration_nothing_changes() -> None:
    """Temperature 1 and doubt 0 give the same probabilities."""
    from drumwatchd.training.calibrate import Calibration

    probabilities, _ = boastful(50)
    np.testing.assert_allclose(Calibration().apply(probabilities), probabilities, atol=1e-6)


def test_a_boastful_network_is_warmed() -> None:
    """The temperature found makes confidences mean what they say."""
    from drumwatchd.training.calibrate import fit

    probabilities, examples = boastful()
    found = fit(probabilities, examples)
    assert found.temperature > 1.2
    before, after = measure(probabilities, examples), measure(found.apply(probabilities), examples)
    assert before.calibration_error > 0.15
    assert after.calibration_error < before.calibration_error


def test_doubt_sends_non_drums_to_misc() -> None:
    """The doubt found is enough for nineteen non-drums of twenty."""
    from drumwatchd.training.calibrate import NON_DRUMS_WANTED, fit

    probabilities, examples = boastful()
    assert measure(probabilities, examples).non_drums_in_misc < NON_DRUMS_WANTED
    found = fit(probabilities, examples)
    assert found.doubt > 0
    assert measure(found.apply(probabilities), examples).non_drums_in_misc >= NON_DRUMS_WANTED


def test_without_non_drums_there_is_no_doubt() -> None:
    """What can't be measured isn't bought with drums."""
    from drumwatchd.training.calibrate import fit

    probabilities, examples = boastful(200)
    drums_only = [row for row, example in enumerate(examples) if example.label == "Kick"]
    found = fit(probabilities[drums_only], [examples[row] for row in drums_only])
    assert found.doubt == 0.0


def test_a_calibration_folds_into_the_last_layer() -> None:
    """The changed network says what `apply` makes of the unchanged one's words."""
    import keras

    from drumwatchd.training.calibrate import Calibration
    from drumwatchd.training.networks import residual_cnn

    keras.utils.set_random_seed(2)
    model = residual_cnn((16, 16), len(FINE_LABELS), 0.25)
    x = np.random.default_rng(0).standard_normal((5, 16, 16)).astype(np.float32)
    before = model.predict(x, verbose=0)["probabilities"]
    found = Calibration(1.7, 0.9)
    found.fold_into(model)
    after = model.predict(x, verbose=0)["probabilities"]
    np.testing.assert_allclose(after, found.apply(before), atol=1e-5)
    found.take_out_of(model)
    again = model.predict(x, verbose=0)["probabilities"]
    np.testing.assert_allclose(again, before, atol=1e-5)
