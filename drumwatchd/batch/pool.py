"""Worker processes as an `Executor`: a task that hangs, crashes or eats memory costs itself only."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from pebble import ProcessPool

from drumwatchd.analysis.workers import SINGLE_THREADED, start_worker

TASKS_PER_WORKER = 400  # then a fresh process: decoders leak


class Processes(Executor):
    """A pool of processes of one thread each.

    A future fails with `TimeoutError` where its task took too long, and with what pebble says where
    its process died; tasks beside it go on.
    """

    def __init__(self, count: int, *, timeout_seconds: float, memory_mb: int) -> None:
        self._count = count
        self._timeout_seconds = timeout_seconds
        self._memory_mb = memory_mb
        self._pool = self._started()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand one task over."""
        if not self._pool.active:  # a worker died between two tasks and took the pool along
            self._pool.join()
            self._pool = self._started()
        task: Future[Any] = self._pool.schedule(
            fn, args=args, kwargs=kwargs, timeout=self._timeout_seconds
        )
        return task

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes; at once where `cancel_futures`."""
        if cancel_futures:
            self._pool.stop()  # type: ignore[no-untyped-call]
        else:
            self._pool.close()  # type: ignore[no-untyped-call]
        if wait:
            self._pool.join()

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.shutdown(cancel_futures=kind is not None)

    def _started(self) -> ProcessPool:
        os.environ.update(SINGLE_THREADED)
        return ProcessPool(
            max_workers=self._count,
            max_tasks=TASKS_PER_WORKER,
            initializer=start_worker,
            initargs=(self._memory_mb,),
            context=multiprocessing.get_context("spawn"),
        )
