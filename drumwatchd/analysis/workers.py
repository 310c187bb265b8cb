"""Worker processes that analyse, so that a decoder's crash, hang or hunger costs one file its turn.

The daemon's own process imports this module, never what the workers import.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from drumwatchd import __version__
from drumwatchd.analysis.result import Analysis
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.errors import (
    AnalysisCrashError,
    AnalysisError,
    AnalysisTimeoutError,
    DrumwatchdError,
    ModelError,
    WorkersStoppedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# A second thread inside a worker makes one MFCC three times slower and doubles the memory.
SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# A shutdown or a terminal that closes tells every process; no file does.
TOLD_TO_STOP = frozenset({-signal.SIGTERM, -signal.SIGHUP})
# Of the time that an analysis may take: what computes without end is no slow disk.
PROCESSOR_SHARE = 0.5
TASKS_PER_WORKER = 5_000  # then a fresh process: decoders leak


class Workers:
    """A pool that starts on demand and goes away when idle.

    Safe to use from several threads; each call blocks its thread until its file is judged.
    """

    def __init__(
        self,
        settings: AnalysisSettings,
        *,
        count: int,
        timeout_seconds: float,
        memory_mb: int,
        idle_seconds: float,
    ) -> None:
        self.count = count
        self._settings = settings
        self._timeout_seconds = timeout_seconds
        self._processor_seconds = timeout_seconds * PROCESSOR_SHARE
        self._memory_mb = memory_mb
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._pool: ProcessPool | None = None
        self._futures: set[ProcessFuture[Any]] = set()  # of this pool
        self._closed = False
        self._busy = 0
        self._idle_since = time.monotonic()

    def analyse(self, path: str, name: str) -> Analysis:
        """Judge one file in a worker.

        Args:
            path: of the file.
            name: its path below the inbox, which counts where the settings say so.

        Raises:
            AnalysisError: this file can't be judged.
            ModelError: the model can't be used; no file can be judged.
        """
        function = functools.partial(
            _analyse, name=name, version=__version__, processor_seconds=self._processor_seconds
        )
        analysis: Analysis = self._call(function, path)
        return analysis

    def close_if_idle(self, now: float) -> float | None:
        """End the workers when they had nothing to do for `idle_seconds`.

        Returns:
            When to ask again (monotonic), None while there is nothing to end.
        """
        with self._lock:
            if self._pool is None:
                return None
            due = self._idle_since + self._idle_seconds
            if self._busy or now < due:
                return max(due, now + 1.0)
            pool, futures = self._taken_down()
        _end(pool, futures, gently=True)
        return None

    @property
    def alive(self) -> int:
        """How many workers there are now."""
        return 0 if self._pool is None else self.count

    def close(self) -> None:
        """End the workers at once; what they were at is forgotten."""
        with self._lock:
            self._closed = True
            pool, futures = self._taken_down()
        _end(pool, futures, gently=False)

    def _call(self, function: Callable[..., Any], path: str) -> Any:
        for attempt in (1, 2):
            pool = self._checked_out()
            started = time.monotonic()
            try:
                return self._scheduled(pool, function, path).result()
            except FutureTimeoutError as error:
                if attempt == 1 and time.monotonic() - started < self._timeout_seconds:
                    continue  # the pool goes by the wall clock, and that was set meanwhile
                raise AnalysisTimeoutError(
                    f"the analysis took longer than {self._timeout_seconds:g} s", path=path
                ) from error
            except ProcessExpired as error:
                if error.exitcode == -signal.SIGXCPU:
                    raise AnalysisTimeoutError(
                        f"the analysis took more than {self._processor_seconds:g} s of processor time",
                        path=path,
                    ) from error
                if error.exitcode in TOLD_TO_STOP:
                    if attempt == 1:
                        continue
                    raise WorkersStoppedError("the worker was told to stop", path=path) from error
                raise AnalysisCrashError(
                    f"the worker died ({_exit_text(error.exitcode)})", path=path
                ) from error
            except (CancelledError, BrokenProcessPool, RuntimeError) as error:
                # A worker died between two files and took the pool along; the file is innocent.
                self._discard(pool)
                if attempt == 2:
                    raise WorkersStoppedError(
                        "the workers can't be started",
                        hint="is there memory for them? see also classify.worker_memory_mb",
                    ) from error
            finally:
                self._check_in()
        raise AssertionError("unreachable")

    def _checked_out(self) -> ProcessPool:
        with self._lock:
            if self._closed:
                raise WorkersStoppedError("the workers were stopped")
            self._busy += 1
            if self._pool is None:
                os.environ.update(SINGLE_THREADED)
                self._pool = ProcessPool(
                    max_workers=self.count,
                    max_tasks=TASKS_PER_WORKER,
                    initializer=start_worker,
                    initargs=(self._memory_mb,),
                    context=multiprocessing.get_context("spawn"),
                )
            return self._pool

    def _scheduled(
        self, pool: ProcessPool, function: Callable[..., Any], path: str
    ) -> ProcessFuture[Any]:
        """Hand one task to a pool; it is answered whatever becomes of the pool."""
        with self._lock:
            if self._pool is not pool:
                raise CancelledError
            future = pool.schedule(
                function, args=(path, self._settings), timeout=self._timeout_seconds
            )
            self._futures.add(future)
            future.add_done_callback(self._futures.discard)
        return future

    def _taken_down(self) -> tuple[ProcessPool | None, set[ProcessFuture[Any]]]:
        taken = self._pool, self._futures
        self._pool, self._futures = None, set()
        return taken

    def _check_in(self) -> None:
        with self._lock:
            self._busy -= 1
            self._idle_since = time.monotonic()

    def _discard(self, pool: ProcessPool) -> None:
        with self._lock:
            if self._pool is not pool:
                return  # another thread met the same end first, and sees to it
            _, futures = self._taken_down()
        _end(pool, futures, gently=False)


def worker_count(wanted: int) -> int:
    """Resolve a configured worker count: 0 means one per core that we may use, at most four."""
    if wanted > 0:
        return wanted
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, min(4, cores))


def _end(pool: ProcessPool | None, futures: set[ProcessFuture[Any]], *, gently: bool) -> None:
    if pool is None:
        return
    if gently:
        pool.close()  # type: ignore[no-untyped-call]
    else:
        pool.stop()  # type: ignore[no-untyped-call]
    pool.join()
    for future in list(futures):
        # A pool that ends while it starts leaves tasks unanswered for ever.
        future.cancel()  # type: ignore[no-untyped-call]


def _exit_text(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code}"
    return f"exit code {code}"


def start_worker(memory_mb: int) -> None:
    """Limit a new worker's memory, keep its libraries quiet, and tie its life to the daemon's."""
    # The pool's own handler waits for C code to return; a hung decoder doesn't.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        limit, (_, most) = memory_mb << 20, resource.getrlimit(resource.RLIMIT_DATA)
        if most == resource.RLIM_INFINITY or limit < most:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a hostile file may cost no disk either
    _silence_decoders()
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _silence_decoders() -> None:
    """Some say on descriptor 2, which is the log, what they think of a file; Python's errors still get there."""
    sys.stderr = open(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - for good
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    os.close(silent)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def limit_processor_time(seconds: float) -> None:
    """Let this process compute for so many seconds more; then SIGXCPU ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = max(1, math.ceil(used.ru_utime + used.ru_stime + seconds))
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    if most != resource.RLIM_INFINITY:
        limit = min(limit, most)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, most))


def _analyse(
    path: str, settings: AnalysisSettings, *, name: str, version: str, processor_seconds: float
) -> Analysis:
    """What a worker runs; the heavy imports happen here.

    Only our own errors go back: to unpickle another's would import its library into the daemon.
    """
    if version != __version__:
        # A worker that starts after an upgrade is of another mind than its daemon.
        raise ModelError(
            f"drumwatchd {version} runs, but {__version__} is installed", hint="restart it"
        )
    try:
        from drumwatchd.analysis.analyse import analyse
    except (ImportError, OSError, MemoryError) as error:
        raise ModelError(
            f"what judges can't be loaded ({type(error).__name__}: {error})",
            hint="install drumwatchd again, or allow more with classify.worker_memory_mb",
        ) from None
    limit_processor_time(processor_seconds)
    try:
        return analyse(path, settings, name=name)
    except DrumwatchdError:
        raise
    except MemoryError:
        raise AnalysisCrashError(
            "the analysis needs more memory than it may have", path=path
        ) from None
    except Exception as error:
        raise AnalysisError(f"unexpected {type(error).__name__}: {error}", path=path) from None
