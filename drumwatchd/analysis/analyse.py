"""From a path to an `Analysis`: decode, features, network, verdict. Runs in worker processes.

Models stay loaded per process; a changed model folder is noticed by its card.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from drumwatchd.analysis import audio, labels, neighbours
from drumwatchd.analysis.classifier import Classifier
from drumwatchd.analysis.features import FeatureExtractor
from drumwatchd.analysis.model_card import CARD_NAME
from drumwatchd.analysis.model_store import choose
from drumwatchd.analysis.result import Analysis, Hearing, Measures, Verdict
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.analysis.verdicts import judge_of
from drumwatchd.errors import AnalysisError, ModelError, SourceChangedError

Array = npt.NDArray[np.float32]
Failure = AnalysisError | SourceChangedError

SILENT = "silent"
# More gain nothing and cost memory: one batch of features and activations is about 60 MB.
_BATCH_SIZE = 32
_EVERY_LABEL = 10**6
_ROLLOFF = 0.85


def analyse(path: str, settings: AnalysisSettings, *, name: str = "") -> Analysis:
    """Judge one file.

    Args:
        path: of the file.
        settings: how to judge.
        name: its path below the inbox, evidence where `settings.use_names` says so.

    Raises:
        AnalysisError: if the file can't be judged.
        ModelError: if the model can't be used.
        SourceChangedError: if the file is gone.
    """
    classifier, extractor = _current(settings)
    recording = audio.load(path, classifier.card.features)
    outputs = classifier.predict(extractor(recording.y)[None])
    return _analysis(recording, outputs[0][0], outputs[1][0], classifier, settings, name)


def analyse_many(paths: Sequence[str], settings: AnalysisSettings) -> list[Analysis | Failure]:
    """Judge several files by their sound, the network in batches.

    A file that can't be judged gives its error in its place.

    Raises:
        ModelError: if the model can't be used.
    """
    heard = hear_many(paths, [""] * len(paths), settings)
    return [item.analysis if isinstance(item, Hearing) else item for item in heard]


def hear_many(
    paths: Sequence[str], names: Sequence[str], settings: AnalysisSettings
) -> list[Hearing | Failure]:
    """As `analyse_many`, with everything that was heard.

    What is said of a file doesn't depend, to the last bit, on the files beside it.

    Args:
        paths: of the files.
        names: of each, as `analyse` takes it.
        settings: how to judge.
    """
    results: list[Hearing | Failure] = []
    for start in range(0, len(paths), _BATCH_SIZE):
        part = slice(start, start + _BATCH_SIZE)
        results += _hear_batch(paths[part], names[part], settings)
    return results


def _hear_batch(
    paths: Sequence[str], names: Sequence[str], settings: AnalysisSettings
) -> list[Hearing | Failure]:
    classifier, extractor = _current(settings)
    # The network always sees a whole batch: another shape is laid out anew, and may add in another
    # order.
    features = np.zeros((_BATCH_SIZE, *classifier.card.features.shape), dtype=np.float32)
    loaded: list[audio.Recording | Failure] = []
    measures: list[Measures] = []
    for path in paths:
        loaded.append(_load_or_error(path, classifier))
        if isinstance(recording := loaded[-1], audio.Recording):
            features[len(measures)] = extractor(recording.y)
            measures.append(measured(recording.y, recording.sr, extractor.spectrum()))
    if not measures:
        return [item for item in loaded if not isinstance(item, audio.Recording)]
    heard = iter(zip(measures, *classifier.predict(features), strict=False))
    return [
        item
        if not isinstance(item, audio.Recording)
        else _hearing(item, *next(heard), classifier, settings, name)
        for item, name in zip(loaded, names, strict=True)
    ]


def _hearing(
    recording: audio.Recording,
    measures: Measures,
    embedding: Array,
    probabilities: Array,
    classifier: Classifier,
    settings: AnalysisSettings,
    name: str,
) -> Hearing:
    everything = dataclasses.replace(settings, top_k=_EVERY_LABEL)
    found = _analysis(recording, embedding, probabilities, classifier, everything, name)
    fine, top = dict(found.verdict.top), found.verdict.top[: settings.top_k]
    return Hearing(
        dataclasses.replace(found, verdict=dataclasses.replace(found.verdict, top=top)),
        fine,
        measures,
    )


def measured(y: Array, sr: int, power: Array) -> Measures:
    """Measure a sound.

    Args:
        y: float32 [shape=(n,)], level as stored.
        sr: its sample rate, Hz.
        power: its power spectrum at any scale, float32 [shape=(n_bins,)], from 0 to sr/2.

    References:
        McFee et al., "librosa", 2015: `spectral_centroid`, `spectral_rolloff`, of one long frame.
    """
    mean_square = float(np.dot(y, y)) / y.size
    magnitude = np.sqrt(power)
    sums = np.cumsum(magnitude, dtype=np.float64)
    if not mean_square > 0.0 or not 0.0 < sums[-1] < np.inf:
        return Measures(None, None, None)
    bin_hz = sr / 2 / (power.size - 1)
    centroid_hz = bin_hz * float(magnitude @ np.arange(power.size, dtype=np.float32)) / sums[-1]
    rolloff_hz = bin_hz * int(np.searchsorted(sums, _ROLLOFF * sums[-1]))
    return Measures(10.0 * math.log10(mean_square), float(centroid_hz), float(rolloff_hz))


def _load_or_error(path: str, classifier: Classifier) -> audio.Recording | Failure:
    try:
        return audio.load(path, classifier.card.features)
    except (AnalysisError, SourceChangedError) as error:
        return error


def _analysis(
    recording: audio.Recording,
    embedding: Array,
    probabilities: Array,
    classifier: Classifier,
    settings: AnalysisSettings,
    name: str = "",
) -> Analysis:
    card = classifier.card
    heard = dict(zip(card.labels, probabilities.tolist(), strict=True))
    if recording.is_silent:
        verdict = _silent(judge_of(card, settings)(heard))
    elif recording.not_one_hit is not None:
        # The probabilities stay: they are what the network made of the beginning.
        verdict = judge_of(card, settings)(heard)
        verdict = dataclasses.replace(verdict, label=labels.MISC, reason=recording.not_one_hit)
    else:
        said = neighbours.current(settings.store, card.backbone, card.embedding_size)
        verdict = neighbours.verdict_heeding(said, heard, embedding, card, settings, name)
    return Analysis(
        verdict=verdict,
        model=card.id,
        embedding=embedding.astype("<f2").tobytes(),
        duration_seconds=recording.duration_seconds,
        sample_rate_hz=recording.sample_rate_hz,
        channels=recording.channels,
    )


def _silent(verdict: Verdict) -> Verdict:
    """Nothing is heard, so misc is certain whatever the network makes of an empty picture."""
    probabilities = dict.fromkeys(verdict.probabilities, 0.0) | {labels.MISC: 1.0}
    return dataclasses.replace(
        verdict,
        label=labels.MISC,
        folded=labels.MISC,
        confidence=1.0,
        probabilities=probabilities,
        reason=SILENT,
    )


def _current(settings: AnalysisSettings) -> tuple[Classifier, FeatureExtractor]:
    """What judges the next file: the active model, where one was adapted, else the configured one."""
    configured = settings.model_dir
    if not settings.store:
        return _loaded(configured, _stamp(configured))
    folder = str(choose(settings.store, configured).card.folder)
    try:
        return _loaded(folder, _stamp(folder))
    except ModelError:
        if folder == configured:
            raise
        return _loaded(configured, _stamp(configured))


@functools.lru_cache(maxsize=2)
def _loaded(model_dir: str, stamp: tuple[int, int]) -> tuple[Classifier, FeatureExtractor]:
    classifier = Classifier(model_dir)
    return classifier, FeatureExtractor(classifier.card.features)


def _stamp(model_dir: str) -> tuple[int, int]:
    """Changes when the model in the folder does: its card is always replaced, never edited."""
    path = os.path.join(model_dir, CARD_NAME)
    try:
        status = os.stat(path)
    except OSError as error:
        raise ModelError(f"no model card ({error.strerror})", path=path) from error
    return status.st_ino, status.st_mtime_ns
