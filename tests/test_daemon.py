"""The real daemon on real folders: what is dropped is found again, once, whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

import drums
from drumwatchd.analysis.labels import FINE_LABELS
from home import Home, children, claimed, command_line, make, wait_for, workers_of

pytestmark = pytest.mark.e2e

FORMATS = {
    "kick.wav": "kick", "snare.aiff": "snare", "hat.aif": "hat", "crash.flac": "crash",
    "tom.ogg": "tom", "clap.opus": "clap", "bell.mp3": "cowbell", "ride.w64": "ride",
    "noise.caf": "noise", "bass.au": "bass",
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One synthesised drum in each format."""
    folder = tmp_path_factory.mktemp("samples")
    for name, kind in FORMATS.items():
        drums.write(folder / name, kind, sr=48_000 if name.endswith(".opus") else 44_100)
    return folder


def test_every_format_by_copy_by_rename_and_slowly(home: Home, samples: Path) -> None:
    """Each file stands exactly once in archive, manifest and index, whole, and the inbox is empty."""
    contents = [path.read_bytes() for path in sorted(samples.iterdir())]
    with home.running():
        for n, path in enumerate(sorted(samples.iterdir())):
            target = home.inbox / "pack" / path.name
            target.parent.mkdir(exist_ok=True)
            if n % 3 == 0:
                shutil.copy(path, target)
            elif n % 3 == 1:
                shutil.copy(path, home.folder / path.name)
                os.rename(home.folder / path.name, target)
            else:
                write_slowly(target, path.read_bytes())
        home.wait_idle(len(FORMATS))
    home.assert_exactly(contents)
    assert [path for path in home.inbox.rglob("*") if path.is_file()] == []


def write_slowly(target: Path, content: bytes) -> None:
    """Open, write a part, close, pause; again and again."""
    for start in range(0, len(content), 1 + len(content) // 8):
        with target.open("ab") as stream:
            stream.write(content[start : start + 1 + len(content) // 8])
        time.sleep(0.1)


def test_the_emptied_pack_goes_and_other_files_stay(home: Home) -> None:
    """Licences and project files are the owner's; a folder with them stays, empty ones go."""
    make(home.inbox / "pack" / "drums", 1)
    make(home.inbox / "pack2" / "drums", 1, kinds=("snare",))
    (home.inbox / "pack" / "LICENSE.txt").write_text("CC0")
    home.drumwatchd("scan")
    assert sorted(str(p.relative_to(home.inbox)) for p in home.inbox.rglob("*")) == [
        "pack", "pack/LICENSE.txt",
    ]  # fmt: skip


def test_duplicates_are_filed_once_and_named(home: Home) -> None:
    """The second copy stays where it is; status counts it, the log names the original."""
    (made,) = make(home.folder / "made", 1)
    with home.running():
        for name in ("one.wav", "two.wav", "sub/three.wav"):
            (home.inbox / name).parent.mkdir(exist_ok=True)
            shutil.copy(made, home.inbox / name)
        wait_for(lambda: home.status()["duplicates"] == 2, "two duplicates")
        home.wait_idle(1)
    home.assert_exactly([made.read_bytes()])
    assert len(list(home.inbox.rglob("*.wav"))) == 2


def test_retry_takes_quarantined_files_again(home: Home) -> None:
    """Back to the inbox, judged anew."""
    (home.inbox / "text.wav").write_bytes(b"this is no audio\n" * 100)
    home.drumwatchd("scan", check=3)
    home.drumwatchd("retry", "--all")
    assert (home.inbox / "text.wav").exists()
    assert home.status()["quarantined"] == 0
    home.drumwatchd("scan", check=3)
    assert home.status()["quarantined"] == 1


def test_names_count_where_they_are_asked_for(tmp_path: Path) -> None:
    """The folders below the inbox reach the workers, and a conflict is marked."""
    home = Home(tmp_path, classify="use_names = true")
    (home.inbox / "Snares").mkdir()
    drums.write(home.inbox / "Snares" / "Snare 1.wav", "kick")
    drums.write(home.inbox / "001.wav", "kick", seed=1)
    home.drumwatchd("scan")
    (marked,) = home.ls("review:yes")
    assert (marked["name"], marked["review"]) == (
        "Snare 1.wav",
        "its name says Snare, it sounds like Kick",
    )
    (unmarked,) = home.ls("review:no")
    assert (unmarked["label"], unmarked["reason"][:7]) == ("Kick", "Kick at")


def test_every_label_may_have_a_folder(tmp_path: Path) -> None:
    """With all 34 wanted, a sample lies where the best of them says, in archive and manifest."""
    wanted = f"target_labels = {json.dumps(FINE_LABELS)}\nconfidence_threshold = 0.0"
    home = Home(tmp_path, classify=wanted)
    kinds = ("kick", "snare", "rim", "clap", "cowbell", "tom", "crash", "ride", "hat")
    make(home.inbox, len(kinds), kinds=kinds)
    assert "warning" not in home.drumwatchd("check-config").stdout
    assert "both tables can be used" in home.drumwatchd("validate-mapping").stdout
    home.drumwatchd("scan")
    listed = home.ls()
    assert len(listed) == len(kinds)
    for sample in listed:
        assert sample["label"] == sample["fine"] in FINE_LABELS
        assert Path(sample["path"]) == home.archive / sample["label"] / sample["name"]
        assert Path(sample["path"]).is_file()
        assert [row["digest"] for row in home.ls(f"label:{sample['label']}", sample["name"])] == [
            sample["digest"]
        ]
    assert {"Clap", "Cowbell"} & {sample["label"] for sample in listed}
    filed = Counter(sample["label"] for sample in listed)
    assert Counter(row["label"] for row in home.manifested()) == filed
    assert Counter(home.status()["files"]["by_label"]) == filed


def test_no_worker_outlives_a_killed_daemon(home: Home) -> None:
    """The workers notice that their daemon is gone."""
    make(home.inbox, 1)
    with home.running(stop=signal.SIGKILL) as process:
        home.wait_idle(1)
        workers = children(process.pid)
        assert workers
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers), "workers to end")


def test_idle_workers_go(tmp_path: Path) -> None:
    """After worker_idle_seconds the daemon is alone."""
    home = Home(tmp_path, classify="worker_idle_seconds = 0.5")
    make(home.inbox, 1)
    with home.running() as process:
        home.wait_idle(1)
        wait_for(lambda: not workers_of(process.pid), "workers to end")


def test_sighup_takes_a_good_configuration_and_keeps_the_old_for_a_bad_one(home: Home) -> None:
    """The bad one is named in the log; work goes on."""
    (made, other) = make(home.folder / "made", 2)
    with home.running() as process:
        home.configure(archive='mode = "teleport"')
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "configuration kept" in home.log_text(), "the bad file to be refused")
        home.configure(index='hash_algorithm = "md5"')
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "made with sha256" in home.log_text(), "the other digest to be refused")
        home.configure(archive='mode = "copy"\nname_template = "{label}/{digest8}{suffix}"')
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "configuration reloaded" in home.log_text(), "the good file to be taken")
        shutil.copy(made, home.inbox / "one.wav")
        home.wait_idle(1)
    assert (home.inbox / "one.wav").exists()
    (name,) = home.archived()
    assert len(Path(name).stem) == 8
    assert other.exists()


@pytest.mark.skipif(shutil.which("setsid") is None, reason="setsid makes the terminal ours")
def test_closing_its_terminal_stops_it(home: Home) -> None:
    """SIGHUP means reload for a service, and the end for a program whose window was closed."""
    master, terminal = os.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *home.command, "run"],
        stdin=terminal, stdout=terminal, stderr=terminal, env=home.environment,
    )  # fmt: skip
    os.close(terminal)
    try:
        wait_for(lambda: home.watches(process.pid), "the daemon to watch")
        process.send_signal(signal.SIGHUP)
        reader = os.fdopen(master, "rb", buffering=0)
        with reader:
            shown = b""
            while b"configuration reloaded" not in shown:
                shown += reader.read(4096)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_a_reload_is_told_as_no_stop(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd would end a service that says STOPPING=1 in the middle of a reload."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel,
    ):
        channel.bind(f"{folder}/notify")
        channel.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", f"{folder}/notify")
        with home.running() as process:
            told_until(channel, b"READY=1")
            process.send_signal(signal.SIGHUP)
            told = told_until(channel, b"RELOADING=1") + told_until(channel, b"READY=1")
            assert b"STOPPING=1" not in told
        assert b"STOPPING=1" in told_until(channel, b"STOPPING=1")


def told_until(channel: socket.socket, line: bytes) -> list[bytes]:
    told: list[bytes] = []
    while line not in told:
        told += channel.recv(65536).split(b"\n")
    return told


def test_stopping_is_quick_and_leaves_nothing_half_done(home: Home) -> None:
    """SIGTERM in the middle of work; the next start finishes it."""
    made = make(home.folder / "made", 30)
    contents = [path.read_bytes() for path in made]
    for path in made:
        shutil.copy(path, home.inbox)
    with home.running() as process:
        wait_for(lambda: home.archived(), "the first sample")
        started = time.monotonic()
        process.terminate()
        assert process.wait(10) == 0
        assert time.monotonic() - started < 5.0
    with home.running():
        home.wait_idle(30)
    home.assert_exactly(contents)


def is_asleep(pid: str) -> bool:
    return pid.isdigit() and "sleep\x00601" in command_line(int(pid))


def test_stopping_waits_for_nothing_that_hangs(home: Home) -> None:
    """A decoder that never comes back, and a hook; both are taken up again or told no more."""
    home.variables = {"PYTHONPATH": str(Path(__file__).parent / "hostile")}
    hook = '[[hook]]\nevents = ["archived"]\ncommand = ["/bin/sleep", "601"]\n'
    home.config.write_text(home.config.read_text() + hook)
    content, other = (path.read_bytes() for path in make(home.folder / "made", 2))
    with home.running() as process:
        (home.inbox / "other.wav").write_bytes(other)
        wait_for(lambda: home.archived(), "the hook to begin")
        (home.inbox / "hangs.wav").write_bytes(content)
        wait_for(lambda: claimed(home) and home.archived(), "the other one to be in work")
        started = time.monotonic()
        process.terminate()
        assert process.wait(10) == 0
        assert time.monotonic() - started < 5.0 + 3.0  # this machine has other work
        wait_for(lambda: not any(map(is_asleep, os.listdir("/proc"))), "the hook to end")
    assert (home.inbox / "hangs.wav").read_bytes() == content
    home.variables = {}
    with home.running():
        home.wait_idle(2)
    home.assert_exactly([content, other])


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda home: shutil.rmtree(home.inbox), "inbox"),
        (lambda home: home.configure(classify='model = "nowhere"'), "nowhere"),
        (lambda home: home.config.write_text("[[inbox]]\n"), "config.toml"),
        (lambda home: shutil.rmtree(home.archive) or home.archive.write_text(""), "archive"),
        (lambda home: shutil.rmtree(home.archive) or home.archive.symlink_to("/proc/x"), "archive"),
        (lambda home: (home.folder / "state").write_text(""), "index.sqlite3"),
    ],
    ids=["inbox", "model", "configuration", "archive", "no place for one", "index"],
)
def test_what_is_missing_at_start_is_named(harm, says: str, home: Home) -> None:  # type: ignore[no-untyped-def]
    """Exit code 2 and a message with the path and the way out, no traceback."""
    harm(home)
    done = home.drumwatchd("run", check=2)
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_lost_archive_outlives_a_reload(home: Home) -> None:
    """SIGHUP while the archive is unmounted: no start could succeed, so the daemon stays up."""
    with home.running() as process:
        os.rename(home.archive, home.folder / "unmounted")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "configuration kept" in home.log_text(), "the reload to be refused")
        os.rename(home.folder / "unmounted", home.archive)
        make(home.inbox, 1)
        home.wait_idle(1)


def test_the_log_has_one_line_per_file(home: Home) -> None:
    """JSON when asked: event, digest, label, confidence, destination and duration."""
    home.config.write_text(home.config.read_text() + '[log]\nformat = "json"\n')
    make(home.inbox, 2)
    done = home.drumwatchd("scan")
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    filed = [line for line in lines if line["event"] == "filed"]
    assert len(filed) == 2
    wanted = {"digest", "label", "confidence", "destination", "duration_ms", "source"}
    assert all(wanted <= set(line) for line in filed)
