"""An archive with its pipeline for tests; only the ear is made up."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from conftest import make_analysis
from drumwatchd.analysis.result import Analysis
from drumwatchd.archive.archive import Archive, ArchiveSettings
from drumwatchd.archive.manifest import Manifests
from drumwatchd.archive.marker import MARKER_NAME, create_marker
from drumwatchd.files import Source
from drumwatchd.index.store import Index
from drumwatchd.pipeline import Outcome, Pipeline


class Ear:
    """Hears what it is told to; may be told to fail."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.names: list[str] = []
        self.says: Analysis | Exception = make_analysis()
        self.meanwhile: Callable[[], object] = lambda: None

    def analyse(self, path: str, name: str) -> Analysis:
        self.heard.append(path)
        self.names.append(name)
        self.meanwhile()
        self.meanwhile = lambda: None
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class House:
    """An archive with its pipeline; `restarted` is what a new process would have."""

    def __init__(self, root: Path, index: Index, inbox: Path) -> None:
        self.root, self.index, self.inbox, self.ear = root, index, inbox, Ear()
        if not (root / MARKER_NAME).exists():
            create_marker(str(root), "id")
        self.set_mode("move")

    def set_mode(
        self, mode: str, duplicates: str = "keep", template: str = "{label}/{stem}{suffix}"
    ) -> None:
        settings = ArchiveSettings(str(self.root), mode, template, "sha256", "id")
        self.manifests = Manifests(str(self.root), self.index)
        self.archive = Archive(settings, self.index, self.manifests)
        self.pipeline = Pipeline(self.index, self.archive, self.ear, {str(self.inbox): duplicates})

    def process(self, source: Source) -> Outcome:
        return self.pipeline.process(source).outcome

    def files(self) -> dict[str, bytes]:
        """Every file below the archive but marker and manifests."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and path.name != MARKER_NAME and "_manifests" not in path.parts
        }

    def manifest(self, label: str = "Kick") -> list[str]:
        path = self.root / "_manifests" / f"{label}.csv"
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return [row["path"] for row in csv.DictReader(stream)]
