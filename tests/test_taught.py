"""What corrections say to a whole network; made-up embeddings, the real head, no TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import lessons
from drumwatchd.analysis.labels import CANONICAL_LABELS, CANONICAL_OF
from drumwatchd.analysis.model_card import read_card, shipped_model
from drumwatchd.index.records import Lesson
from drumwatchd.training.corpus import CORRECTIONS, read_corpus
from drumwatchd.training.taught import Taught, teach, write_corpus

CARD = read_card(shipped_model())


def lesson(
    root: Path,
    number: int,
    label: str,
    like: str,
    *,
    pack: str = "p",
    name: str = "",
    there: bool = True,
) -> Lesson:
    """A correction of a file below `root` that sounds to the network like a typical `like`."""
    place = name or f"{number}.wav"
    if there:
        (root / place).write_bytes(b"%d" % number)
    heard = lessons.direction(like).astype("<f2").tobytes()
    return Lesson(f"{number:064x}", label, 1.0, CARD.id, 1.0, pack, heard, place=place)


def taught(
    root: Path, found: Sequence[Lesson], targets: Sequence[str] = CANONICAL_LABELS
) -> Taught:
    return teach(found, CARD, lessons.shipped_head(), str(root), targets)


@pytest.mark.parametrize(
    ("said", "like", "learned"),
    [
        ("Rim", "Kick", "Rim"),  # one of the 34 is itself
        ("Snare", "Rim", "Rim"),  # a folder is the likeliest label that is filed there
        ("Snare", "Snare", "Snare"),
        ("Tom", "Timbale", "Timbale"),
        ("misc", "Cowbell", "Cowbell"),
        ("misc", "Vox", "Vox"),
    ],
)
def test_an_answer_becomes_a_fine_label(said: str, like: str, learned: str, tmp_path: Path) -> None:
    """A network has 34 outputs; a folder says that it is one of several."""
    found = taught(tmp_path, [lesson(tmp_path, 1, said, like)])
    assert [example.label for example in found.examples] == [learned]


def test_a_folder_is_never_a_label_of_another_folder(tmp_path: Path) -> None:
    """However sure the network is of something else: the owner said that it isn't."""
    for said in (*CANONICAL_LABELS, "misc"):
        (example,) = taught(tmp_path, [lesson(tmp_path, 1, said, "Clap")]).examples
        assert CANONICAL_OF[example.label] == said


def test_configured_folders_are_heeded(tmp_path: Path) -> None:
    """Where rims have a folder of their own, what is moved to Snare/ is none."""
    found = [lesson(tmp_path, 1, "Snare", "Rim")]
    (example,) = taught(tmp_path, found, (*CANONICAL_LABELS, "Rim")).examples
    assert example.label == "Snare"


def test_labels_of_ones_own_are_left_to_the_head(tmp_path: Path) -> None:
    """They are counted by their names."""
    said = ["Zaps", "Kick", "Zaps", "Risers"]
    found = taught(tmp_path, [lesson(tmp_path, n, s, "Kick") for n, s in enumerate(said)])
    assert found.own == {"Zaps": 2, "Risers": 1}
    assert list(found.learned.values()) == ["Kick"]


def test_files_that_are_gone_are_left_out(tmp_path: Path) -> None:
    """And counted; so are names that no table can hold, and samples that aren't in their place."""
    found = [
        lesson(tmp_path, 0, "Kick", "Kick"),
        lesson(tmp_path, 1, "Kick", "Kick", there=False),
        lesson(tmp_path, 2, "Kick", "Kick", name=os.fsdecode(b"\xff.wav")),
    ]
    assert (len(taught(tmp_path, found).lessons), taught(tmp_path, found).absent) == (1, 2)


def test_nothing_said_is_nothing_taught(tmp_path: Path) -> None:
    """The command then says what is missing."""
    assert taught(tmp_path, []).examples == []


def test_the_files_make_a_corpus(tmp_path: Path) -> None:
    """They stay where they are; a kit is the pack that it came in."""
    archive = tmp_path / "archive"
    archive.mkdir()
    found = taught(
        archive,
        [
            lesson(archive, 1, "Kick", "Kick", pack="808/wet"),
            lesson(archive, 2, "Rim", "Rim", pack="a, b", name='odd ", name.wav'),
        ],
    )
    examples = read_corpus(write_corpus(tmp_path / "corrections", found.examples))
    assert [(e.path, e.label, e.source, e.kit) for e in examples] == [
        (str(archive / "1.wav"), "Kick", CORRECTIONS, "808"),
        (str(archive / 'odd ", name.wav'), "Rim", CORRECTIONS, "a, b"),
    ]


@pytest.mark.parametrize(("count", "n_packs", "n_asked"), [(200, 20, 40), (36, 12, 12), (10, 5, 6)])
def test_whole_packs_are_asked_about(
    count: int, n_packs: int, n_asked: int, tmp_path: Path
) -> None:
    """About a fifth of the corrections, of few more; no pack stands on both sides."""
    found = taught(
        tmp_path,
        [lesson(tmp_path, n, "Kick", "Kick", pack=f"p{n % n_packs}") for n in range(count)],
    )
    asked = found.asked()
    assert int(asked.sum()) == n_asked
    groups = found.corrections.groups
    assert not set(groups[asked]) & set(groups[~asked])
    assert len(found.part(asked).lessons) == n_asked
    assert np.array_equal(found.asked(), asked)
