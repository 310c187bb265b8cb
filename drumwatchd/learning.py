"""The daemon's side of learning: let corrections speak, notice which model judges, have one made.

Workers choose the model themselves, for each file; what is said of it here is for the log and `status`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

from drumwatchd.analysis import model_store, precedents
from drumwatchd.analysis.model_card import ModelCard
from drumwatchd.bulletin import Bulletin
from drumwatchd.errors import ModelError
from drumwatchd.files import make_folders, write_atomically
from drumwatchd.index import lessons
from drumwatchd.index.corrections import Corrections
from drumwatchd.index.hearings import Hearings
from drumwatchd.index.reader import open_reader
from drumwatchd.index.store import Index
from drumwatchd.log import get_logger

# A promotion is heeded at once and told within this time.
LOOK_SECONDS = 60.0
# Not at once: after a start there may be inboxes to catch up with.
FIRST_SECONDS, DAY_SECONDS = 900.0, 86_400.0
POLL_SECONDS = 1.0
STOP_SECONDS = 3.0

log = get_logger()


class ModelWatch:
    """Tells which model judges, and when that changes."""

    def __init__(self, store: str, configured: str, model_id: str) -> None:
        self._store, self._configured = store, configured
        self._problem: str | None = None
        self.model_id = model_id

    def look(self) -> str:
        """The id of the model that judges now; a change is logged, and what stood in the way."""
        with contextlib.suppress(ModelError):  # the next file is refused with it, and that is told
            choice = model_store.choose(self._store, self._configured)
            if choice.problem != self._problem:
                self._problem = choice.problem
                if choice.problem is not None:
                    log.error("model refused", reason=choice.problem, model=choice.card.id)
            if choice.card.id != self.model_id:
                log.info("model changed", model=choice.card.id, was=self.model_id)
                self.model_id = choice.card.id
        return self.model_id


class PrecedentsFile:
    """What was corrected, for the workers, from the next sample on."""

    def __init__(
        self, index: Index, store: str, configured: str, folders: Callable[[], Sequence[str]]
    ) -> None:
        """`folders` tells the labels of the class folders that the owner made."""
        self._index, self._store, self._configured = index, store, configured
        self._folders = folders
        self._corrections, self._hearings = Corrections(index), Hearings(index)
        # What is there may be older than this start.
        self._written: tuple[object, ...] | None = None
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Write the file anew if something was corrected or learned since; a help only, it may fail."""
        with (
            self._lock,
            contextlib.suppress(ModelError),
        ):  # no file is judged then, and that is told
            choice = model_store.choose(self._store, self._configured)
            base = choice.base
            corrections = self._corrections.version()
            version = (
                corrections,
                choice.card.id,
                base.backbone,
                self._hearings.count(base.backbone),
            )
            if version == self._written:
                return
            try:
                self._write(base, n_corrections=corrections[0])
            except OSError as error:
                log.warning("precedents not written", reason=str(error))
            self._written = version

    def _write(self, base: ModelCard, n_corrections: int) -> None:
        path = os.path.join(self._store, precedents.FILE_NAME)
        if not n_corrections:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        with open_reader(self._index.path) as reader:
            learned = model_store.learned(self._store, self._configured)
            said = lessons.precedents(reader, base, learned)
        make_folders(self._store)
        text = precedents.precedents_text(base.backbone, said, self._folders())
        write_atomically(path, text, durable=False)


class Retraining:
    """Runs `drumwatchd-train adapt` once a day, one at a time; it gives way to everything else."""

    def __init__(
        self, config_path: str, store: str, now: float, bulletin: Bulletin | None = None
    ) -> None:
        self._command = [
            sys.executable, "-m", "drumwatchd.training",
            "adapt", "--config", config_path, "--scheduled",
        ]  # fmt: skip
        self._store = store
        self._bulletin = bulletin or Bulletin()
        self._due = now + FIRST_SECONDS
        self._known: set[str] = set()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether a model is being made."""
        return self._process is not None

    def step(self, now: float) -> float:
        """Start what is due, and say how it ended; return when to be asked again."""
        if self._process is None and now >= self._due:
            self._due = now + DAY_SECONDS
            self._start()
        if self._process is None:
            return self._due
        code = self._process.poll()
        if code is None:
            return now + POLL_SECONDS
        self._process = None
        self._tell(code)
        return self._due

    def stop(self) -> None:
        """End what runs; a model appears whole or not at all."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _start(self) -> None:
        self._known = {model.id for model in model_store.stored_models(self._store)}
        try:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        except OSError as error:
            log.warning("learning failed", reason=error.strerror)

    def _tell(self, code: int) -> None:
        if code:
            log.warning("learning failed", exit_code=code)
            return
        for model in model_store.stored_models(self._store):
            if model.id not in self._known:
                reason = model.standing.reason
                log.info("model made", model=model.id, state=model.state, reason=reason)
                self._bulletin.tell("retrained", model=model.id, state=model.state, reason=reason)
