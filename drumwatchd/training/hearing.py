"""Hear corrected samples again that another network judged, so that nothing has to be said twice.

After an upgrade, or once a whole network was retrained, the index keeps embeddings that mean nothing to
the network that judges now. The files are in the archive still: a worker hears them there, some at a
time, and what it makes of them is kept beside the judgement, which stays as it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from drumwatchd.analysis import model_store
from drumwatchd.analysis.model_card import ModelCard, read_card
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.analysis.workers import Workers
from drumwatchd.errors import AnalysisError, ModelError, SourceChangedError
from drumwatchd.files import digest_of
from drumwatchd.index.hearings import Hearings
from drumwatchd.index.lessons import unheard_lessons
from drumwatchd.index.reader import open_reader
from drumwatchd.index.records import Lesson
from drumwatchd.index.store import open_index

# A minute or less on a small machine; the next run goes on from there.
MOST_AT_A_TIME = 1_000
_TIMEOUT_SECONDS = 60.0
_MEMORY_MB = 768


@dataclass(slots=True)
class Heard:
    """What came of hearing again.

    Attributes:
        heard: so many samples can be learned from now.
        failed: can't be decoded, and won't be tried again.
        absent: are not where the index has them, or were edited meanwhile.
        left: are for the next run.
    """

    heard: int = 0
    failed: int = 0
    absent: int = 0
    left: int = 0


def hear_again(
    index_path: str,
    root: str,
    base: ModelCard,
    *,
    algorithm: str = "sha256",
    most: int = MOST_AT_A_TIME,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Heard:
    """Let the network of `base` hear what was corrected and what it hasn't heard yet.

    What is heard is kept at once, so that a run that is killed loses nothing.

    Args:
        index_path: of the index; a daemon may work on it.
        root: of the archive.
        base: the model whose network hears.
        algorithm: of the index's digests.
        most: so many files at most.
        progress: told how many of how many are done.

    Raises:
        IndexStoreError: the index can't be read or written.
        ModelError: the model can't be used.
    """
    found = Heard()
    with open_reader(index_path) as reader:
        lessons = unheard_lessons(reader, base)
    present = [lesson for lesson in lessons if os.path.exists(_path(lesson, root))]
    found.absent = len(lessons) - len(present)
    found.left = max(0, len(present) - most)
    if not present:
        return found
    index = open_index(index_path, algorithm)
    workers = Workers(
        AnalysisSettings(str(base.folder)),
        count=1,
        timeout_seconds=_TIMEOUT_SECONDS,
        memory_mb=_MEMORY_MB,
        idle_seconds=_TIMEOUT_SECONDS,
    )
    try:
        hearings = Hearings(index)
        for number, lesson in enumerate(present[:most], 1):
            _hear(lesson, _path(lesson, root), base, workers, hearings, algorithm, found)
            progress(number, min(len(present), most))
        hearings.keep_only(_networks(model_store.store_folder(index_path), base))
    finally:
        workers.close()
        index.close()
    return found


def _path(lesson: Lesson, root: str) -> str:
    """Where the sound is: what is filed as a link is elsewhere."""
    assert lesson.place is not None
    return os.path.realpath(os.path.join(root, lesson.place))


def _hear(
    lesson: Lesson,
    path: str,
    base: ModelCard,
    workers: Workers,
    hearings: Hearings,
    algorithm: str,
    found: Heard,
) -> None:
    try:
        if digest_of(path, algorithm) != lesson.digest:
            found.absent += 1
            return
        embedding = workers.analyse(path, "").embedding
    except (OSError, SourceChangedError):
        found.absent += 1
    except AnalysisError:
        found.failed += 1
        hearings.add(lesson.digest, base.backbone, None)
    else:
        found.heard += 1
        hearings.add(lesson.digest, base.backbone, embedding)


def _networks(store: str, base: ModelCard) -> set[str]:
    """Of all models that may judge again; what others heard is of no use any more."""
    networks = {base.backbone, base.root}
    for model in model_store.stored_models(store):
        try:
            networks.add(read_card(model.folder).backbone)
        except ModelError:
            continue
    return networks
