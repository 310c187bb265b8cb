"""Compare the archive's class folders with the index, folder by folder; nothing is changed.

What a folder holds is told by its listing, and whether that can have changed by the folder's own
time; so an archive at rest costs one look per folder. Names are compared, contents are not: what the
index doesn't know is only looked at where a sample of its size is missing.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace

from drumwatchd.analysis.formats import is_audio
from drumwatchd.archive.classes import Classes
from drumwatchd.files import Source, source_from_stat
from drumwatchd.index.places import Place, Places

# A folder that changed this shortly before it was listed may have changed once more in the same tick
# of its file system's clock (two seconds on FAT).
TICK_NS = 5_000_000_000
# A file that nobody wrote to for this long has stopped growing.
GROWING_NS = 600_000_000_000
NOT_THERE = (FileNotFoundError, NotADirectoryError)


@dataclass(frozen=True, slots=True)
class _Listed:
    """What a folder was when it was listed last.

    Attributes:
        identity: device, inode and time of the folder.
        is_settled: neither it nor an unknown file in it was in the midst of changing.
        subfolders: their names.
        unknown: how many files there are that the index doesn't know.
        untracked: how many of them are audio.
    """

    identity: tuple[int, int, int]
    is_settled: bool
    subfolders: tuple[str, ...]
    unknown: int
    untracked: int


@dataclass(slots=True)
class Findings:
    """What one look has found.

    Attributes:
        missing: samples that aren't in their places, as row and path.
        altered: files in their places whose size or time is another one.
        folders: that were listed.
    """

    missing: list[tuple[int, str]] = field(default_factory=list)
    altered: list[Source] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)


class Survey:
    """The class folders of one archive, as they were seen last.

    Attributes:
        unreadable: folders that can't be listed, with the reason.
    """

    def __init__(
        self,
        classes: Classes,
        places: Places,
        ignored: Callable[[str], bool] = lambda name: False,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.unreadable: dict[str, str] = {}
        self._root = classes.root
        self._classes = classes
        self._places = places
        self._ignored = ignored
        self._is_stopping = is_stopping
        self._listed: dict[str, _Listed] = {}

    @property
    def untracked(self) -> int:
        """Audio files in class folders that the index doesn't know, as far as was looked."""
        return sum(listed.untracked for listed in self._listed.values())

    @property
    def devices(self) -> dict[str, int]:
        """What disk each class folder was on when it was listed last."""
        return {
            folder: listed.identity[0]
            for folder, listed in self._listed.items()
            if "/" not in folder
        }

    def look(self, *, whole: bool) -> Findings:
        """Look through all class folders; list each that may have changed, or each if `whole`.

        That of a large archive takes a while: it is cut short, and finds nothing, when the daemon
        is to stop.
        """
        findings, visited = Findings(), set[str]()
        self.unreadable.clear()
        folders = sorted(self._class_folders(), reverse=True)
        while folders:
            if self._is_stopping():
                return Findings()
            folder = folders.pop()
            visited.add(folder)
            below = self._visit(folder, findings, whole=whole)
            folders += [f"{folder}/{name}" for name in reversed(below)]
        left = (self._places.folders() if whole else set(self._listed)) - visited
        for folder in left:
            self._listed.pop(folder, None)
            self._check(folder, findings)
        return findings

    def glance(self, folders: Collection[str]) -> Findings:
        """Look at some folders only, and at those below them that are new."""
        findings, waiting = Findings(), list(folders)
        while waiting:
            folder = waiting.pop()
            below = self._visit(folder, findings, whole=True)
            waiting += [
                path for path in (f"{folder}/{name}" for name in below) if path not in self._listed
            ]
            if folder not in self._listed:  # it went, and took what was below it along
                waiting += [path for path in self._listed if path.startswith(f"{folder}/")]
        return findings

    def found(self, relative: str) -> None:
        """An unknown file turned out to be a sample."""
        folder = os.path.dirname(relative)
        if listed := self._listed.get(folder):
            self._listed[folder] = replace(
                listed,
                unknown=max(0, listed.unknown - 1),
                untracked=max(0, listed.untracked - is_audio(relative)),
            )

    def knows(self, folder: str) -> bool:
        """Whether this was a folder when it was looked for last."""
        return folder in self._listed

    def sought(self, folders: Collection[str] | None = None) -> Iterator[Source]:
        """Unknown files, in these folders or in all, of which one may be a sample that is missing.

        Or one that stood in quarantine, and was taken out.
        """
        aside: set[int] | None = None
        for folder, listed in list(self._listed.items()):
            if listed.unknown and (folders is None or folder in folders):
                for name in sorted(self._unknown(folder)):
                    source = self.examine(os.path.join(self._root, folder, name))
                    if source is None:
                        continue
                    if aside is None:
                        aside = self._places.sizes_in_quarantine()
                    if source.size in aside or self._places.is_sought(source.size):
                        yield source

    def examine(self, path: str) -> Source | None:
        """Look at a file in a class folder, or at what a link leads to; None unless it is regular."""
        try:
            found = os.stat(path)
        except OSError:
            return None
        return source_from_stat(path, self._root, found) if stat.S_ISREG(found.st_mode) else None

    def is_missing(self, relative: str) -> bool:
        """Whether there surely is no file, nor link, of this name."""
        try:
            mode = os.lstat(os.path.join(self._root, relative)).st_mode
        except NOT_THERE:
            return True
        except OSError:
            return False
        return not (stat.S_ISREG(mode) or stat.S_ISLNK(mode))

    def _class_folders(self) -> Iterator[str]:
        with os.scandir(self._root) as entries:
            for entry in entries:
                # A class folder may be a link to another disk; links below it are not followed.
                if entry.is_dir() and self._classes.label_of(entry.name) is not None:
                    yield entry.name

    def _visit(self, folder: str, findings: Findings, *, whole: bool) -> tuple[str, ...]:
        """List a folder if it may have changed; return the names of those below it."""
        try:
            found = os.stat(os.path.join(self._root, folder))
            identity = (found.st_dev, found.st_ino, found.st_mtime_ns)
            known = self._listed.get(folder)
            if known is not None and not whole and known.is_settled and known.identity == identity:
                return known.subfolders
            now_ns = time.time_ns()
            count, subfolders = self._list(folder)
            known_here = self._check(folder, findings)
            # Names are held only where some are unknown: a folder may have a hundred thousand.
            unknown = self._unknown(folder) if known_here != count else set()
        except NOT_THERE:
            self._listed.pop(folder, None)
            self._check(folder, findings)
            return ()
        except OSError as error:
            self.unreadable[folder] = error.strerror or str(error)
            return ()
        findings.folders.add(folder)
        self._listed[folder] = _Listed(
            identity=identity,
            is_settled=(
                found.st_mtime_ns < now_ns - TICK_NS and self._are_still(folder, unknown, now_ns)
            ),
            subfolders=tuple(subfolders),
            unknown=len(unknown),
            untracked=sum(map(is_audio, unknown)),
        )
        return self._listed[folder].subfolders

    def _list(self, folder: str) -> tuple[int, list[str]]:
        """How many files and links are in a folder, and the folders; without what is passed over."""
        count, subfolders = 0, []
        with os.scandir(os.path.join(self._root, folder)) as entries:
            for entry in entries:
                if self._ignored(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    subfolders.append(entry.name)
                else:
                    count += 1
        return count, sorted(subfolders)

    def _unknown(self, folder: str) -> set[str]:
        """Names of the files and links that the index doesn't know, without what is passed over."""
        with os.scandir(os.path.join(self._root, folder)) as entries:
            names = {
                entry.name
                for entry in entries
                if not (entry.is_dir(follow_symlinks=False) or self._ignored(entry.name))
            }
        for place in self._places.places_in(folder):
            names.discard(place.name)
        return names

    def _check(self, folder: str, findings: Findings) -> int:
        """Look at every place in a folder; return how many files there are known by it."""
        known = 0
        for place in self._places.places_in(folder):
            relative = f"{folder}/{place.name}"
            is_ours = place.state == "filed" and not place.is_moving
            if self._stands(relative, place, findings if is_ours else None):
                known += not self._ignored(place.name)
            elif is_ours and self.is_missing(relative):
                findings.missing.append((place.id, relative))
        return known

    def _stands(self, relative: str, place: Place, findings: Findings | None) -> bool:
        """Whether something is in its place; `findings` take note if it is altered."""
        path = f"{self._root}/{relative}"
        try:
            found = os.stat(path)
        except OSError:
            # A link that leads nowhere now, as to a library that isn't mounted, is in its place.
            return os.path.lexists(path)
        known = (place.size, place.mtime_ns)
        if findings is None or (found.st_size, found.st_mtime_ns) == known:
            return True
        source = self.examine(path)  # its time is cut to what an index can hold
        if source is not None and (source.size, source.mtime_ns) != known:
            findings.altered.append(source)
        return True

    def _are_still(self, folder: str, names: Collection[str], now_ns: int) -> bool:
        for name in names:
            try:
                found = os.stat(os.path.join(self._root, folder, name))
            except OSError:
                continue
            if max(found.st_mtime_ns, found.st_ctime_ns) > now_ns - GROWING_NS:
                return False
        return True
