"""`classify --out`: a whole archive, written down once, whatever interrupts it."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import misbehave
from batches import SETTINGS, Counting, Desk, grown, results, run_in_process, snapshot
from drumwatchd.batch import run_folder
from drumwatchd.batch.classify import Hands, classify
from drumwatchd.batch.journal import Journal
from drumwatchd.batch.pool import Processes
from drumwatchd.batch.records import Place, Seen, line_of, read_line
from drumwatchd.batch.work import Trouble
from drumwatchd.errors import RunError


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def same(run: Path, other: Path) -> None:
    """Both left the same behind."""
    for name in ("classification_results.json", "errors.json", "journal.jsonl"):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
    told = [json.loads((path / "summary.json").read_bytes()) for path in (run, other)]
    for summary in told:
        for key in ("started", "ended", "seconds", "resumed", "reused"):
            del summary[key]
    assert told[0] == told[1]


@pytest.mark.e2e
def test_a_run_says_all_there_is_to_say_and_touches_nothing(desk: Desk, tmp_path: Path) -> None:
    """Records in the order of paths, a summary, errors, a picture; the archive stays as it is."""
    archive = grown(tmp_path / "archive", 20)
    (archive / "not audio.txt").write_text("x")
    (archive / "broken.wav").write_text("x")
    before = snapshot(archive)
    run = desk.classify(archive, code=3)
    assert snapshot(archive) == before
    records = results(run)
    assert [r["path"] for r in records] == sorted(r["path"] for r in records)
    assert len(records) == 21
    broken, first = records[0], records[1]
    assert (broken["path"], broken["error"]["kind"]) == ("broken.wav", "undecodable")
    assert first["path"] == "pack 0/hat 0014.wav"
    assert {
        "root", "path", "digest", "size", "mtime_ns", "duration", "rms_db", "spectral_centroid_hz",
        "spectral_rolloff_hz", "top", "probabilities", "label", "confidence", "reason", "error",
    } <= set(first)  # fmt: skip
    assert sum(first["fine_probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert -60 < first["rms_db"] < 0 < first["spectral_centroid_hz"]
    summary = json.loads((run / "summary.json").read_bytes())
    assert (summary["files"], summary["judged"], summary["errors"]) == (21, 20, {"undecodable": 1})
    errors = json.loads((run / "errors.json").read_bytes())
    assert [one["path"] for one in errors["files"]] == ["broken.wav"]
    assert (run / "statistics.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.e2e
def test_a_killed_run_ends_as_an_undisturbed_one(desk: Desk, tmp_path: Path) -> None:
    """SIGKILL twice, at any moment, and once in the middle of a line: the same bytes in the end."""
    archive = grown(tmp_path / "archive", 400)
    shutil.copy(archive / "pack 0" / "kick 0000.wav", archive / "pack 6" / "again.wav")
    (archive / "pack 3" / "broken.wav").write_text("x")
    (archive / "pack 5" / "broken too.wav").write_text("x")
    whole = Desk(tmp_path / "elsewhere")
    whole.folder.mkdir()
    undisturbed = whole.classify(archive, code=3)
    for lines in (0, 150):
        with desk.classifying(archive):
            desk.wait_for_lines(lines)
    (journal,) = desk.out.glob("run_*/journal.jsonl")
    assert 150 < desk.lines() < 403
    with journal.open("ab") as stream:
        stream.write(b'{"root":0,"pa')
    told = desk.json("classify", archive, "--out", desk.out, code=3)
    assert told["resumed"] > 150
    same(Path(told["run"]), undisturbed)


@pytest.mark.e2e
def test_sigterm_ends_a_run_and_its_workers(desk: Desk, tmp_path: Path) -> None:
    """Exit code 130, nothing is left running, and it can go on."""
    archive = grown(tmp_path / "archive", 400)
    with desk.classifying(archive) as process:
        desk.wait_for_lines(0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 130
    assert desk.json("classify", archive, "--out", desk.out)["resumed"] > 0


@pytest.mark.e2e
def test_one_run_at_a_time_in_a_folder(desk: Desk, tmp_path: Path) -> None:
    """The second exits with 4, and says why."""
    archive = grown(tmp_path / "archive", 400)
    with desk.classifying(archive):
        desk.wait_for_lines(0)
        assert "works in this folder" in desk.run(
            "classify", archive, "--out", desk.out, code=4
        ).stderr  # fmt: skip


@pytest.mark.e2e
def test_a_full_disk_costs_nothing_that_was_written(desk: Desk, tmp_path: Path) -> None:
    """Exit code 3 with the reason; with room again it goes on."""
    archive = grown(tmp_path / "archive", 200)

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    done = desk.run("classify", archive, "--out", desk.out, code=3, preexec_fn=small_files)
    assert "can't be written" in done.stderr
    assert "goes on where it was" in done.stderr
    told = desk.json("classify", archive, "--out", desk.out)
    assert told["resumed"] > 0
    assert told["files"] == 200


def test_equal_content_is_judged_once(tmp_path: Path) -> None:
    """A duplicate names the first of its kind and says the same; a later run judges none again."""
    archive = grown(tmp_path / "archive", 6)
    shutil.copy(archive / "pack 1" / "snare 0001.wav", archive / "pack 4" / "zz.wav")
    run, ended, _ = run_in_process(tmp_path / "out", [archive], lambda: None)
    by_path = {record["path"]: record for record in results(run.path)}
    twin, first = by_path["pack 4/zz.wav"], by_path["pack 1/snare 0001.wav"]
    assert twin["duplicate_of"] == {"root": 0, "path": "pack 1/snare 0001.wav"}
    assert {**twin, "path": "", "duplicate_of": None, "mtime_ns": 0} == {
        **first, "path": "", "mtime_ns": 0,
    }  # fmt: skip
    assert (ended.tally.duplicates, ended.reused) == (1, 0)
    (run.path / "summary.json").write_text("{}")  # it is whole
    judged = []
    again, ended, _ = run_in_process(tmp_path / "out", [archive], lambda: judged.append(1))
    assert (again.path != run.path, judged, ended.reused) == (True, [], 6)
    assert results(again.path) == results(run.path)


def test_a_file_that_vanishes_is_named_and_its_twin_speaks(tmp_path: Path) -> None:
    """What happens to one name says nothing of the same content elsewhere."""
    archive = grown(tmp_path / "archive", 8)
    first = archive / "pack 1" / "snare 0001.wav"
    shutil.copy(first, archive / "pack 4" / "zz.wav")
    run, ended, _ = run_in_process(tmp_path / "out", [archive], first.unlink)
    by_path = {record["path"]: record for record in results(run.path)}
    assert by_path["pack 1/snare 0001.wav"]["error"] == {
        "kind": "vanished", "reason": "it vanished",
    }  # fmt: skip
    twin = by_path["pack 4/zz.wav"]
    assert (twin["error"], twin["duplicate_of"]) == (None, None)
    assert twin["label"]
    assert dict(ended.tally.errors) == {"vanished": 1}


def test_a_file_that_changes_is_named(tmp_path: Path) -> None:
    """What was heard isn't written down under a digest that it doesn't belong to."""
    archive = grown(tmp_path / "archive", 4)
    path = archive / "pack 1" / "snare 0001.wav"
    run, ended, _ = run_in_process(
        tmp_path / "out", [archive], lambda: path.write_bytes(path.read_bytes()[:-2])
    )
    assert dict(ended.tally.errors) == {"changed": 1}
    assert ended.tally.files == 4
    errors = json.loads((run.path / "errors.json").read_bytes())
    assert errors["files"][0]["error"]["reason"] == "it changed while it was analysed"


def test_folders_that_cant_be_searched_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest goes on."""
    archive = grown(tmp_path / "archive", 8)
    real = os.scandir

    def scandir(folder: str) -> object:
        if str(folder).endswith("pack 3"):
            raise PermissionError(13, "Permission denied", folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    run, ended, _ = run_in_process(tmp_path / "out", [archive], lambda: None)
    assert ended.unreadable == {str(archive / "pack 3"): "Permission denied"}
    assert ended.tally.files == 7
    errors = json.loads((run.path / "errors.json").read_bytes())
    assert errors["folders"] == [
        {"path": str(archive / "pack 3"), "reason": "Permission denied"}
    ]  # fmt: skip


def test_names_that_are_no_utf8_come_through(tmp_path: Path) -> None:
    """Bytes, newlines and quotes survive ledger, journal and results."""
    archive = grown(tmp_path / "archive", 1)
    source = archive / "pack 0" / "kick 0000.wav"
    names = [b"\xff\xe9.wav", b'a"b\n.wav', b'","duration":1.wav', "é.wav".encode()]
    for name in names:
        shutil.copy(source, os.path.join(os.fsencode(archive), name))
    run, _, _ = run_in_process(tmp_path / "out", [archive], lambda: None)
    found = {os.fsencode(record["path"]) for record in results(run.path)}
    assert found == {*names, b"pack 0/kick 0000.wav"}
    assert {record["label"] for record in results(run.path)} == {"Kick"}


def test_a_root_may_be_a_file_and_results_below_a_root_are_passed_over(tmp_path: Path) -> None:
    """`classify archive one.wav --out archive/out`: the organised copies aren't found again."""
    archive = grown(tmp_path / "archive", 3)
    out = archive / "out"
    shutil.copytree(archive / "pack 1", out / "Organized_1" / "Snare")
    (out / "Organized_1" / "rebuild.json").write_text("{}")
    one = shutil.copy(archive / "pack 0" / "kick 0000.wav", tmp_path / "one.wav")
    run, ended, progress = run_in_process(out, [archive, Path(one)], lambda: None)
    assert [(r["root"], r["path"]) for r in results(run.path)] == [
        (0, "pack 0/kick 0000.wav"), (0, "pack 1/snare 0001.wav"), (0, "pack 2/hat 0002.wav"),
        (1, ""),
    ]  # fmt: skip
    assert (progress.told, progress.advanced, ended.tally.duplicates) == ([(0, 4)], 4, 1)


def test_a_pack_may_be_called_like_a_run(tmp_path: Path) -> None:
    """`classify archive --out archive`: only folders that runs and rebuilds made are passed over."""
    archive = grown(tmp_path / "archive", 3)
    (archive / "pack 0").rename(archive / "run_dmc")
    (archive / "pack 1").rename(archive / "Organized_by_me")
    (archive / "pack 2" / "hat 0002.wav").rename(archive / "run_hat.wav")
    run, _, _ = run_in_process(archive, [archive], lambda: None)
    assert [r["path"] for r in results(run.path)] == [
        "Organized_by_me/snare 0001.wav", "run_dmc/kick 0000.wav", "run_hat.wav",
    ]  # fmt: skip


def test_a_line_of_a_journal_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    """Out of its root, or to no digest; also where an earlier run is only asked what it knows."""
    archive = grown(tmp_path / "archive", 1)
    run, _, _ = run_in_process(tmp_path / "out", [archive], lambda: None)
    line = json.loads(run.journal.read_bytes())
    changed = [
        {"path": "../other.wav"}, {"path": "a/../../other.wav"}, {"path": "/etc/other.wav"},
        {"root": -1}, {"digest": "kick"}, {"digest": 5}, {"path": None}, {"path": "a\0.wav"},
    ]  # fmt: skip
    for one in changed:
        with pytest.raises(ValueError, match="not a record"):
            read_line(json.dumps(line | one).encode())
    assert read_line(json.dumps(line | {"path": "a..b/..wav"}).encode()).seen.size > 0
    about = run.about
    (run.path / "summary.json").write_text("{}")
    run.journal.write_text(json.dumps(line | {"digest": "kick"}) + "\n")
    again, ended, _ = run_in_process(tmp_path / "out", [archive], lambda: None)
    assert (again.path != run.path, again.about, ended.reused) == (True, about, 0)


def test_a_run_of_other_settings_isnt_gone_on_with(tmp_path: Path) -> None:
    """What was judged otherwise is judged anew, in a folder of its own."""
    archive = grown(tmp_path / "archive", 3)
    run, _, _ = run_in_process(tmp_path / "out", [archive], lambda: None)
    other = dataclasses.replace(SETTINGS, confidence_threshold=0.9)
    judged = []
    again, ended, _ = run_in_process(
        tmp_path / "out", [archive], lambda: judged.append(1), settings=other
    )
    assert (again.path != run.path, judged, ended.resumed, ended.reused) == (True, [1], 0, 0)
    about, _ = run_folder.about([str(archive)], "sha256", SETTINGS)
    left = run_folder.left_unfinished(tmp_path / "out", about)
    assert [other.path for other in left] == [again.path]


def test_files_that_changed_while_a_run_was_interrupted_are_told_anew(tmp_path: Path) -> None:
    """No line is left of what they were; contents that were heard aren't heard again."""
    archive = grown(tmp_path / "archive", 6)
    first = archive / "pack 1" / "snare 0001.wav"
    shutil.copy(first, archive / "pack 4" / "zz.wav")
    run, _, _ = run_in_process(tmp_path / "out", [archive], lambda: None)
    shutil.copy(archive / "pack 0" / "kick 0000.wav", first)
    os.utime(archive / "pack 2" / "hat 0002.wav")
    judged = []
    again, ended, _ = run_in_process(tmp_path / "out", [archive], lambda: judged.append(1))
    assert (again.path, judged, ended.reused) == (run.path, [], 6)
    by_path = {record["path"]: record for record in results(run.path)}
    assert by_path["pack 1/snare 0001.wav"]["duplicate_of"]["path"] == "pack 0/kick 0000.wav"
    assert by_path["pack 4/zz.wav"]["duplicate_of"] is None
    assert by_path["pack 2/hat 0002.wav"]["duplicate_of"] is None
    assert len(run.journal.read_bytes().splitlines()) == 7


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    """With its line; nothing is guessed."""
    archive = grown(tmp_path / "archive", 3)
    run, _, _ = run_in_process(tmp_path / "out", [archive], lambda: None)
    lines = run.journal.read_bytes().splitlines(keepends=True)
    run.journal.write_bytes(lines[0] + lines[1][20:] + lines[2])
    with pytest.raises(RunError, match="line 2"):
        run_in_process(tmp_path / "out", [archive], lambda: None)


def test_a_journal_that_isnt_the_one_of_its_summary_is_refused(tmp_path: Path) -> None:
    """A whole run is read only as it was when it ended; an interrupted one not at all."""
    archive = grown(tmp_path / "archive", 3)
    run, _, _ = run_in_process(tmp_path / "out", [archive], lambda: None)
    with pytest.raises(RunError, match="interrupted"):
        run_folder.open_run(run.path)
    (run.path / "summary.json").write_text('{"journal_sha256": "0"}')
    with pytest.raises(RunError, match="damaged"):
        run_folder.open_run(run.path)
    with pytest.raises(RunError, match="no run of classify"):
        run_folder.open_run(tmp_path)


def test_what_somebody_edited_of_a_run_is_damage(desk: Desk) -> None:
    """One line that says so; a new run isn't stopped by an old one."""
    archive = grown(desk.folder / "archive", 2)
    run = desk.classify(archive)
    for name, part in (("summary.json", "labels"), ("run.json", "judgement")):
        said = json.loads((run / name).read_bytes())
        (run / name).write_text(json.dumps(said | {part: {}} if part == "judgement" else {
            key: value for key, value in said.items() if key != part
        }))  # fmt: skip
        done = desk.run("rebuild", run, "--out", desk.out, code=2)
        assert "the run is damaged" in done.stderr
        assert "Traceback" not in done.stderr
    assert desk.classify(archive) != run


def test_a_crash_and_a_hang_cost_one_file_each(tmp_path: Path) -> None:
    """The worker is replaced; the files beside are judged."""
    archive = grown(tmp_path / "archive", 5)
    for name in ("crash.wav", "hang.wav"):
        shutil.copy(archive / "pack 0" / "kick 0000.wav", archive / name)
        with (archive / name).open("ab") as stream:
            stream.write(name.encode())
    about, pinned = run_folder.about([str(archive)], "sha256", SETTINGS)
    run = run_folder.begin(tmp_path / "out", about, "", 1000.0)
    with Processes(1, timeout_seconds=6, memory_mb=1024) as real:
        hands = Hands(misbehave.Executing(real), 1)
        ended = classify(
            run, tmp_path / "out", pinned, hands, lambda name: False, Counting()
        )  # fmt: skip
    errors = {r["path"]: r["error"] for r in results(run.path) if r["error"]}
    assert errors == {
        "crash.wav": {"kind": "crash", "reason": "the worker died (signal 11)"},
        "hang.wav": {"kind": "timeout", "reason": "the analysis took too long"},
    }
    assert sum(ended.tally.labels.values()) == 5


def test_what_is_said_doesnt_depend_on_the_files_beside_it(tmp_path: Path) -> None:
    """To the last bit: one by one, or thirty-two together, or in another order."""
    from drumwatchd.batch.work import Digested, analyse_files, digest_files

    archive = grown(tmp_path / "archive", 40)
    paths = sorted(map(str, archive.rglob("*.wav")))
    files = [(d, "") for d in digest_files(paths, "sha256") if isinstance(d, Digested)]
    together = analyse_files(files, SETTINGS)
    assert analyse_files(files[::-1], SETTINGS) == together[::-1]
    assert [analyse_files([file], SETTINGS)[0] for file in files[:9]] == together[:9]


def test_a_line_that_finds_no_room_leaves_none_of_itself(tmp_path: Path) -> None:
    """What is there before stays readable."""
    with Journal(tmp_path) as book:
        seen = Seen(Place(0, "a"), 1, 1, None)
        book.append([line_of(seen, error=Trouble("vanished", "it vanished"))])
        size = book.end
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limit[1]))
        try:
            with pytest.raises(RunError, match="can't be written"):
                book.append([line_of(seen)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            signal.signal(signal.SIGXFSZ, before)
        assert (book.end, book.path.stat().st_size) == (size, size)


def test_any_executor_does(tmp_path: Path) -> None:
    """Threads of this process, processes, a cluster: the same results."""
    archive = grown(tmp_path / "archive", 10)
    about, pinned = run_folder.about([str(archive)], "sha256", SETTINGS)
    left = []
    for name, executor in (
        ("a", ThreadPoolExecutor(1)), ("b", Processes(2, timeout_seconds=60, memory_mb=1024)),
    ):  # fmt: skip
        run = run_folder.begin(tmp_path / name, about, "", 1000.0)
        with executor:
            classify(
                run, tmp_path / name, pinned, Hands(executor, 2), lambda name: False, Counting()
            )  # fmt: skip
        left.append((run.path / "classification_results.json").read_bytes())
    assert left[0] == left[1]
