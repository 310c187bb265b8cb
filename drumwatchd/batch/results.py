"""What a run leaves behind, made of its journal: results in the order of paths, errors, a summary."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from drumwatchd.batch import journal, records
from drumwatchd.batch.journal import Journal, cant_write
from drumwatchd.batch.ledger import Ledger
from drumwatchd.batch.run_folder import (
    ERRORS_NAME,
    RESULTS_NAME,
    SCHEMA,
    SUMMARY_NAME,
    RunFolder,
)
from drumwatchd.batch.tally import Tally
from drumwatchd.files import fsync_folder


class _Gist(msgspec.Struct):
    """The part of a record that is counted; the rest isn't decoded."""

    size: int
    duplicate_of: dict[str, Any] | None
    error: dict[str, str] | None
    label: str = ""
    confidence: float = 0.0
    duration: float = 0.0
    review: str | None = None


_decode = msgspec.json.Decoder(_Gist).decode


def _gist_of(line: bytes) -> _Gist:
    try:
        return _decode(line)
    except msgspec.DecodeError:  # a name that isn't UTF-8
        return msgspec.convert(json.loads(line), _Gist)


def write_results(
    run: RunFolder, book: Journal, ledger: Ledger, unreadable: Mapping[str, str]
) -> Tally:
    """Write results and errors; return what was counted.

    Raises:
        RunError: there is no room for them.
    """
    tally = Tally()
    about = run.about
    head = {
        "schema": SCHEMA, "roots": about.roots, "algorithm": about.algorithm,
        "version": about.version, "judgement": about.judgement,
    }  # fmt: skip
    book.sync()
    with (
        _replacing(run.path / RESULTS_NAME) as results,
        _replacing(run.path / ERRORS_NAME) as errors,
    ):
        results.write(f'{records.encode(head)[:-1]},"results":[\n'.encode())
        errors.write(b'{"schema":%d,"files":[\n' % SCHEMA)
        separators = [b"", b""]
        for begin, content in ledger.lines():
            line = book.line_at(begin)
            speaks = None if content in (None, begin) else book.line_at(content)
            shown = records.published(line, speaks)
            results.write(separators[0] + shown)
            separators[0] = b",\n"
            if _count(tally, _gist_of(shown)):
                errors.write(separators[1] + shown)
                separators[1] = b",\n"
        results.write(b"\n]}\n")
        folders = [{"path": path, "reason": why} for path, why in sorted(unreadable.items())]
        errors.write(f'\n],"folders":{records.encode(folders)}}}\n'.encode())
    return tally


def _count(tally: Tally, gist: _Gist) -> bool:
    """Count a record; whether it is an error's."""
    tally.files += 1
    tally.size += gist.size
    tally.duplicates += gist.duplicate_of is not None
    if gist.error is not None:
        tally.errors[gist.error["kind"]] += 1
        return True
    tally.judged(gist.label, gist.confidence, gist.duration, review=gist.review is not None)
    return False


def write_summary(run: RunFolder, tally: Tally, more: Mapping[str, Any]) -> dict[str, Any]:
    """Write the summary, by which the run is whole.

    Raises:
        RunError: there is no room for it.
    """
    summary = {
        "schema": SCHEMA,
        **more,
        "model": run.about.model,
        "roots": run.about.roots,
        "journal_sha256": journal.digest(run.journal),
        **tally.as_dict(),
    }
    with _replacing(run.path / SUMMARY_NAME) as stream:
        stream.write(records.encode(summary).encode() + b"\n")
    return summary


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file anew; it appears whole, or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        fsync_folder(str(path.parent))
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise cant_write(error, path) from error
