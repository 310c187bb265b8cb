"""Names in the archive."""

from __future__ import annotations

import dataclasses
import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_analysis
from drumwatchd.archive.naming import NAME_MAX_BYTES, alternatives, fields_of, render
from drumwatchd.files import Source

VERDICT = dataclasses.replace(make_analysis("Snare", 0.876, fine="Rim").verdict, tag="dry")


def fields(path: str) -> dict[str, str]:
    return fields_of(Source(path, "/in", 1, 1, 1, 1), "0123456789abcdef", VERDICT)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{label}/{stem}{suffix}", "Snare/rim shot.WAV"),
        ("{label}/{pack}/{stem}{suffix}", "Snare/Pack A/sub/rim shot.WAV"),
        ("{label}/{fine}/{stem}-{digest8}{suffix}", "Snare/Rim/rim shot-01234567.WAV"),
        ("{label}/{confidence} {stem}{suffix}", "Snare/0.88 rim shot.WAV"),
        ("{label}/{tag}/{stem}{suffix}", "Snare/dry/rim shot.WAV"),
    ],
)
def test_every_placeholder(template: str, expected: str) -> None:
    """Each placeholder is filled from the source, the digest and the verdict."""
    assert render(template, fields("/in/Pack A/sub/rim shot.WAV")) == expected


@pytest.mark.parametrize(
    "template", ["{label}/{stem}{suffix}{stem}{stem}", "{label}/{suffix}{stem}"]
)
def test_anything_behind_the_last_dot_is_cut_too(template: str) -> None:
    """A template may make a suffix longer than a name may be; it ends, and names differ."""
    name = render(template, fields(f"/in/{'x' * 251}.wav"))
    names = list(itertools.islice(alternatives(name), 4))
    assert len(set(names)) == 4
    assert all(len(os.fsencode(os.path.basename(each))) <= NAME_MAX_BYTES for each in names)


def test_no_pack_leaves_no_empty_folder() -> None:
    """A sample at the inbox's top has no pack component."""
    assert render("{label}/{pack}/{stem}{suffix}", fields("/in/a.wav")) == "Snare/a.wav"


def test_no_tag_leaves_no_empty_folder() -> None:
    """Most sounds have no tag."""
    source = Source("/in/a.wav", "/in", 1, 1, 1, 1)
    values = fields_of(source, "0123456789abcdef", make_analysis("Snare").verdict)
    assert render("{label}/{tag}/{stem}{suffix}", values) == "Snare/a.wav"


names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=300
)


@given(names, st.lists(names, max_size=3))
def test_a_path_never_leaves_the_archive(name: str, folders: list[str]) -> None:
    """Whatever a file is called, its place is below the label and no component is too long."""
    filled = {**fields("/in/a.wav"), "stem": name, "pack": "/".join(folders)}
    parts = render("{label}/{pack}/{stem}{suffix}", filled).split("/")
    assert parts[0] == "Snare"
    assert not {"", ".", ".."} & set(parts)
    assert all(len(os.fsencode(part)) <= NAME_MAX_BYTES for part in parts)


def test_alternatives_count_up_before_the_suffix() -> None:
    """Collisions get a number that keeps the suffix."""
    found = list(itertools.islice(alternatives("Kick/bd.wav"), 3))
    assert found == ["Kick/bd.wav", "Kick/bd-2.wav", "Kick/bd-3.wav"]


def test_a_long_name_makes_room_for_its_number() -> None:
    """The stem is cut, in whole characters, the number and suffix never."""
    second = list(itertools.islice(alternatives("Kick/" + "ä" * 125 + ".wav"), 2))[1]
    name = os.path.basename(second)
    assert name.endswith("-2.wav")
    assert len(os.fsencode(name)) <= NAME_MAX_BYTES


def test_a_name_that_is_not_utf8_keeps_its_bytes() -> None:
    """Surrogate escapes pass through."""
    name = os.fsdecode(b"\xff\xe9.wav")
    assert os.fsencode(render("{label}/{stem}{suffix}", fields("/in/" + name))) == (
        b"Snare/\xff\xe9.wav"
    )
