"""The rounds through a test's archive, driven by hand: real files, a real index, time passed in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import make_analysis
from drumwatchd.config.model import DEFAULT_IGNORE
from drumwatchd.files import Source
from drumwatchd.inbox.rescan import ignore_matcher
from drumwatchd.index.store import Index
from drumwatchd.rounds import Rounds, RoundSettings
from house import House

DAY = 86_400.0


class Owner:
    """Somebody with hands in the archive, and rounds that look at what they do."""

    def __init__(self, root: Path, index: Index, inbox: Path, drop: Callable[..., Source]) -> None:
        self.house = House(root, index, inbox)
        self.root, self.index, self._drop = root, index, drop
        self.now = 1_000.0
        index._clock = lambda: self.now  # one clock for all
        self.begin()

    def begin(
        self,
        mode: str = "move",
        template: str = "{label}/{stem}{suffix}",
        duplicates: str = "keep",
    ) -> None:
        """What a new process would have."""
        self.house.set_mode(mode, duplicates, template)
        settings = RoundSettings(ignored=ignore_matcher(DEFAULT_IGNORE), is_watched=False)
        self.rounds = Rounds(self.index, self.house.archive, settings, lambda: None)

    def file(self, name: str, content: bytes = b"boom", label: str = "Kick") -> Path:
        """Drop a sample that is heard as `label`; return where it is filed."""
        self.house.ear.says = make_analysis(label)
        source = self._drop(name, content)
        self.house.process(source)
        (path,) = [p for p in self.root.rglob("*") if p.is_file() and p.read_bytes() == content]
        return path

    def round(self, seconds: float = 300.0, *, times: int = 1) -> None:
        """Let time pass, and go round until all that was found is decided."""
        for _ in range(times):
            self.now += seconds
            self.rounds.last_rescan = None
            self._settle()

    def hint(self, *paths: Path) -> None:
        """As if events had named these paths."""
        for path in paths:
            self.rounds._hint(str(path))
        self._settle()

    def _settle(self) -> None:
        for _ in range(200):
            self.rounds.step(self.now)
            for _, future in self.rounds._examiner._digesting:
                future.exception()
            self.now += 1.1
            if not (self.rounds.is_busy or self.rounds._hints):
                break
        self.rounds.step(self.now)
        self.house.archive.flush()

    def labels(self) -> dict[str, tuple[str, str]]:
        """Path → (state, label) of every row."""
        with self.index.reading() as connection:
            found = connection.execute("SELECT path, state, label FROM samples").fetchall()
        return {path: (state, label) for path, state, label in found}

    def said(self) -> list[tuple[Any, ...]]:
        """Every correction: label, was, how."""
        with self.index.reading() as connection:
            query = "SELECT label, was, how FROM corrections ORDER BY at"
            return connection.execute(query).fetchall()

    def events(self) -> list[str]:
        """The history's events, but filings."""
        with self.index.reading() as connection:
            found = connection.execute("SELECT event FROM history ORDER BY id").fetchall()
        return [event for (event,) in found if event != "filed"]

    def manifested(self) -> dict[str, list[str]]:
        """Paths in each manifest that has any."""
        found = {p.stem: self.house.manifest(p.stem) for p in self.root.glob("_manifests/*.csv")}
        return {label: paths for label, paths in found.items() if paths}
