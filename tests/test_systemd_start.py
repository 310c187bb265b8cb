"""A real start under a real systemd: both units, with nothing left out of their hardening.

systemd boots in namespaces of its own (`boot_systemd.sh`), so that neither the host's service
manager nor its files are touched, whether or not the host runs systemd.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import drums

REPOSITORY = Path(__file__).parent.parent
BOOT = Path(__file__).parent / "boot_systemd.sh"
EXIT_UNAVAILABLE = 77

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's own"),
]

CONFIG = """\
[[inbox]]
path = "/srv/drumwatchd/inbox"
settle_seconds = 0.2
[archive]
root = "/srv/drumwatchd/archive"
[index]
path = "/var/lib/drumwatchd/index.sqlite3"
[classify]
worker_count = 1
[log]
format = "json"
"""

FOR_THE_TEST = """\
[Service]
StandardOutput=append:/run/exchange/daemon.log
StandardError=append:/run/exchange/daemon.log
RestartSec=200ms
WatchdogSec=6s
TimeoutStopSec=10s
"""

USER_MANAGER = """\
[Service]
Type=notify
User=person
Delegate=yes
RuntimeDirectory=user-968
Environment=HOME=/srv/person XDG_RUNTIME_DIR=/run/user-968
ExecStart=/lib/systemd/systemd --user --unit=basic.target
KillMode=mixed
"""

# Each `say` becomes one key of the report. `until` tries for thirty seconds.
PROBE = r"""#!/bin/bash
cd /run/exchange
say() { printf '%s=%s\n' "$1" "$2" >>report; }
property() { systemctl show drumwatchd -p "$1" --value; }
until_true() { for _ in $(seq 300); do eval "$1" && return; sleep 0.1; done; return 1; }
main_pid() { property MainPID; }
as_drumwatchd() { setpriv --reuid 967 --regid 967 --clear-groups "$@"; }
as_member() { setpriv --reuid 968 --regid 968 --groups 967 "$@"; }
command="/opt/drumwatchd/bin/drumwatchd --config /etc/drumwatchd/config.toml"

systemctl start drumwatchd; say start $?
say active "$(property ActiveState)"
say status "$(property StatusText)"
first=$(main_pid)
say uid "$(awk '/^Uid/{print $2}' /proc/$first/status)"
say capabilities "$(awk '/^CapBnd/{print $2}' /proc/$first/status)"
say seccomp "$(awk '/^Seccomp:/{print $2}' /proc/$first/status)"

install -o 967 -g 967 -m 640 kick.wav /srv/drumwatchd/inbox/kick.wav
until_true 'compgen -G "/srv/drumwatchd/archive/*/kick.wav" >/dev/null'; say filed $?
until_true '[ ! -e /srv/drumwatchd/inbox/kick.wav ]'; say removed $?
say file "$(stat -c '%u %a' /srv/drumwatchd/archive/*/kick.wav)"

as_member $command status --json >status.json 2>>daemon.log; say queried $?
as_drumwatchd $command scan >>daemon.log 2>&1; say second $?
as_member $command ls --json >ls.json 2>>daemon.log; say listed $?

timeout 30 systemctl reload drumwatchd; say reload $?
until_true '[ "$(property ActiveState)" = active ]'; say reloaded $?
say same_process "$([ "$(main_pid)" = "$first" ] && echo yes)"
fed=$(property WatchdogTimestampMonotonic)
until_true '[ "$(property WatchdogTimestampMonotonic)" -gt "$fed" ]'; say watchdog $?
say restarts_before "$(property NRestarts)"

kill -KILL "$first"
until_true '[ "$(main_pid)" != "$first" ] && [ "$(property ActiveState)" = active ]'
say recovered $?
say restarts_after "$(property NRestarts)"

systemctl stop drumwatchd; say stop $?
say stopped "$(property Result) $(property ExecMainStatus)"
say left_in_shm "$(find /dev/shm -type f -user drumwatchd | wc -l)"
as_member $command ls --json >ls-at-rest.json 2>>daemon.log; say listed_at_rest $?

echo 'colour = "blue"' >>/etc/drumwatchd/config.toml
systemctl start drumwatchd 2>/dev/null; say start_misconfigured $?
sleep 1
say misconfigured "$(property ActiveState) $(property ExecMainStatus) $(property NRestarts)"

person() {
    setpriv --reuid 968 --regid 968 --clear-groups env -C /srv/person HOME=/srv/person \
        XDG_RUNTIME_DIR=/run/user-968 "$@"
}
person .local/bin/drumwatchd init >>daemon.log 2>&1; say init $?
systemctl start user-manager; say user_manager $?
person systemctl --user start drumwatchd; say user_start $?
say user_active "$(person systemctl --user show drumwatchd -p ActiveState --value)"
say user_status "$(person systemctl --user show drumwatchd -p StatusText --value)"
install -o 968 -g 968 -m 640 kick.wav /srv/person/drumwatchd/inbox/kick.wav
until_true 'compgen -G "/srv/person/drumwatchd/archive/*/kick.wav" >/dev/null'; say user_filed $?
person systemctl --user stop drumwatchd; say user_stop $?
say user_stopped "$(person systemctl --user show drumwatchd -p Result --value)"
"""


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the booted system left behind: its report, its logs."""
    folder = tmp_path_factory.mktemp("boot")
    folder.chmod(0o755)
    units, user_units = folder / "units", folder / "user-units"
    for unit, place in (
        ("drumwatchd.service", units),
        ("user/drumwatchd.service", user_units),
    ):
        (place / "drumwatchd.service.d").mkdir(parents=True)
        shutil.copy(REPOSITORY / "systemd" / unit, place)
        (place / "drumwatchd.service.d" / "test.conf").write_text(FOR_THE_TEST)
    (units / "user-manager.service").write_text(USER_MANAGER)
    (folder / "etc" / "drumwatchd").mkdir(parents=True)
    (folder / "etc" / "drumwatchd" / "config.toml").write_text(CONFIG)
    drums.write(folder / "kick.wav", "kick")
    (folder / "daemon.log").touch(0o666)
    (folder / "daemon.log").chmod(0o666)
    probe = folder / "probe"
    probe.write_text(PROBE)
    probe.chmod(0o755)
    booted = subprocess.run(
        [str(BOOT), str(folder), str(REPOSITORY), sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    if booted.returncode == EXIT_UNAVAILABLE:
        pytest.skip(booted.stderr.strip())
    assert (folder / "report").exists(), booted.stderr + read(folder / "systemd.log")
    return folder


def read(path: Path) -> str:
    """A log, whatever bytes are in it; nothing when it isn't there."""
    return path.read_text(errors="replace") if path.exists() else ""


@pytest.fixture
def report(exchange: Path) -> dict[str, str]:
    """What the probe saw, by name."""
    lines = (exchange / "report").read_text().splitlines()
    seen = dict(line.split("=", 1) for line in lines)
    # pytest shows captured output with a failure, and only then.
    print(seen, read(exchange / "daemon.log"), read(exchange / "systemd.log"), sep="\n")
    return seen


def test_the_service_gets_ready(report: dict[str, str]) -> None:
    """`systemctl start` returns once the daemon said READY=1, and shows its status line."""
    assert (report["start"], report["active"]) == ("0", "active")
    assert report["status"]


def test_the_service_runs_as_its_user_without_rights(report: dict[str, str]) -> None:
    """The daemon isn't root, has no capability to gain, and is filtered."""
    assert report["uid"] == "967"
    assert int(report["capabilities"], 16) == 0
    assert report["seccomp"] == "2"


def test_the_service_files_a_sample(report: dict[str, str]) -> None:
    """Watching, analysis in a worker, placement and removal all work inside the sandbox."""
    assert (report["filed"], report["removed"]) == ("0", "0")
    assert report["file"] == "967 640"


def test_a_member_of_the_group_may_ask(report: dict[str, str], exchange: Path) -> None:
    """`status` and `ls` answer whoever may read the state directory, running or not."""
    assert (report["queried"], report["listed"], report["listed_at_rest"]) == ("0", "0", "0")
    assert (exchange / "ls-at-rest.json").read_text() == (exchange / "ls.json").read_text()
    assert json.loads((exchange / "ls.json").read_text())["path"].endswith("/kick.wav")
    status = json.loads((exchange / "status.json").read_text())
    assert status["running"] is True
    assert status["inboxes"][0]["mode"] == "native"


def test_a_second_daemon_is_refused(report: dict[str, str]) -> None:
    """Another drumwatchd on the same index exits with 4, which systemd doesn't restart."""
    assert report["second"] == "4"


def test_the_service_reloads(report: dict[str, str]) -> None:
    """`systemctl reload` is a SIGHUP; the same process goes on."""
    assert (report["reload"], report["reloaded"]) == ("0", "0")
    assert report["same_process"] == "yes"


def test_the_service_feeds_the_watchdog(report: dict[str, str]) -> None:
    """An idle daemon gives signs of life, and isn't restarted for the lack of them."""
    assert (report["watchdog"], report["restarts_before"]) == ("0", "0")


def test_the_service_comes_back_after_a_crash(report: dict[str, str]) -> None:
    """SIGKILL is followed by one restart, which gets ready."""
    assert (report["recovered"], report["restarts_after"]) == ("0", "1")


def test_the_service_stops_cleanly(report: dict[str, str]) -> None:
    """SIGTERM ends it with success, and nothing is left in shared memory."""
    assert (report["stop"], report["stopped"]) == ("0", "success 0")
    assert report["left_in_shm"] == "0"


def test_a_wrong_configuration_is_not_tried_again(report: dict[str, str]) -> None:
    """Exit code 2 fails the start once and for all."""
    assert report["start_misconfigured"] != "0"
    assert report["misconfigured"] == "failed 2 0"


def test_the_user_unit_works(report: dict[str, str]) -> None:
    """After `drumwatchd init`, one person's own service files a sample and stops cleanly."""
    names = ("init", "user_manager", "user_start", "user_filed", "user_stop")
    assert {name: report[name] for name in names} == dict.fromkeys(names, "0")
    assert report["user_active"] == "active"
    assert report["user_status"]
    assert report["user_stopped"] == "success"


def test_nothing_of_it_is_left_on_this_machine(exchange: Path) -> None:
    """The booted system's mounts and cgroups are gone with it."""
    assert str(exchange) not in Path("/proc/self/mountinfo").read_text()
    left = [
        name
        for root, folders, _ in os.walk("/sys/fs/cgroup")
        for name in folders
        if name.startswith("drumwatchd-test-") and root
    ]
    assert left == []
