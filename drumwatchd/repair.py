"""Mend what `check` finds, with what the daemon does at its start and on its rounds; no daemon runs meanwhile.

No sample is ever deleted. What was interrupted is finished, what was moved is found by its content, what is
gone is noted, manifests are written anew. What is left needs a person, and is named by the next check.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from drumwatchd.analysis.labels import MISC
from drumwatchd.analysis.model_card import configured_model, read_card
from drumwatchd.analysis.model_store import store_folder
from drumwatchd.archive.archive import Archive, ArchiveSettings
from drumwatchd.archive.check import PARTIAL_PREFIX, PARTIAL_SUFFIX, Finding
from drumwatchd.archive.classes import Classes
from drumwatchd.archive.manifest import Manifests
from drumwatchd.archive.marker import MANIFEST_FOLDER, MARKER_NAME, QUARANTINE_FOLDER
from drumwatchd.archive.moves import Mover
from drumwatchd.config import Config
from drumwatchd.config.model import DEFAULT_IGNORE
from drumwatchd.daemon import analysis_workers
from drumwatchd.desk import archive_settings
from drumwatchd.errors import ArchiveError
from drumwatchd.files import INT64_MASK, digest_of, look, source_from_stat
from drumwatchd.inbox.rescan import ignore_matcher
from drumwatchd.index import lock
from drumwatchd.index.adopted import Adopted, adopt
from drumwatchd.index.store import Index, open_index
from drumwatchd.pipeline import Pipeline
from drumwatchd.rounds import Rounds, RoundSettings

# Often enough for what is missing to be looked for, found or given up.
ROUNDS = 4
MOST_STEPS = 100_000
LOT = 500  # samples in a transaction


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a new index holds.

    Attributes:
        listed: samples of which a manifest told.
        unlisted: files in class folders that no manifest knew, filed as they stand.
        quarantined: files that are set aside.
        duplicates: files whose content is in the index already; they stay where they are.
        lost: lines of manifests whose files aren't there.
        set_aside: where the old index is now; None where there was none.
    """

    listed: int
    unlisted: int
    quarantined: int
    duplicates: int
    lost: int
    set_aside: str | None


def repair(config: Config, findings: list[Finding]) -> None:
    """Mend all that can be mended.

    Args:
        config: of the daemon.
        findings: what `check` found.

    Raises:
        AlreadyRunningError: a daemon works on the index.
        DrumwatchdError: archive, index or model can't be used.
    """
    index_path = str(config.index.path)
    with lock.hold(index_path), contextlib.ExitStack() as stack:
        card = read_card(configured_model(config.classify.model))
        index = open_index(index_path, config.index.hash_algorithm)
        stack.callback(index.close)
        settings = archive_settings(config, index, card)
        manifests = Manifests(settings.root, index)
        archive = Archive(settings, index, manifests)
        archive.check()
        workers = analysis_workers(config.classify, store_folder(config.index.path))
        stack.callback(workers.close)
        Pipeline(index, archive, workers, {}).recover()
        Mover(index, archive).finish_all()
        _go_round(index, archive)
        _clear_partial_copies(index, archive, findings)
        manifests.recover()
        for label in _manifests_among(findings, settings.root):
            manifests.rewrite(label)
        archive.flush()


def _go_round(index: Index, archive: Archive) -> None:
    """The daemon's rounds, without waiting: it is us who look away meanwhile, and not a sync tool."""
    settings = RoundSettings(
        rescan_seconds=0.0,
        settle_seconds=0.0,
        ignored=ignore_matcher(DEFAULT_IGNORE),
        is_watched=False,
    )
    rounds = Rounds(index, archive, settings, lambda: None)
    now = 0.0
    try:
        for _ in range(ROUNDS):
            now += 3_600.0
            rounds.step(now)
            for _ in range(MOST_STEPS):
                if not rounds.is_busy:
                    break
                time.sleep(0.005)
                now += 2.0
                rounds.step(now)
    finally:
        rounds.stop()


def _clear_partial_copies(index: Index, archive: Archive, findings: list[Finding]) -> None:
    """Remove copies that were never finished, of contents that stand in their place."""
    for finding in findings:
        name = os.path.basename(finding.path)
        if not (name.startswith(PARTIAL_PREFIX) and name.endswith(PARTIAL_SUFFIX)):
            continue
        prefix = name.removeprefix(PARTIAL_PREFIX).removesuffix(PARTIAL_SUFFIX)
        rows = index.rows_beginning(prefix)
        if len(rows) == 1 and rows[0].state in ("filed", "quarantined") and archive.has(rows[0]):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(finding.path)


def _manifests_among(findings: list[Finding], root: str) -> list[str]:
    folder = os.path.join(root, MANIFEST_FOLDER)
    return [
        os.path.basename(finding.path).removesuffix(".csv")
        for finding in findings
        if os.path.dirname(finding.path) == folder
    ]


# -- a new index ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Line:
    """What a manifest says of one sample."""

    digest: str
    label: str
    fine: str | None
    confidence: float | None
    top: tuple[tuple[str, float], ...]
    model: str | None
    added: float
    source: str
    path: str


def rebuild_index(
    config: Config, now: float, progress: Callable[[int], object] = lambda files: None
) -> Rebuilt:
    """Make a new index of what stands in the archive and in its manifests; the old one is set aside.

    Args:
        config: of the daemon.
        now: Unix time.
        progress: told how many files more are in it.

    Raises:
        AlreadyRunningError: a daemon works on the index.
        ArchiveError: the archive isn't there, or isn't one.
        DrumwatchdError: index or model can't be used.
    """
    index_path, root = str(config.index.path), str(config.archive.root)
    with lock.hold(index_path), contextlib.ExitStack() as stack:
        card = read_card(configured_model(config.classify.model))
        archive_id = _marked(root)
        lines = {line.digest: line for line in _lines(root)}
        set_aside = _set_aside(index_path, now)
        index = open_index(index_path, config.index.hash_algorithm)
        stack.callback(index.close)
        index.note("archive_id", archive_id)
        settings = archive_settings(config, index, card)
        classes = Classes(root, settings.target_labels, settings.canonical_of, settings.own_folders)
        counts: Counter[str] = Counter()
        standing = _standing(root, classes, lines, settings, now)
        while lot := list(itertools.islice(standing, LOT)):
            for found, is_new in zip(lot, adopt(index, lot), strict=True):
                kind = "quarantined" if found.label is None else "unlisted"
                kind = "listed" if found.label is not None and found.digest in lines else kind
                counts[kind if is_new else "duplicates"] += 1
            progress(len(lot))
        manifests = Manifests(root, index)
        manifests.recover()
        manifests.flush()
        return Rebuilt(
            counts["listed"], counts["unlisted"], counts["quarantined"], counts["duplicates"],
            max(0, len(lines) - counts["listed"]), set_aside,
        )  # fmt: skip


def _standing(
    root: str,
    classes: Classes,
    lines: Mapping[str, _Line],
    settings: ArchiveSettings,
    now: float,
) -> Iterator[Adopted]:
    """Every sample that is there: in the archive, or where it came from if it was left there."""
    for path, label in _files(root, classes):
        digest = digest_of(os.path.realpath(path), settings.algorithm)
        line = lines.get(digest)
        found = _adopted(path, root, label, digest, line, settings.canonical_of, now)
        yield replace(found, mode=settings.mode)
    for line in lines.values():
        if not line.path:
            with contextlib.suppress(OSError):
                if digest_of(line.source, settings.algorithm) == line.digest:
                    found = _adopted(
                        line.source, root, line.label, line.digest, line, settings.canonical_of, now
                    )
                    yield replace(found, path=None, mode="none")


def _marked(root: str) -> str:
    path = os.path.join(root, MARKER_NAME)
    try:
        with open(path, encoding="ascii") as stream:
            return stream.read().strip()
    except (OSError, ValueError) as error:
        raise ArchiveError(
            "this is no archive: its marker file can't be read",
            path=path,
            hint="mount its disk; or check archive.root",
        ) from error


def _set_aside(index_path: str, now: float) -> str | None:
    """Keep the old index, its log with it; the log first, which belongs to no other."""
    suffix = time.strftime(".%Y%m%d_%H%M%S.old", time.localtime(now))
    kept = None
    for part in ("-wal", "-shm", ""):
        if os.path.lexists(index_path + part):
            kept = f"{index_path}{suffix}"
            os.rename(index_path + part, f"{index_path}{suffix}{part}")
    return kept


def _lines(root: str) -> Iterator[_Line]:
    folder = os.path.join(root, MANIFEST_FOLDER)
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    for name in names:
        if not name.endswith(".csv"):
            continue
        path = os.path.join(folder, name)
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            for row in csv.DictReader(stream):
                with contextlib.suppress(KeyError, ValueError, TypeError):  # torn, or edited
                    yield _line_of(row)


def _line_of(row: dict[str, str]) -> _Line:
    pairs = [pair.rpartition(":") for pair in row["top"].split()]
    return _Line(
        digest=row["digest"],
        label=row["label"],
        fine=row["fine"] or None,
        confidence=float(row["confidence"]) if row["confidence"] else None,
        top=tuple((label, float(p)) for label, _, p in pairs),
        model=row["model"] or None,
        added=datetime.fromisoformat(row["added"]).timestamp(),
        source=row["source"],
        path=row["path"],
    )


def _files(root: str, classes: Classes) -> Iterator[tuple[str, str | None]]:
    """Every file in a class folder with its label, and those in quarantine."""
    ignored = ignore_matcher(DEFAULT_IGNORE)
    for top in sorted(os.listdir(root)):
        label = classes.label_of(top)
        if label is None and top != QUARANTINE_FOLDER:
            continue
        for folder, names, files in os.walk(os.path.join(root, top)):
            names[:] = sorted(name for name in names if not ignored(name))
            for name in sorted(files):
                path = os.path.join(folder, name)
                if not ignored(name) and os.path.isfile(path):
                    yield path, label


def _adopted(
    path: str,
    root: str,
    label: str | None,
    digest: str,
    line: _Line | None,
    canonical_of: Mapping[str, str],
    now: float,
) -> Adopted:
    """What is known of a file; its owner's word is where it stands elsewhere than it was heard."""
    relative = os.path.relpath(path, root)
    found = os.stat(path)
    where = line.source if line is not None and line.source else path
    source = look(where, os.path.dirname(where)) or source_from_stat(
        where, os.path.dirname(where), found
    )
    source = replace(source, size=found.st_size, mtime_ns=found.st_mtime_ns & INT64_MASK)
    if line is None:
        reason = "set aside" if label is None else f"{label}, where it stood"
        reason += " when the index was made anew"
        return Adopted(digest, source, relative, label, None, None, (), None, now, "", reason)
    heard = line.label
    if label == line.label and line.fine not in (None, label) and label != MISC:
        heard = canonical_of.get(line.fine or "", MISC)
    return Adopted(
        digest=digest,
        source=source,
        path=relative,
        label=label,
        fine=line.fine,
        confidence=line.confidence,
        top=line.top,
        model=line.model,
        added=line.added,
        mode="",
        reason=f"{label}, as the manifest said when the index was made anew",
        corrected_from=None if label in (None, heard) else heard,
    )
