"""Loaded by every Python that has this folder on its path: a decoder that does harm, by the file's name.

The daemon's own process opens files by their names as text, what decodes them by their bytes.
"""

import ctypes
import os
import time

_open = os.open


def _harmful(path, *arguments, **keywords):
    name = os.path.basename(path) if isinstance(path, bytes) else b""
    if name == b"hangs.wav":
        time.sleep(600)
    while name == b"spins.wav":
        pass
    if name == b"crashes.wav":
        ctypes.string_at(0)
    if name == b"eats.wav":
        bytearray(1 << 30)
    if name == b"exits.wav":
        os._exit(3)
    return _open(path, *arguments, **keywords)


os.open = _harmful
