"""The manifests of an organised folder: one CSV per label, written anew as a whole."""

from __future__ import annotations

import contextlib
import csv
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from drumwatchd.batch.judging import Judged
from drumwatchd.batch.records import Record

HEADER = ("name", "digest", "label", "fine", "confidence", "top", "model", "source", "path")


class Tables:
    """Lines are added under hidden names; all tables take their places at the end, or none does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self._writers: dict[str, Any] = {}

    def __enter__(self) -> Tables:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()
        if kind is None:
            for label in self._writers:
                os.replace(self._part(label), self._folder / f"{label}.csv")

    def add(self, judged: Judged, record: Record, source: str, relative: str) -> None:
        """Add a file's line."""
        said = record.said
        top = " ".join(f"{one['label']}:{one['probability']:.3f}" for one in said["top"])
        self._writer(judged.label).writerow((
            os.path.basename(relative), record.seen.digest, judged.label, said["fine"],
            f"{judged.confidence:.4f}", top, said["model"], source, relative,
        ))  # fmt: skip

    def _writer(self, label: str) -> Any:
        if label not in self._writers:
            stream: IO[str] = self._stack.enter_context(
                open(  # noqa: SIM115 - closed by the stack
                    self._part(label), "w", encoding="utf-8", errors="surrogateescape", newline=""
                )
            )
            self._writers[label] = csv.writer(stream, lineterminator="\n")
            self._writers[label].writerow(HEADER)
        return self._writers[label]

    def _part(self, label: str) -> Path:
        return self._folder / f".{label}.csv.part"
