"""Telling systemd how the daemon is: the sd_notify protocol, in a few lines.

Every function is a no-op where no service manager asked to be told, and none of them raises: a
daemon that can't say how it is goes on working.

References:
    sd_notify(3), sd_watchdog_enabled(3), systemd.service(5).
"""

from __future__ import annotations

import contextlib
import os
import socket
import time


def ready(status: str = "") -> None:
    """Start-up, or a reload, is over: recovery is done and every inbox was walked once."""
    _send("READY=1", _status(status))


def starting(status: str, seconds: float = 120.0) -> None:
    """Still starting and making progress: don't give up for another ``seconds``.

    After a reload the watchdog is already at work, so this is a sign of life too.
    """
    _send(_status(status), f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}", "WATCHDOG=1")


def status(text: str) -> None:
    """One line for ``systemctl status``."""
    _send(_status(text))


def reloading(status: str = "") -> None:
    """The configuration is being read again; `ready` must follow."""
    now_usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    _send("RELOADING=1", f"MONOTONIC_USEC={now_usec}", _status(status))


def stopping(status: str = "") -> None:
    """Stopping on purpose."""
    _send("STOPPING=1", _status(status))


def watchdog() -> None:
    """The work loop goes round; call it at least every `watchdog_interval_seconds`."""
    _send("WATCHDOG=1")


def watchdog_interval_seconds() -> float | None:
    """How often to call `watchdog`: half of what the service manager waits; None if it doesn't."""
    try:
        timeout_usec = int(os.environ["WATCHDOG_USEC"])
        meant_for = int(os.environ.get("WATCHDOG_PID", os.getpid()))
    except (KeyError, ValueError):
        return None
    if timeout_usec <= 0 or meant_for != os.getpid():
        return None
    return timeout_usec / 2e6


def _status(text: str) -> str:
    # A line break would begin another assignment.
    return f"STATUS={' '.join(text.split())}" if text else ""


def _send(*assignments: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # Linux's abstract namespace
        address = "\0" + address[1:]
    message = "\n".join(line for line in assignments if line).encode("utf-8", "backslashreplace")
    with (
        contextlib.suppress(OSError, ValueError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel,
    ):
        # A full queue must not hold up the work loop; the next message says more than a late one.
        channel.settimeout(1.0)
        channel.sendto(message, address)
