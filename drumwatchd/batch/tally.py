"""What a run, or an index, holds in numbers: as summaries, statistics and plots show it."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drumwatchd.errors import RunError

CONFIDENCE_BINS = 20
DURATION_EDGES = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class Tally:
    """Counts, added to file by file; memory doesn't depend on how many there are.

    Attributes:
        files, size: all of them, and their bytes.
        duplicates: of content that another file has, too.
        labels: judged files, by label.
        confidences: by label, how many lie in each twentieth of [0, 1].
        confidence_sums: by label.
        durations: how many lie from each of `DURATION_EDGES` to the next.
        seconds: of sound.
        errors: files that couldn't be judged, by kind.
        review: files that a person should look at.
    """

    files: int = 0
    size: int = 0
    duplicates: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    confidences: dict[str, list[int]] = field(default_factory=dict)
    confidence_sums: dict[str, float] = field(default_factory=dict)
    durations: list[int] = field(default_factory=lambda: [0] * len(DURATION_EDGES))
    seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    review: int = 0

    def judged(
        self, label: str, confidence: float | None, duration: float, *, review: bool
    ) -> None:
        """Count what was heard of one file; it has no confidence where its owner filed it unheard."""
        self.labels[label] += 1
        bins = self.confidences.setdefault(label, [0] * CONFIDENCE_BINS)
        self.confidence_sums.setdefault(label, 0.0)
        if confidence is not None:
            bins[min(CONFIDENCE_BINS - 1, int(confidence * CONFIDENCE_BINS))] += 1
            self.confidence_sums[label] += confidence
        self.durations[bisect.bisect_right(DURATION_EDGES, duration) - 1] += 1
        self.seconds += duration
        self.review += review

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Tally:
        """What `as_dict` made.

        Raises:
            RunError: it isn't that.
        """
        try:
            labels = said["labels"]
            return cls(
                files=int(said["files"]),
                size=int(said["bytes"]),
                duplicates=int(said["duplicates"]),
                labels=Counter({label: int(one["files"]) for label, one in labels.items()}),
                confidences={label: one["confidence_histogram"] for label, one in labels.items()},
                confidence_sums={
                    label: one["mean_confidence"] * sum(one["confidence_histogram"])
                    for label, one in labels.items()
                },
                durations=list(said["duration"]["histogram"]),
                seconds=float(said["duration"]["seconds"]),
                errors=Counter(said["errors"]),
                review=int(said["review"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError("the run is damaged: its summary can't be read") from error

    def mean_confidence(self, label: str) -> float:
        """Of the files that have one; 0 where none has."""
        return self.confidence_sums[label] / max(1, sum(self.confidences[label]))

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the same counts give the same text."""
        return {
            "files": self.files,
            "bytes": self.size,
            "judged": sum(self.labels.values()),
            "duplicates": self.duplicates,
            "review": self.review,
            "errors": dict(sorted(self.errors.items())),
            "labels": {
                label: {
                    "files": count,
                    "mean_confidence": round(self.mean_confidence(label), 4),
                    "confidence_histogram": self.confidences[label],
                }
                for label, count in sorted(self.labels.items())
            },
            "duration": {
                "seconds": round(self.seconds, 3),
                "from_seconds": list(DURATION_EDGES),
                "histogram": self.durations,
            },
        }
