"""Files for an index that was made on the fly: of the size and time that it says, and empty within."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

LONG_AGO = 1_000_000_000


def spread_over_packs(index: Path) -> None:
    """Put each sample into a folder named after its pack, below its class folder."""
    connection = sqlite3.connect(index)
    with connection:
        connection.execute("UPDATE samples SET path = label || '/' || pack || '/' || name")
    connection.close()


def make_files(index: Path, root: Path) -> int:
    """Make the file of every row, as holes on the disk; return how many folders that took."""
    connection = sqlite3.connect(index)
    folders = set()
    for path, size, mtime_ns in connection.execute("SELECT path, size, mtime_ns FROM samples"):
        file = root / path
        if file.parent not in folders:
            file.parent.mkdir(parents=True, exist_ok=True)
            folders.add(file.parent)
        with file.open("wb") as stream:
            stream.truncate(size)
        os.utime(file, ns=(mtime_ns, mtime_ns))
    connection.close()
    for folder in sorted(folders, reverse=True):
        os.utime(folder, (LONG_AGO, LONG_AGO))
    return len(folders)
