"""Class folders: which folders at the archive's top say what a sample is, and which label they say.

The six (or whichever are wanted) and ``misc`` are the daemon's. A folder that the owner made beside
them is a label of the owner's own, by its name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from drumwatchd.analysis.labels import (
    CANONICAL_LABELS,
    CANONICAL_OF,
    FINE_LABELS,
    MISC,
    name_problem,
    spelled,
    target_of,
)
from drumwatchd.errors import UsageError


@dataclass(frozen=True, slots=True)
class Classes:
    """The class folders of one archive.

    Attributes:
        root: the archive folder.
        targets: labels with a folder of their own.
        canonical_of: fine label → folder label or ``misc``.
        own_folders: whether the owner's folders are labels, too.
    """

    root: str
    targets: Sequence[str] = CANONICAL_LABELS
    canonical_of: Mapping[str, str] = field(default_factory=lambda: CANONICAL_OF)
    own_folders: bool = True

    def label_of(self, folder: str) -> str | None:
        """The label that a folder at the archive's top stands for; None if it is no class folder.

        One of our labels in another spelling, as a file system that ignores case may show it, is
        that label.
        """
        if folder in self.targets or folder == MISC:
            return folder
        known = spelled(folder, (*self.targets, MISC))
        if known is not None:
            return known
        if not self.own_folders or name_problem(folder) is not None:
            return None
        return spelled(folder, FINE_LABELS) or folder

    def folder_of(self, label: str) -> str:
        """The folder that a corrected sample is filed in.

        Its label's own, where that is a target or somebody made it; else the one that it folds to.
        """
        if label in (*self.targets, MISC) or label in self.own():
            return label
        if label not in FINE_LABELS and self.own_folders:
            return label  # it was there once
        return target_of(label, self.targets, self.canonical_of)

    def own(self) -> list[str]:
        """Labels of the owner's own folders, as they stand there now."""
        found = {self.label_of(name) for name in self._folders()}
        return sorted(label for label in found if label and label not in (*self.targets, MISC))

    def resolve(self, word: str) -> str:
        """The label that somebody means: one of the 34, ``misc``, or a folder of the owner's own.

        Raises:
            UsageError: there is none; names the nearest.
        """
        own = self.own()
        known = [*FINE_LABELS, MISC, *own]
        found = word if word in known else spelled(word, known)
        if found is not None:
            return found
        raise UsageError(f"there is no label {word!r}", hint=self._hint(word, known))

    def _hint(self, word: str, known: Sequence[str]) -> str:
        import difflib  # only a fault needs it

        names = {name.casefold(): name for name in known}
        close = difflib.get_close_matches(word.casefold(), names, 1)
        meant = f"did you mean {names[close[0]]}? " if close else "name one of the 34, or misc; "
        if problem := name_problem(word):
            return f"{meant}a name that {problem} is no label"
        if not self.own_folders:
            return meant.rstrip("; ")
        return f"{meant}for a label of your own make its folder: {os.path.join(self.root, word)}"

    def _folders(self) -> Iterator[str]:
        try:
            with os.scandir(self.root) as entries:
                yield from (entry.name for entry in entries if entry.is_dir())
        except OSError:
            return
