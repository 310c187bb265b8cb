"""Fifteen cases that hurt daemons which watch a folder, each with the real one.

What a case needs of the system (a small disk, FUSE, used-up limits) is made, or the test says what is
missing and skips.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import drums
from home import Home, claimed, make, wait_for, workers_of

pytestmark = pytest.mark.e2e

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
LIMITS = "/proc/sys/user/max_inotify_"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path, inbox="rescan_seconds = 1")


@contextlib.contextmanager
def mounted(folder: Path, *command: str) -> Iterator[None]:
    """What a command mounts on a folder, meanwhile."""
    if os.geteuid() != 0 or shutil.which(command[0]) is None:
        pytest.skip(f"needs root and {command[0]}")
    done = subprocess.run([*command, str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"{command[0]} doesn't work here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", "--quiet", str(folder)], check=False)


def through_fuse(
    real: Path, folder: Path, *options: str
) -> contextlib.AbstractContextManager[None]:
    """`real` on `folder`, through a file system that tells nobody of changes."""
    real.mkdir()
    folder.mkdir()
    return mounted(folder, "bindfs", *options, str(real))


def distinct(count: int, folder: Path) -> list[Path]:
    """So many small sounds, quickly: one drum that differs in its last sample."""
    folder.mkdir(parents=True, exist_ok=True)
    drums.write(folder / "model.wav", "kick")
    content = (folder / "model.wav").read_bytes()[:-4]
    (folder / "model.wav").unlink()
    paths = [folder / f"{n}.wav" for n in range(count)]
    for n, path in enumerate(paths):
        path.write_bytes(content + n.to_bytes(4, "little"))
    return paths


def contents_of(paths: list[Path]) -> list[bytes]:
    return [path.read_bytes() for path in paths]


def count_log(home: Home, event: str, *more: str) -> int:
    lines = home.log_text().splitlines()
    return sum(event in line and all(one in line for one in more) for line in lines)


@pytest.mark.parametrize(
    ("seconds", "pause"),
    [(4.0, 0.8), pytest.param(100.0, 2.0, marks=[pytest.mark.torture, pytest.mark.timeout(400)])],
)
def test_case_01_a_writer_closes_and_opens_the_file_again_slowly(
    seconds: float, pause: float, tmp_path: Path
) -> None:
    """Its pauses are longer than `settle_seconds`; one entry, with the digest of the final file."""
    home = Home(tmp_path, inbox=f"settle_seconds = {pause / 3}")
    rng = np.random.default_rng(1)
    made, target = home.folder / "made.wav", home.inbox / "long.wav"
    noise = rng.uniform(-0.5, 0.5, round(seconds * 100_000 / 2))
    soundfile.write(made, noise, 44_100)
    content = made.read_bytes()
    with home.running():
        for start in range(0, len(content), round(100_000 * pause)):
            with target.open("ab") as stream:
                stream.write(content[start : start + round(100_000 * pause)])
            time.sleep(pause)
        home.wait_idle(1)
    home.assert_exactly([content])
    assert count_log(home, "filed ") == 1


def test_case_02_a_copy_is_under_way_when_the_daemon_starts(home: Home) -> None:
    """It settles by the same rule as later: the header's promise holds it back."""
    (first,) = make(home.folder / "made", 1)
    content, target = first.read_bytes(), home.inbox / "kick.wav"
    target.write_bytes(content[:2000])
    with home.running():
        time.sleep(0.6)  # longer than settle_seconds
        assert home.archived() == {}
        target.write_bytes(content)
        home.wait_idle(1)
    home.assert_exactly([content])


@pytest.mark.parametrize(
    "count",
    [200, pytest.param(20_000, marks=[pytest.mark.torture, pytest.mark.timeout(3_600)])],
)
def test_case_03_the_event_queue_overflows(count: int, home: Home) -> None:
    """The daemon sleeps, the kernel's queue fills, and then the files come: no event tells of them."""
    made = distinct(count, home.folder / "made")
    wanted = {hashlib.sha256(content).hexdigest() for content in contents_of(made)}
    noise = [home.inbox / "a.txt", home.inbox / "b.txt"]
    with home.running() as process:
        process.send_signal(signal.SIGSTOP)
        for n in range(int(QUEUE.read_text())):  # two events each
            with noise[n % 2].open("a") as stream:
                stream.write("x")
        for path in made:
            os.rename(path, home.inbox / path.name)
        process.send_signal(signal.SIGCONT)
        wait_for(
            lambda: home.status()["files"]["total"] == count,
            f"{count} files",
            seconds=60 + count / 20,
            step=0.5,
        )
        wait_for(
            lambda: home.status()["inboxes"][0]["found_by_rescan"] == count,
            "all of them to be counted as found by the rescan",
        )
    assert {row["digest"] for row in home.ls()} == wanted
    home.assert_agree()


def test_case_04_a_tree_is_moved_in_and_files_arrive_later_inside_it(home: Home) -> None:
    """And `mkdir -p` races the watch: every nested and later file, within one rescan."""
    made = make(home.folder / "pack" / "a" / "b", 3)
    contents = contents_of(made)
    later = make(home.folder / "later", 2, kinds=("hat",))
    contents += contents_of(later)
    with home.running():
        os.rename(home.folder / "pack", home.inbox / "pack")
        shutil.move(later[0], home.inbox / "pack" / "a" / "later.wav")
        os.makedirs(home.inbox / "x" / "y" / "z")
        shutil.move(later[1], home.inbox / "x" / "y" / "z" / "later.wav")
        home.wait_idle(5)
    home.assert_exactly(contents)


def test_case_05_inboxes_of_mixed_kinds(home: Home) -> None:
    """`poll` as configured, and `auto` by itself where a file system gives no events; status says so."""
    made = make(home.folder / "made", 2)
    contents = contents_of(made)
    real, mount = home.folder / "real", home.folder / "share"
    with through_fuse(real, mount):
        home.config.write_text(
            home.config.read_text().replace("rescan_seconds = 1", "rescan_seconds = 3600")
            + '[[inbox]]\npath = "share"\nsettle_seconds = 0.3\npoll_seconds = 0.3\n'
        )
        with home.running():
            modes = [inbox["mode"] for inbox in home.status()["inboxes"]]
            assert modes == ["native", "poll"]
            assert count_log(home, "polling instead of watching", "fuse") == 1
            os.rename(made[0], home.inbox / "here.wav")
            os.rename(made[1], real / "there.wav")  # the mount's own server raises no events
            home.wait_idle(2)
        assert list(real.iterdir()) == []
    home.assert_exactly(contents)


def test_case_05_polling_finds_what_no_event_announces(tmp_path: Path) -> None:
    """watch = "poll" works and is shown."""
    home = Home(tmp_path, inbox='watch = "poll"\npoll_seconds = 0.2')
    (made,) = make(home.folder / "made", 1)
    with home.running():
        assert home.status()["inboxes"][0]["mode"] == "poll"
        shutil.copy(made, home.inbox)
        home.wait_idle(1)
    home.assert_exactly([made.read_bytes()])


@pytest.mark.parametrize("used_up", ["watches", "instances"])
def test_case_06_the_limits_of_inotify_are_used_up(used_up: str, home: Home) -> None:
    """It stays up, polls, and names the sysctl in one message; a user namespace has its own limits."""
    namespace = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    script = f'echo 0 > {LIMITS}{used_up} && exec "$@"'
    can = subprocess.run([*namespace, script, "sh", "true"], capture_output=True, check=False)
    if can.returncode:
        pytest.skip(f"no user namespaces here: {can.stderr.decode().strip()}")
    home.within = [*namespace, script, "sh"]
    (made,) = make(home.folder / "made", 1)
    with home.running():
        assert home.status()["inboxes"][0]["mode"] == "poll"
        shutil.copy(made, home.inbox)
        home.wait_idle(1)
    home.within = []
    home.assert_exactly([made.read_bytes()])
    assert count_log(home, "polling instead of watching", f"fs.inotify.max_user_{used_up}") == 1


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="workers are found by /proc")
def test_case_07_a_file_is_hinted_fifty_times_while_it_is_in_work(home: Home) -> None:
    """One job, and no false "not found"."""
    made = make(home.folder / "made", 2)
    with home.running() as process:
        shutil.copy(made[0], home.inbox / "first.wav")
        home.wait_idle(1)
        (worker,) = workers_of(process.pid)
        os.kill(worker, signal.SIGSTOP)
        target = home.inbox / "second.wav"
        shutil.copy(made[1], target)
        wait_for(lambda: claimed(home), "the file to be in work")
        for _ in range(50):
            os.close(os.open(target, os.O_WRONLY))  # closed after writing, says the kernel
            time.sleep(0.02)
        os.kill(worker, signal.SIGCONT)
        home.wait_idle(2)
    home.assert_exactly(contents_of(made))
    assert count_log(home, "filed ", "second.wav") == 1
    assert not {"failed", "changed", "vanished", "duplicate"} & set(home.log_text().split())


def test_case_08_the_archives_disk_is_full(home: Home) -> None:
    """No partial name, sources intact while full, everything filed once there is room."""
    with mounted(home.archive, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        ballast = home.archive / "ballast"
        ballast.write_bytes(b"\0" * 960_000)
        made = make(home.folder / "made", 3)
        with home.running():
            for path in made:
                shutil.copy(path, home.inbox)
            wait_for(lambda: home.status()["degraded"], "degraded in status")
            assert all(path.stat().st_size for path in home.inbox.iterdir())
            assert list(home.archive.rglob("*.part")) == []
            ballast.unlink()
            home.wait_idle(3)
        home.assert_exactly(contents_of(made))


def test_case_09_the_source_can_not_be_removed(home: Home) -> None:
    """Archived once, marked as retained, and not tried again, now or by the next daemon."""
    made = make(home.folder / "made", 2)
    with mounted(home.inbox, "mount", "-t", "tmpfs", "tmpfs"):
        for path in made:
            shutil.copy(path, home.inbox)
        subprocess.run(["mount", "-o", "remount,ro", str(home.inbox)], check=True)
        with home.running():
            home.wait_idle(2)
            time.sleep(2.5)  # two rescans
        with home.running():
            time.sleep(1.5)
        assert len(list(home.inbox.iterdir())) == 2
    home.assert_exactly(contents_of(made))
    assert count_log(home, "source retained") == 2
    assert all(home.story(row["digest"])["retained"] for row in home.ls())


def test_case_10_inbox_and_archive_are_unmounted_and_look_empty(home: Home) -> None:
    """0 gone, 0 corrections; degraded until they are back, and what came meanwhile is filed then."""
    made = make(home.folder / "made", 2)
    contents = contents_of(made)
    os.rename(home.inbox, home.folder / "inbox disk")
    os.rename(home.archive, home.folder / "archive disk")
    home.inbox.mkdir()
    home.archive.mkdir()
    disks = {home.inbox: home.folder / "inbox disk", home.archive: home.folder / "archive disk"}
    home.configure(inbox="rescan_seconds = 1", archive="rescan_seconds = 1")
    with contextlib.ExitStack() as stack:
        for folder, disk in disks.items():
            stack.enter_context(mounted(folder, "mount", "--bind", str(disk)))
        with home.running():
            shutil.copy(made[0], home.inbox / "one.wav")
            home.wait_idle(1)
            for folder in disks:
                subprocess.run(["umount", "--lazy", str(folder)], check=True)
            shutil.copy(made[1], home.folder / "inbox disk" / "two.wav")
            wait_for(lambda: home.status()["archive"]["degraded"], "degraded in status")
            time.sleep(2.5)
            status = home.status()
            assert (status["corrections"], status["gone"], status["files"]["total"]) == (0, 0, 1)
            assert list(home.archive.iterdir()) == []
            for folder, disk in disks.items():
                subprocess.run(["mount", "--bind", str(disk), str(folder)], check=True)
            home.wait_idle(2)
            wait_for(lambda: not home.status()["archive"]["degraded"], "it to be well again")
        home.assert_exactly(contents)
        assert count_log(home, "corrected") == 0


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.torture)])
def test_case_11_killed_between_any_two_steps(kills: int, home: Home) -> None:
    """SIGKILL while files arrive, restart, and every sample stands exactly once.

    Each step by itself is `test_failpoints.py`, and kills by the thousand `torture/kill_loop.py`.
    """
    made = make(home.folder / "made", 10 * kills)
    contents = contents_of(made)
    for n, path in enumerate(made):
        shutil.copy(path, home.inbox)
        if n % 10 == 9:
            with home.running(stop=signal.SIGKILL):
                time.sleep(0.2 + n % 40 / 40)
    with home.running():
        home.wait_idle(len(made))
    home.assert_exactly(contents)
    assert list(home.inbox.iterdir()) == []
    assert list(home.archive.rglob(".drumwatchd-*.part")) == []


def test_case_12_a_truncated_upload_is_replaced_by_the_whole_file(home: Home) -> None:
    """The archive ends with the whole files; the beginnings are set aside and say why."""
    whole = {"kick.mp3": b"", "snare.flac": b"", "tom.ogg": b""}
    for name in whole:
        drums.write(home.folder / name, name.split(".")[0])
        whole[name] = (home.folder / name).read_bytes()
    begun = {name: content[: len(content) * 2 // 3] for name, content in whole.items()}
    with home.running():
        for name, content in begun.items():
            (home.inbox / name).write_bytes(content)

        def is_settled() -> bool:
            status = home.status()
            return status["files"]["total"] + status["quarantined"] == len(whole)

        wait_for(is_settled, "the beginnings to be taken for files")
        for name in whole:
            os.rename(home.folder / name, home.inbox / name)
        wait_for(lambda: count_log(home, "superseded") == len(whole), "them to give way")
        home.wait_idle(len(whole))
    home.assert_exactly(list(whole.values()))
    aside = {path.name: path.read_bytes() for path in (home.archive / "_quarantine").iterdir()}
    assert aside == begun
    assert "Xing" not in home.log_text()  # the decoder's own words on a cut MP3
    reasons = [row["reason"] for row in home.ls("state:quarantined")]
    assert len(reasons) == len(whole)
    assert all(reason.startswith("superseded: it is the beginning of") for reason in reasons)
    assert home.drumwatchd("check", "--read-data").returncode == 0


def hostile(inbox: Path) -> set[str]:
    """Files that are no samples, or lie about it; the names of those to be left where they are."""
    (inbox / "empty.wav").write_bytes(b"")
    (inbox / "text.wav").write_bytes(b"this is no audio at all\n" * 100)
    (inbox / "header only.flac").write_bytes(b"fLaC\x00\x00\x00\x22")
    soundfile.write(inbox / "nan.wav", np.full(4_410, np.nan), 44_100, subtype="FLOAT")
    soundfile.write(inbox / "channels.wav", np.ones((44_100, 32)) / 3, 384_000, subtype="PCM_16")
    soundfile.write(inbox / "one sample.wav", np.array([0.5]), 44_100)
    with soundfile.SoundFile(inbox / "bomb.flac", "w", 8_000, 1) as sound:
        for _ in range(12):  # hours
            sound.write(np.zeros(8_000 * 3_600, np.int16))
    lies = bytearray((inbox / "one sample.wav").read_bytes())
    lies[22:24], lies[24:28] = b"\xff\xff", b"\xff\xff\xff\x7f"  # 65,535 channels at 2 GHz
    (inbox / "lies.wav").write_bytes(lies)
    (inbox / "notes.txt").write_text("left alone")
    os.mkfifo(inbox / "pipe.wav")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(os.path.relpath(inbox / "socket.wav"))  # a long path doesn't fit
    (inbox / "loop").symlink_to(inbox)
    (inbox / "link.wav").symlink_to("/etc/hostname")
    left = {"notes.txt", "pipe.wav", "socket.wav", "loop", "link.wav"}
    with contextlib.suppress(PermissionError):
        os.mknod(inbox / "zero.wav", 0o600 | 0o020000, os.makedev(1, 5))
        left.add("zero.wav")
    return left


def test_case_13_hostile_files(home: Home) -> None:
    """Each in quarantine with its reason, or judged; what is no regular file isn't even opened."""
    make(home.inbox, 2)
    left = hostile(home.inbox)
    started = time.monotonic()
    done = home.drumwatchd("scan", check=3)
    assert time.monotonic() - started < 60
    assert "quarantined" in done.stderr
    assert {path.name for path in home.inbox.iterdir()} == left
    reasons = {row["name"]: row["reason"] for row in home.ls("state:quarantined")}
    bad = {"empty.wav", "text.wav", "header only.flac", "nan.wav", "lies.wav"}
    assert bad <= set(reasons)
    assert all(reasons.values())
    filed = {row["name"] for row in home.ls()}
    assert filed | set(reasons) >= {"channels.wav", "one sample.wav", "bomb.flac"} | bad
    assert {"kick 0.wav", "snare 1.wav"} <= filed


def test_case_13_a_decoder_hangs_crashes_or_eats_memory(tmp_path: Path) -> None:
    """It costs that file its turn: the others go on, and the daemon stays up.

    What hangs in a system call is killed by the clock, what goes round by its processor time.
    """
    limits = "worker_timeout_seconds = 12\nworker_memory_mb = 400"
    home = Home(tmp_path, classify=limits)
    home.variables = {"PYTHONPATH": str(Path(__file__).parent / "hostile")}
    harm = ("hangs", "spins", "crashes", "eats", "exits")
    made = make(home.folder / "made", 2 * len(harm), kinds=("snare", "tom"))
    with home.running() as process:
        for n, name in enumerate(harm):
            shutil.copy(made[2 * n], home.inbox / f"{name}.wav")
            shutil.copy(made[2 * n + 1], home.inbox / f"after it {name}.wav")
        wait_for(lambda: home.status()["quarantined"] == len(harm), "all of them to end")
        home.wait_idle(len(harm))
        assert process.poll() is None
    assert {row["name"] for row in home.ls()} == {f"after it {name}.wav" for name in harm}
    reasons = {row["name"]: row["reason"] for row in home.ls("state:quarantined")}
    assert "longer than 12 s" in reasons["hangs.wav"]
    # Whichever limit it reaches first, on a busy machine.
    assert "processor time" in reasons["spins.wav"] or "longer than" in reasons["spins.wav"]
    assert "signal 11" in reasons["crashes.wav"]
    assert "memory" in reasons["eats.wav"]
    assert "exit code 3" in reasons["exits.wav"]


def test_case_14_names(home: Home) -> None:
    """Through SQLite, JSON, CSV, log and archive unharmed, and never outside the archive."""
    nfd = unicodedata.normalize("NFD", "h\u00e4t.wav")
    names = [
        b"\xff\xe9.wav", "h\u00e4t.wav".encode(), nfd.encode(), b"x" * 251 + b".wav",
        b"new\nline.wav", b"-rf.wav", b"..wav", b"...wav", b"%s{label}.wav", b"Kick.WAV",
        b"kick.wav", b"a\\..\\..\\b.wav", b"tab\tbed \x1b[31mred.wav", "\u202eevaw.wav".encode(),
    ]  # fmt: skip
    made = distinct(len(names) * 2, home.folder / "made")
    contents = contents_of(made)
    for n, name in enumerate(names):
        for m, folder in enumerate((b".", b"pa\xffck\n ..")):
            target = os.path.join(os.fsencode(home.inbox), folder, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.rename(made[2 * n + m], target)
    # Hidden names are other tools' business.
    wanted = [c for n, c in enumerate(contents) if not names[n // 2].startswith(b".")]
    home.config.write_text(home.config.read_text() + '[log]\nformat = "json"\n')
    with home.running():
        home.wait_idle(len(wanted))
    home.assert_exactly(wanted)
    sources = [os.fsencode(home.story(row["digest"])["source"]) for row in home.ls()]
    assert {os.path.basename(path) for path in sources} == {n for n in names if n[:1] != b"."}
    filed = [json.loads(line) for line in home.log_text().splitlines() if line.startswith("{")]
    assert sum(line["event"] == "filed" for line in filed) == len(wanted)
    assert {path.name for path in home.folder.iterdir()} == {
        "inbox", "archive", "state", "made", "config.toml", "daemon.log",
    }  # fmt: skip
    for row in home.ls():
        assert Path(row["path"]).resolve().is_relative_to(home.archive)
        assert home.drumwatchd("show", row["path"]).returncode == 0


def test_case_15_a_second_daemon(home: Home) -> None:
    """Exit code 4, and the first goes on."""
    with home.running() as process:
        for command in ("scan", "run"):
            done = home.drumwatchd(command, check=4)
            assert "another drumwatchd" in done.stderr
        make(home.inbox, 1)
        home.wait_idle(1)
        assert process.poll() is None


def test_case_15_the_index_on_a_network_file_system(home: Home) -> None:
    """A clear refusal, with the way out; nothing is made there."""
    state = home.folder / "state"
    with through_fuse(home.folder / "far away", state, "-o", "subtype=sshfs"):
        done = home.drumwatchd("run", check=2)
        assert "the index is on fuse.sshfs" in done.stderr
        assert "set index.path to a place on a local disk" in done.stderr
        assert not (state / "index.sqlite3").exists()


def test_case_15_the_index_is_deleted(home: Home) -> None:
    """A start refuses to take an archive for its own; the index is made anew from what is there."""
    made = make(home.inbox, 3)
    contents = contents_of(made)
    home.drumwatchd("scan")
    before = {row["digest"]: row["label"] for row in home.ls()}
    shutil.rmtree(home.folder / "state")
    done = home.drumwatchd("run", check=2)
    assert "repair --rebuild-index" in done.stderr
    home.drumwatchd("repair", "--rebuild-index")
    assert {row["digest"]: row["label"] for row in home.ls()} == before
    with home.running():
        make(home.inbox, 4)
        home.wait_idle(4)
    assert len(home.archived()) == 4
    assert set(contents) <= set(home.archived().values())
    assert home.drumwatchd("check", "--read-data").returncode == 0
