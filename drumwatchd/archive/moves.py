"""Move a sample to another class folder, by its owner's word or a new judgement, whatever interrupts it.

The index is told first: what is said of it, and where the file is going. Then the file gets its new
name, loses the old one, and the row follows. Whatever stands between the first and the last step is
finished by `finish`, by whoever comes first: the command itself, or the daemon's next rescan.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable

from drumwatchd.analysis.labels import FINE_LABELS, MISC
from drumwatchd.analysis.result import Verdict
from drumwatchd.archive.archive import Archive, quarantine_name
from drumwatchd.archive.marker import QUARANTINE_FOLDER
from drumwatchd.archive.naming import alternatives, fields_of, render
from drumwatchd.archive.placement import archive_error, holds, place
from drumwatchd.errors import DrumwatchdError, SourceChangedError, UsageError
from drumwatchd.files import fsync_folder, make_folders, source_from_stat
from drumwatchd.index.corrections import Correction, How
from drumwatchd.index.rejudged import Happening, Judgement, Moved, Rejudged
from drumwatchd.index.rows import Row
from drumwatchd.index.store import Index


class Mover:
    """Files samples elsewhere: as their owner says, as they are judged now, and back again."""

    def __init__(self, index: Index, archive: Archive) -> None:
        self._index = index
        self._archive = archive
        self._corrections = archive.corrections
        self._places = archive.places
        self._rejudged = Rejudged(index)

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
        was = said.was or (MISC if self._places.was_heard(row) else QUARANTINE_FOLDER)
        return self._refile(row, None, was, "command", None)

    def _refile(
        self, row: Row, label: str | None, folder: str, how: How, note: str | None
    ) -> str | None:
        if row.state == "quarantined" and row.path is None:
            raise UsageError(
                "the sample can't be judged, and stays where it is",
                path=row.source.path,
                hint="copy it into a class folder; or `drumwatchd retry`, if it can be read now",
            )
        if row.state not in ("filed", "quarantined"):
            raise UsageError("the sample is in work", path=row.source.path, hint="try again")
        row = self._settled(row)
        if self._stands_in(row, folder):
            reason = self._reason(row, label, folder)
            if not self._corrections.relabel(row, label, folder, how, note, reason):
                raise _changed_meanwhile(row)
            return row.path
        return self._move(
            row,
            self._as_said(row, label, folder),
            lambda target: self._corrections.begin(row, label, target, how, note),
        )

    def set_aside(self, row: Row, begin: Callable[[str], bool]) -> None:
        """Move a sample to quarantine; `begin` writes that and its reason down, before it goes there.

        Raises:
            UsageError: it isn't in its place, or changed meanwhile.
            ArchiveError: the archive can't do it now.
        """
        self._move(row, quarantine_name(row.source), begin)

    # -- judged again ---------------------------------------------------------------------------

    def reclassify(self, row: Row, now: Judgement, batch: int) -> str | None:
        """File a sample as it is judged now; that is no correction.

        Returns, Raises:
            As `correct`.
        """
        return self._rejudge(row, now, batch, "reclassified", None)

    def take_back(self, row: Row, moved: Moved, batch: int) -> str | None:
        """Judge and file a sample as it was before a batch; in its old place, if nobody renamed it.

        Returns, Raises:
            As `correct`.
        """
        place = moved.stood if row.path == moved.path else None
        return self._rejudge(row, moved.was, batch, "reclassification taken back", place)

    def _rejudge(
        self, row: Row, now: Judgement, batch: int, happening: Happening, place: str | None
    ) -> str | None:
        if self._stands_in(row, now.label):
            if not self._rejudged.stay(row, now, batch, happening):
                raise _changed_meanwhile(row)
            return row.path
        verdict = Verdict(
            now.label, now.label, now.fine or MISC, now.confidence or 0.0, {}, (), "", None, now.tag
        )
        path = self._move(
            row,
            place or self._target(row, verdict),
            lambda target: self._rejudged.begin(row, now, batch, happening, target),
        )
        if path == row.path:
            raise _changed_meanwhile(row)  # somebody took it away in the midst of the move
        return path

    # -- the move -------------------------------------------------------------------------------

    def _settled(self, row: Row) -> Row:
        """The row once a move has come to its end that was begun before."""
        if row.moving_to is None:
            return row
        self.finish(row)
        return self._index.row(row.id) or row

    def _stands_in(self, row: Row, folder: str) -> bool:
        """Whether the file, if there is one, needs no move to be in a class folder."""
        if row.path is None:
            return True
        top = row.path.split("/", 1)[0]
        return folder in (top, self._archive.classes.label_of(top))

    def _move(self, row: Row, wanted: str, begin: Callable[[str], bool]) -> str | None:
        self._archive.check()
        self._check_standing(row)
        for target in filter(self._is_free, alternatives(wanted)):
            if not begin(target):
                raise _changed_meanwhile(row)
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

    def finish_all(self) -> list[tuple[Row, DrumwatchdError]]:
        """Finish every move that was interrupted; return those that can't be now, and why."""
        unfinished = []
        for row in self._places.moving():
            try:
                self.finish(row)
            except DrumwatchdError as error:
                unfinished.append((row, error))
        return unfinished

    def finish(self, row: Row) -> str | None:
        """Bring the file of a row to where it is to go, from whatever step the move is at.

        Returns:
            Where it stands, below the archive's root.

        Raises:
            ArchiveError, IndexStoreError: it can't be done now; it is tried again.
        """
        self._archive.check()
        while row.moving_to is not None:
            self._archive.clear_leftovers(row.digest, row.source.size, row.moving_to)
            if self._bring_or_give_up(row, row.moving_to):
                top = row.moving_to.split("/", 1)[0]
                label = self._archive.classes.label_of(top) or MISC
                reason = self._said_reason(row, label)
                is_aside = top == QUARANTINE_FOLDER
                self._corrections.arrived(row, None if is_aside else label, reason)
            elif os.path.lexists(self._archive.full_path(row)):
                self._corrections.divert(row, self._next_name(row.moving_to))
            elif not self._holds(row, row.moving_to):
                self._corrections.give_up(row)  # somebody took it; the rescan finds it, or not
            again = self._index.row(row.id)
            if again is None:
                return None
            row = again
        return row.path

    def _bring_or_give_up(self, row: Row, target: str) -> bool:
        try:
            return self._bring(row, target)
        except SourceChangedError:
            self._corrections.give_up(row)  # edited meanwhile; else it would be tried for ever
            raise

    def _holds(self, row: Row, target: str) -> bool:
        """Whether the file is there already: another process was at the same move, and faster."""
        new = os.path.join(self._archive.settings.root, target)
        return holds(new, row.digest, self._archive.settings.algorithm)

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

    def _as_said(self, row: Row, label: str | None, folder: str) -> str:
        """The place of a sample that its owner says is a `label`."""
        if folder == QUARANTINE_FOLDER:
            return quarantine_name(row.source)
        heard = self._places.verdict_of(row)
        fine = label if label in FINE_LABELS else heard.fine
        tag = heard.tag if fine == heard.fine else None
        return self._target(
            row, Verdict(folder, folder, fine, heard.confidence, {}, (), "", None, tag)
        )

    def _target(self, row: Row, now: Verdict) -> str:
        """The place that the name template gives a sample in another class folder.

        A name that the owner gave it stays.
        """
        assert row.path is not None
        template = self._archive.settings.name_template
        heard = self._places.verdict_of(row)
        before = (
            quarantine_name(row.source)
            if row.state == "quarantined"
            else render(template, fields_of(row.source, row.digest, heard))
        )
        after = render(template, fields_of(row.source, row.digest, now))
        name = os.path.basename(row.path)
        if _is_numbered(name, os.path.basename(before)):
            return after
        return os.path.join(os.path.dirname(after), name)

    def _said_reason(self, row: Row, label: str) -> str:
        said = self._corrections.of(row.digest)
        return self._reason(row, None if said is None else said.label, label)

    def _reason(self, row: Row, label: str | None, folder: str) -> str:
        if label is None:
            reason = self._corrections.reason_before(row.digest)
            return reason or f"{folder}, as before: the correction was taken back"
        if row.label == folder:
            return f"{label}, as you said"
        if row.state == "quarantined":
            return f"{label}, as you said, though it can't be judged: {row.reason}"
        return f"{label}, as you said; was {row.label}"


def _changed_meanwhile(row: Row) -> UsageError:
    return UsageError("it changed meanwhile", path=row.path, hint="try again")


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
