"""Make confidences mean what they say, and doubt sounds that are no drum.

Two numbers, both folded into the last layer, so that they cost nothing later: a temperature, and how
much likelier a sound is held to be no drum at all than the corpus, which is mostly drums, suggests.

References:
    Guo et al., "On Calibration of Modern Neural Networks", 2017 (temperature).
    Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori Probabilities", 2002.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt

from drumwatchd.analysis.labels import CANONICAL_OF, FINE_LABELS
from drumwatchd.training.corpus import Example
from drumwatchd.training.evaluate import FOLD, FOLDERS, measure

Array = npt.NDArray[np.float32]

NON_DRUM = FINE_LABELS.index("FX")
# Of the sounds that are no drum, so many should reach misc.
NON_DRUMS_WANTED = 0.95
_TEMPERATURES = np.geomspace(0.4, 2.5, 64)
_DOUBTS = np.linspace(0.0, 4.0, 41)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is done to the logits z: z / temperature, plus the doubt for the label FX.

    Attributes:
        temperature: above 1 where the network is too sure.
        doubt: natural logarithm of a factor on the odds of "no drum".
    """

    temperature: float = 1.0
    doubt: float = 0.0

    def apply(self, probabilities: Array) -> Array:
        """Calibrate fine probabilities, float32 [shape=(n, 34)]."""
        logits = np.log(np.maximum(probabilities, 1e-12)) / self.temperature
        logits[:, NON_DRUM] += self.doubt
        logits -= logits.max(axis=1, keepdims=True)
        odds = np.exp(logits)
        return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float32)

    def fold_into(self, model: keras.Model) -> None:
        """Change the layer ``logits`` of `model` so that its probabilities come out calibrated."""
        layer = model.get_layer("logits")
        kernel, bias = (weights / self.temperature for weights in layer.get_weights())
        bias[NON_DRUM] += self.doubt
        layer.set_weights([kernel, bias])

    def take_out_of(self, model: keras.Model) -> None:
        """Undo `fold_into`."""
        layer = model.get_layer("logits")
        kernel, bias = layer.get_weights()
        bias[NON_DRUM] -= self.doubt
        layer.set_weights([kernel * self.temperature, bias * self.temperature])


def fit(probabilities: Array, examples: Sequence[Example]) -> Calibration:
    """Find both numbers on sounds that the networks never trained on.

    The doubt is the least with which enough of the non-drums reach misc, none where there are no
    non-drums; the temperature then minimises the negative log-likelihood of the six folders and misc.

    Args:
        probabilities: of the fine labels, float32 [shape=(n, 34)].
        examples: the n sounds.
    """
    calibration = Calibration(_best_temperature(probabilities, examples, 0.0))
    if not any(FINE_LABELS[NON_DRUM] == example.label for example in examples):
        return calibration
    for doubt in _DOUBTS:
        calibration = Calibration(_best_temperature(probabilities, examples, doubt), doubt)
        figures = measure(calibration.apply(probabilities), examples)
        if figures.non_drums_in_misc >= NON_DRUMS_WANTED:
            break
    return calibration


def _best_temperature(probabilities: Array, examples: Sequence[Example], doubt: float) -> float:
    true = [FOLDERS.index(CANONICAL_OF[example.label]) for example in examples]
    rows = np.arange(len(true))

    def loss(temperature: float) -> float:
        folded = Calibration(temperature, doubt).apply(probabilities) @ FOLD
        return float(-np.log(np.maximum(folded[rows, true], 1e-12)).mean())

    return float(min(_TEMPERATURES, key=loss))
