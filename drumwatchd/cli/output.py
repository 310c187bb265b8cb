"""How commands print: raw lines for pipes, safe lines for terminals, JSON, and plain quantities."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from drumwatchd.cli import discard_output

if TYPE_CHECKING:
    from rich.console import Console

FLUSH_SECONDS = 0.1
# Of the JSON that commands print, and separate from the index's schema.
JSON_SCHEMA = 1
# Made once: json.dumps would make a new encoder for every line.
_ENCODE = json.JSONEncoder(ensure_ascii=True, allow_nan=False).encode


def counted(number: int, noun: str) -> str:
    """A number and what it counts: ``1 file``, ``1,200 files``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


class LineWriter:
    """Writes records to stdout as raw bytes, so that any file name survives a pipe.

    The first record leaves at once, later ones at most `FLUSH_SECONDS` after they came.
    """

    def __init__(self, terminator: str = "\n") -> None:
        sys.stdout.flush()
        self._stream: BinaryIO = sys.stdout.buffer
        self._terminator = terminator
        self._encoding = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
        self._flushed = float("-inf")
        self._reader_left = False
        self.is_terminal = self._stream.isatty()

    def __enter__(self) -> LineWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Flush; a reader that has enough (`ls | head`) is a good end."""
        try:
            if kind is None:
                self._stream.flush()
        except BrokenPipeError:
            self._reader_left = True
        if self._reader_left:
            discard_output()
        return self._reader_left

    def write(self, text: str) -> None:
        """Write one record."""
        try:
            self._stream.write((text + self._terminator).encode(*self._encoding))
            now = time.monotonic()
            if now - self._flushed >= FLUSH_SECONDS:
                self._stream.flush()
                self._flushed = now
        except BrokenPipeError:
            # Not any other pipe's, as of a worker that died.
            self._reader_left = True
            raise


def json_text(value: Any) -> str:
    """One line of JSON, all ASCII; bytes of a name that aren't UTF-8 stay as ``\\udcXX``."""
    return _ENCODE(value)


def print_json(value: Any) -> None:
    """Print one JSON value as a line."""
    with LineWriter() as writer:
        writer.write(json_text(value))


def visible(text: str) -> str:
    """Text that a terminal can't be tricked with: what isn't printable becomes an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        # A byte that isn't UTF-8, as surrogateescape keeps it.
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def iso_utc(moment: float | None) -> str | None:
    """A Unix time as ISO 8601 in UTC, to the millisecond: ``2026-10-31T18:00:00.250Z``."""
    if moment is None:
        return None
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def local_time(moment: float) -> str:
    """A Unix time as people here write it, to the second."""
    return datetime.fromtimestamp(moment).isoformat(sep=" ", timespec="seconds")


def age(seconds: float) -> str:
    """A length of time in its largest unit: ``4 s``, ``12 min``, ``3 h``, ``5 d``."""
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"


def byte_size(count: float) -> str:
    """Bytes in decimal units: ``812 B``, ``1.4 MB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 999.5 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" or count >= 99.95 else f"{count:.1f} {unit}"


def seconds_text(seconds: float) -> str:
    """A sample's length: ``0.35 s``, ``1:02 min``."""
    if seconds < 60:
        return f"{seconds:.2f} s"
    return f"{int(seconds // 60)}:{int(seconds % 60):02d} min"


def console() -> Console:
    """A console on stdout; it heeds ``NO_COLOR``, and draws without colour into a pipe."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, emoji=False, markup=False)
