"""Whatever the owner does by hand, in whatever order: index, manifests and files agree in the end."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from drumwatchd.files import Source, look
from drumwatchd.index.store import open_index
from rounds_at_home import Owner

CONTENTS = [b"one", b"two", b"3rd", b"fourth"]  # three of one size
FOLDERS = ["Kick", "Snare", "misc", "Own", "Kick/sub", "_aside"]
STEPS = st.tuples(
    st.sampled_from(["move", "copy", "delete", "restore", "swap", "round", "restart"]),
    st.integers(0, 3),
    st.sampled_from(FOLDERS),
    st.integers(0, 3),
)


def places(root: Path) -> dict[bytes, list[Path]]:
    """Content → where it stands in class folders."""
    found = defaultdict(list)
    for path in sorted(root.rglob("*.wav")):
        if not path.relative_to(root).parts[0].startswith("_"):
            found[path.read_bytes()].append(path)
    return found


def act(owner: Owner, what: str, number: int, folder: str, other: int) -> None:
    """Do one thing in the archive, as a person would; nothing is overwritten."""
    content, standing = CONTENTS[number], places(owner.root)
    mine, others = standing[content], standing[CONTENTS[other]]
    target = owner.root / folder / f"{number}{other}.wav"
    target.parent.mkdir(parents=True, exist_ok=True)
    if what == "round":
        owner.round(30 * (1 + number))
    elif what == "restart":
        owner.begin()
    elif what == "delete":
        for path in mine:
            path.unlink()
    elif what == "swap" and mine and others and mine != others:
        aside = owner.root / "swap"
        mine[0].rename(aside)
        others[0].rename(mine[0])
        aside.rename(others[0])
        for path in (mine[0], others[0]):  # as a copy would; or a whole look tells nothing
            path.write_bytes(path.read_bytes())
    elif not target.exists():
        if what == "move" and mine:
            mine[0].rename(target)
        elif (what == "copy" and mine) or (what == "restore" and not mine):
            target.write_bytes(content)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=9))
def test_in_the_end_all_agree(steps: list[tuple[str, int, str, int]]) -> None:
    """Each content that stands in a class folder is filed there, once; each other one is gone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = open_index(str(folder / "index.sqlite3"), "sha256", clock=lambda: 0.0)
        owner = Owner(folder / "archive", index, folder / "inbox", dropper(folder / "inbox"))
        first = {}
        for number, content in enumerate(CONTENTS):
            label = ("Kick", "Snare")[number % 2]
            owner.file(f"{number}.wav", content, label)
            first[content] = label
        for step in steps:
            act(owner, *step)
        owner.begin()
        owner.round(3600, times=4)
        check(owner, first)
        owner.rounds.stop()
        index.close()


def dropper(inbox: Path) -> Callable[..., Source]:
    inbox.mkdir()

    def drop(name: str, content: bytes) -> Source:
        (inbox / name).write_bytes(content)
        source = look(str(inbox / name), str(inbox))
        assert source is not None
        return source

    return drop


def check(owner: Owner, first: dict[bytes, str]) -> None:
    standing, filed = places(owner.root), {}
    with owner.index.reading() as connection:
        rows = connection.execute(
            """SELECT state, path, label, digest, (SELECT label FROM corrections AS c
               WHERE c.digest = s.digest) FROM samples AS s ORDER BY id"""
        ).fetchall()
    assert len(rows) == len(CONTENTS)
    for (state, path, label, _, said), content in zip(rows, CONTENTS, strict=True):
        where = [os.path.relpath(place, owner.root) for place in standing[content]]
        assert state == ("filed" if where else "gone")
        if where:
            assert path in where
            assert label == path.split("/")[0]
            filed.setdefault(label, []).append(path)
        assert said == label or (said is None and label == first[content])
    manifested = {label: sorted(paths) for label, paths in owner.manifested().items()}
    assert manifested == {label: sorted(paths) for label, paths in filed.items()}
