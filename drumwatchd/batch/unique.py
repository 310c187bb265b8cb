"""Names that no two files share, also where a file system takes upper and lower case for the same."""

from __future__ import annotations

from itertools import count

from drumwatchd.analysis.labels import caseless
from drumwatchd.archive.naming import alternative


class Names:
    """Gives each file a name of its own; the same ones in the same order."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def free(self, wanted: str) -> str:
        """The name that is wanted, or the first of its alternatives that is free."""
        key = caseless(wanted)
        if key not in self._taken:
            self._taken.add(key)
            return wanted
        # Of a thousand files `kick.wav`, the last doesn't ask for all the names before.
        for number in count(self._next.get(key, 2)):
            name = alternative(wanted, number)
            if caseless(name) not in self._taken:
                self._taken.add(caseless(name))
                self._next[key] = number + 1
                return name
        raise AssertionError("unreachable")
