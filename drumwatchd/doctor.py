"""What has to be right on this machine for the daemon to work, looked at one by one. Changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drumwatchd.archive.archive import check_usable
from drumwatchd.config import Config
from drumwatchd.errors import DrumwatchdError
from drumwatchd.file_systems import file_system_of, is_remote
from drumwatchd.inbox.intake import check_readable
from drumwatchd.index import lock
from drumwatchd.index.reader import open_reader
from drumwatchd.index.status import live_path

State = Literal["ok", "warn", "fail"]
UNIT = "drumwatchd.service"
WATCHES = "/proc/sys/fs/inotify/max_user_watches"
# SQLite's locks and its shared memory don't work over these.
LITTLE_BYTES, TOO_LITTLE_BYTES = 1 << 30, 64 << 20
HEARS_SECONDS = 120.0
OLDEST_YEAR = 2025


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at.

    Attributes:
        what: in a word.
        state: ok, warn or fail.
        found: how it is.
        remedy: what to do; nothing where it is ok.
    """

    what: str
    state: State
    found: str
    remedy: str = ""


def diagnose(config: Config) -> Iterator[Diagnosis]:
    """Look at everything, the cheap things first."""
    checks: tuple[Callable[[Config], Iterator[Diagnosis]], ...] = (
        _clock, _inboxes, _archive, _index, _space, _watches, _service, _hooks, _daemon, _model,
    )  # fmt: skip
    for check in checks:
        try:
            yield from check(config)
        except (OSError, DrumwatchdError) as error:
            yield Diagnosis(check.__name__.removeprefix("_"), "fail", str(error), "see above")


def _clock(config: Config) -> Iterator[Diagnosis]:
    now = time.time()
    if time.gmtime(now).tm_year < OLDEST_YEAR:
        today = time.strftime("%Y-%m-%d", time.localtime(now))
        yield Diagnosis("clock", "fail", f"it says {today}", "set it: timedatectl set-ntp true")
        return
    if config.index.path.exists():
        with open_reader(str(config.index.path)) as reader:
            newest = reader.happened(since=now + 60.0, digest=None, limit=1)
        if newest:
            hours = (newest[0][1].at - now) / 3_600
            found = f"the index knows of something {hours:.1f} h from now"
            yield Diagnosis("clock", "warn", found, "was the clock set back? check the time zone")
            return
    yield Diagnosis("clock", "ok", time.strftime("%Y-%m-%d %H:%M", time.localtime(now)))


def _inboxes(config: Config) -> Iterator[Diagnosis]:
    for inbox in config.inboxes:
        path = str(inbox.path)
        try:
            check_readable(path)
        except DrumwatchdError as error:
            yield Diagnosis("inbox", "fail", str(error), "let the daemon's user read it")
            continue
        if config.archive.mode == "move" and not os.access(path, os.W_OK | os.X_OK):
            found = f"{path} may not be written, and archive.mode is move"
            remedy = 'let this user write there, or set archive.mode = "copy"'
            yield Diagnosis("inbox", "fail", found, remedy)
            continue
        yield Diagnosis("inbox", "ok", path)


def _archive(config: Config) -> Iterator[Diagnosis]:
    root = str(config.archive.root)
    if config.archive.mode == "none":
        yield Diagnosis("archive", "ok", 'none: archive.mode is "none"')
        return
    try:
        check_usable(root)
    except DrumwatchdError as error:
        yield Diagnosis("archive", "fail", error.message, error.hint or "create it, or mount it")
        return
    apart = [
        str(i.path) for i in config.inboxes if i.path.exists() and not _are_together(i.path, root)
    ]
    if apart and config.archive.mode == "hardlink":
        found = f"{apart[0]} is on another disk, and hard links don't cross that"
        yield Diagnosis("archive", "fail", found, 'set archive.mode = "copy"')
    elif apart and config.archive.mode == "move":
        yield Diagnosis("archive", "ok", f"{root}; files from {apart[0]} are copied: another disk")
    else:
        yield Diagnosis("archive", "ok", root)


def _are_together(inbox: Path, root: str) -> bool:
    return inbox.stat().st_dev == os.stat(root).st_dev


def _index(config: Config) -> Iterator[Diagnosis]:
    path = config.index.path
    kind = file_system_of(str(path))
    if is_remote(kind):
        found = f"{path} is on {kind}, where SQLite's locks can't be trusted"
        yield Diagnosis("index", "fail", found, "set index.path to a place on a local disk")
        return
    if not path.exists():
        yield Diagnosis("index", "ok", f"{path}: not made yet")
        return
    if not os.access(path, os.R_OK | os.W_OK):
        remedy = "run this as the daemon's user"
        yield Diagnosis("index", "warn", f"{path} may not be written by this user", remedy)
        return
    with open_reader(str(path)) as reader:
        damage = reader.damage()
        counts = reader.count_samples()
    if damage:
        remedy = "drumwatchd repair --rebuild-index"
        yield Diagnosis("index", "fail", f"{path} is damaged: {damage[0]}", remedy)
        return
    yield Diagnosis("index", "ok", f"{path}: {sum(counts.values()):,} samples")
    aside = sum(count for (state, _), count in counts.items() if state == "quarantined")
    if aside:
        remedy = "drumwatchd ls state:quarantined, then retry or correct"
        yield Diagnosis("quarantine", "warn", f"{aside:,} set aside", remedy)


def _space(config: Config) -> Iterator[Diagnosis]:
    for what, path in (("archive", config.archive.root), ("index", config.index.path.parent)):
        if not path.exists():
            continue
        free = shutil.disk_usage(path).free
        state: State = (
            "fail" if free < TOO_LITTLE_BYTES else "warn" if free < LITTLE_BYTES else "ok"
        )
        remedy = "" if state == "ok" else "make room; filing waits by itself where there is none"
        yield Diagnosis("space", state, f"{free / 1e9:,.1f} GB free for the {what}", remedy)


def _watches(config: Config) -> Iterator[Diagnosis]:
    folders = sum(
        1
        for path in (*(inbox.path for inbox in config.inboxes), config.archive.root)
        for _ in os.walk(path)
    )
    try:
        limit = int(Path(WATCHES).read_text())
    except (OSError, ValueError):
        yield Diagnosis("events", "ok", "this system isn't asked for inotify's limits")
        return
    if folders > 0.8 * limit:
        found = f"{folders:,} folders to watch, and this user may watch {limit:,}"
        remedy = f"sysctl fs.inotify.max_user_watches={2 * folders}; until then it polls"
        yield Diagnosis("events", "warn", found, remedy)
        return
    yield Diagnosis("events", "ok", f"{folders:,} folders to watch, of {limit:,} that may be")


def _service(config: Config) -> Iterator[Diagnosis]:
    """What the service can't see or write, where systemd has one."""
    said = unit_properties()
    if said.get("LoadState") != "loaded":
        return
    places = [*(i.path for i in config.inboxes), config.archive.root, config.index.path.parent]
    hidden = said.get("ProtectHome") in ("yes", "tmpfs")
    writable = [word.lstrip("-+") for word in said.get("ReadWritePaths", "").split()]
    writable += [f"/var/lib/{word}" for word in said.get("StateDirectory", "").split()]
    for place in map(str, places):
        if hidden and place.startswith(("/home/", "/root/", "/run/user/")):
            remedy = f"systemctl edit {UNIT}: ProtectHome=no, or move it out of there"
            yield Diagnosis("service", "fail", f"{place} is hidden from the service", remedy)
        elif said.get("ProtectSystem") == "strict" and not any(
            Path(place).is_relative_to(other) for other in writable
        ):
            remedy = f"systemctl edit {UNIT}: ReadWritePaths={place}"
            yield Diagnosis("service", "fail", f"the service may not write {place}", remedy)
    if config.metrics.listen and said.get("PrivateNetwork") == "yes":
        remedy = f"use metrics.textfile, or systemctl edit {UNIT}: PrivateNetwork=no, and what follows it"
        yield Diagnosis("service", "warn", "metrics.listen can't be reached: no network", remedy)


def unit_properties() -> dict[str, str]:
    """What systemd says of the service; nothing where there is no systemd."""
    names = "LoadState,ProtectHome,ProtectSystem,ReadWritePaths,StateDirectory,PrivateNetwork"
    try:
        done = subprocess.run(
            ["systemctl", "show", UNIT, f"--property={names}"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {name: value for name, _, value in pairs}


def _hooks(config: Config) -> Iterator[Diagnosis]:
    for hook in config.hooks:
        if hook.command and shutil.which(hook.command[0]) is None:
            found = f"{hook.command[0]} isn't there, or can't be started"
            yield Diagnosis("hook", "fail", found, "name the whole path; chmod +x it")
    textfile = config.metrics.textfile
    if textfile and not os.access(os.path.dirname(textfile), os.W_OK):
        found = f"{textfile} can't be written"
        yield Diagnosis("metrics", "fail", found, "let the daemon's user write to its folder")


def _daemon(config: Config) -> Iterator[Diagnosis]:
    if not lock.is_held(str(config.index.path)):
        yield Diagnosis("daemon", "ok", "it isn't running")
        return
    try:
        said = json.loads(Path(live_path(str(config.index.path))).read_bytes())["inboxes"]
    except (OSError, ValueError, KeyError):
        said = []  # it has just begun
    polled = [i["path"] for i in said if i["watch"] != "poll" and i["mode"] == "poll"]
    if polled:
        found = f"{polled[0]} is polled: no events come from there"
        yield Diagnosis("daemon", "warn", found, "its log says why; files still come, a bit later")
        return
    yield Diagnosis("daemon", "ok", "it runs")


def _model(config: Config) -> Iterator[Diagnosis]:
    """A sound goes the whole way, in processes as the daemon has them."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "click.wav")
        with wave.open(path, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(44_100)
            sound.writeframes(b"".join(_sample(n) for n in range(4_410)))
        command = [sys.executable, "-m", "drumwatchd", "--config", str(config.path)]
        try:
            done = subprocess.run(
                [*command, "classify", path],
                capture_output=True,
                text=True,
                timeout=HEARS_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            found = f"a sound of 0.1 s isn't judged within {HEARS_SECONDS:.0f} s"
            yield Diagnosis("model", "fail", found, "see what else runs on this machine")
            return
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
        remedy = "install drumwatchd anew, or check classify.model"
        yield Diagnosis("model", "fail", lines[-1], remedy)
        return
    yield Diagnosis("model", "ok", f"it hears ({time.monotonic() - started:.1f} s, start included)")


def _sample(number: int) -> bytes:
    """A click that dies away."""
    value = int(20_000 * (1 if number % 40 < 20 else -1) * 0.998**number)
    return value.to_bytes(2, "little", signed=True)
