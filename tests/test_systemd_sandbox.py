"""The real program under the unit's own constraints, on machines where systemd isn't PID 1."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import drums
import lessons
import sandbox
from test_hearing import House
from test_retrain import taught_home

REPOSITORY = Path(__file__).parent.parent
UNIT = REPOSITORY / "systemd" / "drumwatchd.service"
RETRAIN_UNIT = REPOSITORY / "systemd" / "drumwatchd-retrain.service"
PYTHON = sys.executable

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's own"),
]

CONFIG = """\
[[inbox]]
path = "inbox"
settle_seconds = 0.2
[archive]
root = "archive"
[index]
path = "state/index.sqlite3"
[classify]
worker_count = 1
"""

# Each of these must fail inside; the name of the exception is printed.
FORBIDDEN = """
import json, mmap, os, socket, sys

def exec_after_write():
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    if libc.mprotect(ctypes.c_void_p(address), 4096, mmap.PROT_READ | mmap.PROT_EXEC):
        raise OSError(ctypes.get_errno(), "mprotect")

attempts = {
    "internet socket": lambda: socket.socket(socket.AF_INET),
    "netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "writable code": lambda: mmap.mmap(-1, 4096, prot=7),
    "code from data": exec_after_write,
    "change of owner": lambda: os.chown(sys.argv[1], 1, 1),
    "setuid program": lambda: os.chmod(sys.argv[1], 0o4755),
    "anonymous program": lambda: os.memfd_create("x"),
    "priority": lambda: os.nice(1),
}
done = {}
for name, attempt in attempts.items():
    try:
        attempt()
        done[name] = "done"
    except OSError as error:
        done[name] = "refused"
status = open("/proc/self/status").read()
done["capabilities"] = status.split("CapBnd:")[1].split()[0].strip("0") or "none"
print(json.dumps(done))
"""


def confined(*command: str, strict: bool = True, unit: Path = UNIT) -> list[str]:
    """The command line that runs `command` as the system unit would."""
    options = ["--strict-mdwe"] if strict else []
    return [PYTHON, sandbox.__file__, *options, str(unit), "--", *command]


@pytest.fixture(scope="module", autouse=True)
def can_confine() -> None:
    """Skip, with the reason, where libseccomp, systemd-analyze or the kernel don't do it."""
    tried = subprocess.run(confined("true"), capture_output=True, text=True, check=False)
    if tried.returncode == sandbox.EXIT_UNAVAILABLE:
        pytest.skip(tried.stderr.strip())
    assert tried.returncode == 0, tried.stderr


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A configured folder, with samples of five formats in its inbox."""
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "archive").mkdir()
    for name, kind in (
        ("kick.wav", "kick"),
        ("snare.flac", "snare"),
        ("hat.aiff", "hat"),
        ("tom.mp3", "tom"),
        ("crash.opus", "crash"),
    ):
        rate = 48_000 if name.endswith("opus") else 44_100
        drums.write(tmp_path / "inbox" / name, kind, sr=rate)
    return tmp_path


def drumwatchd(home: Path, *arguments: str, strict: bool = True) -> list[str]:
    """The confined command line of drumwatchd in `home`."""
    config = str(home / "config.toml")
    return confined(PYTHON, "-m", "drumwatchd", "--config", config, *arguments, strict=strict)


def archived(home: Path) -> set[str]:
    """The names of all samples that were filed."""
    return {path.name for path in (home / "archive").glob("[!_.]*/*")}


@pytest.mark.parametrize("strict", [False, True], ids=["kernel", "strict"])
def test_the_constraints_are_in_force(strict: bool, tmp_path: Path) -> None:
    """What the unit forbids is refused, else the other tests would prove nothing."""
    target = tmp_path / "file"
    target.touch()
    command = confined(PYTHON, "-c", FORBIDDEN, str(target), strict=strict)
    answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert answer.pop("capabilities") == "none" or os.geteuid() != 0
    assert answer == dict.fromkeys(answer, "refused")


@pytest.mark.parametrize("strict", [False, True], ids=["kernel", "strict"])
def test_classify_works_confined(strict: bool, home: Path) -> None:
    """Decoders, resampler, features and the network run without writable code or network."""
    samples = sorted(map(str, (home / "inbox").iterdir()))
    result = subprocess.run(
        drumwatchd(home, "classify", "--json", *samples, strict=strict),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["path"] for answer in answers] == samples
    assert not any("error" in answer for answer in answers)


def test_classify_uses_the_fast_kernels_confined(home: Path) -> None:
    """Nothing that the inference library needs to choose its kernels is hidden from it."""
    command = drumwatchd(home, "classify", str(home / "inbox" / "kick.wav"))
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cpuinfo" not in result.stderr


def test_scan_works_confined(home: Path) -> None:
    """Every sample is hashed, judged, moved and recorded."""
    names = {path.name for path in (home / "inbox").iterdir()}
    result = subprocess.run(drumwatchd(home, "scan"), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert archived(home) == names
    assert list((home / "inbox").iterdir()) == []


@pytest.mark.parametrize("strict", [False, True], ids=["kernel", "strict"])
def test_learning_works_confined(strict: bool, tmp_path: Path) -> None:
    """A head is fitted, judged, kept and promoted without writable code."""
    home = taught_home(tmp_path, lesson=lessons.owner(24))
    adapt = (PYTHON, "-m", "drumwatchd.training", "adapt", "--scheduled", "--json")
    command = confined(*adapt, "--config", str(home.config), strict=strict, unit=RETRAIN_UNIT)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["state"] == "active"


@pytest.mark.parametrize("strict", [False, True], ids=["kernel", "strict"])
def test_learning_hears_again_confined(strict: bool, tmp_path: Path) -> None:
    """After an upgrade of the network corrected samples are read and judged, in a worker of its own."""
    house = House(tmp_path)
    adapt = [PYTHON, "-m", "drumwatchd.training", "adapt", "--scheduled", "--json"]
    command = confined(*adapt, "--config", str(house.home.config), strict=strict, unit=RETRAIN_UNIT)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["n_heard"] == 5


@pytest.fixture
def manager() -> Iterator[tuple[str, socket.socket]]:
    """A service manager's notification socket, and its address."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel,
    ):
        address = os.path.join(folder, "notify")
        channel.bind(address)
        channel.settimeout(60)
        yield address, channel


def wait_for(channel: socket.socket, assignment: str) -> list[str]:
    """Read messages up to the one that carries `assignment`; return its lines."""
    while True:
        lines = channel.recv(65536).decode().split("\n")
        if assignment in lines:
            return lines


def test_run_works_confined(home: Path, manager: tuple[str, socket.socket]) -> None:
    """The daemon gets ready after its first scan, gives signs of life, reloads and stops."""
    address, channel = manager
    environment = os.environ | {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}
    environment.pop("WATCHDOG_PID", None)
    with subprocess.Popen(
        drumwatchd(home, "run"), env=environment, stderr=subprocess.PIPE, text=True
    ) as daemon:
        try:
            wait_for(channel, "READY=1")
            wait_for(channel, "WATCHDOG=1")
            daemon.send_signal(signal.SIGHUP)
            reloading = wait_for(channel, "RELOADING=1")
            assert any(line.startswith("MONOTONIC_USEC=") for line in reloading)
            wait_for(channel, "READY=1")
            # Each sign of life is one round of the work loop; sixty seconds of them are plenty.
            for _ in range(600):
                wait_for(channel, "WATCHDOG=1")
                if len(archived(home)) == 5:
                    break
            daemon.send_signal(signal.SIGTERM)
            wait_for(channel, "STOPPING=1")
            _, log = daemon.communicate(timeout=60)
        finally:
            daemon.kill()
    assert daemon.returncode == 0, log
    assert len(archived(home)) == 5, log
