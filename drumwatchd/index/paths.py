"""Paths in SQLite: names need not be UTF-8, but most are and should read well."""

from __future__ import annotations

import os


def to_db(path: str) -> str | bytes:
    """TEXT for a path that is valid UTF-8, else its raw bytes as BLOB."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def from_db(value: str | bytes) -> str:
    """The path as Python spells it, with surrogate escapes where it was not UTF-8."""
    return os.fsdecode(value)
