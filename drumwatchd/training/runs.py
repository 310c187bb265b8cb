"""One whole run of whichever design its settings are for."""

from __future__ import annotations

from pathlib import Path

from drumwatchd.training.artefacts import RunFiles
from drumwatchd.training.progress import Progress
from drumwatchd.training.reference import train_reference
from drumwatchd.training.settings import ReferenceConfig, RunConfig
from drumwatchd.training.teachers import opinions_for
from drumwatchd.training.train import TrainingRun, train


def train_any(
    config: RunConfig,
    files: RunFiles,
    *,
    cache: Path,
    processes: int = 1,
    progress: Progress | None = None,
) -> TrainingRun:
    """Train; first the teachers, if there are to be any."""
    if isinstance(config, ReferenceConfig):
        return train_reference(config, files, cache=cache, processes=processes, progress=progress)
    opinions = opinions_for(config, cache=cache, processes=processes, progress=progress)
    return train(
        config, files, cache=cache, opinions=opinions, processes=processes, progress=progress
    )
