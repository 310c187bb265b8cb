"""Where archive and inbox share a file, by a link: what is done to it there is done to it here."""

from __future__ import annotations

import contextlib
import os

from drumwatchd.archive.placement import archive_error, temporary_path
from drumwatchd.files import Source, fsync_folder
from drumwatchd.index.rows import Row

LINKED = ("hardlink", "symlink")


def shares_file(row: Row, entry: str, source: Source) -> bool:
    """Whether the archive's entry of a row leads to this very file."""
    if row.mode not in LINKED or row.state != "filed" or row.missing is not None:
        return False
    try:
        return os.path.samefile(entry, source.path)
    except OSError:
        return False


def follow(row: Row, entry: str, source: Source) -> bool:
    """Whether `source` is the file that the entry rests on, renamed; a symbolic link is led there.

    Raises:
        ArchiveError: the link can't be replaced now.
    """
    if os.path.lexists(row.source.path) or row.state != "filed" or row.missing is not None:
        return False
    if shares_file(row, entry, source):
        return True
    try:
        if row.mode != "symlink" or os.readlink(entry) != row.source.path:
            return False
        _lead(entry, source.path, row.digest)
    except FileNotFoundError:
        return False  # somebody took it away
    except OSError as error:
        raise archive_error(error, entry) from error
    return True


def _lead(entry: str, target: str, digest: str) -> None:
    temporary = temporary_path(entry, digest)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, entry)
    fsync_folder(os.path.dirname(entry))
