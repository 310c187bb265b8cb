"""The folder of one run: what it is of, and what it left behind.

run_<timestamp>/run.json                      what is judged, by what; from the start
                journal.jsonl                 one line a file, as it goes on
                precedents.json               corrections that it heeds, as they stood at the start
                classification_results.json   all files, in the order of their paths
                errors.json, statistics.png
                summary.json                  last of all: where it is, the run is whole
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from drumwatchd import __version__
from drumwatchd.analysis.model_card import CARD_NAME
from drumwatchd.analysis.model_store import choose
from drumwatchd.analysis.precedents import FILE_NAME as PRECEDENTS_NAME
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.batch import journal
from drumwatchd.errors import AlreadyRunningError, RunError
from drumwatchd.files import make_folders, write_atomically

SCHEMA = 1
ABOUT_NAME, SUMMARY_NAME, ERRORS_NAME = "run.json", "summary.json", "errors.json"
RESULTS_NAME, PICTURE_NAME = "classification_results.json", "statistics.png"
PREFIX = "run_"
# What `rebuild` makes of a run, and what tells that from a pack of the same name.
ORGANIZED_PREFIX, MADE_OF_NAME = "Organized_", "rebuild.json"


@dataclass(frozen=True, slots=True)
class About:
    """What a run is of.

    Attributes:
        roots: absolute folders (or files) that were asked for, in that order.
        algorithm: name of the digest.
        judgement: what decides how a sound is judged: the settings, the model and its tables.
        version: of drumwatchd.
    """

    roots: tuple[str, ...]
    algorithm: str
    judgement: Mapping[str, Any]
    version: str = __version__

    @property
    def canonical_of(self) -> Mapping[str, str]:
        """The model's fold."""
        return dict(self.judgement["canonical_of"])

    @property
    def targets(self) -> tuple[str, ...]:
        """Labels that had a folder of their own."""
        return tuple(self.judgement["target_labels"])

    @property
    def threshold(self) -> float:
        """Confidence below which a sample is misc."""
        return float(self.judgement["confidence_threshold"])

    @property
    def model(self) -> str:
        """Id of the model that judged."""
        return str(self.judgement["model"])


def about(
    roots: Sequence[str], algorithm: str, settings: AnalysisSettings
) -> tuple[About, AnalysisSettings]:
    """What a run is of that would begin now; and its settings, with the model pinned.

    Raises:
        ModelError: no model can be used.
    """
    card = choose(settings.store, settings.model_dir).card
    judgement = {
        "model": card.id,
        "network": card.backbone,
        "card": hashlib.sha256((card.folder / CARD_NAME).read_bytes()).hexdigest(),
        "confidence_threshold": settings.confidence_threshold,
        "top_k": settings.top_k,
        "target_labels": [*dict.fromkeys((*settings.target_labels, *card.own_labels))],
        "use_names": settings.use_names,
        "canonical_of": dict(card.canonical_of),
    }
    return About(tuple(roots), algorithm, judgement), replace(settings, model_dir=str(card.folder))


def heeding(settings: AnalysisSettings, run: RunFolder) -> AnalysisSettings:
    """The settings with those corrections that the run heeds, whatever is corrected meanwhile."""
    return replace(settings, store=str(run.path))


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run's folder."""

    path: Path
    about: About

    @property
    def is_whole(self) -> bool:
        """Whether the run came to its end."""
        return (self.path / SUMMARY_NAME).exists()

    @property
    def journal(self) -> Path:
        """Its journal."""
        return self.path / journal.NAME

    @property
    def journal_before(self) -> Path:
        """The one that it had before files changed while it was interrupted."""
        return self.path / f"before.{journal.NAME}"

    def heeds(self) -> str:
        """What tells the corrections that it heeds from others."""
        with contextlib.suppress(OSError):
            return hashlib.sha256((self.path / PRECEDENTS_NAME).read_bytes()).hexdigest()
        return ""

    def judges_like(self, other: RunFolder) -> bool:
        """Whether the same content is judged the same in both."""
        mine, others = self.about, other.about
        return (
            (mine.algorithm, mine.judgement, mine.version)
            == (others.algorithm, others.judgement, others.version)
            and not mine.judgement["use_names"]
            and self.heeds() == other.heeds()
        )


def runs_in(folder: Path) -> list[RunFolder]:
    """Every run below a folder that can be read, the oldest first."""
    found = []
    for path in sorted(folder.glob(f"{PREFIX}*")):
        with contextlib.suppress(RunError):
            found.append(RunFolder(path, _read_about(path)))
    return found


def folders_of_ours(out: str) -> tuple[str, ...]:
    """The folders that runs and rebuilds made in `out`; a pack may be called like one."""
    marks = ((PREFIX, ABOUT_NAME), (ORGANIZED_PREFIX, MADE_OF_NAME))
    return tuple(
        str(path)
        for prefix, mark in marks
        for path in sorted(Path(out).glob(f"{prefix}*"))
        if (path / mark).is_file()
    )


def begin(out: Path, wanted: About, store: str, now: float) -> RunFolder:
    """The folder to go on in: that of a run of the same that was interrupted, or a new one.

    Raises:
        RunError: it can't be made.
    """
    for found in reversed(runs_in(out)):
        if found.about == wanted and not found.is_whole:
            return found
    try:
        return _made(out, wanted, store, now)
    except OSError as error:
        raise journal.cant_write(error, out) from error


def left_unfinished(out: Path, wanted: About) -> list[RunFolder]:
    """Interrupted runs over the same roots that this one can't go on with: of another judgement."""
    return [
        run
        for run in runs_in(out)
        if run.about.roots == wanted.roots and run.about != wanted and not run.is_whole
    ]


def _made(out: Path, wanted: About, store: str, now: float) -> RunFolder:
    name = PREFIX + time.strftime("%Y%m%d_%H%M%S", time.localtime(now))
    path, number = out / name, 2
    while path.exists():
        path, number = out / f"{name}-{number}", number + 1
    make_folders(str(path))
    with contextlib.suppress(OSError):
        said = Path(store, PRECEDENTS_NAME).read_bytes() if store else b""
        if said:
            (path / PRECEDENTS_NAME).write_bytes(said)
    text = json.dumps({"schema": SCHEMA, "started": now, **asdict(wanted)}, indent=2)
    write_atomically(str(path / ABOUT_NAME), text + "\n")
    return RunFolder(path, wanted)


@contextlib.contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keep other runs in this folder away meanwhile.

    Raises:
        AlreadyRunningError: there is one.
        RunError: there can be no lock.
    """
    path = out / ".drumwatchd-lock"
    try:
        make_folders(str(out.absolute()))
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise journal.cant_write(error, out) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise AlreadyRunningError(
            "another drumwatchd works in this folder", path=str(out), hint="wait until it has ended"
        ) from error
    finally:
        os.close(descriptor)


def open_run(path: Path) -> RunFolder:
    """A whole run, its journal as it was when it ended.

    Raises:
        RunError: it isn't one, isn't whole yet, or is damaged.
    """
    run = RunFolder(path, _read_about(path))
    if not run.is_whole:
        raise RunError(
            "the run was interrupted", path=str(path), hint="start classify again to finish it"
        )
    summary = read_summary(run)
    if not run.journal.is_file() or journal.digest(run.journal) != summary.get("journal_sha256"):
        raise RunError(
            "the run is damaged: its journal isn't what it was", path=str(run.journal),
            hint="classify anew",
        )  # fmt: skip
    return run


def read_summary(run: RunFolder) -> dict[str, Any]:
    """What `summary.json` says.

    Raises:
        RunError: it can't be read.
    """
    return _read_json(run.path / SUMMARY_NAME)


def _read_about(path: Path) -> About:
    said = _read_json(path / ABOUT_NAME)
    if said.get("schema") != SCHEMA:
        raise RunError(f"the run has schema {said.get('schema')!r}, this drumwatchd reads {SCHEMA}",
                       path=str(path))  # fmt: skip
    try:
        found = About(
            tuple(map(str, said["roots"])), str(said["algorithm"]), dict(said["judgement"]),
            str(said["version"]),
        )  # fmt: skip
        found.canonical_of, found.targets, found.threshold, found.model  # noqa: B018 - are they there?
        found.judgement["use_names"]
    except (KeyError, TypeError, ValueError) as error:
        raise RunError("the run is damaged", path=str(path / ABOUT_NAME)) from error
    return found


def _read_json(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes())
    except OSError as error:
        raise RunError(
            f"no run of classify ({error.strerror})", path=str(path), hint="name a folder run_…"
        ) from error
    except ValueError as error:
        raise RunError("the run is damaged", path=str(path)) from error
    if not isinstance(said, dict):
        raise RunError("the run is damaged", path=str(path))
    return said
