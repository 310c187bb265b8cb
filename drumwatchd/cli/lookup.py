"""Find what `show` was asked for: a path, a file's content, or the beginning of a digest."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from drumwatchd.cli.output import visible
from drumwatchd.errors import UsageError
from drumwatchd.files import digest_of
from drumwatchd.index.query import places_below
from drumwatchd.index.reader import Reader
from drumwatchd.index.records import Event, Remembered, Sample

SHORTEST_DIGEST = 4
SHOWN_MATCHES = 8
DUPLICATE_NOTE = "the path you gave holds a duplicate; this is the original"
OTHER_FILE_NOTE = "another file stands at this path now; this is what came from it before"


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one sample, or of one inbox file that never became one.

    Attributes:
        sample: its row; None for an inbox file that failed.
        remembered: the inbox file that was asked for, where it stays.
        history: what happened, oldest first.
        duplicates: paths where the same content came again, oldest first.
        exists: its file is still where the index has it.
        note: what the asker should know of how it was found.
        correction: what the owner says it is, as the index has it.
    """

    sample: Sample | None
    remembered: Remembered | None
    history: Sequence[Event]
    duplicates: Sequence[str]
    exists: bool
    note: str | None = None
    correction: dict[str, Any] | None = None


def find_story(reader: Reader, target: str, *, root: str, default_algorithm: str) -> Story | None:
    """Find a sample by its place, content, digest, source or name, in this order.

    Args:
        reader: the index.
        target: as typed.
        root: the archive's folder, absolute.
        default_algorithm: the digest in use, unless the index says otherwise.

    Returns:
        None where the index knows nothing of it.

    Raises:
        UsageError: the beginning of a digest, or a name, fits several samples.
    """
    path = os.path.abspath(os.path.expanduser(target))
    remembered = reader.remembered(path)
    content = digest_of_file(path, reader.meta("hash_algorithm") or default_algorithm)
    known = (
        _by_place(reader.by_path, target, path, root)
        or _by_content(reader, content)
        or _by_content(reader, remembered.digest if remembered else None)
    )
    if known is None and remembered is None:
        known = _by_digest(reader, target)
    if known is not None:
        again = remembered is not None and remembered.outcome == "duplicate"
        return _tell(reader, known, remembered, root, DUPLICATE_NOTE if again else None)
    if remembered is not None:
        events = reader.history_of_path(path)
        return Story(None, remembered, events, (), os.path.lexists(path))
    if gone := _by_place(reader.by_last_path, target, path, root):
        return _tell(reader, gone, None, root, None)
    # No index helps with these two: each is a pass over all samples.
    if came := reader.by_source(path, limit=1):
        return _tell(reader, came[0], None, root, OTHER_FILE_NOTE if content else None)
    named = _by_name(reader, target)
    return None if named is None else _tell(reader, named, None, root, None)


def _by_place(
    look: Callable[[str], list[Sample]], target: str, path: str, root: str
) -> Sample | None:
    """The sample in the archive at this path, from here or from the archive's root."""
    places = [*places_below(root, path), os.path.normpath(target)]
    return next((found[0] for place in places if (found := look(place))), None)


def _by_content(reader: Reader, digest: str | None) -> Sample | None:
    return next(iter(reader.by_digest(digest, limit=1)), None) if digest else None


def digest_of_file(path: str, algorithm: str) -> str | None:
    """The digest of a file, links followed; None where there is none that can be read."""
    try:
        path = os.path.realpath(path)
        return digest_of(path, algorithm) if stat.S_ISREG(os.stat(path).st_mode) else None
    except OSError:
        return None


def _by_digest(reader: Reader, target: str) -> Sample | None:
    if len(target) < SHORTEST_DIGEST or not re.fullmatch(r"[0-9A-Fa-f]+", target):
        return None
    found = reader.by_digest(target, limit=SHOWN_MATCHES + 1)
    return _only_one(found, f"the digest {target} is cut too short", "give more of its digits")


def _by_name(reader: Reader, target: str) -> Sample | None:
    if os.path.basename(target) != target:
        return None
    found = reader.by_name(target, limit=SHOWN_MATCHES + 1)
    message = f"several samples are called {visible(target)}"
    return _only_one(found, message, "give the path or the digest")


def _only_one(found: Sequence[Sample], message: str, hint: str) -> Sample | None:
    if len(found) < 2:
        return found[0] if found else None
    lines = [
        f"  {sample.digest[:12]}  {sample.label or sample.state:<8} {visible(sample.path or sample.source)}"
        for sample in found[:SHOWN_MATCHES]
    ]
    if len(found) > SHOWN_MATCHES:
        lines.append("  …")
    raise UsageError("\n".join([f"{message}:", *lines]), hint=hint)


def _tell(
    reader: Reader, sample: Sample, remembered: Remembered | None, root: str, note: str | None
) -> Story:
    history = reader.history(sample.digest)
    again = [event.path for event in history if event.event == "duplicate" and event.path]
    return Story(
        sample=sample,
        remembered=remembered,
        history=history,
        duplicates=tuple(dict.fromkeys(again)),
        exists=sample.state != "gone" and os.path.lexists(sample.location(root)),
        note=note,
        correction=reader.correction(sample.digest),
    )
