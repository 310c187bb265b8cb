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
