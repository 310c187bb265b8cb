"""A truncated upload gives way to the whole file, once that comes under the same name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from drumwatchd.archive.archive import Archive
from drumwatchd.archive.moves import Mover
from drumwatchd.errors import UsageError
from drumwatchd.files import CHUNK_BYTES, Source, open_regular
from drumwatchd.index.rows import Row
from drumwatchd.index.store import Index
from drumwatchd.index.superseded import EVENT, Superseded, Whole
from drumwatchd.log import get_logger

log = get_logger()


class Superseding:
    """Finds what is only the beginning of a file, and sets it aside once that was heard."""

    def __init__(self, index: Index, archive: Archive) -> None:
        self._archive = archive
        self._superseded = Superseded(index)
        self._mover = Mover(index, archive)

    def beginnings_of(self, source: Source, digest: str) -> list[Row]:
        """Samples from the same path that are the first bytes of this content, and nothing else.

        What their owner said of them he said of this content from now on.

        Args:
            source: where the content came from.
            digest: of it.

        Returns:
            None of them where it can't be read; whatever reads it next says so.
        """
        smaller = self._superseded.smaller_from(source)
        if not smaller:
            return []
        sizes = sorted({row.source.size for row in smaller})
        try:
            begun = _digests_of_beginnings(source.path, sizes, self._archive.settings.algorithm)
        except OSError:
            return []
        found = [row for row in smaller if begun.get(row.source.size) == row.digest]
        for row in found:
            self._superseded.carry_word(row, digest)
        return found

    def set_aside(self, beginnings: Sequence[Row], source: Source, digest: str) -> None:
        """Put beginnings into quarantine, with the reason; what is set aside already stays there.

        Args:
            beginnings: of the content.
            source: where that came from.
            digest: of it.

        Raises:
            ArchiveError, IndexStoreError: it can't be done now.
        """
        for row in beginnings:
            try:
                self._set_aside(row, Whole(source.name, digest))
            except UsageError as error:  # somebody has it in hand
                log.warning("beginning stays", path=row.path, reason=error.message)
                continue
            log.info("superseded", digest=row.digest, by=digest, path=row.path)

    def make_way(self, row: Row, source: Source, digest: str) -> bool:
        """Let go of the archive's link to a file whose upload went on; it is filed anew as a whole.

        Returns:
            False where the link isn't to this file, or that doesn't begin as the sample did.

        Raises:
            ArchiveError: the link can't be removed now.
        """
        if row.path is None or not self._archive.shares_file(row, source):
            return False
        if row.id not in {each.id for each in self.beginnings_of(source, digest)}:
            return False
        self._archive.take_back(row.path, source)
        self._forget(row, Whole(source.name, digest))
        log.info("superseded", digest=row.digest, by=digest, path=row.path)
        return True

    def _set_aside(self, row: Row, whole: Whole) -> None:
        if row.path is None:
            self._forget(row, whole)
        elif row.state == "quarantined":
            self._superseded.stay(row, whole)
        else:
            self._mover.set_aside(row, lambda at: self._superseded.begin(row, whole, at))

    def _forget(self, row: Row, whole: Whole) -> None:
        """Nothing is left of a beginning: the whole file stands where it stood."""
        self._archive.unrecord(row, row.label, whole.reason, event=EVENT)


def _digests_of_beginnings(path: str, sizes: Sequence[int], algorithm: str) -> dict[int, str]:
    """Size → digest of so many first bytes, for ascending sizes; the file is read once."""
    digest, done, found = hashlib.new(algorithm, usedforsecurity=False), 0, dict[int, str]()
    descriptor = open_regular(path)
    try:
        for size in sizes:
            while done < size:
                chunk = os.read(descriptor, min(CHUNK_BYTES, size - done))
                if not chunk:
                    return found
                digest.update(chunk)
                done += len(chunk)
            found[size] = digest.copy().hexdigest()
    finally:
        os.close(descriptor)
    return found
