"""One file's record: a line of a run's journal, and what becomes of it in the results.

    where      root, path, size, mtime_ns, digest
    outcome    duplicate_of, error
    said       duration … fine_probabilities, model, embedding

A duplicate's line ends with its outcome; what is said of its content stands once. Lines are JSON, put
together and taken apart as text where only that is needed: 50,000 of them are parsed by nobody.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from drumwatchd.analysis.result import Analysis, Hearing, Verdict
from drumwatchd.batch.work import Trouble
from drumwatchd.errors import RunError

_SAID, _EMBEDDING = b',"duration":', b',"embedding":"'
# Made once: json.dumps would make a new encoder for every line. ASCII keeps names that aren't UTF-8.
encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


class Place(NamedTuple):
    """Where a file stands: the number of its root among the run's, and its path below that."""

    root: int
    path: str


class Seen(NamedTuple):
    """A file as it was when it was looked at; no digest where it couldn't be read."""

    place: Place
    size: int
    mtime_ns: int
    digest: str | None


def full_path(roots: Sequence[str], place: Place) -> str:
    """The absolute path of a file; a root may be one itself."""
    root = roots[place.root]
    return os.path.join(root, place.path) if place.path else root


@dataclass(frozen=True, slots=True)
class Record:
    """One line, read; `said` is empty for what couldn't be judged.

    Attributes:
        seen: the file.
        duplicate_of: where the same content was found before.
        error: why nothing is said; kind and reason.
        said: what was heard, by its name in the line.
    """

    seen: Seen
    duplicate_of: Place | None
    error: Trouble | None
    said: Mapping[str, Any]

    def analysis(self, label: str, folded: str, confidence: float, reason: str) -> Analysis:
        """The analysis as the index takes it, judged so."""
        said = self.said
        verdict = Verdict(
            label=label,
            folded=folded,
            fine=said["fine"],
            confidence=confidence,
            probabilities=said["probabilities"],
            top=tuple((one["label"], one["probability"]) for one in said["top"]),
            reason=reason,
            review=said["review"],
            tag=said["tag"],
        )
        return Analysis(
            verdict=verdict,
            model=said["model"],
            embedding=base64.b64decode(said["embedding"]),
            duration_seconds=said["duration"],
            sample_rate_hz=said["sample_rate"],
            channels=said["channels"],
        )


def line_of(
    seen: Seen, *, said: str = "", duplicate_of: Place | None = None, error: Trouble | None = None
) -> bytes:
    """One line of the journal, its newline included."""
    head = encode(
        {
            "root": seen.place.root,
            "path": seen.place.path,
            "size": seen.size,
            "mtime_ns": seen.mtime_ns,
            "digest": seen.digest,
            "duplicate_of": duplicate_of and {"root": duplicate_of.root, "path": duplicate_of.path},
            "error": error and {"kind": error.kind, "reason": error.reason},
        }
    )
    return (f"{head[:-1]},{said[1:]}\n" if said else f"{head}\n").encode("ascii")


def said_of(hearing: Hearing) -> str:
    """The part of a record that is about the sound, as a JSON object; the embedding comes last."""
    analysis, measures = hearing.analysis, hearing.measures
    verdict = analysis.verdict
    return encode(
        {
            "duration": round(analysis.duration_seconds, 6),
            "sample_rate": analysis.sample_rate_hz,
            "channels": analysis.channels,
            "rms_db": _rounded(measures.rms_db),
            "spectral_centroid_hz": _rounded(measures.centroid_hz),
            "spectral_rolloff_hz": _rounded(measures.rolloff_hz),
            "label": verdict.label,
            "folded": verdict.folded,
            "fine": verdict.fine,
            "confidence": round(verdict.confidence, 6),
            "reason": verdict.reason,
            "review": verdict.review,
            "tag": verdict.tag,
            "top": [{"label": label, "probability": round(p, 6)} for label, p in verdict.top],
            "probabilities": {label: round(p, 6) for label, p in verdict.probabilities.items()},
            "fine_probabilities": {label: round(p, 6) for label, p in hearing.fine.items()},
            "model": analysis.model,
            "embedding": base64.b64encode(analysis.embedding).decode(),
        }
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def said_in(line: bytes) -> str:
    """What a line says of a sound, as `line_of` takes it; empty where it says nothing."""
    _, found, rest = line.rstrip(b"\n").partition(_SAID)
    return (b"{" + found[1:] + rest).decode("ascii") if found else ""


def published(line: bytes, original: bytes | None) -> bytes:
    """A line as the results show it: whole for a duplicate, too, and without the embedding.

    Args:
        line: of the journal.
        original: the line that speaks for a duplicate's content.
    """
    if original is not None and _SAID not in line and _SAID in original:
        _, found, rest = original.partition(_SAID)
        line = line.rstrip(b"\n").removesuffix(b"}") + found + rest
    shown, found, _ = line.rstrip(b"\n").partition(_EMBEDDING)
    return shown + b"}" if found else shown


def read_line(line: bytes) -> Record:
    """Read a line of a journal.

    Raises:
        ValueError: it is no such line.
    """
    try:
        read = json.loads(line)
        original, error = read["duplicate_of"], read["error"]
        digest = read["digest"]
        if digest is not None:
            bytes.fromhex(digest)
        seen = Seen(_place(read), int(read["size"]), int(read["mtime_ns"]), digest)
        return Record(
            seen,
            original and _place(original),
            error and Trouble(error["kind"], error["reason"]),
            read if "duration" in read else {},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise ValueError(f"not a record ({type(fault).__name__}: {fault})") from fault


def _place(read: Mapping[str, Any]) -> Place:
    """Where a file stands, by a line; it can't be but below its root."""
    root, path = read["root"], read["path"]
    if root < 0 or path.startswith("/") or "\0" in path:
        raise ValueError("no path below a root")
    if ".." in path and ".." in path.split("/"):
        raise ValueError("it leads out of its root")
    return Place(root, path)


def damaged(path: str, number: int, problem: str) -> RunError:
    """The error for a line that can't be read."""
    return RunError(
        f"the run is damaged: line {number}: {problem}",
        path=path,
        hint="remove the run's folder and classify anew",
    )
