"""What kind of file system a path is on, and what that means for events and locks."""

from __future__ import annotations

import os
import re

SILENT = frozenset(
    """9p afs ceph cifs fuse fuseblk glusterfs lustre ncpfs nfs nfs4 prl_fs smb3 smbfs vboxsf
    virtiofs vmhgfs""".split()
)
REMOTE = frozenset(
    """9p afs ceph cifs fuse.davfs fuse.glusterfs fuse.rclone fuse.sshfs glusterfs lustre ncpfs
    nfs nfs4 smb3 smbfs""".split()
)


def file_system_of(path: str, mountinfo: str = "/proc/self/mountinfo") -> str | None:
    """Name of the file system that `path` is on (Linux), None where it can't be told."""
    try:
        with open(mountinfo, encoding="utf-8", errors="surrogateescape") as stream:
            lines = stream.read().splitlines()
    except OSError:
        return None
    best, name = "", None
    real = os.path.realpath(path)
    for line in lines:
        left, _, right = line.partition(" - ")
        mount = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), left.split()[4])
        inside = real == mount or real.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, name = mount, right.split()[0]
    return name


def is_silent(file_system: str | None) -> bool:
    """Whether changes made elsewhere raise no events on this kind of file system."""
    return file_system is not None and file_system.split(".")[0] in SILENT


def is_remote(file_system: str | None) -> bool:
    """Whether another machine has its files, and SQLite's locks and shared memory can't be trusted."""
    return file_system in REMOTE
