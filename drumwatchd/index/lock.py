"""One daemon per index: an advisory lock beside it, released by the kernel whatever happens."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from drumwatchd.errors import AlreadyRunningError


def lock_path(index_path: str) -> str:
    """Where the lock of this index lies."""
    return f"{index_path}.lock"


@contextlib.contextmanager
def hold(index_path: str) -> Iterator[None]:
    """Hold the index for this process.

    Raises:
        AlreadyRunningError: another process holds it.
    """
    path = lock_path(index_path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyRunningError(
                "another drumwatchd works on this index",
                path=index_path,
                hint="stop it first, or give this one an index.path of its own",
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def is_held(index_path: str) -> bool:
    """Whether a daemon works on this index right now."""
    try:
        descriptor = os.open(lock_path(index_path), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
