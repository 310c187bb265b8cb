"""On which line of a TOML text each key stands.

tomli gives values without their places. This reads the same text once more, for the places alone;
it relies on tomli having found the text valid.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping

Key = tuple[str | int, ...]

_TOKEN = re.compile(
    r"""
    (?P<space>   [ \t\r]+ | \#[^\n]* )
  | (?P<newline> \n )
  | (?P<string>  \"{3}(?:\\.|[^\\])*?\"{3}\"{0,2} | '{3}.*?'{3}'{0,2}
               | "(?:\\.|[^"\\\n])*" | '[^'\n]*' )
  | (?P<mark>    [\[\]{},=] )
  | (?P<bare>    [^\s\#"'\[\]{},=]+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_KEY_PART = re.compile(r""" "(?:\\.|[^"\\])*" | '[^']*' | [A-Za-z0-9_-]+ """, re.VERBOSE)


def find_lines(text: str) -> Mapping[Key, int]:
    """Map each key path, as ``("inbox", 0, "path")``, to its line, counted from 1.

    Tables stand at their first header, list elements at their own line. Of values that are nested
    beyond Python's limit, and of what follows them, no line is known.
    """
    reader = _Reader(text)
    with contextlib.suppress(RecursionError):
        while reader.here:
            if reader.here == "[":
                reader.read_header()
            elif reader.here == "\n":
                reader.advance()
            else:
                reader.read_pair(reader.table)
    return reader.lines


class _Reader:
    """One pass over the tokens; `here` is the next one, ``""`` at the end."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Key, int] = {}
        self.table: Key = ()
        self.arrays: dict[Key, int] = {}
        self._tokens = _tokens(text)
        self._at = 0

    @property
    def here(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    @property
    def line(self) -> int:
        return self._tokens[min(self._at, len(self._tokens) - 1)][1]

    def advance(self) -> str:
        token = self.here
        self._at += 1
        return token

    def read_header(self) -> None:
        """``[table]`` or ``[[array of tables]]``."""
        line = self.line
        self.advance()
        is_array = self.here == "["
        if is_array:
            self.advance()
        path = self.read_key(until="]")
        if is_array:
            self.advance()
        parent = self.resolve(path[:-1])
        self.table = (*parent, path[-1]) if path else parent
        self.mark(self.table, line)
        if is_array:
            number = self.arrays[self.table] = self.arrays.get(self.table, -1) + 1
            self.table = (*self.table, number)
        elif self.table in self.arrays:
            self.table = self.resolve(path)
        self.mark(self.table, line)

    def resolve(self, path: Key) -> Key:
        """``a.b`` in a header means the last element wherever `a` is an array of tables."""
        resolved: Key = ()
        for part in path:
            resolved = (*resolved, part)
            if resolved in self.arrays:
                resolved = (*resolved, self.arrays[resolved])
        return resolved

    def read_pair(self, table: Key) -> None:
        """``key = value``, with dotted keys."""
        line = self.line
        path = table
        for part in self.read_key(until="="):
            path = (*path, part)
            self.mark(path, line)
        self.read_value(path)

    def read_key(self, until: str) -> Key:
        raw = ""
        while self.here and self.here != until:
            raw += self.advance()
        self.advance()
        return tuple(part.strip("\"'") for part in _KEY_PART.findall(raw))

    def read_value(self, path: Key) -> None:
        if self.here == "[":
            self.advance()
            self.read_elements(path)
        elif self.here == "{":
            self.advance()
            self.read_inline_table(path)
        else:
            while self.here not in ("", "\n", ",", "]", "}"):
                self.advance()

    def read_elements(self, path: Key) -> None:
        number = 0
        while self.here not in ("", "]"):
            if self.here in (",", "\n", "}"):
                number += self.advance() == ","
            else:
                self.mark((*path, number), self.line)
                self.read_value((*path, number))
        self.advance()

    def read_inline_table(self, path: Key) -> None:
        while self.here not in ("", "}"):
            if self.here in (",", "\n"):
                self.advance()
            else:
                self.read_pair(path)
        self.advance()

    def mark(self, path: Key, line: int) -> None:
        self.lines.setdefault(path, line)


def _tokens(text: str) -> list[tuple[str, int]]:
    tokens = []
    line = 1
    for match in _TOKEN.finditer(text):
        token = match.group()
        if match.lastgroup != "space":
            tokens.append((token, line))
        line += token.count("\n")
    return tokens
