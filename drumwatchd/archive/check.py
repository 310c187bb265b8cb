"""Whether index, manifests and disk say the same. Only looks; `repair` is what mends.

Anything that is found may be a daemon's work that isn't at its end: who asks while one runs asks twice.
"""

from __future__ import annotations

import csv
import os
import random
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from drumwatchd.analysis.formats import is_audio
from drumwatchd.archive.marker import MANIFEST_FOLDER, QUARANTINE_FOLDER, check_marker
from drumwatchd.errors import DrumwatchdError
from drumwatchd.files import digest_of
from drumwatchd.index.reader import Reader
from drumwatchd.index.records import Whereabouts

PARTIAL_PREFIX, PARTIAL_SUFFIX = ".drumwatchd-", ".part"
REPAIR = "drumwatchd repair"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that isn't as it should be.

    Attributes:
        path: of the file or folder, absolute.
        problem: what is wrong with it.
        remedy: what to do.
        is_note: nothing is wrong, but somebody may want to know.
    """

    path: str
    problem: str
    remedy: str
    is_note: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """What was looked at, and what was found.

    Attributes:
        samples: rows of the index.
        read: files whose content was read.
        read_bytes: their bytes.
        findings: in the order of the index, then of the disk.
    """

    samples: int
    read: int
    read_bytes: int
    findings: list[Finding]


def check(
    reader: Reader,
    root: str,
    algorithm: str,
    *,
    share: float = 0.0,
    ignored: Callable[[str], bool] = lambda name: False,
    progress: Callable[[int], object] = lambda files: None,
) -> Checked:
    """Compare the index with the archive's folders and manifests.

    Args:
        reader: the index.
        root: of the archive.
        algorithm: of the index's digests.
        share: of the files whose content is read and digested, 0 to 1; by chance which.
        ignored: names that are passed over.
        progress: told how many samples more were looked at.

    Raises:
        ArchiveError: the archive isn't mounted.
        IndexStoreError: the index can't be read.
    """
    check_marker(root, reader.meta("archive_id") or "")
    findings = [
        Finding(reader.path, f"the index is damaged: {problem}", f"{REPAIR} --rebuild-index")
        for problem in reader.damage()
    ]
    known, manifests = set[str](), dict[str, dict[str, str]]()
    chance, samples, read, read_bytes = random.Random(), 0, 0, 0  # noqa: S311 - no secret
    for row in reader.whereabouts():
        samples += 1
        progress(1)
        if row.path is not None and row.missing is None:
            known.add(row.path)
        if row.state == "filed" and row.label is not None:
            manifests.setdefault(row.label, {})[row.path or row.source] = row.digest
        is_read = share > 0 and chance.random() < share
        problem = _problem_of(row, root, algorithm if is_read else None)
        if problem is not None:
            findings.append(problem)
        elif is_read and row.path is not None and row.state != "gone":
            read, read_bytes = read + 1, read_bytes + row.size
    findings += _unknown_files(root, known, ignored)
    findings += _manifest_problems(root, manifests)
    return Checked(samples, read, read_bytes, findings)


def _problem_of(row: Whereabouts, root: str, algorithm: str | None) -> Finding | None:
    if row.state in ("claimed", "placing") or row.moving_to is not None:
        return Finding(
            row.source if row.path is None else os.path.join(root, row.path),
            "its filing was interrupted",
            f"the daemon's next start finishes it, or: {REPAIR}",
        )
    if row.path is None or row.state == "gone":
        return None  # it stays in its inbox, or its owner took it
    path = os.path.join(root, row.path)
    try:
        found = os.stat(path)
    except OSError as error:
        if os.path.islink(path):
            return Finding(path, "its link leads nowhere", "mount or put back the original")
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            return Finding(path, f"can't be looked at ({error.strerror})", "check its disk")
        return Finding(
            path,
            "it isn't in its place",
            f"{REPAIR} finds it by its content, or takes note that it is gone",
        )
    if not stat.S_ISREG(found.st_mode):
        return Finding(path, "it is no file", "move away what stands there")
    if found.st_size != row.size:
        return Finding(
            path,
            f"it has {found.st_size:,} bytes, not {row.size:,}",
            f"restore it from a backup; if you edited it, {REPAIR} takes note",
        )
    return None if algorithm is None else _damage(path, row.digest, algorithm)


def _damage(path: str, digest: str, algorithm: str) -> Finding | None:
    try:
        if digest_of(os.path.realpath(path), algorithm) == digest:
            return None
    except OSError as error:
        return Finding(path, f"can't be read ({error.strerror})", "check its disk")
    return Finding(
        path,
        "its content isn't what was filed, though its size is",
        f"restore it from a backup, and check its disk; if you edited it, {REPAIR} takes note",
    )


def _unknown_files(root: str, known: set[str], ignored: Callable[[str], bool]) -> Iterator[Finding]:
    """What stands in the archive and is no sample of this index."""
    for folder, names, files in os.walk(root):
        relative = os.path.relpath(folder, root)
        if relative == os.curdir:
            names[:] = [name for name in names if _is_searched(name)]
            continue
        names[:] = sorted(name for name in names if not ignored(name))
        for name in sorted(files):
            place = os.path.join(relative, name)
            path = os.path.join(root, place)
            if name.startswith(PARTIAL_PREFIX) and name.endswith(PARTIAL_SUFFIX):
                yield Finding(path, "left of an interrupted copy", REPAIR)
            elif place not in known and is_audio(name) and not ignored(name):
                if relative.split(os.sep)[0] == QUARANTINE_FOLDER:
                    continue  # duplicates that were set aside have no row
                hint = "leave it, or move it to an inbox to have it filed"
                yield Finding(path, "the index doesn't know it", hint, is_note=True)


def _is_searched(top: str) -> bool:
    return top == QUARANTINE_FOLDER or not top.startswith(("_", "."))


def _manifest_problems(root: str, manifests: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    folder = os.path.join(root, MANIFEST_FOLDER)
    unneeded = {name for name in _listed(folder) if name.endswith(".csv")}
    for label, rows in sorted(manifests.items()):
        unneeded.discard(f"{label}.csv")
        yield from _manifest_problem(os.path.join(folder, f"{label}.csv"), rows)
    for name in sorted(unneeded):
        yield from _manifest_problem(os.path.join(folder, name), {})


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _manifest_problem(path: str, rows: Mapping[str, str]) -> Iterator[Finding]:
    try:
        listed = Counter(read_manifest(path))
    except FileNotFoundError:
        yield Finding(path, "the manifest is missing", REPAIR)
    except (OSError, csv.Error, KeyError) as error:
        yield Finding(path, f"the manifest can't be read ({error})", REPAIR)
    else:
        wanted = Counter(rows.items())
        differ = ((listed - wanted) + (wanted - listed)).total()
        if differ:
            yield Finding(path, f"{differ} of its lines aren't the index's", REPAIR)


def read_manifest(path: str) -> Iterator[tuple[str, str]]:
    """Where each sample of a manifest stands (its source, where it stays there), and its digest."""
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
        for row in csv.DictReader(stream):
            yield row["path"] or row["source"], row["digest"]


def check_models(store: str, configured: str) -> Iterator[Finding]:
    """What is wrong with the models: the configured one, those beside the index, and the pointer.

    Args:
        store: folder of the adapted models.
        configured: folder of the configured or shipped one.
    """
    from drumwatchd.analysis import model_store
    from drumwatchd.analysis.model_card import read_card, verify_model

    try:
        base = read_card(configured)
        verify_model(base)
    except DrumwatchdError as error:
        yield Finding(configured, error.message, "install drumwatchd anew, or configure another")
        return
    try:
        model_store.read_pointer(store)
    except DrumwatchdError as error:
        yield Finding(store, error.message, "drumwatchd promote ID writes a new one")
    for model in model_store.stored_models(store):
        try:
            model_store.usable(model.folder, base)
        except DrumwatchdError as error:
            hint = "remove its folder; drumwatchd-train adapt makes another"
            yield Finding(str(model.folder), error.message, hint, is_note=model.state != "active")
