"""What the index holds, as values: samples, events, and files that stay in an inbox."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drumwatchd.index.paths import from_db

COLUMNS = (
    "id", "digest", "state", "label", "fine", "confidence", "path", "source", "inbox", "pack",
    "name", "size", "mode", "reason", "review", "tag", "model", "duration", "retained", "added",
    "(SELECT label FROM corrections WHERE digest = samples.digest)",
)  # fmt: skip
_PATH_POSITIONS = [COLUMNS.index(name) for name in ("path", "source", "inbox", "pack", "name")]


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a sample should stand.

    Attributes:
        digest: of its content.
        state: claimed, placing, filed, quarantined or gone.
        label: of its class; None until it is judged.
        path: below the archive's root; None where it stays in its inbox.
        source: where it came from, absolute.
        size: bytes.
        missing: Unix time since which it isn't there.
        moving_to: where a command was moving it.
    """

    digest: str
    state: str
    label: str | None
    path: str | None
    source: str
    size: int
    missing: float | None
    moving_to: str | None


@dataclass(frozen=True, slots=True)
class Lesson:
    """A correction, and what the network made of the sound.

    Attributes:
        digest: of the content.
        label: what the owner says.
        at: when, Unix time.
        model: id of the model that judged; None where the sample is gone.
        filed: when it was filed, Unix time; None where the sample is gone.
        pack: folders between the inbox and the file.
        embedding: little-endian float16, of the network that judged; None where there is none.
        heard_again: of the network that was asked for, where that heard it later.
        is_heard_again: whether it has, or tried in vain.
        place: path below the archive's root, or of the source where nothing was placed; None where
            the sample is gone.
    """

    digest: str
    label: str
    at: float
    model: str | None
    filed: float | None
    pack: str
    embedding: bytes | None
    heard_again: bytes | None = None
    is_heard_again: bool = False
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of the index. Paths are as Python spells them, with surrogate escapes.

    Attributes:
        id: row number, in the order of arrival.
        digest: of the content, hexadecimal.
        state: claimed, placing, filed, quarantined or gone.
        label: its folder in the archive; None until judged.
        fine: best of the fine labels.
        confidence: of the folded label, in [0, 1].
        path: below the archive's root, the last one if it is gone; None where nothing was placed.
        source: absolute path in the inbox.
        inbox: absolute path of the inbox.
        pack: folders between the inbox and the file.
        name: file name.
        size: bytes.
        mode: how it was placed: move, copy, hardlink, symlink or none.
        reason: why this label, or why quarantined.
        review: why a person should look at it; None where nothing is in doubt.
        tag: what is finer than `fine`, as ``open`` of a hi-hat; None where nothing is.
        model: id of the model that judged.
        duration: seconds.
        retained: 1 if the source could not be removed.
        added: Unix time of the filing.
        corrected: what its owner says it is; None where nothing was said.
        top: the most probable fine labels, best first; empty unless asked for.
        probabilities: of the folders; empty unless asked for.
    """

    id: int
    digest: str
    state: str
    label: str | None
    fine: str | None
    confidence: float | None
    path: str | None
    source: str
    inbox: str
    pack: str
    name: str
    size: int
    mode: str | None
    reason: str | None
    review: str | None
    tag: str | None
    model: str | None
    duration: float | None
    retained: int
    added: float
    corrected: str | None = None
    top: tuple[tuple[str, float], ...] = ()
    probabilities: tuple[tuple[str, float], ...] = ()

    def location(self, root: str) -> str:
        """Absolute path of the file: in the archive, or its source where nothing was placed."""
        return location(self.path, self.source, root)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the history."""

    at: float
    event: str
    path: str | None
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Remembered:
    """An inbox file that stays where it is."""

    path: str
    inbox: str
    size: int
    outcome: str
    digest: str | None
    reason: str | None
    at: float


def location(path: str | None, source: str, root: str) -> str:
    """Absolute path of a sample from its two columns."""
    return source if path is None else os.path.join(root, path)


def to_sample(values: Sequence[Any]) -> Sample:
    """A sample from the columns of `COLUMNS`, and from top and probabilities if they follow."""
    fields: list[Any] = list(values[: len(COLUMNS)])
    for position in _PATH_POSITIONS:
        if isinstance(fields[position], bytes):
            fields[position] = from_db(fields[position])
    # What follows is JSON of the analysis, top first; NULL where there was none.
    for text in values[len(COLUMNS) :]:
        read = json.loads(text) if text else ()
        fields.append(tuple(map(tuple, read.items() if isinstance(read, dict) else read)))
    return Sample(*fields)


def to_remembered(values: Sequence[Any]) -> Remembered:
    """A remembered file from its row."""
    path, inbox, size, outcome, digest, reason, at = values
    return Remembered(from_db(path), from_db(inbox), size, outcome, digest, reason, at)


def to_event(values: Sequence[Any]) -> Event:
    """A line of the history from its row."""
    at, event, path, detail = values
    try:
        read = json.loads(detail) if detail else {}
    except ValueError:
        read = {"text": detail}
    return Event(
        at,
        event,
        None if path is None else from_db(path),
        read if isinstance(read, dict) else {"text": read},
    )
