"""How things stand: what the index holds, joined with what the running daemon says of itself.

The daemon replaces ``<index>.live.json`` as it works; its lock tells whether that is the present
or the past. Reading creates nothing and needs neither a daemon nor an index.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from drumwatchd.analysis.labels import CANONICAL_LABELS, MISC
from drumwatchd.index.lock import is_held
from drumwatchd.index.reader import Reader, open_reader
from drumwatchd.index.records import Remembered, Sample

SHOWN_FAILURES = 5

N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the index holds.

    Attributes:
        by_label: filed samples; the canonical labels and misc always, others as found.
        in_work: samples between their claim and their place.
        duplicates: times that content came again, by the history.
        corrections: contents of which the owner said what they are.
        gone: samples that were filed and are in the archive no more.
        quarantined: samples that can't be judged.
        errors: inbox files that failed and stay there.
        failures: the newest of them.
        last_filed: the sample that was filed last.
    """

    by_label: Mapping[str, int]
    in_work: int = 0
    duplicates: int = 0
    corrections: int = 0
    gone: int = 0
    quarantined: int = 0
    errors: int = 0
    failures: Sequence[Remembered] = ()
    last_filed: Sample | None = None

    @property
    def total(self) -> int:
        """All filed samples."""
        return sum(self.by_label.values())


@dataclass(frozen=True, slots=True)
class InboxStatus:
    """One inbox. Times are Unix times; None where nothing is known.

    Attributes:
        path: absolute.
        mode: how it is watched; the configured word while no daemon runs.
        last_event: of the newest hint.
        last_rescan: when the newest rescan ended.
        degraded: why it can't be worked on.
        files_left_alone: files there that are no audio format we read.
        unreadable_folders: folders below it that can't be looked into.
        found_by_rescan: files that no event told of.
    """

    path: str
    mode: str
    last_event: float | None = None
    last_rescan: float | None = None
    degraded: str | None = None
    files_left_alone: int = 0
    unreadable_folders: int = 0
    found_by_rescan: int = 0


@dataclass(frozen=True, slots=True)
class ArchiveStatus:
    """The archive. Times are Unix times; None where nothing is known.

    Attributes:
        root: absolute.
        mode: how samples are filed.
        free: bytes free; None if that can't be told.
        watched: ``native`` or ``poll``; None while no daemon runs.
        last_rescan: when it was last looked through.
        untracked: audio files in class folders that the index doesn't know, at that time.
        unreadable_folders: folders that couldn't be looked into.
        degraded: why it can't be looked through.
    """

    root: str
    mode: str
    free: int | None = None
    watched: str | None = None
    last_rescan: float | None = None
    untracked: int = 0
    unreadable_folders: int = 0
    degraded: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that `status` prints.

    Attributes:
        running: a daemon, or a scan, works on this index now.
        pid: of that process.
        started: Unix time of its start.
        degraded: why it can't do all of its work.
        workers: live worker processes.
        pending: files that wait to settle or to be worked on.
        oldest_since: Unix time since which the oldest of them waits.
        model: id of the model in use; None if it can't be told.
        index_size: bytes, with the write-ahead log; None if there is no index yet.
    """

    now: float
    running: bool
    pid: int | None
    started: float | None
    degraded: str | None
    workers: int
    pending: int
    oldest_since: float | None
    model: str | None
    counts: Counts
    inboxes: tuple[InboxStatus, ...]
    index_path: str
    index_size: int | None
    archive: ArchiveStatus

    @property
    def oldest_seconds(self) -> float | None:
        """How long the oldest pending file has waited."""
        return None if self.oldest_since is None else max(0.0, self.now - self.oldest_since)


def live_path(index_path: str) -> str:
    """Where the daemon says how it is."""
    return f"{index_path}.live.json"


def read_status(
    index_path: str,
    *,
    archive_root: str,
    archive_mode: str,
    inboxes: Sequence[tuple[str, str]],
    model: str | None,
    now: float,
) -> Status:
    """Gather the status.

    Args:
        index_path: of the index; it need not exist.
        archive_root: absolute.
        archive_mode: as configured.
        inboxes: (absolute path, configured watch mode) in the order of the configuration.
        model: id of the configured model, for when no daemon tells.
        now: Unix time.

    Raises:
        IndexStoreError: the index is there and can't be read.
    """
    running = is_held(index_path)
    said = _read_live(index_path)
    # What a dead daemon said of its work is past; when it last rescanned stays true.
    present = said if running else {}
    queue = _mapping(present.get("queue"))
    return Status(
        now=now,
        running=running,
        pid=_number(present.get("pid"), int),
        started=_number(present.get("started"), float),
        degraded=_text(present.get("degraded")),
        workers=_number(present.get("workers"), int) or 0,
        pending=_number(queue.get("pending"), int) or 0,
        oldest_since=_number(queue.get("oldest_since"), float),
        model=_text(_mapping(present.get("model")).get("id")) or model,
        counts=read_counts(index_path),
        inboxes=_join_inboxes(inboxes, said.get("inboxes"), running),
        index_path=index_path,
        index_size=_index_size(index_path),
        archive=_archive_status(archive_root, archive_mode, said.get("archive"), running),
    )


def read_counts(index_path: str) -> Counts:
    """Count what the index holds; nothing, where there is no index yet.

    Raises:
        IndexStoreError: the index is there and can't be read.
    """
    if not os.path.lexists(index_path):
        return Counts(dict.fromkeys((*CANONICAL_LABELS, MISC), 0))
    with open_reader(index_path) as reader:
        return _count(reader)


def _count(reader: Reader) -> Counts:
    by_label = dict.fromkeys((*CANONICAL_LABELS, MISC), 0)
    in_work = quarantined = gone = 0
    for (state, label), count in reader.count_samples().items():
        if state == "filed":
            name = label or MISC
            by_label[name] = by_label.get(name, 0) + count
        elif state == "quarantined":
            quarantined += count
        elif state == "gone":
            gone += count
        else:
            in_work += count
    return Counts(
        by_label=by_label,
        in_work=in_work,
        duplicates=reader.count_events("duplicate"),
        corrections=reader.count_corrections(),
        gone=gone,
        quarantined=quarantined,
        errors=reader.count_remembered("failed"),
        failures=reader.failures(limit=SHOWN_FAILURES),
        last_filed=reader.last_filed(),
    )


def _read_live(index_path: str) -> dict[str, Any]:
    try:
        with open(live_path(index_path), "rb") as stream:
            said = json.load(stream)
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _join_inboxes(
    configured: Sequence[tuple[str, str]], said: object, running: bool
) -> tuple[InboxStatus, ...]:
    entries = [entry for entry in said if isinstance(entry, dict)] if isinstance(said, list) else []
    live = {str(entry.get("path")): entry for entry in entries}
    joined = [_inbox_status(path, watch, live.pop(path, {}), running) for path, watch in configured]
    if running:
        # The daemon may still watch an inbox that was taken out of the file.
        joined += [_inbox_status(path, "auto", entry, running) for path, entry in live.items()]
    return tuple(joined)


def _archive_status(root: str, mode: str, said: object, running: bool) -> ArchiveStatus:
    entry = _mapping(said)
    return ArchiveStatus(
        root=root,
        mode=mode,
        free=_free_bytes(root),
        watched=_text(entry.get("mode")) if running else None,
        last_rescan=_number(entry.get("last_rescan"), float),
        untracked=_number(entry.get("untracked"), int) or 0,
        unreadable_folders=_number(entry.get("unreadable_folders"), int) or 0,
        degraded=_text(entry.get("degraded")) if running else None,
    )


def _inbox_status(path: str, watch: str, entry: Mapping[str, Any], running: bool) -> InboxStatus:
    return InboxStatus(
        path=path,
        mode=(_text(entry.get("mode")) if running else None) or watch,
        last_event=_number(entry.get("last_event"), float),
        last_rescan=_number(entry.get("last_rescan"), float),
        degraded=_text(entry.get("degraded")) if running else None,
        files_left_alone=_number(entry.get("files_left_alone"), int) or 0,
        unreadable_folders=_number(entry.get("unreadable_folders"), int) or 0,
        found_by_rescan=_number(entry.get("found_by_rescan"), int) or 0,
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object, kind: type[N]) -> N | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return kind(value)


def _index_size(index_path: str) -> int | None:
    sizes = []
    for path in (index_path, f"{index_path}-wal"):
        try:
            sizes.append(os.stat(path).st_size)
        except OSError:
            continue
    return sum(sizes) if sizes else None


def _free_bytes(folder: str) -> int | None:
    """Free space where the folder is, or would be made."""
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
