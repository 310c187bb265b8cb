"""What a sample is called in the archive. Pure: no file is touched."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from itertools import count

from drumwatchd.analysis.result import Verdict
from drumwatchd.files import Source

NAME_MAX_BYTES = 255
FIELD = re.compile(r"\{(\w+)\}")


def fields_of(source: Source, digest: str, verdict: Verdict) -> dict[str, str]:
    """The values a name template may use."""
    stem, suffix = os.path.splitext(source.name)
    return {
        "label": verdict.label,
        "fine": verdict.fine,
        "confidence": f"{verdict.confidence:.2f}",
        "stem": stem,
        "suffix": suffix,
        "pack": source.pack,
        "digest8": digest[:8],
        "tag": verdict.tag or "",
    }


def render(template: str, fields: Mapping[str, str]) -> str:
    """Fill a name template into a path below the archive root.

    Empty components vanish (a sample at the inbox's top has no ``{pack}``), and no component is
    ``.`` or ``..`` or longer than a file system takes.
    """
    text = FIELD.sub(lambda match: fields[match[1]], template)
    parts = [part for part in text.split("/") if part not in ("", ".", "..")]
    folders = [_shorten(part, "") for part in parts[:-1]]
    stem, suffix = os.path.splitext(parts[-1])
    return "/".join((*folders, _shorten(stem, suffix)))


def alternatives(relative: str) -> Iterator[str]:
    """The name itself, then the same with ``-2``, ``-3``, … before its suffix."""
    yield relative
    for number in count(2):
        yield alternative(relative, number)


def alternative(relative: str, number: int) -> str:
    """The name with a number before its suffix."""
    folder, name = os.path.split(relative)
    stem, suffix = os.path.splitext(name)
    return os.path.join(folder, _shorten(stem, f"-{number}{suffix}"))


def _shorten(stem: str, ending: str) -> str:
    """`stem` + `ending`, cut at a character so that a file system takes the name."""
    while stem and len(os.fsencode(stem + ending)) > NAME_MAX_BYTES:
        stem = stem[:-1]
    while len(os.fsencode(stem + ending)) > NAME_MAX_BYTES:
        ending = ending[:-1]  # a template may put anything behind the last dot
    return stem + ending
