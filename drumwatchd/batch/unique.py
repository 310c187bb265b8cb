"""Names that no two files share, also where a file system takes upper and lower case for the same."""

from __future__ import annotations

import unicodedata
from itertools import count

from drumwatchd.archive.naming import alternative


class Names:
    """Gives each file a name of its own; the same ones in the same order."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def free(self, wanted: str) -> str:
        """The name that is wanted, or the first of its alternatives that is free."""
        key = _key(wanted)
        if key not in self._taken:
            self._taken.add(key)
            return wanted
        # Of a thousand files `kick.wav`, the last doesn't ask for all the names before.
        for number in count(self._next.get(key, 2)):
            name = alternative(wanted, number)
            if _key(name) not in self._taken:
                self._taken.add(_key(name))
                self._next[key] = number + 1
                return name
        raise AssertionError("unreachable")


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
