"""What a hostile file can make a worker do; run in workers by their tests."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any

from drumwatchd.analysis import workers
from drumwatchd.analysis.settings import AnalysisSettings


def hang(path: str, settings: object) -> str:
    time.sleep(600)
    return path


def hang_in_c(path: str, settings: object) -> str:
    hashlib.pbkdf2_hmac(
        "sha256", b"", b"", (1 << 31) - 1
    )  # no signal handler of Python's runs meanwhile
    return path


def spin(path: str, settings: object) -> str:
    workers.limit_processor_time(0.5)
    while True:
        pass


def crash(path: str, settings: object) -> str:
    os.kill(os.getpid(), signal.SIGSEGV)
    return path


def stop(path: str, settings: object) -> str:
    os.kill(os.getpid(), signal.SIGTERM)
    return path


def vanish(path: str, settings: object) -> str:
    os._exit(7)


def echo(path: str, settings: object) -> str:
    return path


def pause(path: str, settings: object) -> str:
    time.sleep(1)
    return path


def without_numpy(path: str, settings: AnalysisSettings) -> object:
    sys.modules["numpy"] = None  # type: ignore[assignment]
    return workers._analyse(
        path, settings, name="", version=workers.__version__, processor_seconds=60
    )


class Executing(Executor):
    """Hands work over, but what it does to files of certain names is a hostile file's doing."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self._executor.submit(provoked, fn, *args, **kwargs)


def provoked(fn: Callable[..., Any], items: Sequence[Any], *more: Any) -> Any:
    """What `fn` does, unless a file in a block of analyses is hostile."""
    for digested, _ in items if fn.__name__ == "analyse_files" else ():
        if digested.source.name == "crash.wav":
            crash("", None)
        if digested.source.name == "hang.wav":
            hang("", None)
    return fn(items, *more)
