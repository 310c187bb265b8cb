"""The truth about an inbox: walk it and report every file that could be a sample.

Events are hints and get lost; this doesn't. Links are not followed, other file systems below the
inbox are (a mounted share is somebody's inbox), and only regular files are reported.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from drumwatchd.analysis.formats import is_audio
from drumwatchd.files import Source, source_from_stat

FOLDER, FILE = "folder", "file"


@dataclass(slots=True)
class Tally:
    """What one walk passed over.

    Attributes:
        other_files: files that aren't audio, left alone.
        unreadable: folders that can't be listed, with the reason.
    """

    other_files: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)


def ignore_matcher(globs: Sequence[str]) -> Callable[[str], bool]:
    """Compile ignore globs to one test of a file or folder name."""
    if not globs:
        return lambda name: False
    pattern = re.compile("|".join(fnmatch.translate(glob) for glob in globs), re.DOTALL)
    return lambda name: pattern.match(name) is not None


def walk(
    top: str, ignored: Callable[[str], bool], tally: Tally, *, inbox: str | None = None
) -> Iterator[Source]:
    """Yield every audio file below a folder, depth first, in name order.

    Args:
        top: the inbox, or a folder in it.
        ignored: test of a file or folder name.
        tally: counts what is passed over.
        inbox: the inbox, where `top` is only a part of it.
    """
    folders = [top]
    while folders:
        folder = folders.pop()
        try:
            names, subfolders = _list(folder, ignored, tally)
        except OSError as error:
            tally.unreadable[folder] = error.strerror or str(error)
            continue
        for name in names:
            source = _look(os.path.join(folder, name), inbox or top)
            if source is not None:
                yield source
        folders.extend(os.path.join(folder, name) for name in reversed(subfolders))


def _list(folder: str, ignored: Callable[[str], bool], tally: Tally) -> tuple[list[str], list[str]]:
    """Names of the audio files and of the folders in a folder, sorted; names alone, for memory's sake."""
    names, subfolders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            kind = None if ignored(entry.name) else _kind(entry)
            if kind == FOLDER:
                subfolders.append(entry.name)
            elif kind == FILE and is_audio(entry.name):
                names.append(entry.name)
            elif kind == FILE:
                tally.other_files += 1
    return sorted(names), sorted(subfolders)


def is_candidate(path: str, inbox: str, ignored: Callable[[str], bool]) -> bool:
    """Whether a hinted path could be a sample, by its name and folders alone."""
    return is_audio(path) and not is_passed_over(path, inbox, ignored)


def is_passed_over(path: str, inbox: str, ignored: Callable[[str], bool]) -> bool:
    """Whether a walk of the inbox would not come to this path: it or a folder of it is ignored."""
    return any(ignored(part) for part in os.path.relpath(path, inbox).split(os.sep))


def _kind(entry: os.DirEntry[str]) -> str | None:
    """What an entry is; a file system that doesn't say so in the listing is asked, and may fail."""
    try:
        if entry.is_dir(follow_symlinks=False):
            return FOLDER
        return FILE if entry.is_file(follow_symlinks=False) else None
    except OSError:
        return None


def _look(path: str, inbox: str) -> Source | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return source_from_stat(path, inbox, found) if stat.S_ISREG(found.st_mode) else None
