"""`rebuild`: an organised archive made of a run; the originals stay."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from batches import Desk, grown, results, snapshot
from drumwatchd.batch.judging import judge_for
from drumwatchd.batch.placing import Maker, Problem
from drumwatchd.batch.rebuild import Wanted, about
from drumwatchd.batch.records import Place, Seen
from drumwatchd.batch.run_folder import open_run
from home import wait_for

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def classified(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An archive and a whole run over it."""
    folder = tmp_path_factory.mktemp("classified")
    archive = grown(folder / "archive", 60)
    shutil.copy(archive / "pack 0" / "kick 0000.wav", archive / "pack 6" / "same.wav")
    (archive / "pack 2" / "kick 0030.wav").rename(archive / "pack 2" / "kick 0012.wav")
    return archive, Desk(folder).classify(archive)


@pytest.fixture
def desk(tmp_path: Path, classified: tuple[Path, Path]) -> Desk:
    """A place to rebuild in, with a copy of the archive's run."""
    archive, run = classified
    desk = Desk(tmp_path)
    shutil.copytree(run, tmp_path / "run")
    desk.archive, desk.run_folder = archive, tmp_path / "run"
    return desk


def rebuild(desk: Desk, *options: str | Path, code: int = 0) -> tuple[Path, dict[str, object]]:
    told = desk.json("rebuild", desk.run_folder, "--out", desk.out, *options, code=code)
    return Path(str(told["folder"])), told


def test_labels_that_say_nothing_are_refused(desk: Desk) -> None:
    """Rather than taken for the usual ones."""
    for options in (["--labels", " ,"], ["--labels", "Kick", "--allow-all"]):
        refused = desk.run("rebuild", desk.run_folder, "--out", desk.out, *options, code=2)
        assert "--labels" in refused.stderr


def filed(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if not path.is_dir() and path.parent.name != "_manifests" and path.name != "rebuild.json"
    )


def manifested(folder: Path) -> list[dict[str, str]]:
    rows = []
    for path in sorted((folder / "_manifests").iterdir()):
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
            rows += list(csv.DictReader(stream))
    return rows


def test_copies_stand_by_label_and_the_originals_stay(desk: Desk) -> None:
    """Each content once, as the run judged it, with its time; manifests say what stands where."""
    before = snapshot(desk.archive)
    folder, told = rebuild(desk)
    assert snapshot(desk.archive) == before
    assert folder.name.startswith("Organized_")
    records = [r for r in results(desk.run_folder) if r["duplicate_of"] is None]
    rows = {row["digest"]: row for row in manifested(folder)}
    assert sorted(row["path"] for row in rows.values()) == filed(folder)
    assert (told["files"], told["made"], told["duplicates"]) == (60, 60, 1)
    for record in records:
        copied, source = folder / rows[record["digest"]]["path"], desk.archive / record["path"]
        assert copied.parent.name == record["label"]
        assert copied.read_bytes() == source.read_bytes()
        assert copied.stat().st_mtime_ns == source.stat().st_mtime_ns
    assert {"kick 0012.wav", "kick 0012-2.wav"} <= {Path(name).name for name in filed(folder)}


@pytest.mark.parametrize("mode", ["symlink", "hardlink"])
def test_links_lead_to_the_originals(desk: Desk, mode: str) -> None:
    """No byte is copied."""
    folder, _ = rebuild(desk, "--mode", mode)
    assert len(filed(folder)) == 60
    for row in manifested(folder):
        path = folder / row["path"]
        assert path.is_symlink() == (mode == "symlink")
        assert path.samefile(row["source"])


def test_manifests_alone(desk: Desk) -> None:
    """Mode none."""
    folder, told = rebuild(desk, "--mode", "none")
    assert (filed(folder), told["made"], len(manifested(folder))) == ([], 0, 60)


def test_to_repeat_it_changes_nothing(desk: Desk) -> None:
    """The same folder, nothing made anew; what is missing is put back."""
    folder, _ = rebuild(desk)
    before = snapshot(folder)
    again, told = rebuild(desk)
    assert (again, told["made"], told["files"]) == (folder, 0, 60)
    kept = {name: entry for name, entry in before.items() if name.endswith(".wav")}
    after = snapshot(folder)
    assert {name: entry for name, entry in after.items() if name.endswith(".wav")} == kept
    assert {n: e[2] for n, e in after.items()} == {n: e[2] for n, e in before.items()}
    (folder / filed(folder)[0]).unlink()
    assert rebuild(desk)[1]["made"] == 1
    assert list(desk.out.glob("*Organized*")) == [folder]


def test_another_wish_is_another_folder(desk: Desk) -> None:
    """By threshold, labels, mirror; no analysis: 1.0 sends everything to misc."""
    one, _ = rebuild(desk, "--mode", "hardlink")
    two, told = rebuild(desk, "--mode", "hardlink", "--threshold", "1.0")
    assert one != two
    assert told["labels"] == {"misc": 60}
    _, told = rebuild(desk, "--mode", "none", "--labels", "kick, Clap")
    assert set(told["labels"]) == {"Kick", "Clap", "misc"}
    _, told = rebuild(desk, "--mode", "none", "--allow-all")
    assert {"Kick", "Clap"} <= set(told["labels"])
    folder, _ = rebuild(desk, "--mirror", "--mode", "symlink")
    assert any(name.startswith("Kick/pack 0/") for name in filed(folder))
    assert "no label" in desk.run(
        "rebuild", desk.run_folder, "--out", desk.out, "--labels", "Trombone", code=2
    ).stderr  # fmt: skip


def test_what_their_owner_says_goes_before(desk: Desk, tmp_path: Path) -> None:
    """A label of the 34 folds, one of the owner's own has its folder."""
    records = results(desk.run_folder)
    said = {records[0]["digest"]: "Rim", records[1]["digest"]: "Found Sounds"}
    overrides = tmp_path / "said.jsonl"
    overrides.write_text(
        "".join(json.dumps({"hash": d, "correct_label": x, "note": None}) + "\n" for d, x in said.items())
    )  # fmt: skip
    folder, _ = rebuild(desk, "--mode", "none", "--overrides", overrides)
    rows = {row["digest"]: row["label"] for row in manifested(folder)}
    assert [rows[digest] for digest in said] == ["Snare", "Found Sounds"]
    overrides.write_text('{"hash": 1}\n')
    done = desk.run(
        "rebuild", desk.run_folder, "--out", desk.out, "--overrides", overrides, code=2
    )  # fmt: skip
    assert "line 1" in done.stderr


def test_a_dry_run_says_every_destination_and_makes_nothing(desk: Desk) -> None:
    """One line a file."""
    done = desk.run("rebuild", desk.run_folder, "--out", desk.out, "--dry-run")
    assert len(done.stdout.splitlines()) == 60
    assert " → Kick/kick 0000.wav" in done.stdout
    assert not desk.out.exists()


def test_a_source_that_changed_is_named_and_left_out(desk: Desk, tmp_path: Path) -> None:
    """By its time, by its content alone, or because it is gone; the rest is filed."""
    archive = tmp_path / "archive"
    shutil.copytree(desk.archive, archive)
    other = Desk(tmp_path / "other")
    other.folder.mkdir()
    desk.run_folder = other.classify(archive)
    (archive / "pack 0" / "kick 0000.wav").unlink()
    (archive / "pack 6" / "same.wav").unlink()  # its duplicate
    (archive / "pack 1" / "snare 0001.wav").write_bytes(b"other")
    slyly = archive / "pack 2" / "hat 0002.wav"
    found = slyly.stat()
    slyly.write_bytes(slyly.read_bytes()[:-2] + b"\x7f\x7f")
    os.utime(slyly, ns=(found.st_atime_ns, found.st_mtime_ns))
    folder, told = rebuild(desk, code=3)
    reasons = {Path(p["path"]).name: p["reason"] for p in told["problems"]}
    assert reasons == {
        "kick 0000.wav": "it is gone",
        "snare 0001.wav": "it changed since it was judged",
        "hat 0002.wav": "it changed since it was judged",
    }
    assert len(filed(folder)) == 57 == len(manifested(folder))


def test_a_new_time_alone_is_no_change(desk: Desk, tmp_path: Path) -> None:
    """Copying and syncing tools touch files; what counts is what was heard. A dry run tells the same."""
    archive = tmp_path / "archive"
    shutil.copytree(desk.archive, archive)
    other = Desk(tmp_path / "other")
    other.folder.mkdir()
    desk.run_folder = other.classify(archive)
    os.utime(archive / "pack 0" / "kick 0000.wav")
    slyly = archive / "pack 2" / "hat 0002.wav"
    slyly.write_bytes(slyly.read_bytes()[:-2] + b"\x7f\x7f")
    rehearsed = desk.run("rebuild", desk.run_folder, "--out", desk.out, "--dry-run", code=3)
    assert len(rehearsed.stdout.splitlines()) == 59
    assert f"{slyly}: it changed since it was judged" in rehearsed.stderr
    assert "59 files" in rehearsed.stderr.splitlines()[-1]
    assert not desk.out.exists()
    folder, told = rebuild(desk, code=3)
    assert [Path(problem["path"]).name for problem in told["problems"]] == ["hat 0002.wav"]
    assert len(filed(folder)) == 59


def test_another_file_is_never_replaced(desk: Desk) -> None:
    """What stands under a name and isn't ours stays, and is named."""
    folder, _ = rebuild(desk)
    name = filed(folder)[0]
    (folder / name).write_bytes(b"somebody's")
    _, told = rebuild(desk, code=3)
    assert "another file stands" in told["problems"][0]["reason"]
    assert (folder / name).read_bytes() == b"somebody's"


def sizes(desk: Desk) -> list[int]:
    found = []
    for path in desk.out.glob("*Organized_*/*/*.wav"):
        with contextlib.suppress(FileNotFoundError):  # renamed just now
            found.append(path.stat().st_size)
    return found


def killed_halfway(desk: Desk) -> list[Path]:
    """What stands there after a rebuild was killed; on a busy machine that takes a try or two."""
    for _ in range(5):
        shutil.rmtree(desk.out, ignore_errors=True)
        process = subprocess.Popen(
            desk.command("rebuild", desk.run_folder, "--out", desk.out),
            env=desk.environment, cwd=desk.folder, stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(lambda: sizes(desk) and max(sizes(desk)) > 1000, "a copy", step=0.002)
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        begun = sorted(desk.out.glob(".Organized_*/*/*.wav"))
        if 0 < len(begun) < 60:
            return begun
    raise AssertionError("it was always done before it was killed")


def test_a_killed_rebuild_goes_on(desk: Desk, tmp_path: Path) -> None:
    """Hidden until it is whole; a file that was torn is made anew."""
    archive = grown(tmp_path / "archive", 60)
    for number, path in enumerate(sorted(archive.rglob("*.wav"))):
        with path.open("ab") as stream:
            stream.write(b"%d" % number + b"\0" * 4_000_000)
    desk.run_folder = Desk(tmp_path).classify(archive)
    desk.out = tmp_path / "made"
    begun = killed_halfway(desk)
    os.truncate(max(begun, key=lambda path: path.stat().st_size), 1000)
    folder, told = rebuild(desk)
    assert told["files"] == len(filed(folder)) == 60
    assert told["made"] >= 60 - len(begun)
    assert {row["digest"] for row in manifested(folder)} == {
        record["digest"] for record in results(desk.run_folder)
    }
    for row in manifested(folder):
        assert (folder / row["path"]).read_bytes() == Path(row["source"]).read_bytes()


def test_a_file_that_is_too_large_for_the_place_is_named(desk: Desk) -> None:
    """Nothing is half there; where it fits, the same folder is finished."""

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))

    done = desk.run("rebuild", desk.run_folder, "--out", desk.out, code=3, preexec_fn=small_files)
    assert "File too large" in done.stderr
    assert not list(desk.out.glob("Organized_*/*/*.wav"))
    _, told = rebuild(desk)
    assert (told["files"], told["made"]) == (60, 60)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_named_and_nothing_is_half_there(desk: Desk, tmp_path: Path) -> None:
    """Exit code 3; with room again the same folder is finished."""
    desk.out = tmp_path / "small"
    desk.out.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "none", desk.out], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("this root may not mount")
    try:
        done = desk.run("rebuild", desk.run_folder, "--out", desk.out, code=3)
        assert "No space left" in done.stderr
        assert "goes on where it was" in done.stderr
        (hidden,) = desk.out.glob(".Organized_*")
        sizes = {path.stat().st_size for path in hidden.rglob("*.wav")}
        assert sizes == {16044}
        subprocess.run(["mount", "-o", "remount,size=4m", desk.out], check=True)
        folder, told = rebuild(desk)
        assert told["files"] == len(filed(folder)) == 60
        assert told["made"] < 60
    finally:
        subprocess.run(["umount", desk.out], check=True)


def test_a_damaged_run_makes_nothing(desk: Desk) -> None:
    """Its journal isn't the one that it ended with."""
    with (desk.run_folder / "journal.jsonl").open("ab") as stream:
        stream.write(b"x")
    done = desk.run("rebuild", desk.run_folder, "--out", desk.out, code=2)
    assert "damaged" in done.stderr
    assert not desk.out.exists()


def test_what_stands_there_needs_its_original_no_more(desk: Desk, tmp_path: Path) -> None:
    """The originals may go once they are filed; a repeated rebuild keeps files and manifests."""
    archive = tmp_path / "archive"
    shutil.copytree(desk.archive, archive)
    desk.run_folder = Desk(tmp_path).classify(archive)
    folder, _ = rebuild(desk)
    before = manifested(folder)
    shutil.rmtree(archive / "pack 0")
    (archive / "pack 1" / "snare 0001.wav").write_bytes(b"newer")
    _, told = rebuild(desk)
    assert (told["files"], told["made"], told["problems"]) == (60, 0, [])
    assert manifested(folder) == before


def test_a_file_that_cant_be_read_is_left_out_alone(tmp_path: Path) -> None:
    """A bad spot of its disk, after it was opened, isn't the fault of the folder."""
    source = "/proc/self/mem"  # opens as a regular file; nothing can be read at its beginning
    found = os.stat(source)
    seen = Seen(Place(0, ""), found.st_size, found.st_mtime_ns, "00")
    outcome = Maker(str(tmp_path), "copy", "sha256").make(source, seen, "Kick/mem.wav")
    assert outcome == Problem("it can't be read (Input/output error)")
    assert list((tmp_path / "Kick").iterdir()) == []


def test_a_file_in_a_folders_place_costs_only_what_goes_there(tmp_path: Path) -> None:
    """Two roots of one name may hold a file and a folder of one name."""
    source = tmp_path / "kick.wav"
    source.write_bytes(b"kick")
    found = source.stat()
    seen = Seen(Place(0, ""), 4, found.st_mtime_ns, hashlib.sha256(b"kick").hexdigest())
    maker = Maker(str(tmp_path / "made"), "copy", "sha256")
    assert maker.make(str(source), seen, "Kick/a.wav") is True
    outcome = maker.make(str(source), seen, "Kick/a.wav/kick.wav")
    assert outcome == Problem("a file stands where its folder should be")


def test_a_duplicate_stands_in_for_what_is_gone(desk: Desk, tmp_path: Path) -> None:
    """Its content is filed where the first of it would have been; the manifest names the duplicate."""
    archive = tmp_path / "archive"
    shutil.copytree(desk.archive, archive)
    desk.run_folder = Desk(tmp_path).classify(archive)
    (archive / "pack 0" / "kick 0000.wav").unlink()
    folder, told = rebuild(desk)
    assert (told["files"], told["duplicates"], told["problems"]) == (60, 1, [])
    row = next(row for row in manifested(folder) if row["path"] == "Kick/kick 0000.wav")
    assert row["source"] == str(archive / "pack 6" / "same.wav")
    assert (folder / row["path"]).read_bytes() == Path(row["source"]).read_bytes()
    again, told = rebuild(desk)
    assert (again, told["made"], told["files"]) == (folder, 0, 60)


def test_labels_that_are_named_are_another_wish(desk: Desk) -> None:
    """Named, they leave no folder to a label of the owner's own: two folders, never one with both."""
    run = open_run(desk.run_folder)
    labels = run.about.targets
    wishes = [judge_for(run.about, threshold=0.7, labels=one) for one in ((), labels)]
    assert wishes[0] != wishes[1]
    assert about(run, wishes[0], Wanted("copy")) != about(run, wishes[1], Wanted("copy"))
