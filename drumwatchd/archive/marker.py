"""The file that tells a mounted archive from the empty folder where it should be."""

from __future__ import annotations

import os

from drumwatchd.errors import ArchiveError
from drumwatchd.files import fsync_folder, make_folders

MARKER_NAME = ".drumwatchd-archive"
QUARANTINE_FOLDER = "_quarantine"
MANIFEST_FOLDER = "_manifests"


def create_marker(root: str, archive_id: str) -> None:
    """Mark a folder as this index's archive.

    Raises:
        OSError: it can't be written.
    """
    make_folders(root)
    with open(os.path.join(root, MARKER_NAME), "x", encoding="ascii") as stream:
        stream.write(f"{archive_id}\n")
        stream.flush()
        os.fsync(stream.fileno())
    fsync_folder(root)


def check_marker(root: str, archive_id: str) -> None:
    """Make sure that the archive is there.

    Raises:
        ArchiveError: the marker is missing or belongs to another index.
    """
    path = os.path.join(root, MARKER_NAME)
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            found = stream.read().strip()
    except OSError as error:
        raise ArchiveError(
            "the archive's marker file is missing; is its disk mounted?",
            path=path,
            hint=f"mount it; or, where the archive was emptied on purpose: echo {archive_id} > {path}",
        ) from error
    if found != archive_id:
        raise ArchiveError(
            "this archive belongs to another index",
            path=path,
            hint="check archive.root and index.path; where its index was lost: "
            "drumwatchd repair --rebuild-index",
        )
