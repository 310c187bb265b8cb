"""Work that is spread over processes; progress and order stay with the caller."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from drumwatchd.errors import AnalysisCrashError

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def spread(
    function: Callable[[_Task], _Result],
    tasks: Iterable[_Task],
    processes: int,
    *,
    chunksize: int = 1,
    doing: str,
    hint: str,
) -> Generator[_Result, None, None]:
    """What `function` makes of each task, in order; in this process, if that is the only one.

    Args:
        function: importable by its name.
        tasks: picklable.
        processes: how many work.
        chunksize: tasks that one process is handed at a time.
        doing: what a process does, for the error that says that it died.
        hint: and what helps then.

    Raises:
        AnalysisCrashError: a process died.
    """
    if processes <= 1:
        yield from map(function, tasks)
        return
    # spawn: a forked child of a process with TensorFlow's threads can hang. Ctrl-C reaches all
    # processes of a terminal; one of them answers.
    pool = ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        yield from pool.map(function, tasks, chunksize=chunksize)
    except BrokenProcessPool as error:
        raise AnalysisCrashError(f"a process that {doing} died", hint=hint) from error
    finally:
        pool.shutdown(cancel_futures=True)
