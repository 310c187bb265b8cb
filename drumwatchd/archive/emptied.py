"""Class folders that lost all that they held at once: rather a disk, or an accident, than a person.

A folder that was seen on a disk of its own is taken for unmounted when it isn't any more, and nothing
is filed until it is back, for that would hide beneath it. Of one that is empty otherwise nothing is
concluded until its owner says that it is right so, by the marker of the archive in it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping

from drumwatchd.archive.marker import MARKER_NAME
from drumwatchd.errors import ArchiveError
from drumwatchd.index.places import Places
from drumwatchd.index.store import Index

# So many samples, all that a class folder had: fewer somebody may well have deleted one by one.
MANY_OF_A_CLASS = 10
_DISK = "disk of "  # how the notes in the index begin


class ClassFolders:
    """Which class folders are as they should be, and what their owner says of the others."""

    def __init__(self, root: str, index: Index, archive_id: str) -> None:
        self._root = root
        self._index = index
        self._places = Places(index)
        self._archive_id = archive_id
        self._disks = {key.removeprefix(_DISK) for key in index.notes(_DISK)}

    # -- on disks of their own ------------------------------------------------------------------

    def note_disks(self, devices: Mapping[str, int]) -> None:
        """Remember which class folders are on other disks than the archive, by what each is on."""
        device = os.stat(self._root).st_dev
        for folder in devices.keys() - self._disks:
            if devices[folder] != device:
                self._index.note(f"{_DISK}{folder}", "")
                self._disks.add(folder)

    def check(self) -> None:
        """Make sure that the disks of class folders are mounted.

        Raises:
            ArchiveError: one isn't.
        """
        for folder in sorted(self._disks):
            if self._is_on_its_own_disk(folder):
                continue
            if not self.is_confirmed(folder):
                raise ArchiveError(
                    f"{folder} was on a disk of its own, and isn't; is it mounted?",
                    path=os.path.join(self._root, folder),
                    hint=f"mount it; or, if it is right so: {self._confirmation(folder)}",
                )
            self._index.unnote(f"{_DISK}{folder}")
            self._disks.discard(folder)

    def _is_on_its_own_disk(self, folder: str) -> bool:
        try:
            device = os.stat(os.path.join(self._root, folder)).st_dev
            return device != os.stat(self._root).st_dev
        except OSError:
            return False

    # -- emptied --------------------------------------------------------------------------------

    def emptied(self, *, since: float) -> dict[str, int]:
        """How many samples each class folder lost that lost all it had, and not by its owner's word.

        Args:
            since: Unix time; what is missing for less doesn't count as yet.
        """
        return {
            folder: count
            for folder, (count, first) in self._places.missing_by_folder(since=since).items()
            if count >= MANY_OF_A_CLASS
            and not self._places.stood_before(folder, first)
            and not self.is_confirmed(folder)
        }

    def problem(self, emptied: Mapping[str, int]) -> str | None:
        """What is to be said of emptied class folders; None where there are none."""
        return "; ".join(self._problems(emptied)) or None

    def _problems(self, emptied: Mapping[str, int]) -> Iterator[str]:
        for folder, count in sorted(emptied.items()):
            error = ArchiveError(
                f"all {count:,} samples of {folder} are missing, and kept in the index",
                path=os.path.join(self._root, folder),
                hint="put them back, or mount their disk; or, if you deleted them: "
                + self._confirmation(folder),
            )
            yield str(error)

    # -- the owner's word -----------------------------------------------------------------------

    def is_confirmed(self, folder: str) -> bool:
        """Whether the owner says that a class folder is right as it is."""
        try:
            with open(self._marker(folder), encoding="ascii", errors="replace") as stream:
                return stream.read().strip() == self._archive_id
        except OSError:
            return False

    def settle(self, folders: Iterable[str]) -> None:
        """Remove markers that were obeyed: beneath a disk that is mounted later they would lie."""
        for folder in folders:
            if self.is_confirmed(folder) and not self._places.is_any_missing_in(folder):
                with contextlib.suppress(OSError):
                    os.unlink(self._marker(folder))

    def _marker(self, folder: str) -> str:
        return os.path.join(self._root, folder, MARKER_NAME)

    def _confirmation(self, folder: str) -> str:
        quoted = shlex.quote(os.path.join(self._root, folder))
        return f"mkdir -p {quoted} && echo {self._archive_id} > {quoted}/{MARKER_NAME}"
