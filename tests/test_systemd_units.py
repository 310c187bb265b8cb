"""The unit files, as far as they can be judged without starting them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sandbox
from drumwatchd.config import load_config

SYSTEMD = Path(__file__).parent.parent / "systemd"
SYSTEM_UNIT = SYSTEMD / "drumwatchd.service"
USER_UNIT = SYSTEMD / "user" / "drumwatchd.service"
RETRAIN_UNIT = SYSTEMD / "drumwatchd-retrain.service"
USER_RETRAIN_UNIT = SYSTEMD / "user" / "drumwatchd-retrain.service"
TIMERS = (SYSTEMD / "drumwatchd-retrain.timer", SYSTEMD / "user" / "drumwatchd-retrain.timer")
HOW_TO = SYSTEMD.parent / "docs" / "how-to" / "systemd.md"
DROP_IN = SYSTEMD / "drumwatchd.service.d-example" / "paths.conf"

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze isn't installed"
)


def analyze(*arguments: str | Path, runtime: Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze; a user's units want a runtime directory."""
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime), "SYSTEMD_COLORS": "0"},
        check=False,
    )


def installed_copy(unit: Path, folder: Path) -> Path:
    """The unit as it is where drumwatchd is installed: its program is there."""
    copy = folder / unit.name
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", unit.read_text(), flags=re.M)
    copy.write_text(text)
    return copy


def complaints(result: subprocess.CompletedProcess[str]) -> list[str]:
    """What was said about our unit; a machine's other units are not our matter."""
    return [line for line in result.stderr.splitlines() if "drumwatchd" in line]


def exposure(unit: Path, runtime: Path, *options: str) -> float:
    """The overall exposure level that systemd computes, 0 (safe) to 10."""
    result = analyze("security", "--offline=true", *options, unit, runtime=runtime)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", result.stdout)
    if found is None and "offline" in result.stderr:
        pytest.skip("this systemd-analyze is older than --offline")
    assert found is not None, result.stdout + result.stderr
    return float(found[1])


@needs_analyze
@pytest.mark.parametrize(
    ("unit", "options"),
    [
        (SYSTEM_UNIT, ["--system"]),
        (USER_UNIT, ["--user"]),
        (RETRAIN_UNIT, ["--system"]),
        (USER_RETRAIN_UNIT, ["--user"]),
    ],
    ids=["system", "user", "retrain", "user-retrain"],
)
def test_systemd_accepts_the_unit(unit: Path, options: list[str], tmp_path: Path) -> None:
    """Every directive is known, every value is understood."""
    copy = installed_copy(unit, tmp_path)
    result = analyze("verify", "--man=no", *options, copy, runtime=tmp_path)
    assert complaints(result) == []


@needs_analyze
def test_systemd_accepts_the_unit_with_its_drop_in(tmp_path: Path) -> None:
    """The example drop-in fits the unit it is for."""
    copy = installed_copy(SYSTEM_UNIT, tmp_path)
    shutil.copytree(DROP_IN.parent, tmp_path / "drumwatchd.service.d")
    result = analyze("verify", "--man=no", "--system", copy, runtime=tmp_path)
    assert complaints(result) == []


@needs_analyze
def test_a_wrong_directive_would_be_noticed(tmp_path: Path) -> None:
    """The two tests above see a fault when there is one."""
    copy = installed_copy(SYSTEM_UNIT, tmp_path)
    copy.write_text(copy.read_text().replace("WatchdogSec=3min", "WatchdogSec=soon"))
    result = analyze("verify", "--man=no", "--system", copy, runtime=tmp_path)
    assert any("soon" in line for line in complaints(result))


@needs_analyze
@pytest.mark.parametrize(
    ("timer", "unit", "option"),
    [(TIMERS[0], RETRAIN_UNIT, "--system"), (TIMERS[1], USER_RETRAIN_UNIT, "--user")],
    ids=["system", "user"],
)
def test_systemd_accepts_the_timer(timer: Path, unit: Path, option: str, tmp_path: Path) -> None:
    """It is understood, and starts the service of its name."""
    installed_copy(unit, tmp_path)
    copy = Path(shutil.copy(timer, tmp_path))
    assert complaints(analyze("verify", "--man=no", option, copy, runtime=tmp_path)) == []
    when = sandbox.read_unit(timer)["OnCalendar"][0]
    assert analyze("calendar", when, runtime=tmp_path).returncode == 0
    assert sandbox.read_unit(timer)["Persistent"] == ["yes"]


@needs_analyze
def test_learning_is_as_closed_as_the_daemon(tmp_path: Path) -> None:
    """It may read samples, to hear corrected ones again, and change none."""
    assert exposure(RETRAIN_UNIT, tmp_path) <= exposure(SYSTEM_UNIT, tmp_path)
    ours = exposure(USER_RETRAIN_UNIT, tmp_path, "--user")
    assert ours <= exposure(USER_UNIT, tmp_path, "--user")
    assert sandbox.read_unit(RETRAIN_UNIT)["ReadOnlyPaths"] == ["-/srv/drumwatchd"]


@pytest.mark.parametrize("unit", [RETRAIN_UNIT, USER_RETRAIN_UNIT], ids=["system", "user"])
@pytest.mark.parametrize(
    "expected",
    ["Type=oneshot", "Nice=19", "CPUSchedulingPolicy=idle", "MemoryMax=400M", "UMask=0027",
     "StateDirectory=drumwatchd", "NoNewPrivileges=yes", "MemoryDenyWriteExecute=yes"],
)  # fmt: skip
def test_learning_gives_way(unit: Path, expected: str) -> None:
    """Lowest priority, little memory, and the daemon's hardening."""
    assert expected in unit.read_text().splitlines()


def test_learning_runs_what_is_installed() -> None:
    """The commands stand beside the daemon's, with its configuration and its filters."""
    (command,) = sandbox.read_unit(RETRAIN_UNIT)["ExecStart"]
    assert command == (
        "/opt/drumwatchd/bin/drumwatchd-train adapt "
        "--config /etc/drumwatchd/config.toml --scheduled"
    )
    (command,) = sandbox.read_unit(USER_RETRAIN_UNIT)["ExecStart"]
    assert command == "%h/.local/bin/drumwatchd-train adapt --scheduled"
    for unit in (RETRAIN_UNIT, USER_RETRAIN_UNIT):
        filters = sandbox.read_unit(unit)["SystemCallFilter"]
        assert filters == sandbox.read_unit(SYSTEM_UNIT)["SystemCallFilter"]


@needs_analyze
def test_the_system_unit_is_hardly_exposed(tmp_path: Path) -> None:
    """The exposure is at most 1.5 of 10; measured: 0.2."""
    assert exposure(SYSTEM_UNIT, tmp_path) <= 1.5


@needs_analyze
def test_the_user_unit_is_as_closed_as_it_can_be_without_namespaces(
    tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    """A unit that keeps its user's files in sight can't score low, yet far below a bare one's 9.8."""
    score = exposure(USER_UNIT, tmp_path, "--user")
    record_property("exposure", score)
    assert score <= 7.0


@pytest.mark.parametrize(
    "expected",
    [
        "Type=notify",
        "NotifyAccess=main",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "KillMode=mixed",
        "OOMPolicy=continue",
        "Restart=on-failure",
        "RestartPreventExitStatus=2 4",
        "StateDirectory=drumwatchd",
        "NoNewPrivileges=yes",
        "MemoryDenyWriteExecute=yes",
        "RestrictAddressFamilies=AF_UNIX",
        "SystemCallArchitectures=native",
        "WatchdogSec=3min",
    ],
)
@pytest.mark.parametrize("unit", [SYSTEM_UNIT, USER_UNIT], ids=["system", "user"])
def test_both_units_say(unit: Path, expected: str) -> None:
    """What the daemon counts on stands in both units."""
    assert expected in unit.read_text().splitlines()


@pytest.mark.parametrize(
    "expected",
    [
        "User=drumwatchd",
        "RequiresMountsFor=/srv/drumwatchd",
        "ProtectSystem=strict",
        "ReadWritePaths=-/srv/drumwatchd",
        "ProtectHome=yes",
        "PrivateNetwork=yes",
        "CapabilityBoundingSet=",
        "ExecStart=/opt/drumwatchd/bin/drumwatchd --config /etc/drumwatchd/config.toml run",
    ],
)
def test_the_system_unit_says(expected: str) -> None:
    """The system's daemon writes below one folder, sees no homes and speaks to no network."""
    assert expected in SYSTEM_UNIT.read_text().splitlines()


def test_the_user_unit_starts_what_pipx_installs() -> None:
    """The user's daemon is found where pipx and `pip install --user` put it."""
    assert sandbox.read_unit(USER_UNIT)["ExecStart"] == ["%h/.local/bin/drumwatchd run"]


def test_both_units_filter_the_same_system_calls() -> None:
    """What is rehearsed for one holds for the other."""
    system, user = sandbox.read_unit(SYSTEM_UNIT), sandbox.read_unit(USER_UNIT)
    assert system["SystemCallFilter"] == user["SystemCallFilter"]
    assert system["SystemCallErrorNumber"] == user["SystemCallErrorNumber"]


def test_the_how_to_configures_what_the_unit_allows(tmp_path: Path) -> None:
    """The configuration in the guide is sound, and writes only where the system unit may."""
    text = HOW_TO.read_text()
    example = text.split("config.toml <<'EOF'\n")[1].split("EOF\n")[0]
    (tmp_path / "config.toml").write_text(example)
    config = load_config(tmp_path / "config.toml", environ={})
    unit = sandbox.read_unit(SYSTEM_UNIT)
    writable = Path(unit["ReadWritePaths"][0].removeprefix("-"))
    state = Path("/var/lib") / unit["StateDirectory"][0]
    assert all(inbox.path.is_relative_to(writable) for inbox in config.inboxes)
    assert config.archive.root.is_relative_to(writable)
    assert config.index.path.is_relative_to(state)


@needs_analyze
def test_the_how_to_tells_the_scores(tmp_path: Path) -> None:
    """The exposure that the guide names is what systemd computes, give or take a version."""
    text = " ".join(HOW_TO.read_text().split())
    found = re.search(r"rates the system unit ([\d.]+) of 10 .*? the user unit ([\d.]+)", text)
    assert found is not None
    assert float(found[1]) == pytest.approx(exposure(SYSTEM_UNIT, tmp_path), abs=0.5)
    assert float(found[2]) == pytest.approx(exposure(USER_UNIT, tmp_path, "--user"), abs=1.0)
