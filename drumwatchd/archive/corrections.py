"""What the owner did in the archive by hand, told by content and written down.

A sample that is gone from its place and stands in another class folder was moved: a correction. In
the same one it was renamed. In none it is missing, and gone once it has been so for long enough. A
file that somebody edited in its place is the sample still, with other content. One that couldn't be
judged is filed where its owner puts it.
"""

from __future__ import annotations

import os
from enum import Enum

from drumwatchd.archive.archive import Archive
from drumwatchd.files import Source
from drumwatchd.index.rows import Row
from drumwatchd.index.store import Index
from drumwatchd.log import get_logger

log = get_logger()


class Finding(Enum):
    """What a file in a class folder turned out to be."""

    CORRECTED = "corrected"
    RENAMED = "renamed"
    BACK = "back"
    CHANGED = "changed"
    NOTHING = "nothing"  # in its place, a copy, or nothing that the index knows


class Registrar:
    """Writes down what files in the class folders turn out to be."""

    def __init__(self, index: Index, archive: Archive) -> None:
        self._index = index
        self._archive = archive
        self._corrections = archive.corrections
        self._places = archive.places

    def decide(self, source: Source, digest: str) -> Finding:
        """Write down what the file that was digested is.

        Raises:
            ArchiveError: the archive isn't there; nothing is proved.
        """
        relative = os.path.relpath(source.path, self._archive.settings.root)
        label = self._archive.classes.label_of(relative.split("/", 1)[0])
        if label is None:
            return Finding.NOTHING
        self._archive.check()
        standing = self._places.at(relative)
        if standing is None:
            if self._places.is_place(relative):
                return Finding.NOTHING  # placed, or moved there by a command, right now
            return self._find(source, relative, label, digest)
        if standing.moving_to is not None:
            return Finding.NOTHING
        if standing.digest == digest:
            self._corrections.touched(standing, source.mtime_ns)
            return Finding.NOTHING
        if self._index.row_of(digest) is None:
            return self._change(source, standing, digest)
        self._corrections.miss([(standing.id, relative)])  # another sample was put in its place
        return self._find(source, relative, label, digest)

    def _find(self, source: Source, relative: str, label: str, digest: str) -> Finding:
        row = self._index.row_of(digest)
        if row is None or not self._archive.is_sought(row):
            return Finding.NOTHING
        if not self._archive.record_found(row, relative, label, source.mtime_ns):
            return Finding.NOTHING
        if label != row.label:
            log.info(
                "corrected", digest=digest, was=row.label, label=label, how="moved",
                path=relative, stood=row.path,
            )  # fmt: skip
            return Finding.CORRECTED
        if row.state == "gone":
            log.info("back", digest=digest, label=label, path=relative)
            return Finding.BACK
        if row.path != relative:
            log.info("renamed", digest=digest, label=label, path=relative, stood=row.path)
            return Finding.RENAMED
        return Finding.NOTHING

    def _change(self, source: Source, row: Row, digest: str) -> Finding:
        if not self._corrections.changed(row, digest, source.size, source.mtime_ns):
            return Finding.NOTHING
        log.warning("edited in the archive", path=row.path, was=row.digest, digest=digest)
        return Finding.CHANGED

    def give_up(self, rows: list[Row]) -> None:
        """Samples that were looked for long enough are gone.

        Raises:
            ArchiveError: the archive isn't there; nothing is proved.
        """
        self._archive.check()
        self._corrections.gone(rows)
        for row in rows:
            log.info("gone", digest=row.digest, label=row.label, path=row.path)
