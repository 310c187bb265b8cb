"""What an analysis needs to know; picklable, safe for the daemon's own process."""

from __future__ import annotations

from dataclasses import dataclass

from drumwatchd.analysis.labels import CANONICAL_LABELS


@dataclass(frozen=True, slots=True)
class AnalysisSettings:
    """How a worker judges.

    Attributes:
        model_dir: folder of the configured model.
        store: folder of the models that were adapted from it, of which one may be active; ``""`` for
            none.
        confidence_threshold: folded probability below which a sample goes to ``misc``.
        top_k: how many fine labels an analysis names.
        target_labels: labels that have a folder of their own.
        use_names: what a file and its folders are called counts beside what is heard.
    """

    model_dir: str
    confidence_threshold: float = 0.5
    top_k: int = 3
    target_labels: tuple[str, ...] = CANONICAL_LABELS
    use_names: bool = False
    store: str = ""
