"""One daemon per index, and one process per content: advisory locks beside the index.

The kernel releases them, whatever happens.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator

from drumwatchd.errors import AlreadyRunningError, IndexStoreError
from drumwatchd.files import make_folders

# `is_held` has the lock for a moment when nobody else does; a start must not take it for a daemon.
TRIES, PAUSE_SECONDS = 5, 0.05


def lock_path(index_path: str) -> str:
    """Where the lock of this index lies."""
    return f"{index_path}.lock"


@contextlib.contextmanager
def hold(index_path: str) -> Iterator[None]:
    """Hold the index for this process.

    Raises:
        AlreadyRunningError: another process holds it.
        IndexStoreError: there can be no lock.
    """
    path = lock_path(index_path)
    with contextlib.ExitStack() as stack:
        try:
            make_folders(os.path.dirname(path))
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            stack.callback(os.close, descriptor)
            _lock(descriptor)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        except BlockingIOError as error:
            raise AlreadyRunningError(
                "another drumwatchd works on this index",
                path=index_path,
                hint="stop it first, or give this one an index.path of its own",
            ) from error
        except OSError as error:
            raise _cant_lock(error, path) from error
        yield


def _lock(descriptor: int) -> None:
    for tries_left in reversed(range(TRIES)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not tries_left:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            return


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


class Turns:
    """Which contents this process has in work, as others that write the same index can tell.

    Each is a byte of a file beside the index. Threads of one process don't keep each other off.
    """

    def __init__(self, index_path: str) -> None:
        self._path = f"{index_path}.work"
        self._descriptor = -1
        self._opening = threading.Lock()

    def take(self, digest: str) -> bool:
        """Whether no other process is at this content; if so, none will be until it is given back.

        Raises:
            IndexStoreError: there can be no lock.
        """
        descriptor = self._opened()
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _byte_of(digest))
        except (BlockingIOError, PermissionError):
            return False  # POSIX allows either
        except OSError as error:
            raise _cant_lock(error, self._path) from error
        return True

    def give_back(self, digest: str) -> None:
        """Let others have it."""
        if self._descriptor >= 0:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _byte_of(digest))

    def close(self) -> None:
        """Give back everything."""
        with self._opening:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1

    def _opened(self) -> int:
        with self._opening:
            if self._descriptor < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                try:
                    self._descriptor = os.open(self._path, flags, 0o644)
                except OSError as error:
                    raise _cant_lock(error, self._path) from error
            return self._descriptor


def _cant_lock(error: OSError, path: str) -> IndexStoreError:
    return IndexStoreError(
        f"the index can't be locked ({error.strerror})",
        path=path,
        hint="let index.path be on a local disk, in a folder that this user may write",
    )


def _byte_of(digest: str) -> int:
    return int(digest[:15], 16)  # a file has 2⁶³
