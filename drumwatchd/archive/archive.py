"""The archive as the pipeline sees it: reserve a place, put the file there, write it down."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from drumwatchd.analysis.labels import CANONICAL_LABELS, CANONICAL_OF
from drumwatchd.analysis.result import Analysis
from drumwatchd.archive import links
from drumwatchd.archive.classes import Classes
from drumwatchd.archive.emptied import ClassFolders
from drumwatchd.archive.manifest import Manifests
from drumwatchd.archive.marker import QUARANTINE_FOLDER, check_marker
from drumwatchd.archive.naming import alternatives, fields_of, render
from drumwatchd.archive.placement import Mode, archive_error, holds, place, temporary_path
from drumwatchd.errors import ArchiveError, WorkersStoppedError
from drumwatchd.files import Source, fsync_folder
from drumwatchd.index.corrections import Corrections
from drumwatchd.index.places import Places
from drumwatchd.index.rows import Row
from drumwatchd.index.store import Index


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """Where and how samples are filed.

    Attributes:
        root: the archive folder.
        mode: move, copy, hardlink, symlink or none.
        name_template: path below `root`, beginning with ``{label}/``.
        algorithm: name of the digest.
        archive_id: what the marker file must say.
        target_labels: labels with a folder of their own.
        canonical_of: fine label → folder label or ``misc``.
        own_folders: whether folders that the owner made beside them are labels, too.
    """

    root: str
    mode: Mode
    name_template: str
    algorithm: str
    archive_id: str
    target_labels: Sequence[str] = CANONICAL_LABELS
    canonical_of: Mapping[str, str] = field(default_factory=lambda: CANONICAL_OF)
    own_folders: bool = True


class Archive:
    """Files samples; several threads may place, one at a time records.

    Attributes:
        settings: where and how.
        classes: its class folders.
        corrections: what the owner says of its samples.
        places: where its samples should stand.
        class_folders: which of them are as they should be.
    """

    def __init__(self, settings: ArchiveSettings, index: Index, manifests: Manifests) -> None:
        self.settings = settings
        self.classes = Classes(
            settings.root, settings.target_labels, settings.canonical_of, settings.own_folders
        )
        self.corrections = Corrections(index)
        self.places = Places(index)
        self.class_folders = ClassFolders(settings.root, index, settings.archive_id)
        self._index = index
        self._manifests = manifests
        self._record_lock = threading.Lock()
        self._interrupted = False

    def interrupt(self) -> None:
        """Let no digest and no copy come to its end any more; the daemon stops."""
        self._interrupted = True

    def go_on(self, _chunk: bytes = b"") -> None:
        """Called for each chunk of a long file.

        Raises:
            WorkersStoppedError: the daemon stops; the file is taken again at the next start.
        """
        if self._interrupted:
            raise WorkersStoppedError("interrupted by the daemon's stop")

    def check(self) -> None:
        """Make sure that the archive is mounted, with all its disks, and ours.

        Raises:
            ArchiveError: it isn't.
        """
        check_marker(self.settings.root, self.settings.archive_id)
        self.class_folders.check()

    def full_path(self, row: Row) -> str:
        """Where the content of a row stands: in the archive, or still in the inbox."""
        if row.path is None:
            return row.source.path
        return os.path.join(self.settings.root, row.path)

    def has(self, row: Row) -> bool:
        """Whether the content of a row really stands where the index says, byte for byte."""
        algorithm = self.settings.algorithm
        return holds(self.full_path(row), row.digest, algorithm, on_chunk=self.go_on)

    def make_durable(self, row: Row) -> None:
        """Make sure that a place which an interrupted attempt made outlives a power cut.

        Raises:
            ArchiveError: it can't be made sure of now.
        """
        folder = os.path.dirname(self.full_path(row))
        try:
            fsync_folder(folder)
        except OSError as error:
            raise archive_error(error, folder) from error

    def is_present(self, row: Row) -> bool:
        """Whether something stands where the index says; cheap.

        Raises:
            ArchiveError: it can't be told now.
        """
        if row.missing is not None:
            return False  # whatever stands there now is another file
        path = self.full_path(row)
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise archive_error(error, path) from error
        return True

    def is_sought(self, row: Row) -> bool:
        """Whether a file with the content of a row may be that sample, rather than a copy.

        What is in quarantine is left there by a copy; what couldn't be judged and has no place in the
        archive at all is filed by one.
        """
        if row.state == "quarantined":
            return row.path is None or not os.path.lexists(self.full_path(row))
        return row.missing is not None

    def as_corrected(self, digest: str, analysis: Analysis) -> Analysis:
        """What was heard, filed as the owner said; as it is where the owner said nothing."""
        said = self.corrections.of(digest)
        if said is None:
            return analysis
        self.corrections.heard_as(digest, analysis.verdict.label)
        label = self.classes.folder_of(said.label)
        verdict = replace(analysis.verdict, label=label, reason=f"{said.label}, as you said")
        return replace(analysis, verdict=replace(verdict, review=None))

    def file(self, row: Row, source: Source, analysis: Analysis) -> str | None:
        """Reserve a name, and put the sample there; None in mode "none".

        Raises:
            SourceChangedError: the source is not the file that was digested.
            ArchiveError: the archive can't take it now.
        """
        mode = self.settings.mode
        if mode == "none":
            self._index.plan(row.id, analysis, None, name=source.name, mode=mode)
            return None
        wanted = render(
            self.settings.name_template, fields_of(source, row.digest, analysis.verdict)
        )

        def reserve(relative: str) -> bool:
            name = os.path.basename(relative)
            return self._index.plan(row.id, analysis, relative, name=name, mode=mode)

        return self._place(source, row.digest, wanted, mode, reserve)

    def quarantine(self, row: Row, source: Source, reason: str) -> str:
        """Put a file that can't be judged (or a duplicate) into quarantine.

        Raises:
            SourceChangedError, ArchiveError: as in `file`.
        """

        def reserve(relative: str) -> bool:
            return self._index.reserve_quarantine(row.id, relative, reason)

        return self._place(source, row.digest, quarantine_name(source), "move", reserve)

    def quarantine_duplicate(self, source: Source, digest: str) -> str:
        """Put a duplicate into quarantine; it has no row of its own."""
        wanted = quarantine_name(source)
        self.clear_leftovers(digest, source.size, wanted)
        if holds(os.path.join(self.settings.root, wanted), digest, self.settings.algorithm):
            return wanted  # put there by an attempt that was interrupted
        return self._place(source, digest, wanted, "move", lambda relative: True)

    def record_filed(self, row: Row, relative: str | None, label: str, *, remember: bool) -> None:
        """Commit the row, then its manifest line.

        Raises:
            IndexStoreError: the row can't be committed.
            OSError: the row stands, only the manifest is behind; it is mended later.
        """
        with self._record_lock:
            self._index.filed(row, relative, remember=remember)
            self._manifests.append(label, row.id)

    def record_found(self, row: Row, relative: str, label: str, mtime_ns: int) -> bool:
        """A sample that was sought stands here: commit that, then its manifest line.

        Returns:
            False where the row has changed meanwhile, and nothing was recorded.
        """
        with self._record_lock:
            if not self.corrections.found(row, relative, label, mtime_ns):
                return False
            if label != row.label or row.state == "gone":
                with contextlib.suppress(OSError):  # the next flush mends it
                    self._manifests.append(label, row.id)
        return True

    def owes_manifests(self) -> bool:
        """Whether a manifest has to be written anew at the next flush."""
        with self._record_lock:
            return self._manifests.is_out_of_date()

    def take_back(self, relative: str, source: Source) -> bool:
        """Remove the archive's link to a file that stands in the inbox still.

        Returns:
            Whether there was one.

        Raises:
            ArchiveError: it can't be removed now.
        """
        target = os.path.join(self.settings.root, relative)
        try:
            found = os.lstat(target)
            if stat.S_ISLNK(found.st_mode):
                if os.readlink(target) != source.path:
                    return False
            elif found.st_nlink < 2 or not os.path.samestat(found, os.lstat(source.path)):
                return False
            os.unlink(target)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise archive_error(error, target) from error
        return True

    def unrecord(
        self, row: Row, label: str | None, reason: str, *, event: str = "released"
    ) -> None:
        """Take a row out of the index again, and its line out of the manifest."""
        with self._record_lock:
            self._index.release(row, event, reason)
            if label is not None:
                self._manifests.mend_later(label)

    def shares_file(self, row: Row, source: Source) -> bool:
        """Whether the archive's entry of a row is a link to this very file."""
        return links.shares_file(row, self.full_path(row), source)

    def follow_edit(self, row: Row, source: Source, digest: str) -> bool:
        """Write down that the file which a row rests on, by a link, has other content now."""
        return self.shares_file(row, source) and self.corrections.changed(
            row, digest, source.size, source.mtime_ns
        )

    def follow_rename(self, row: Row, source: Source) -> bool:
        """Whether `source` is what the entry of a row rests on, by a link, under another name now.

        Raises:
            ArchiveError: the archive isn't there, or a link can't be replaced.
        """
        if row.mode not in links.LINKED or source.path == row.source.path:
            return False
        self.check()
        return links.follow(row, self.full_path(row), source)

    def clear_leftovers(self, digest: str, size: int, relative: str) -> None:
        """Remove what an interrupted placement of this content left beside its target.

        Raises:
            ArchiveError: it can't be removed now.
        """
        target = os.path.join(self.settings.root, relative)
        temporary = temporary_path(target, digest)
        if not os.path.lexists(temporary):
            return
        try:
            if size > 0 and os.path.exists(target) and os.path.getsize(target) == 0:
                os.unlink(target)  # our own reservation, made where there are no hard links
            os.unlink(temporary)
        except OSError as error:
            raise archive_error(error, temporary) from error

    def flush(self) -> None:
        """Make the manifests durable.

        Raises:
            ArchiveError: the archive isn't there.
            OSError: a manifest can't be written.
        """
        self.check()  # a manifest written where the archive is not would hide beneath it
        with self._record_lock:
            self._manifests.flush()

    def _place(
        self,
        source: Source,
        digest: str,
        wanted: str,
        mode: Mode,
        reserve: Callable[[str], bool],
    ) -> str:
        self.check()
        for relative in self._free_names(wanted):
            if not reserve(relative):
                continue
            target = os.path.join(self.settings.root, relative)
            try:
                place(source, target, mode, digest, self.settings.algorithm, self.go_on)
            except FileExistsError:
                continue
            self.check()  # unmounted meanwhile, the file went to the folder beneath
            return relative
        raise AssertionError("unreachable: there is always another name")

    def _free_names(self, wanted: str) -> Iterator[str]:
        """Names worth trying; a taken one is passed over without touching the index."""
        for relative in alternatives(wanted):
            try:
                os.lstat(os.path.join(self.settings.root, relative))
            except FileNotFoundError:
                yield relative
            except OSError as error:
                raise archive_error(error, os.path.join(self.settings.root, relative)) from error


def check_usable(root: str) -> None:
    """Make sure that files can be made in the archive.

    Raises:
        ArchiveError: it is missing, read-only or not ours to write.
    """
    if not os.path.isdir(root):
        raise ArchiveError(
            "the archive folder is missing", path=root, hint="create it, or mount its disk"
        )
    probe = os.path.join(root, f".drumwatchd-probe-{os.getpid()}")
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        os.unlink(probe)
    except OSError as error:
        raise archive_error(error, root) from error


def quarantine_name(source: Source) -> str:
    """Where a file is set aside, below the archive's root, as long as the name is free."""
    return render(
        "{quarantine}/{pack}/{stem}",
        {"quarantine": QUARANTINE_FOLDER, "pack": source.pack, "stem": source.name},
    )
