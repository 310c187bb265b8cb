"""Move a sample to another class folder because its owner says so, safe against any interruption.

The index is told first: what the owner says, and where the file is going. Then the file gets its new
name, loses the old one, and the row follows. Whatever stands between the first and the last step is
finished by `finish`, by whoever comes first: the command itself, or the daemon's next rescan.
"""

from __future__ import annotations

import contextlib
import os
import re

from drumwatchd.analysis.labels import FINE_LABELS, MISC
from drumwatchd.analysis.result import Verdict
from drumwatchd.archive.archive import Archive
from drumwatchd.archive.naming import alternatives, fields_of, render
from drumwatchd.archive.placement import archive_error, holds, place
from drumwatchd.errors import UsageError
from drumwatchd.files import fsync_folder, make_folders, source_from_stat
from drumwatchd.index.corrections import Correction, How
from drumwatchd.index.rows import Row
from drumwatchd.index.store import Index


class Mover:
    """Corrects samples, and takes corrections back."""

    def __init__(self, index: Index, archive: Archive) -> None:
        self._index = index
        self._archive = archive
        self._corrections = archive.corrections
        self._places = archive.places

    def correct(self, row: Row, label: str, *, how: How, note: str | None) -> str | None:
        """File a sample under what its owner says it is.

        Returns:
            Its place below the archive's root; None where it has none now.

        Raises:
            UsageError: it can't be corrected in the state that it is in.
            ArchiveError: the archive can't take it now.
        """
        if row.state == "gone":
            self._corrections.say(row.digest, label, was=row.label, how=how, note=note)
            return None
        return self._refile(row, label, self._archive.classes.folder_of(label), how, note)

    def undo(self, row: Row, said: Correction) -> str | None:
        """Take a correction back: the sample goes where it was filed before.

        Returns, Raises:
            As `correct`.
        """
        if row.state == "gone":
            self._corrections.take_back(row.digest)
            return None
        return self._refile(row, None, said.was or MISC, "command", None)

    def _refile(
        self, row: Row, label: str | None, folder: str, how: How, note: str | None
    ) -> str | None:
        if row.state != "filed":
            raise UsageError(
                "the sample is in quarantine" if row.state == "quarantined" else "it is in work",
                path=row.source.path,
                hint="`drumwatchd retry` files it, if it can be read; then correct it",
            )
        reason = _reason(row, label, folder)
        stands = row.path is None or row.path.split("/", 1)[0] == folder
        if stands or self._archive.classes.label_of(str(row.path).split("/", 1)[0]) == folder:
            self._corrections.relabel(row, label, folder, how, note, reason)
            return row.path
        self._archive.check()
        self._check_standing(row)
        for target in alternatives(self._target(row, label, folder)):
            if not self._is_free(target):
                continue
            if not self._corrections.begin(row, label, target, how, note):
                raise UsageError("it changed meanwhile", path=row.path, hint="try again")
            break
        begun = self._index.row(row.id)
        assert begun is not None
        return self.finish(begun)

    def _check_standing(self, row: Row) -> None:
        path = self._archive.full_path(row)
        if row.missing is not None or not os.path.lexists(path):
            raise UsageError(
                "its file isn't in its place",
                path=path,
                hint="if it was moved by hand, the next rescan finds it; try again then",
            )

    # -- the move -------------------------------------------------------------------------------

    def finish(self, row: Row) -> str | None:
        """Bring the file of a row to where it is to go, from whatever step the move is at.

        Returns:
            Where it stands, below the archive's root.

        Raises:
            ArchiveError, IndexStoreError: it can't be done now; it is tried again.
        """
        self._archive.check()
        while row.moving_to is not None:
            assert row.path is not None
            if self._bring(row, row.moving_to):
                label = self._archive.classes.label_of(row.moving_to.split("/", 1)[0])
                self._corrections.arrived(row, label or MISC, self._said_reason(row, label))
            elif not os.path.lexists(self._archive.full_path(row)):
                self._corrections.give_up(row)  # somebody took it; the rescan finds it, or not
            else:
                self._corrections.divert(row, self._next_name(row.moving_to))
            again = self._index.row(row.id)
            if again is None:
                return None
            row = again
        return row.path

    def _bring(self, row: Row, target: str) -> bool:
        """Whether the file stands under its new name, and under no other."""
        old = self._archive.full_path(row)
        new = os.path.join(self._archive.settings.root, target)
        try:
            if not os.path.lexists(new):
                self._name(row, old, new)
            if not self._is_it(row, old, new):
                return False
            if not _is_same_entry(old, new):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(old)
                fsync_folder(os.path.dirname(old))
        except (FileExistsError, FileNotFoundError):
            return False
        except OSError as error:
            raise archive_error(error, new) from error
        return True

    def _name(self, row: Row, old: str, new: str) -> None:
        found = os.lstat(old)
        if os.path.islink(old):
            make_folders(os.path.dirname(new))
            os.symlink(os.path.join(os.path.dirname(old), os.readlink(old)), new)
            fsync_folder(os.path.dirname(new))
            return
        source = source_from_stat(old, self._archive.settings.root, found)
        place(source, new, "move", row.digest, self._archive.settings.algorithm)

    def _is_it(self, row: Row, old: str, new: str) -> bool:
        """Whether what stands at the new name is this sample, and needs the old name no more."""
        found = os.lstat(new)
        algorithm = self._archive.settings.algorithm
        if os.path.islink(new):
            # Where a file stood before, a link to it would lead nowhere once that is gone.
            return (os.path.islink(old) or not os.path.lexists(old)) and holds(
                new, row.digest, algorithm
            )
        with contextlib.suppress(OSError):
            if os.path.samestat(found, os.lstat(old)):
                return True
        return holds(new, row.digest, algorithm)

    def _next_name(self, target: str) -> str:
        return next(filter(self._is_free, alternatives(target)))

    def _is_free(self, name: str) -> bool:
        """Whether neither a file has this name, nor a sample that will have it or had it just now."""
        path = os.path.join(self._archive.settings.root, name)
        return not (os.path.lexists(path) or self._places.is_place(name))

    # -- names ----------------------------------------------------------------------------------

    def _target(self, row: Row, label: str | None, folder: str) -> str:
        """The place that the name template gives a sample in another class folder.

        A name that the owner gave it stays.
        """
        assert row.path is not None
        template = self._archive.settings.name_template
        heard = self._places.verdict_of(row)
        before = render(template, fields_of(row.source, row.digest, heard))
        fine = label if label in FINE_LABELS else heard.fine
        tag = heard.tag if fine == heard.fine else None
        now = Verdict(folder, folder, fine, heard.confidence, {}, (), "", None, tag)
        after = render(template, fields_of(row.source, row.digest, now))
        name = os.path.basename(row.path)
        if _is_numbered(name, os.path.basename(before)):
            return after
        return os.path.join(os.path.dirname(after), name)

    def _said_reason(self, row: Row, label: str | None) -> str:
        said = self._corrections.of(row.digest)
        return _reason(row, None if said is None else said.label, label or MISC)


def _reason(row: Row, label: str | None, folder: str) -> str:
    if label is None:
        return f"{folder}, as before: the correction was taken back"
    return (
        f"{label}, as you said" if row.label == folder else f"{label}, as you said; was {row.label}"
    )


def _is_same_entry(old: str, new: str) -> bool:
    """Whether both are one name: a class folder may be a link to another, or case be ignored."""
    try:
        folders = os.path.samefile(os.path.dirname(old), os.path.dirname(new))
        return (
            folders
            and os.path.basename(old).casefold() == os.path.basename(new).casefold()
            and os.path.samestat(os.lstat(old), os.lstat(new))
        )
    except OSError:
        return False


def _is_numbered(name: str, wanted: str) -> bool:
    """Whether a name is the wanted one, or that with a number because it was taken."""
    stem, suffix = os.path.splitext(wanted)
    return re.fullmatch(re.escape(stem) + r"(-\d+)?" + re.escape(suffix), name) is not None
