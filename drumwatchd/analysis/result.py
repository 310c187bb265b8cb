"""What an analysis says of one sample; plain values, safe for the daemon's own process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the 34 probabilities were folded and judged.

    Attributes:
        label: where the sample goes: a target label, or ``misc``.
        folded: best of the target labels and ``misc`` before the threshold.
        fine: best of the fine labels.
        confidence: probability of `folded`, in [0, 1].
        probabilities: of the target labels and ``misc``; sums to 1.
        top: the most probable fine labels, best first, as (label, probability).
        reason: one phrase that says why `label` is what it is.
        review: why a person should look at it; None where nothing is in doubt.
        tag: what is finer than `fine`, as ``open`` of a hi-hat; None where nothing sure is known.
    """

    label: str
    folded: str
    fine: str
    confidence: float
    probabilities: dict[str, float]
    top: tuple[tuple[str, float], ...]
    reason: str
    review: str | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    """A verdict and what it rests on.

    Attributes:
        verdict: where the sample goes, and why.
        model: id of the model that judged.
        embedding: little-endian float16 bytes of the network's embedding.
        duration_seconds: length of the whole file by its header.
        sample_rate_hz: as stored in the file.
        channels: as stored in the file.
    """

    verdict: Verdict
    model: str
    embedding: bytes
    duration_seconds: float
    sample_rate_hz: int
    channels: int


@dataclass(frozen=True, slots=True)
class Measures:
    """What can be measured of the analysed beginning of a file without a model.

    Attributes:
        rms_db: level of what isn't padding, dB below full scale; None for digital silence.
        centroid_hz: centre of gravity of its spectrum's magnitudes, Hz; None for digital silence.
        rolloff_hz: below it lie 85 % of them, Hz; None for digital silence.
    """

    rms_db: float | None
    centroid_hz: float | None
    rolloff_hz: float | None


@dataclass(frozen=True, slots=True)
class Hearing:
    """An analysis with all that a later judgement may want.

    Attributes:
        analysis: the verdict, and what it rests on.
        fine: probability of each fine label, what was corrected and what names say heeded as in the
            verdict.
        measures: of the sound itself.
    """

    analysis: Analysis
    fine: dict[str, float]
    measures: Measures
