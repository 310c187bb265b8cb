"""Fixtures that every test may use."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog

from drumwatchd import log
from drumwatchd.analysis.result import Analysis, Verdict
from drumwatchd.analysis.workers import SINGLE_THREADED
from drumwatchd.files import Source, look
from drumwatchd.index.store import Index, open_index

if TYPE_CHECKING:
    from rounds_at_home import Owner

# As the workers have it, and before numpy is loaded: on busy cores its threads wait for each other.
os.environ.update(SINGLE_THREADED)


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """structlog and logging are shared by the whole test process: what a test made of them ends with it."""
    yield
    structlog.reset_defaults()
    root = logging.getLogger()
    root.handlers[:] = [one for one in root.handlers if type(one).__module__ != log.__name__]


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The labelled corpus, where there is one."""
    folder = os.environ.get("DRUMWATCHD_CORPUS")
    if not folder or not Path(folder, "corpus.csv").is_file():
        pytest.skip("DRUMWATCHD_CORPUS names no corpus folder")
    return Path(folder)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """An empty inbox."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """A new index whose clock stands at 1,000."""
    opened = open_index(str(tmp_path / "state" / "index.sqlite3"), "sha256", clock=lambda: 1000.0)
    yield opened
    opened.close()


@pytest.fixture
def drop(inbox: Path) -> Callable[..., Source]:
    """Put bytes into the inbox and look at them as a rescan would."""

    def put(name: str = "kick.wav", content: bytes = b"boom") -> Source:
        path = inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        source = look(str(path), str(inbox))
        assert source is not None
        return source

    return put


@pytest.fixture
def owner(
    tmp_path: Path, index: Index, inbox: Path, drop: Callable[..., Source]
) -> Iterator[Owner]:
    """An archive that a person moves files about in, and the rounds that see it."""
    from rounds_at_home import Owner

    owner = Owner(tmp_path / "archive", index, inbox, drop)
    yield owner
    owner.rounds.stop()


def make_analysis(
    label: str = "Kick", confidence: float = 0.9, fine: str | None = None
) -> Analysis:
    """An analysis as a model might have made it."""
    verdict = Verdict(
        label=label,
        folded=label,
        fine=fine or label,
        confidence=confidence,
        probabilities={label: confidence, "misc": 1 - confidence},
        top=((fine or label, confidence), ("Clap", round(1 - confidence, 6))),
        reason=f"{label} at {confidence:.2f}",
    )
    return Analysis(verdict, "test-model", b"\0\0" * 8, 0.5, 44_100, 1)
