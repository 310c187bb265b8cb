"""Phase two: an organised archive made of a run; the originals stay what and where they are.

    Organized_<timestamp>/rebuild.json      what it is made of; from the start
                          Crash/ … misc/
                          _manifests/<label>.csv

It grows under a hidden name and is renamed when it is whole. Where a file goes depends on the run and on
what is wanted, and on nothing that happened: so an interrupted rebuild goes on by looking, and one that is
repeated finds everything in its place. Copies are synced together at the end and not one by one; their
originals don't go away.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from drumwatchd.archive.marker import MANIFEST_FOLDER
from drumwatchd.archive.naming import render
from drumwatchd.batch import journal
from drumwatchd.batch.judging import Judge, Judged
from drumwatchd.batch.left_out import LeftOut, StandIns, instead
from drumwatchd.batch.placing import Maker, Mode, Problem
from drumwatchd.batch.records import Record, full_path
from drumwatchd.batch.run_folder import (
    MADE_OF_NAME,
    ORGANIZED_PREFIX,
    RunFolder,
    read_summary,
)
from drumwatchd.batch.tables import Tables
from drumwatchd.batch.unique import Names
from drumwatchd.errors import RunError
from drumwatchd.files import fsync_folder, write_atomically

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """How to file.

    Attributes:
        mode: how a file gets there; "none" makes manifests only.
        mirror: keep the folders below the root, under each label.
    """

    mode: Mode
    mirror: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """One file's way.

    Attributes:
        begin: of the line in the journal that speaks for its content.
        record: of the file.
        judged: as what it is filed.
        source: where it stands, absolute.
        relative: where it goes, below the organised folder.
    """

    begin: int
    record: Record
    judged: Judged
    source: str
    relative: str


@dataclass(slots=True)
class Rebuilt:
    """What became of a rebuild.

    Attributes:
        labels: files that stand there, by label.
        made: files that were made now; the others stood there already.
        duplicates: files left out, for their content is there.
        unjudged: files left out, for the run couldn't judge them.
        left: files left out for another reason, for which a duplicate may stand in.
    """

    labels: Counter[str] = field(default_factory=Counter)
    made: int = 0
    duplicates: int = 0
    unjudged: int = 0
    left: StandIns = field(default_factory=StandIns)

    @property
    def problems(self) -> list[tuple[str, str]]:
        """Files left out, each with its reason."""
        return self.left.problems


def plans(run: RunFolder, judge: Judge, wanted: Wanted, rebuilt: Rebuilt) -> Iterator[Plan]:
    """Where each file goes, in the order of the run; the same each time.

    A duplicate goes where the first of its content would have gone, if that was left out.

    Raises:
        RunError: the run can't be read.
    """
    roots, names = run.about.roots, Names()
    for begin, _, record in journal.records(run.journal):
        source = full_path(roots, record.seen.place)
        if record.error is not None:
            rebuilt.unjudged += 1
        elif record.duplicate_of is not None:
            rebuilt.duplicates += 1
            if first := rebuilt.left.first_of(record):
                record = instead(run.journal, first.begin, record)
                yield Plan(first.begin, record, judge(record), source, first.relative)
        else:
            judged = judge(record)
            pack = _pack(roots, record, wanted.mirror)
            relative = names.free(_name(judged.label, pack, source))
            yield Plan(begin, record, judged, source, relative)


def _pack(roots: tuple[str, ...], record: Record, mirror: bool) -> str:
    """The folders to keep; where there are several roots, the root's own name first."""
    if not mirror:
        return ""
    place = record.seen.place
    top = os.path.basename(roots[place.root]) if len(roots) > 1 and place.path else ""
    return os.path.join(top, os.path.dirname(place.path))


def _name(label: str, pack: str, source: str) -> str:
    stem, suffix = os.path.splitext(os.path.basename(source))
    fields = {"label": label, "pack": pack, "stem": stem, "suffix": suffix}
    return render("{label}/{pack}/{stem}{suffix}", fields)


def about(run: RunFolder, judge: Judge, wanted: Wanted) -> dict[str, Any]:
    """What tells one rebuild from another."""
    overrides = json.dumps(sorted(judge.overrides.items())).encode()
    return {
        "schema": SCHEMA,
        "run": run.path.name,
        "journal_sha256": read_summary(run)["journal_sha256"],
        "threshold": judge.threshold,
        "targets": list(judge.targets),
        "only_targets": judge.only_targets,
        "overrides_sha256": hashlib.sha256(overrides).hexdigest() if judge.overrides else None,
        **asdict(wanted),
    }


def folder_for(out: Path, made_of: dict[str, Any], now: float) -> Path:
    """The organised folder of just this, whole or begun; else the name of a new one."""
    for path in sorted(out.glob(f"{ORGANIZED_PREFIX}*")) + sorted(
        out.glob(f".{ORGANIZED_PREFIX}*.part")
    ):
        with suppress(OSError, ValueError):
            if json.loads((path / MADE_OF_NAME).read_bytes()) == made_of:
                return path
    name = ORGANIZED_PREFIX + time.strftime("%Y%m%d_%H%M%S", time.localtime(now))
    path, number = out / name, 2
    while path.exists() or _hidden(path).exists():
        path, number = out / f"{name}-{number}", number + 1
    return _hidden(path)


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def rebuild(
    run: RunFolder,
    folder: Path,
    judge: Judge,
    wanted: Wanted,
    progress: Callable[[int], object] = lambda files: None,
) -> tuple[Path, Rebuilt]:
    """File everything that a run judged; return the folder under its own name, and what became of it.

    Args:
        run: a whole one.
        folder: as `folder_for` gives it.
        judge: what is filed as what.
        wanted: how.
        progress: told how many files more are done.

    Raises:
        RunError: nothing more can be written; what was filed stays, and the same goes on.
    """
    rebuilt = Rebuilt()
    try:
        (folder / MANIFEST_FOLDER).mkdir(parents=True, exist_ok=True)
        made_of = json.dumps(about(run, judge, wanted), indent=2)
        write_atomically(str(folder / MADE_OF_NAME), made_of + "\n")
        with Tables(folder / MANIFEST_FOLDER) as tables:
            # One thread: where files are small, several pay more for taking turns than they gain.
            maker = Maker(str(folder), wanted.mode, run.about.algorithm)
            for plan in plans(run, judge, wanted, rebuilt):
                outcome = maker.make(plan.source, plan.record.seen, plan.relative)
                if _note(plan, outcome, rebuilt):
                    tables.add(plan.judged, plan.record, plan.source, plan.relative)
                progress(1)
        _sync(folder)
        return _revealed(folder), rebuilt
    except OSError as error:
        raise RunError(
            f"the organised folder can't be written ({error.strerror})", path=str(folder),
            hint="what was filed stays; make room, start it again, and it goes on where it was",
        ) from error  # fmt: skip


def rehearse(run: RunFolder, judge: Judge, wanted: Wanted, rebuilt: Rebuilt) -> Iterator[Plan]:
    """Each file that `rebuild` would file now; makes nothing.

    Args:
        rebuilt: gets what would become of it.

    Raises:
        RunError: the run can't be read.
    """
    maker = Maker("", wanted.mode, run.about.algorithm)
    for plan in plans(run, judge, wanted, rebuilt):
        if _note(plan, maker.problem_with(plan.source, plan.record.seen) or True, rebuilt):
            yield plan


def _note(plan: Plan, outcome: bool | Problem, rebuilt: Rebuilt) -> bool:
    """Count what became of a file; whether it is there."""
    digest = plan.record.seen.digest or ""
    if isinstance(outcome, Problem):
        left = LeftOut(plan.begin, plan.source, outcome.reason, plan.relative)
        rebuilt.left.leave_out(digest, left)
        return False
    rebuilt.left.found(digest)
    rebuilt.labels[plan.judged.label] += 1
    rebuilt.made += outcome
    return True


def _revealed(folder: Path) -> Path:
    """The folder under its own name, now that it is whole."""
    if not folder.name.startswith("."):
        return folder
    path = folder.with_name(folder.name.removeprefix(".").removesuffix(".part"))
    os.rename(folder, path)
    fsync_folder(str(path.parent))
    return path


def _sync(folder: Path) -> None:
    """Make everything durable on the folder's file system, at once."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if call is None:
            os.sync()  # not Linux
        elif call(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)
