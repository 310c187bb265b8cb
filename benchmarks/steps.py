"""The story of one file without the daemon: each step called in this process, and timed.

The bare steps are the least that filing a sample durably takes: read and digest, decode, features,
network, one row, one link. The full steps are those of the daemon, with its own rooms.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from drumwatchd.analysis import audio
from drumwatchd.analysis.analyse import analyse
from drumwatchd.analysis.classifier import Classifier
from drumwatchd.analysis.features import FeatureExtractor
from drumwatchd.analysis.model_card import shipped_model
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.archive.archive import Archive, ArchiveSettings
from drumwatchd.archive.manifest import Manifests
from drumwatchd.archive.marker import create_marker
from drumwatchd.archive.placement import remove_source
from drumwatchd.files import Source, digest_source, fsync_folder, look
from drumwatchd.index.store import open_index

BARE = ("read and digest", "decode", "features", "network", "write a row", "link")
FULL = ("read and digest", "claim", "analyse", "place", "record", "remove the source")


class Steps:
    """Two archives with an index each, on the file system that the daemon works on."""

    def __init__(self, folder: Path) -> None:
        self._bare_archive, root = folder / "bare", folder / "full"
        self._bare_archive.mkdir(parents=True)
        root.mkdir()
        self._rows = sqlite3.connect(folder / "bare.sqlite3", isolation_level=None)
        self._rows.execute("PRAGMA journal_mode = WAL")
        self._rows.execute("PRAGMA synchronous = FULL")
        self._rows.execute("CREATE TABLE samples (digest TEXT UNIQUE, path TEXT)")
        self._index = open_index(str(folder / "full.sqlite3"), "sha256")
        create_marker(str(root), "benchmark")
        settings = ArchiveSettings(
            str(root), "move", "{label}/{stem}{suffix}", "sha256", "benchmark"
        )
        self._archive = Archive(settings, self._index, Manifests(str(root), self._index))
        self._settings = AnalysisSettings(str(shipped_model()))
        self._classifier = Classifier(shipped_model())
        self._extract = FeatureExtractor(self._classifier.card.features)

    def close(self) -> None:
        """Close both indexes."""
        self._rows.close()
        self._index.close()

    def bare(self, path: Path) -> dict[str, float]:
        """Seconds of each bare step for a file; afterwards it stands in the bare archive too."""
        spent: dict[str, float] = {}
        source = _look(path)
        with _timed(spent, "read and digest"):
            digest = digest_source(source, "sha256")
        with _timed(spent, "decode"):
            recording = audio.load(source.path, self._classifier.card.features)
        with _timed(spent, "features"):
            features = self._extract(recording.y)
        with _timed(spent, "network"):
            self._classifier.predict(features[None])
        with _timed(spent, "write a row"):
            self._rows.execute("INSERT INTO samples VALUES (?, ?)", (digest, path.name))
        with _timed(spent, "link"):
            _sync(source.path)
            os.link(source.path, self._bare_archive / path.name)
            fsync_folder(str(self._bare_archive))
        return spent

    def full(self, path: Path) -> dict[str, float]:
        """Seconds of each of the daemon's steps for a file; afterwards it is filed and gone."""
        spent: dict[str, float] = {}
        source = _look(path)
        with _timed(spent, "read and digest"):
            digest = digest_source(source, "sha256")
        with _timed(spent, "claim"):
            row = self._index.claim(source, digest).row
        with _timed(spent, "analyse"):
            analysis = analyse(source.path, self._settings)
        with _timed(spent, "place"):
            self._archive.check()
            relative = self._archive.file(row, source, analysis)
        with _timed(spent, "record"):
            self._archive.record_filed(row, relative, analysis.verdict.label, remember=False)
        with _timed(spent, "remove the source"):
            remove_source(source)
        return spent


@contextlib.contextmanager
def _timed(spent: dict[str, float], step: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    spent[step] = time.perf_counter() - started


def _look(path: Path) -> Source:
    source = look(str(path), str(path.parent))
    assert source is not None
    return source


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
