"""Index and archive for a command that changes them, whether a daemon works on them or not."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

from drumwatchd.analysis.model_card import ModelCard, configured_model, read_card
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.archive.archive import Archive, ArchiveSettings
from drumwatchd.archive.manifest import Manifests
from drumwatchd.config import ClassifyConfig, Config
from drumwatchd.errors import AlreadyRunningError, ArchiveError, UsageError
from drumwatchd.index import lock
from drumwatchd.index.store import Index, open_index


def archive_settings(config: Config, index: Index, card: ModelCard) -> ArchiveSettings:
    """Where and how samples are filed, as configured."""
    return ArchiveSettings(
        root=str(config.archive.root),
        mode=config.archive.mode,
        name_template=config.archive.name_template,
        algorithm=config.index.hash_algorithm,
        archive_id=index.meta("archive_id", str(uuid.uuid4())),
        target_labels=config.classify.target_labels,
        canonical_of=card.canonical_of,
        own_folders=config.archive.own_folders,
    )


def analysis_settings(classify: ClassifyConfig, store: str) -> AnalysisSettings:
    """How samples are judged, as configured; adapted models live in `store`."""
    return AnalysisSettings(
        model_dir=str(configured_model(classify.model)),
        store=store,
        confidence_threshold=classify.confidence_threshold,
        top_k=classify.top_k,
        target_labels=classify.target_labels,
        use_names=classify.use_names,
    )


@contextlib.contextmanager
def open_desk(config: Config) -> Iterator[tuple[Index, Archive]]:
    """Open both; in the end the manifests follow, by us or by the daemon that runs.

    Raises:
        UsageError: there is no index yet.
        IndexStoreError, ModelError: they can't be used.
    """
    path = str(config.index.path)
    if not config.index.path.exists():
        raise UsageError(
            "there is no index yet", path=path, hint="`drumwatchd scan` or `run` makes it"
        )
    card = read_card(configured_model(config.classify.model))
    index = open_index(path, config.index.hash_algorithm)
    try:
        settings = archive_settings(config, index, card)
        archive = Archive(settings, index, Manifests(settings.root, index))
        yield index, archive
        _mend_manifests(path, archive)
    finally:
        index.close()


def _mend_manifests(index_path: str, archive: Archive) -> None:
    """What can't be mended now is at the next start; a daemon that runs mends it itself."""
    with contextlib.suppress(AlreadyRunningError, ArchiveError, OSError), lock.hold(index_path):
        if archive.owes_manifests():
            archive.flush()
