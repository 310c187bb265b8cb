"""What a hostile file can make a worker do; run in workers by their tests."""

from __future__ import annotations

import os
import signal
import time


def hang(path: str, settings: object) -> str:
    time.sleep(600)
    return path


def crash(path: str, settings: object) -> str:
    os.kill(os.getpid(), signal.SIGSEGV)
    return path


def vanish(path: str, settings: object) -> str:
    os._exit(7)


def echo(path: str, settings: object) -> str:
    return path
