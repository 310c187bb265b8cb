"""Hooks, figures for Prometheus, and `doctor`: the real daemon, real programs, a real port."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

import drums
from drumwatchd import doctor as doctors
from drumwatchd.bulletin import KINDS, Bulletin, Event
from drumwatchd.cli.context import Context
from drumwatchd.cli.doctor import doctor
from drumwatchd.errors import ConfigError
from drumwatchd.hooks import MOST_WAITING, Hook, Hooks
from home import Home, wait_for


def program(path: Path, *lines: str) -> str:
    """A shell script that can be started."""
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def told(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def figures(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of an exposition, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.e2e
def test_hooks_and_figures_of_a_running_daemon(tmp_path: Path) -> None:
    """Each file is told of and counted; an archive that goes away, too; slow hooks hold nothing up."""
    home, port = Home(tmp_path / "home"), free_port()
    heard, textfile = tmp_path / "heard.jsonl", tmp_path / "drumwatchd.prom"
    listener = program(tmp_path / "listen", f'cat >> "{heard}"')
    sleeper = program(tmp_path / "sleep", "sleep 600 & sleep 600")
    home.config.write_text(
        home.config.read_text()
        + f'[[hook]]\nevents = ["archived", "duplicate", "quarantined", "degraded"]\n'
        f'command = ["{listener}"]\n'
        f'[[hook]]\nevents = ["quarantined"]\ncommand = ["{sleeper}"]\ntimeout_seconds = 0.5\n'
        f'[[hook]]\nevents = ["archived"]\ncommand = ["{tmp_path}/no such program"]\n'
        f'[metrics]\ntextfile = "{textfile}"\nlisten = "127.0.0.1:{port}"\n'
    )
    with home.running():
        odd = os.fsencode(home.inbox) + b"/kick \xff\n.wav"
        drums.write(odd, "kick", seed=1)
        home.wait_idle(total=1)
        drums.write(home.inbox / "again.wav", "kick", seed=1)
        (home.inbox / "broken.wav").write_bytes(b"no audio at all")
        wait_for(lambda: len(told(heard)) == 3, f"three events: {home.log_text()}")
        events = {event["event"]: event for event in told(heard)}
        assert events["archived"]["label"] == "Kick"
        assert os.fsencode(events["archived"]["source"]) == odd
        assert Path(events["archived"]["path"]).parent == home.archive / "Kick"
        assert events["duplicate"]["digest"] == events["archived"]["digest"]
        assert "decoded" in events["quarantined"]["reason"]
        wait_for(lambda: "hook killed" in home.log_text(), "the slow one to be killed")
        assert "no such program" in home.log_text()

        def asked() -> Any:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                found = figures(answer.read().decode())
            filed = found.get(("drumwatchd_files_total", (("label", "Kick"), ("outcome", "filed"))))
            quarantined = ("drumwatchd_files_total", (("label", ""), ("outcome", "quarantined")))
            return found if (filed, found.get(quarantined)) == (1, 1) else None

        found = wait_for(asked, "the figures", step=0.5)
        names = {name for name, _ in found}
        assert names >= {
            "drumwatchd_queue_depth", "drumwatchd_oldest_pending_seconds",
            "drumwatchd_rescan_found_total", "drumwatchd_watch_mode", "drumwatchd_free_bytes",
            "drumwatchd_model_info", "drumwatchd_confidence_bucket",
        }  # fmt: skip
        assert found["drumwatchd_quarantine_files", ()] == 1
        assert found["drumwatchd_samples", (("label", "Kick"),)] == 1
        assert found["drumwatchd_confidence_count", ()] == 1
        assert found["drumwatchd_degraded", ()] == 0
        (home.archive / ".drumwatchd-archive").rename(tmp_path / "marker")
        drums.write(home.inbox / "later.wav", "snare", seed=2)
        wait_for(lambda: any(e["event"] == "degraded" for e in told(heard)), "the degradation")
        (tmp_path / "marker").rename(home.archive / ".drumwatchd-archive")
        home.wait_idle(total=2)
    assert figures(textfile.read_text())["drumwatchd_samples", (("label", "Kick"),)] == 1
    assert not [p for p in os.listdir("/proc") if p.isdigit() and _sleeps(p)]


def _sleeps(pid: str) -> bool:
    try:
        return b"sleep\x00600" in Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return False


def test_slow_hooks_leave_events_out_and_say_so(tmp_path: Path) -> None:
    """A bounded number waits; to tell takes no time; the end is in time."""
    hook = Hook(frozenset({"archived"}), (program(tmp_path / "slow", "sleep 5"),), 60.0)
    hooks = Hooks([hook])
    started = time.monotonic()
    for _ in range(MOST_WAITING + 100):
        hooks.take(Event("archived", 0.0, {}))
    hooks.take(Event("degraded", 0.0, {}))
    assert hooks.dropped >= 99
    hooks.stop(0.5)
    assert time.monotonic() - started < 5
    assert not [thread for thread in threading.enumerate() if thread.name == "hooks"]


def test_nobody_listens_nobody_is_told() -> None:
    """Without hooks there is no thread, and to tell is nothing."""
    before = threading.active_count()
    hooks = Hooks([Hook(frozenset(), (), 1.0)])
    Bulletin().tell("archived", label="Kick")
    hooks.take(Event("archived", 0.0, {}))
    hooks.stop(1.0)
    assert threading.active_count() == before
    assert set(KINDS) == {"archived", "duplicate", "quarantined", "degraded", "retrained"}


def test_a_port_that_is_taken_is_named() -> None:
    """At the start, with what to write instead."""
    from drumwatchd.metrics import Metrics

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match="can't listen"):
            Metrics(textfile="", listen=listen, index_path="i", root="r")


def examine(home: Home, code: int = 0) -> dict[str, dict[str, str]]:
    """What `doctor` says, by its subject."""
    done = CliRunner().invoke(
        doctor, ["--json"], obj=Context(str(home.config)), catch_exceptions=False
    )
    assert done.exit_code == code, done.output
    return {check["what"]: check for check in json.loads(done.stdout)["checks"]}


@pytest.mark.e2e
def test_a_sound_machine(tmp_path: Path) -> None:
    """Nothing fails; what is unusual is a warning with a way out."""
    home = Home(tmp_path / "home")
    (home.inbox / "broken.wav").write_bytes(b"no audio at all")
    home.drumwatchd("scan", check=3)
    found = examine(home)
    assert found["model"]["found"].startswith("it hears")
    assert found["quarantine"]["state"] == "warn"
    assert "retry" in found["quarantine"]["remedy"]
    assert {check["state"] for check in found.values()} <= {"ok", "warn"}


def test_what_fails_is_said_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One exit code for all of it; one failure hides no other."""
    home = Home(tmp_path / "home")
    home.configure(classify=f'model = "{tmp_path}/none"\n')
    home.config.write_text(
        home.config.read_text() + '[[hook]]\nevents = ["degraded"]\ncommand = ["/no/such"]\n'
        f'[metrics]\ntextfile = "{tmp_path}/nowhere/x.prom"\n'
    )
    home.inbox.rmdir()
    home.archive.rmdir()
    monkeypatch.setattr(doctors, "file_system_of", lambda path: "nfs4")
    monkeypatch.setattr(
        time, "gmtime", lambda now: time.struct_time((1970, 1, 1, 0, 0, 0, 3, 1, 0))
    )
    found = examine(home, code=1)
    failed = {what for what, check in found.items() if check["state"] == "fail"}
    assert failed == {"clock", "inbox", "archive", "index", "hook", "metrics", "model"}
    assert all(check["remedy"] for check in found.values() if check["state"] != "ok")


def test_what_the_service_cant_see_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sandbox hides /home, and writes only where it is allowed to."""
    home = Home(tmp_path / "home")
    said = {"LoadState": "loaded", "ProtectHome": "yes", "ProtectSystem": "strict",
            "ReadWritePaths": f"-{home.folder}/archive", "StateDirectory": "drumwatchd",
            "PrivateNetwork": "yes"}  # fmt: skip
    monkeypatch.setattr(doctors, "unit_properties", lambda: said)
    found = list(doctors._service(Context(str(home.config)).load()))
    assert [one.state for one in found] == ["fail", "fail"]
    assert str(home.inbox) in found[0].found
    assert "ReadWritePaths" in found[0].remedy
    assert isinstance(doctors.unit_properties(), dict)
