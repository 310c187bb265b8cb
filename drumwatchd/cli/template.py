"""`ls --format`: one line per sample from a template such as ``{label} {confidence:.2f} {path}``."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Callable
from datetime import datetime
from typing import Any

from drumwatchd.cli.output import visible
from drumwatchd.errors import UsageError
from drumwatchd.index.records import Sample
from drumwatchd.index.terms import nearest

Getter = Callable[[Sample, str], Any]
Render = Callable[[Sample], str]


class _When(datetime):
    """A local time that prints to the second, and takes ``%Y``-like codes as its format."""

    def __str__(self) -> str:
        return self.isoformat(sep=" ", timespec="seconds")


def _top(sample: Sample, _root: str) -> str:
    return ", ".join(f"{label} {probability:.2f}" for label, probability in sample.top)


FIELDS: dict[str, tuple[Getter, Any]] = {
    # name: (how it is read, a value to try formats with)
    "path": (lambda sample, root: sample.location(root), ""),
    "name": (lambda sample, _: sample.name, ""),
    "stem": (lambda sample, _: os.path.splitext(sample.name)[0], ""),
    "suffix": (lambda sample, _: os.path.splitext(sample.name)[1], ""),
    "label": (lambda sample, _: sample.label, ""),
    "fine": (lambda sample, _: sample.fine, ""),
    "confidence": (lambda sample, _: sample.confidence, 0.5),
    "top": (_top, ""),
    "digest": (lambda sample, _: sample.digest, ""),
    "digest8": (lambda sample, _: sample.digest[:8], ""),
    "source": (lambda sample, _: sample.source, ""),
    "inbox": (lambda sample, _: sample.inbox, ""),
    "pack": (lambda sample, _: sample.pack, ""),
    "added": (lambda sample, _: _When.fromtimestamp(sample.added), _When(2026, 1, 1)),
    "size": (lambda sample, _: sample.size, 1),
    "duration": (lambda sample, _: sample.duration, 0.5),
    "model": (lambda sample, _: sample.model, ""),
    "mode": (lambda sample, _: sample.mode, ""),
    "state": (lambda sample, _: sample.state, ""),
    "reason": (lambda sample, _: sample.reason, ""),
    "review": (lambda sample, _: sample.review, ""),
    "tag": (lambda sample, _: sample.tag, ""),
    "corrected": (lambda sample, _: sample.corrected, ""),
}
ESCAPES = {"\\n": "\n", "\\t": "\t", "\\0": "\0", "\\\\": "\\"}


def compile_template(text: str, *, root: str, safe: bool) -> Render:
    """Turn a template into a function; `safe` makes values fit for a terminal.

    Raises:
        UsageError: the template can't be read, or names a field that isn't there.
    """
    parts = [_part(*piece) for piece in _pieces(text)]

    def render(sample: Sample) -> str:
        return "".join(
            literal + (_text(getter(sample, root), conversion, spec, safe) if getter else "")
            for literal, getter, conversion, spec in parts
        )

    return render


def _pieces(text: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(string.Formatter().parse(text))
    except ValueError as error:
        raise UsageError(
            f"the template {text!r} can't be read: {str(error).lower()}",
            hint="fields stand in braces, {label}; a brace itself is doubled, {{",
        ) from error


def _part(
    literal: str, name: str | None, spec: str | None, conversion: str | None
) -> tuple[str, Getter | None, str | None, str]:
    literal = re.sub(r"\\[nt0\\]", lambda found: ESCAPES[found[0]], literal)
    if name is None:
        return literal, None, None, ""
    if name not in FIELDS:
        close = nearest(name, list(FIELDS))
        meant = f"did you mean {{{close}}}? " if close else ""
        raise UsageError(
            f"--format knows no field {{{name}}}", hint=f"{meant}Fields: {', '.join(FIELDS)}"
        )
    getter, example = FIELDS[name]
    try:
        _text(example, conversion, spec or "", safe=False)
    except (ValueError, TypeError, MemoryError) as error:
        raise UsageError(
            f"{{{name}}} can't be printed as {spec or conversion!r}: {str(error) or 'too wide'}",
            hint="as in Python: {confidence:.2f}, {label:<8}, {added:%Y-%m-%d}",
        ) from error
    return literal, getter, conversion, spec or ""


def _text(value: Any, conversion: str | None, spec: str, safe: bool) -> str:
    if value is None:
        value, spec = "-", _without_number_parts(spec)
    if conversion in ("r", "a"):
        value = ascii(value)
    elif conversion == "s":
        value = str(value)
    elif conversion is not None:
        raise ValueError(f"unknown conversion !{conversion}")
    if safe and isinstance(value, str):
        value = visible(value)
    return format(value, spec)


def _without_number_parts(spec: str) -> str:
    """What a format for numbers leaves for the dash that stands for no value: width and side."""
    found = re.fullmatch(r"(.?[<>=^])?[-+ ]?z?#?0?(\d*)[,_]?(?:\.\d+)?[A-Za-z%]?", spec)
    if found is None:
        return ""
    side = (found[1] or ">").replace("=", ">")
    return f"{side}{found[2]}" if found[2] else ""
