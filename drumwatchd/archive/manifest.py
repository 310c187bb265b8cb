"""One CSV per label, derived from the index.

A newly filed sample costs one appended line, however large the archive. Anything else (a missing,
damaged or outdated manifest) is mended by writing the whole file anew from the index and renaming
it over the old one. The index notes up to where each file is known to be durable and right; after
a crash the sizes differ, and that manifest is rewritten.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from drumwatchd.archive.marker import MANIFEST_FOLDER
from drumwatchd.files import fsync_folder, make_folders
from drumwatchd.index.paths import from_db
from drumwatchd.index.store import Index

HEADER = (
    "name", "digest", "label", "fine", "confidence", "top", "model", "added", "source", "path",
)  # fmt: skip


class Manifests:
    """The manifests of one archive. Not thread-safe: its caller records one sample at a time."""

    def __init__(self, root: str, index: Index) -> None:
        self._folder = os.path.join(root, MANIFEST_FOLDER)
        self._index = index
        self._states = index.manifest_states()
        self._unsaved: set[str] = set()
        self._stale: set[str] = set()

    def recover(self) -> list[str]:
        """Rewrite every manifest that doesn't match the index; return their labels.

        One that can't be written now, for want of space, is mended by a later `flush`.
        """
        counts = self._index.count_filed()
        stale = [
            label for label in sorted(counts | self._states) if not self._matches(label, counts)
        ]
        self._stale.update(stale)
        for label in stale:
            with contextlib.suppress(OSError):
                self.rewrite(label)
        return stale

    def append(self, label: str, row_id: int) -> None:
        """Add the line of one newly filed sample.

        Raises:
            OSError: it can't be written; the next `append` or `flush` mends the whole file.
        """
        try:
            if label in self._stale or not self._append_line(label, row_id):
                self.rewrite(label)
        except OSError:
            self._stale.add(label)
            raise

    def is_out_of_date(self) -> bool:
        """Whether a correction, here or by a command, made lines wrong; the next `flush` mends them."""
        self._stale.update(self._index.manifests_out_of_date())
        return bool(self._stale)

    def mend_later(self, label: str) -> None:
        """A row of this label is gone again: the next `append` or `flush` writes the file anew."""
        self._stale.add(label)

    def rewrite(self, label: str) -> None:
        """Write one manifest anew from the index and replace the old one whole."""
        make_folders(self._folder)
        self._index.begin_manifest(label)
        path, temporary = self._path(label), f"{self._path(label)}.new"
        try:
            rows, size = self._write(label, temporary)
            if label not in self._states:
                _set_aside(path)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        fsync_folder(self._folder)
        self._states[label] = (rows, size)
        self._stale.discard(label)
        self._unsaved.discard(label)
        self._index.set_manifest_states({label: (rows, size)})

    def _write(self, label: str, path: str) -> tuple[int, int]:
        """Write all rows of a label, durably; return rows and bytes."""
        rows = 0
        with open(path, "wb") as stream:
            stream.write(_line(HEADER))
            for row in self._index.manifest_rows(label):
                stream.write(_line(_cells(row)))
                rows += 1
            stream.flush()
            os.fsync(stream.fileno())
            return rows, stream.tell()

    def flush(self) -> None:
        """Mend what is stale, make appended lines durable, and note how far the files are right."""
        self.is_out_of_date()
        for label in list(self._stale):
            self.rewrite(label)
        for label in self._unsaved:
            with open(self._path(label), "rb") as stream:
                os.fsync(stream.fileno())
        if self._unsaved:
            self._index.set_manifest_states({label: self._states[label] for label in self._unsaved})
            self._unsaved.clear()

    def _append_line(self, label: str, row_id: int) -> bool:
        """Append at the known end; False where the file is not the one we know."""
        rows, size = self._states.get(label, (0, 0))
        line = b"".join(_line(_cells(row)) for row in self._index.manifest_rows(row_id=row_id))
        try:
            descriptor = os.open(self._path(label), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            if os.fstat(descriptor).st_size != size:
                return False  # somebody edited it, or a crash tore it
            if os.pwrite(descriptor, line, size) != len(line):
                return False
        finally:
            os.close(descriptor)
        self._states[label] = (rows + 1, size + len(line))
        self._unsaved.add(label)
        return True

    def _matches(self, label: str, counts: dict[str, int]) -> bool:
        rows, size = self._states.get(label, (0, 0))
        try:
            found = os.path.getsize(self._path(label))
        except OSError:
            return False
        return rows == counts.get(label, 0) and size == found

    def _path(self, label: str) -> str:
        return os.path.join(self._folder, f"{label}.csv")


def _set_aside(path: str) -> None:
    """Keep a manifest that this index never wrote: it may be all that is left of another one."""
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, f"{path}.{time.time_ns()}.old")


def _cells(row: Sequence[Any]) -> tuple[object, ...]:
    name, digest, label, fine, confidence, top, model, added, source, path = row
    return (
        from_db(name), digest, label, fine, "" if confidence is None else f"{confidence:.4f}",
        _top(top), model,
        datetime.fromtimestamp(added, UTC).isoformat(timespec="seconds"),
        from_db(source), "" if path is None else from_db(path),
    )  # fmt: skip


def _line(cells: Iterable[object]) -> bytes:
    """One CSV line; names that aren't UTF-8 keep their bytes."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _top(top: str) -> str:
    return " ".join(f"{label}:{probability:.3f}" for label, probability in json.loads(top))
