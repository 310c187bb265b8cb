"""Every error that drumwatchd raises on purpose.

    DrumwatchdError
    ├── UsageError              a wrong argument on the command line
    ├── ConfigError             the configuration file, with all its faults at once
    ├── ModelError              a model folder is missing, damaged or of another format
    ├── IndexStoreError         the SQLite index can't be opened or used
    │   └── AlreadyRunningError another process holds the index, or a run
    ├── QueryError              a query term that `ls` can't read
    ├── InboxError              an inbox can't be read
    ├── RunError                a run over a whole archive can't be read, or can't be written down
    ├── WorkersStoppedError     the daemon stops; the file is taken again at the next start
    ├── ArchiveError            the archive can't take the sample (full, read-only, unmounted)
    │   └── PlacementError      nor would it ever take this one: its name, its size
    ├── SourceChangedError      the file changed or vanished between two steps
    └── AnalysisError           this one sample can't be judged
        ├── DecodeError         not audio, damaged, empty
        ├── AnalysisTimeoutError
        └── AnalysisCrashError  the worker died (signal, memory limit)

`retryable` says whether the same file may be taken again later, as it is: the fault is not its own.
"""

from __future__ import annotations

from typing import NamedTuple


class DrumwatchdError(Exception):
    """Base of the tree: what was attempted, on which path, and what the operator can do."""

    retryable = False

    def __init__(self, message: str, *, path: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.hint = hint

    def __str__(self) -> str:
        text = self.message if self.path is None else f"{self.message}: {self.path}"
        return text if self.hint is None else f"{text} ({self.hint})"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with keywords, so that errors cross from a worker to the daemon whole."""
        return _rebuild, (type(self), self.message, self.path, self.hint)


def _rebuild(
    kind: type[DrumwatchdError], message: str, path: str | None, hint: str | None
) -> DrumwatchdError:
    return kind(message, path=path, hint=hint)


class UsageError(DrumwatchdError):
    """A wrong argument on the command line."""


class Fault(NamedTuple):
    """One thing that is wrong with a configuration.

    Attributes:
        key: dotted, as ``inbox[0].settle_seconds``; list elements count from 0.
        line: in the file, counted from 1; None if the key isn't there.
        problem: what is wrong.
        fix: what to write or do instead.
        variable: the environment variable that the value came from, if one did.
    """

    key: str
    line: int | None
    problem: str
    fix: str
    variable: str | None = None

    def describe(self, file: str) -> str:
        """One line: the place, the key, the problem and the fix."""
        place = f"${self.variable}" if self.variable else file
        place = f"{place}:{self.line}" if self.line else place
        return ": ".join(filter(None, (place, self.key, f"{self.problem}; {self.fix}")))


class ConfigError(DrumwatchdError):
    """The configuration can't be used; the message lists every fault with its line."""

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        hint: str | None = None,
        faults: tuple[Fault, ...] = (),
    ) -> None:
        super().__init__(message, path=path, hint=hint)
        self.faults = faults

    def __str__(self) -> str:
        file = self.path or "configuration"
        return "\n".join([super().__str__(), *(f"  {f.describe(file)}" for f in self.faults)])

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the faults."""
        return _rebuild_config_error, (self.message, self.path, self.hint, self.faults)


def _rebuild_config_error(
    message: str, path: str | None, hint: str | None, faults: tuple[Fault, ...]
) -> ConfigError:
    return ConfigError(message, path=path, hint=hint, faults=faults)


class ModelError(DrumwatchdError):
    """A model folder is missing, damaged, or of a format this version doesn't read."""

    retryable = True


class IndexStoreError(DrumwatchdError):
    """The SQLite index can't be opened or used."""

    retryable = True


class AlreadyRunningError(IndexStoreError):
    """Another process works on this index, or on this run."""


class QueryError(DrumwatchdError):
    """A query term that can't be read."""


class RunError(DrumwatchdError):
    """The folder of a run over a whole archive can't be read or written, or is another's."""

    retryable = True


class InboxError(DrumwatchdError):
    """An inbox can't be read."""

    retryable = True


class WorkersStoppedError(DrumwatchdError):
    """The workers were ended while they had this file; it is taken again at the next start."""

    retryable = True


class ArchiveError(DrumwatchdError):
    """The archive can't take the sample now: full, read-only, unmounted."""

    retryable = True


class PlacementError(ArchiveError):
    """The archive takes other samples, but never this one as it is; it stays in its inbox."""

    retryable = False


class SourceChangedError(DrumwatchdError):
    """The file changed or vanished between two steps; it is settled anew."""

    retryable = True


class AnalysisError(DrumwatchdError):
    """This one sample can't be judged; it goes to quarantine."""


class DecodeError(AnalysisError):
    """Not audio, damaged, or empty."""


class AnalysisTimeoutError(AnalysisError):
    """The worker took longer than allowed and was killed."""


class AnalysisCrashError(AnalysisError):
    """The worker died: a crash in a decoder, or the memory limit."""
