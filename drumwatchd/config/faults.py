"""Faults are collected, each with its place, so that one look at the message is enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from drumwatchd.config.lines import Key
from drumwatchd.errors import ConfigError, Fault

T = TypeVar("T")


class Faults:
    """What is wrong with one configuration so far.

    Args:
        lines: line of each key in the file.
        variables: environment variable of each key that one overrides.
    """

    def __init__(
        self, lines: Mapping[Key, int] | None = None, variables: Mapping[Key, str] | None = None
    ) -> None:
        self.found: list[Fault] = []
        self._lines = lines or {}
        self._variables = variables or {}

    def add(self, key: Key, problem: str, fix: str) -> None:
        """Record a fault of `key`, at the nearest place that is known for it."""
        variable = _nearest_place(key, self._variables)
        line = None if variable else _nearest_place(key, self._lines)
        if variable:
            fix = fix.replace(f"write {key[-1]} = ", f"set {variable}=")
        self.found.append(Fault(dotted(key), line, problem, fix, variable))

    def add_variable(self, variable: str, key: str, problem: str, fix: str) -> None:
        """Record a fault of an environment variable itself."""
        self.found.append(Fault(key, None, problem, fix, variable))

    def error(self, path: Path) -> ConfigError:
        """All of them, in the order of the file, the environment's last."""
        # One variable reaches every inbox, and is wrong once.
        once: dict[tuple[str, str], Fault] = {}
        for fault in self.found:
            once.setdefault((fault.variable or fault.key, fault.problem), fault)
        faults = sorted(once.values(), key=lambda fault: (fault.variable or "", fault.line or 0))
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        return ConfigError(f"the configuration has {count}", path=str(path), faults=tuple(faults))


def _nearest_place(key: Key, places: Mapping[Key, T]) -> T | None:
    return next((places[key[:n]] for n in range(len(key), 0, -1) if key[:n] in places), None)


def dotted(key: Key) -> str:
    """Spell a key path as ``inbox[0].path``; list elements count from 0."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was most likely meant to be."""
    import difflib

    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None


def listed(words: Iterable[str], last: str = "or") -> str:
    """``a, b or c``."""
    *some, final = words
    return f"{', '.join(some)} {last} {final}" if some else final
