"""What a hostile file can make a worker do; run in workers by their tests."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time

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
    return workers._analyse(path, settings, name="", version=workers.__version__)
