"""What workers do: digest and analyse lots of files. Plain functions of plain values.

Whoever has an executor, on this machine or on many, hands these to it. Heavy imports happen inside.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.errors import (
    AnalysisError,
    AnalysisTimeoutError,
    DecodeError,
    SourceChangedError,
)
from drumwatchd.files import Source, digest_of, source_from_stat

Kind = Literal["vanished", "changed", "unreadable", "undecodable", "timeout", "crash"]
# What one look at a name brings about, and says nothing of the same content elsewhere.
OF_THE_NAME = frozenset({"vanished", "changed", "unreadable"})


@dataclass(frozen=True, slots=True)
class Digested:
    """A file, as it was when it was digested."""

    source: Source
    digest: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a file is left out.

    Attributes:
        kind: what happened.
        reason: the same in words.
    """

    kind: Kind
    reason: str


def digest_files(paths: Sequence[str], algorithm: str) -> list[Digested | Trouble]:
    """Digest each file, and make sure that it stood still meanwhile."""
    return [_digested(path, algorithm) for path in paths]


def _digested(path: str, algorithm: str) -> Digested | Trouble:
    try:
        before = os.lstat(path)
        if not stat.S_ISREG(before.st_mode):
            return Trouble("changed", "it is no regular file any more")
        source = source_from_stat(path, os.path.dirname(path), before)
        digest = digest_of(path, algorithm)
        if not source.is_same(os.lstat(path)):
            return Trouble("changed", "it changed while it was read")
    except FileNotFoundError:
        return Trouble("vanished", "it vanished")
    except OSError as error:
        return Trouble("unreadable", error.strerror or str(error))
    return Digested(source, digest)


def analyse_files(
    files: Sequence[tuple[Digested, str]], settings: AnalysisSettings
) -> list[str | Trouble]:
    """Judge files whose content was digested.

    Args:
        files: each with the name that may count as evidence.
        settings: how to judge.

    Returns:
        What a record says of each sound, as `records.said_of` has it; or why there is nothing to say.

    Raises:
        ModelError: the model can't be used.
    """
    from drumwatchd.analysis.analyse import hear_many
    from drumwatchd.analysis.result import Hearing
    from drumwatchd.batch.records import said_of

    paths, names = [file.source.path for file, _ in files], [name for _, name in files]
    heard = hear_many(paths, names, settings)
    return [
        _why_not(file) or (said_of(item) if isinstance(item, Hearing) else trouble_of(item))
        for (file, _), item in zip(files, heard, strict=True)
    ]


def _why_not(file: Digested) -> Trouble | None:
    """What was heard belongs to the digest only if the file is what it was."""
    try:
        if file.source.is_same(os.lstat(file.source.path)):
            return None
    except FileNotFoundError:
        return Trouble("vanished", "it vanished")
    except OSError as error:
        return Trouble("unreadable", error.strerror or str(error))
    return Trouble("changed", "it changed while it was analysed")


def trouble_of(error: AnalysisError | SourceChangedError) -> Trouble:
    """An error of the analysis as a run keeps it."""
    if isinstance(error, SourceChangedError):
        return Trouble("vanished", "it vanished")
    if isinstance(error, AnalysisTimeoutError):
        return Trouble("timeout", error.message)
    return Trouble("undecodable" if isinstance(error, DecodeError) else "crash", error.message)
