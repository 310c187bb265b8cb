"""The sd_notify protocol, against a real datagram socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drumwatchd import notify


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.channel.bind(address)
        self.channel.settimeout(5)

    def lines(self) -> list[str]:
        """The assignments of the next message."""
        return self.channel.recv(65536).decode().split("\n")

    def heard_nothing(self) -> bool:
        """No message waits."""
        self.channel.setblocking(False)
        try:
            self.channel.recv(1)
        except BlockingIOError:
            return True
        return False


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    # The name of a socket has at most 107 bytes, which tmp_path may use up.
    monkeypatch.chdir(tmp_path)
    listening = Manager("notify")
    link = Path(f"/tmp/drumwatchd-notify-{os.getpid()}")
    link.symlink_to(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(link))
    yield listening
    link.unlink()
    listening.channel.close()


def test_ready_says_ready_and_the_status_line(manager: Manager) -> None:
    """Readiness and its status travel in one message."""
    notify.ready("watching 2 inboxes")
    assert manager.lines() == ["READY=1", "STATUS=watching 2 inboxes"]


def test_ready_without_a_status_sends_no_empty_status(manager: Manager) -> None:
    """An empty status leaves the one that stands."""
    notify.ready()
    assert manager.lines() == ["READY=1"]


def test_status_is_kept_to_one_line(manager: Manager) -> None:
    """A file name with a line break can't smuggle in an assignment."""
    notify.status("filing kick\nREADY=1.wav")
    assert manager.lines() == ["STATUS=filing kick READY=1.wav"]


def test_a_name_that_is_not_utf8_is_sent_escaped(manager: Manager) -> None:
    """Surrogates of an undecodable file name reach systemd as ASCII escapes."""
    notify.status(os.fsdecode(b"\xff.wav"))
    assert manager.lines() == ["STATUS=\\udcff.wav"]


def test_starting_asks_for_more_time(manager: Manager) -> None:
    """A long recovery extends the start timeout, in microseconds, and feeds the watchdog."""
    notify.starting("first scan", seconds=90)
    assert manager.lines() == ["STATUS=first scan", "EXTEND_TIMEOUT_USEC=90000000", "WATCHDOG=1"]


def test_reloading_carries_the_monotonic_clock(manager: Manager) -> None:
    """A reload is stamped with CLOCK_MONOTONIC, as Type=notify-reload wants it."""
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notify.reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    first, second = manager.lines()
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= after


def test_stopping_and_watchdog(manager: Manager) -> None:
    """Stopping and the sign of life are one assignment each."""
    notify.stopping()
    notify.watchdog()
    assert manager.lines() == ["STOPPING=1"]
    assert manager.lines() == ["WATCHDOG=1"]


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's own")
def test_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that begins with @ means the abstract namespace."""
    name = f"drumwatchd-test-{os.getpid()}"
    manager = Manager("\0" + name)
    monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
    notify.ready()
    assert manager.lines() == ["READY=1"]
    manager.channel.close()


def test_nothing_is_sent_without_a_socket(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside systemd every call is a no-op."""
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify.ready("x")
    notify.watchdog()
    assert manager.heard_nothing()


@pytest.mark.parametrize(
    "address", ["", "relative", "vsock:2:1", "/nowhere/notify", "/" + "x" * 300]
)
def test_a_socket_that_does_not_work_is_no_error(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing, unsupported or overlong address never raises."""
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify.ready("still here")


def test_watchdog_interval_is_half_of_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two signs of life fit into one timeout."""
    monkeypatch.setenv("WATCHDOG_USEC", "180000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert notify.watchdog_interval_seconds() == 90.0


def test_watchdog_meant_for_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """WATCHDOG_PID names this process."""
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert notify.watchdog_interval_seconds() == 1.0


@pytest.mark.parametrize(
    ("timeout", "pid"),
    [(None, None), ("", None), ("soon", None), ("0", None), ("-5", None), ("5", "1"), ("5", "me")],
)
def test_no_watchdog(timeout: str | None, pid: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No interval when the variable is missing, unreadable, off, or meant for another process."""
    for name, value in (("WATCHDOG_USEC", timeout), ("WATCHDOG_PID", pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert notify.watchdog_interval_seconds() is None


def test_notify_imports_nothing_heavy() -> None:
    """The module is standard library alone."""
    code = (
        "import sys, drumwatchd.notify; "
        "bad = {'numpy', 'structlog', 'msgspec', 'click', 'rich'} & set(sys.modules); "
        "sys.exit(str(sorted(bad)) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
