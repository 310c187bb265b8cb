"""The same run on a cluster: a real scheduler, real workers, and one of them killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from batches import SETTINGS, Desk, grown
from drumwatchd.analysis.model_card import read_card, shipped_model
from drumwatchd.batch import cluster
from drumwatchd.batch.cluster import Kit, Roads
from drumwatchd.batch.work import Digested, Trouble, analyse_files, digest_files
from drumwatchd.errors import ModelError, UsageError
from farm import farm
from test_batch_classify import same

distributed = pytest.importorskip("distributed", reason="the extra `cluster` isn't installed")


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """What was unpacked in this process is forgotten."""
    yield
    cluster._unpacked.clear()


@pytest.mark.e2e
def test_a_worker_that_dies_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    """Mounted elsewhere there, or sent: the same bytes as from the processes of one machine."""
    archive = grown(tmp_path / "archive", 600)
    (archive / "pack 3" / "broken.wav").write_text("x")
    (tmp_path / "there").symlink_to(archive)
    desks = {name: Desk(tmp_path / name) for name in ("home", "sent", "mapped")}
    for desk in desks.values():
        desk.folder.mkdir()
    undisturbed = desks["home"].classify(archive, code=3)
    with farm(tmp_path / "farm") as machines:
        workers = [machines.add_worker() for _ in range(2)]
        there = ["--out", desks["sent"].out, "--scheduler", machines.address, "--send"]
        sent = Path(str(desks["sent"].json("classify", archive, *there, code=3)["run"]))
        same(sent, undisturbed)
        mapped = desks["mapped"]
        there = ["--scheduler", machines.address, "--map", f"{archive}={tmp_path / 'there'}"]
        command = mapped.command("classify", archive, "--out", mapped.out, *there)
        process = subprocess.Popen(
            command, cwd=mapped.folder, env=mapped.environment, stderr=subprocess.PIPE
        )
        mapped.wait_for_lines(60)
        assert process.poll() is None
        workers[0].send_signal(signal.SIGKILL)
        _, told = process.communicate(timeout=200)
        assert process.returncode == 3, told
        (run,) = mapped.out.glob("run_*")
    same(run, undisturbed)


@pytest.mark.e2e
def test_nobody_there(tmp_path: Path) -> None:
    """No scheduler at that address; options that don't go together."""
    desk = Desk(tmp_path)
    archive = grown(tmp_path / "archive", 2)
    there = ["--scheduler", "tcp://127.0.0.1:1"]
    for wrong in (
        ["--send"], ["--map", "/a=/b"], [*there], [*there, "--out", desk.out, "--map", "a=b"],
        [*there, "--out", desk.out, "--map", "/a=/b", "--send"],
    ):  # fmt: skip
        desk.run("classify", archive, *wrong, code=2)
    told = desk.run("classify", archive, "--out", desk.out, "--scheduler", "foo", code=2).stderr
    assert "tcp://host:8786" in told
    assert not list(desk.out.glob("run_*"))


def test_the_longest_folder_says_where(tmp_path: Path) -> None:
    """Whole folders only, and what lies in none is called the same there."""
    roads = Roads((("/music", "/mnt/music"), ("/music/drums", "/fast"), ("/", "/all")))
    assert roads.there("/music/a.wav") == "/mnt/music/a.wav"
    assert roads.there("/music/drums/kick/b.wav") == "/fast/kick/b.wav"
    assert roads.there("/musical/c.wav") == "/all/musical/c.wav"
    assert Roads((("/music", "/mnt"),)).there("/musical/c.wav") == "/musical/c.wav"


def test_what_judges_travels_whole(tmp_path: Path) -> None:
    """The model without what it is adapted by; unpacked, it is the same model."""
    kit = cluster.kit_of(SETTINGS)
    assert "replay.npz" not in kit.model
    cluster.unpack(kit, str(tmp_path))
    cluster.unpack(kit, str(tmp_path))
    (folder,) = tmp_path.iterdir()
    assert read_card(folder / "model").backbone == read_card(shipped_model()).backbone
    with pytest.raises(ModelError, match="is installed on a worker"):
        cluster.unpack(replace(kit, version="0.0"), str(tmp_path))
    other = Kit(kit.model, {"precedents.json": b"{}"})
    assert other.digest != kit.digest


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    """Vanished, changed, too long to be sent; the others are judged as at home."""
    kit = cluster.kit_of(SETTINGS)
    cluster.unpack(kit, str(tmp_path))
    archive = grown(tmp_path / "archive", 4)
    paths = sorted(map(str, archive.rglob("*.wav")))
    roads = Roads(((str(tmp_path / "here"), str(archive)),))
    called = [path.replace(str(archive), str(tmp_path / "here")) for path in paths]
    digested = cluster.digest_there(called, "sha256", roads)
    assert [d.source.path for d in digested if isinstance(d, Digested)] == called
    os.unlink(paths[0])
    os.utime(paths[1], (1, 1))
    files = [(d, "") for d in digested if isinstance(d, Digested)]
    said = cluster.analyse_there(files, SETTINGS, roads, kit.digest)
    assert [one.kind for one in said if isinstance(one, Trouble)] == ["vanished", "changed"]
    at_home = [d for d in digest_files(paths, "sha256") if isinstance(d, Digested)]
    assert said[2:] == analyse_files([(d, "") for d in at_home], SETTINGS)[1:]
    packed = [(d, "", cluster._content_of(d)) for d in at_home]
    packed.append((at_home[0], "", Trouble("unreadable", "too long")))
    sent = cluster.analyse_sent(packed, SETTINGS, kit.digest)
    assert sent[:-1] == analyse_files([(d, "") for d in at_home], SETTINGS)
    assert isinstance(sent[-1], Trouble)
    long = replace(at_home[0], source=replace(at_home[0].source, size=cluster.MOST_SENT_BYTES + 1))
    assert isinstance(cluster._content_of(long), Trouble)
    with pytest.raises(ModelError, match="lost what judges"):
        cluster.analyse_there(files, SETTINGS, roads, "another")


def test_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra there is a hint instead of a traceback."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match="no dask") as caught:
        cluster.connected("tcp://127.0.0.1:1")
    assert "drumwatchd[cluster]" in str(caught.value)
