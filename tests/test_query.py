"""Query terms, against a plain Python oracle and against what people type."""

from __future__ import annotations

import os
import random
import re
import sqlite3
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.errors import QueryError
from drumwatchd.index.paths import to_db
from drumwatchd.index.query import compile_query
from drumwatchd.index.reader import NARROW_ROWS, Reader, open_reader
from drumwatchd.index.terms import FIELDS
from shelf import DAY, HOUR, NOW, Shelf, open_shelf

ROOT = "/srv/archive"
Row = dict[str, Any]
# A term as typed, and what it means for a row.
Term = tuple[str, Callable[[Row], bool]]

NAMES = [
    "Kick 808.wav", "KICK_hard.WAV", "snare 100%.flac", "größe.wav", "GRÖßE 2.wav", "cafe\u0301.aif",
    "café.aif", "CAFÉ.aif", "\udcff\udce9 ride.wav", "a_b.wav", "a\\b.wav", "-dash.wav", "new\nline.wav",
    "ends, with.wav", "col:on.wav", "tom+", "x.wav", "Straße.mp3", "STRASSE.mp3", "日本.wav",
]  # fmt: skip
PACKS = ["", "TR-808", "TR-808/Kicks", "Größe", "\udcfepack", "vol.1"]


class Population(NamedTuple):
    """Many rows, and the index that holds them."""

    reader: Reader
    rows: list[Row]

    def __repr__(self) -> str:
        return "Population(…)"


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Population]:
    """An index of 300 samples that differ in every field."""
    path = str(tmp_path_factory.mktemp("population") / "index.sqlite3")
    pick = random.Random(7)
    with open_shelf(path) as shelf:
        for number in range(300):
            _add_any(shelf, pick, number)
        rows = shelf.rows
    with open_reader(path) as reader:
        yield Population(reader, rows)


def _add_any(shelf: Shelf, pick: random.Random, number: int) -> None:
    name, state = pick.choice(NAMES), pick.choice(["filed"] * 6 + ["quarantined", "claimed"])
    values: Row = {
        "fine": pick.choice(FINE_LABELS),
        "pack": pick.choice(PACKS),
        "confidence": pick.choice([round(pick.random(), 2), pick.random()]),
        "added": NOW - pick.choice([0, 1, 10, 1000]) * pick.random() * DAY,
        "duration": pick.choice([None, pick.random() * 90]),
        "size": pick.choice([0, 1, 1000, 1024, 10**6, pick.randrange(10**7)]),
        "mode": pick.choice(["move", "copy", "none"]),
        "model": pick.choice(["drumwatchd-1", "Mine"]),
        "retained": pick.choice([0, 0, 0, 1]),
        "review": pick.choice([None, None, "its name says Tom, it sounds like Kick"]),
        "tag": pick.choice([None, None, "open", "closed"]),
        "state": state,
    }
    if state != "filed":
        values |= {"label": None, "fine": None, "confidence": None, "model": None}
    if state != "filed" or values["mode"] == "none":
        values["path"] = None
    else:
        values["path"] = f"{pick.choice(['Kick', 'Snare', 'misc'])}/{number} {name}"
    shelf.add(name, **values)


def ask(reader: Reader, terms: Sequence[str], limit: int | None = None) -> list[int]:
    """Ids that the index gives for these terms."""
    query = compile_query(terms, root=ROOT, now=NOW)
    return [row[0] for row in reader.rows(query, ("id",), limit=limit)]


# -- the oracle -------------------------------------------------------------------------------


def lower_ascii(text: str) -> str:
    """Only A to Z lose their case."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


def folded(text: str) -> str:
    """Composed, and without case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def holds(value: str | None, word: str) -> bool:
    """Whether a text holds a word, ignoring case."""
    if value is None:
        return False
    plain = folded(word)
    return plain in lower_ascii(value) if plain.isascii() else plain in folded(value)


def place_of(row: Row) -> str:
    """What `path:` looks at."""
    return str(row["source"] if row["path"] is None else row["path"])


WORDS = st.one_of(
    st.sampled_from(["kick", "WAV", "größe", "Größe", "STRASSE", "straße", "café", "é", "808", "日本", "tr-808", "misc"]),
    st.text(alphabet="aAbkKsSéÉößẞ%_\\ 0\udcff\udcfe8", min_size=1, max_size=3).filter(str.strip),
)  # fmt: skip
NUMBERS = st.integers(0, 100).map(lambda n: n / 100)


def bare(word: str) -> Term:
    fields = ("name", "path", "label", "fine", "pack")
    return word, lambda row: any(holds(row[name], word) for name in fields)


def in_field(name: str, word: str) -> Term:
    if name in ("path", "source"):
        return f"{name}:{word}", lambda row: holds(
            place_of(row) if name == "path" else row["source"], word
        )
    return f"{name}:{word}", lambda row: holds(row[name], word)


def labelled(name: str, value: str) -> Term:
    return f"{name}:{value}", lambda row: (row[name] or "").lower() == value.lower()


def ranged(name: str, low: float | None, high: float | None) -> Term:
    text = f"{name}:{'' if low is None else low}..{'' if high is None else high}"

    def inside(row: Row) -> bool:
        value = row[name]
        return (
            value is not None and (low is None or value >= low) and (high is None or value <= high)
        )

    return text, inside


def aged(low: int | None, high: int | None) -> Term:
    text = f"added:{'' if low is None else f'{low}d'}..{'' if high is None else f'{high}h'}"

    def inside(row: Row) -> bool:
        return (low is None or row["added"] >= NOW - low * DAY) and (
            high is None or row["added"] <= NOW - high * HOUR
        )

    return text, inside


def matching(name: str, pattern: str) -> Term:
    def found(row: Row) -> bool:
        value = place_of(row) if name == "path" else row[name]
        return value is not None and re.search(pattern, value) is not None

    return f"{name}::{pattern}", found


def exactly(name: str, value: str) -> Term:
    return f"{name}:={value}", lambda row: row[name] == value


def exactly_ignoring_case(name: str, value: str) -> Term:
    return (
        f"{name}:=~{value}",
        lambda row: row[name] is not None and folded(row[name]) == folded(value),
    )


TERMS: st.SearchStrategy[Term] = st.one_of(
    st.builds(bare, WORDS),
    st.builds(in_field, st.sampled_from(["name", "pack", "model", "reason", "path", "source"]), WORDS),
    st.builds(labelled, st.sampled_from(["label", "fine"]), st.sampled_from(["kick", "TOM", "Rim", "misc", "nope"])),
    st.builds(labelled, st.just("mode"), st.sampled_from(["MOVE", "none", "hardlink"])),
    st.builds(labelled, st.just("state"), st.sampled_from(["filed", "quarantined", "Claimed"])),
    st.builds(
        ranged, st.sampled_from(["confidence", "duration", "size"]),
        st.none() | NUMBERS, st.none() | NUMBERS.map(lambda n: n + 1),
    ),
    st.builds(aged, st.none() | st.integers(1, 400), st.none() | st.integers(1, 24)),
    st.builds(
        matching, st.sampled_from(["name", "path", "label", "source", "pack", "digest"]),
        st.sampled_from(["^K", "wav$", "(?i)kick", "[0-9]{3}", "\udcff", ".", "^$", "ö", r"\n", "^[ab]"]),
    ),
    st.builds(exactly, st.just("name"), st.sampled_from(NAMES)),
    st.builds(exactly, st.just("pack"), st.sampled_from(PACKS)),
    st.builds(exactly_ignoring_case, st.just("name"), st.sampled_from([name.upper() for name in NAMES])),
    st.text(alphabet="0123456789abcdef", min_size=1, max_size=2).map(
        lambda digits: (f"digest:{digits}", lambda row: row["digest"].startswith(digits))
    ),
    st.sampled_from([("retained:yes", lambda row: row["retained"] == 1),
                     ("retained:no", lambda row: row["retained"] == 0),
                     ("review:yes", lambda row: row["review"] is not None),
                     ("review:no", lambda row: row["review"] is None),
                     ("tag:OPEN", lambda row: row["tag"] == "open"),
                     ("tag::.", lambda row: row["tag"] is not None)]),
)  # fmt: skip
# (negated, term), joined by "and"; several of them joined by "or".
GROUPS = st.lists(
    st.lists(st.tuples(st.booleans(), TERMS), min_size=1, max_size=3), min_size=1, max_size=3
)


@pytest.mark.parametrize("narrow_rows", [0, 20_000])
@settings(deadline=None)
@given(groups=GROUPS)
def test_terms_mean_what_plain_python_says(
    population: Population, narrow_rows: int, groups: list[list[tuple[bool, Term]]]
) -> None:
    """Words, fields, ranges, regexes, `-` and `,` find exactly the samples that an oracle finds.

    Be it through the indexes, which a small archive always is, or in one pass.
    """
    reader, rows = population
    words: list[str] = []
    for group in groups:
        words += [",", *(("-" if negated else "") + text for negated, (text, _) in group)]

    def wanted(row: Row) -> bool:
        return any(
            all(test(row) != negated for negated, (_, test) in group)
            and (row["state"] == "filed" or any(t.startswith("state:") for _, (t, _) in group))
            for group in groups
        )

    # A name may end in what would be a comma or a sort; such words are quoted otherwise.
    if any(word.endswith(",") for word in words if word != ","):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("drumwatchd.index.reader.NARROW_ROWS", narrow_rows)
        assert ask(reader, words[1:]) == [row["id"] for row in rows if wanted(row)]


@settings(deadline=None)
@given(
    raw=st.binary(min_size=1, max_size=12).filter(lambda raw: not set(raw) & set(b"\0/")),
    data=st.data(),
)
def test_any_part_of_any_name_finds_it(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, data: st.DataObject
) -> None:
    """A name of arbitrary bytes is found by each part of it, given as `name:` or `name:=`."""
    name = os.fsdecode(raw)
    start = data.draw(st.integers(0, len(name) - 1))
    part = name[start : data.draw(st.integers(start + 1, len(name)))]
    path = str(tmp_path_factory.mktemp("names") / "index.sqlite3")
    with open_shelf(path) as shelf:
        shelf.add(name)
    with open_reader(path) as reader:
        assert ask(reader, [f"name::{re.escape(part).replace(',', '[,]')}"]) == [1]
        # A comma at the end and a tilde at the beginning are signs of the language.
        if not name.endswith(",") and not name.startswith("~"):
            assert ask(reader, [f"name:={name}"]) == [1]


# -- what people type -------------------------------------------------------------------------


@pytest.fixture
def shelf_reader(tmp_path: Path) -> Callable[..., Any]:
    """Fill an index, then ask it: returns names."""

    def fill(*rows: Row) -> Callable[..., list[str]]:
        path = str(tmp_path / "index.sqlite3")
        with open_shelf(path) as shelf:
            for row in rows:
                shelf.add(**row)

        def names(*terms: str, limit: int | None = None) -> list[str]:
            with open_reader(path) as reader:
                query = compile_query(terms, root=str(tmp_path / "archive"), now=NOW)
                return [sample.name for sample in reader.samples(query, limit=limit)]

        return names

    return fill


def test_only_samples_in_the_archive_are_listed_unless_a_state_is_named(
    shelf_reader: Callable[..., Any],
) -> None:
    """Quarantined samples, and those in work, show when `state:` asks for them."""
    names = shelf_reader(
        {"name": "in.wav"},
        {"name": "bad.wav", "state": "quarantined", "label": None, "path": None},
        {"name": "new.wav", "state": "claimed", "label": None, "path": None},
    )
    assert names() == ["in.wav"]
    assert names("state:quarantined") == ["bad.wav"]
    assert names("-state:filed") == ["bad.wav", "new.wav"]
    assert names("in", ",", "state:claimed") == ["in.wav", "new.wav"]


def test_samples_come_in_the_order_of_arrival(shelf_reader: Callable[..., Any]) -> None:
    """Whichever index finds them, the order without a sort is the same."""
    names = shelf_reader(
        {"name": "b.wav", "confidence": 0.9, "added": NOW - 1},
        {"name": "a.wav", "confidence": 0.1, "added": NOW - 3},
        {"name": "c.wav", "confidence": 0.5, "added": NOW - 2},
    )
    for terms in ([], ["wav"], ["confidence:0.."], ["added:1h.."], ["digest:a", ",", "added:1d.."]):
        assert names(*terms) == ["b.wav", "a.wav", "c.wav"]


def test_sorts_follow_each_other(shelf_reader: Callable[..., Any]) -> None:
    """`label+ added-` sorts by label, then newest first; names sort without case."""
    names = shelf_reader(
        {"name": "b.wav", "fine": "Tom", "added": NOW - 9},
        {"name": "A.wav", "fine": "Kick", "added": NOW - 8},
        {"name": "c.wav", "fine": "Tom", "added": NOW - 7},
    )
    assert names("label+", "added-") == ["A.wav", "c.wav", "b.wav"]
    assert names("name+") == ["A.wav", "b.wav", "c.wav"]
    assert names("name-") == ["c.wav", "b.wav", "A.wav"]
    assert names("added-", limit=2) == ["c.wav", "A.wav"]
    assert names("label:tom", "added+", limit=1) == ["b.wav"]


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("path:Kick", ["one.wav", "two.wav"]),
        ("path:{root}/Kick", ["one.wav"]),
        ("path:{root}/Kick/", ["one.wav"]),
        ("path:{root}/Kick/one.wav", ["one.wav"]),
        ("path:{root}/Kick/one", []),
        ("path:{root}/Kic", []),
        ("path:{root}", ["one.wav", "two.wav", "\udcff.wav"]),
        ("path:/", ["one.wav", "two.wav", "three.wav", "\udcff.wav"]),
        ("{root}/Kick/../Kicks", ["two.wav"]),
        ("./archive/Kick", ["one.wav"]),
        ("path:{root}/R\udcfe", ["\udcff.wav"]),
        ("path:{inbox}", ["three.wav"]),
        ("source:{inbox}", ["one.wav", "two.wav", "three.wav", "\udcff.wav"]),
        ("source:{inbox}/one.wav", ["one.wav"]),
    ],
)
def test_a_path_term_means_a_file_or_all_below_a_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shelf_reader: Callable[..., Any],
    term: str,
    found: list[str],
) -> None:
    """Absolute and ./ paths are places; other words are looked for inside the path."""
    monkeypatch.chdir(tmp_path)
    names = shelf_reader(
        {"name": "one.wav", "path": "Kick/one.wav"},
        {"name": "two.wav", "path": "Kicks/two.wav"},
        {"name": "three.wav", "path": None, "mode": "none"},
        {"name": "\udcff.wav", "path": "R\udcfe/\udcff.wav"},
    )
    root, inbox = str(tmp_path / "archive"), str(tmp_path / "inbox")
    assert names(term.format(root=root, inbox=inbox)) == found


def test_an_archive_is_found_by_the_name_of_a_link_to_it(
    tmp_path: Path, shelf_reader: Callable[..., Any]
) -> None:
    """`path:` through a symbolic link to the archive means the archive."""
    names = shelf_reader({"name": "one.wav", "path": "Kick/one.wav"})
    (tmp_path / "archive" / "Kick").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "archive")
    assert names(f"path:{tmp_path}/link/Kick") == ["one.wav"]


def test_one_number_stands_for_what_rounds_to_it(shelf_reader: Callable[..., Any]) -> None:
    """`confidence:0.87` finds what `ls` prints as 0.87; a percentage and a clock are read too."""
    names = shelf_reader(
        {"name": "a.wav", "confidence": 0.8651, "duration": 30.0, "size": 1500},
        {"name": "b.wav", "confidence": 0.8749, "duration": 90.0, "size": 1536},
        {"name": "c.wav", "confidence": 0.8751, "duration": 0.02, "size": 2_000_000},
    )
    assert names("confidence:0.87") == ["a.wav", "b.wav"]
    assert names("confidence:87.5%..") == ["c.wav"]
    assert names("duration:0:30..1:30") == ["a.wav", "b.wav"]
    assert names("duration:..20ms") == ["c.wav"]
    assert names("size:1.50KiB") == ["b.wav"]
    assert names("size:2M") == ["c.wav"]
    assert names("size:1500") == ["a.wav"]


def at(*fields: int) -> float:
    """A local time as Unix time."""
    return time.mktime((*fields, *[1, 1, 1, 0, 0, 0][len(fields) :], 0, 0, -1))


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time with summer time, which ends on 2026-10-25."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("term", "low", "high"),
    [
        ("2026", (2026,), (2027,)),
        ("2026-10", (2026, 10), (2026, 11)),
        ("2026-12", (2026, 12), (2027, 1)),
        ("2026-10-25", (2026, 10, 25), (2026, 10, 26)),
        ("2026-10-31T18", (2026, 10, 31, 18), (2026, 10, 31, 19)),
        ("2026-10-31 18:30", (2026, 10, 31, 18, 30), (2026, 10, 31, 18, 31)),
        ("2026-10-01..2026-10-31", (2026, 10, 1), (2026, 11, 1)),
        ("2026-02..2026-03-15T12", (2026, 2), (2026, 3, 15, 13)),
        ("today", (2026, 10, 31), (2026, 11, 1)),
        ("yesterday", (2026, 10, 30), (2026, 10, 31)),
    ],
)
def test_a_date_stands_for_the_whole_of_it(
    tmp_path: Path, term: str, low: tuple[int, ...], high: tuple[int, ...]
) -> None:
    """From its first moment, local time, to the last before the next."""
    path = str(tmp_path / "index.sqlite3")
    first, after = at(*low), at(*high)
    with open_shelf(path) as shelf:
        for moment in (first - 0.01, first, after - 0.01, after):
            shelf.add(f"{moment}.wav", added=moment)
    with open_reader(path) as reader:
        assert ask(reader, [f"added:{term}"]) == [2, 3]


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("added:7d..", ["day.wav", "hour.wav", "now.wav"]),
        ("added:-7d..", ["day.wav", "hour.wav", "now.wav"]),
        ("added:7d", ["day.wav", "hour.wav", "now.wav"]),
        ("added:..2h", ["old.wav", "day.wav"]),
        ("added:2d..2h", ["day.wav"]),
        ("added:90min..", ["hour.wav", "now.wav"]),
        ("added:1m..1w", ["old.wav"]),
        ("added:..", ["old.wav", "day.wav", "hour.wav", "now.wav"]),
    ],
)
def test_an_age_counts_back_from_now(
    shelf_reader: Callable[..., Any], term: str, found: list[str]
) -> None:
    """`7d..` is younger than seven days, `..2h` older than two hours."""
    names = shelf_reader(
        {"name": "old.wav", "added": NOW - 20 * DAY},
        {"name": "day.wav", "added": NOW - DAY},
        {"name": "hour.wav", "added": NOW - HOUR},
        {"name": "now.wav", "added": NOW},
    )
    assert names(term) == found


@pytest.mark.parametrize("terms", [["foo,", "kick"], ["foo", ",", "kick"], ["kick", ",", "foo"]])
def test_a_comma_is_or_wherever_it_stands(
    shelf_reader: Callable[..., Any], terms: list[str]
) -> None:
    """`a, b` and `a , b` are the same."""
    assert shelf_reader({"name": "kick.wav"})(*terms) == ["kick.wav"]


def test_a_word_with_a_colon_is_looked_for_when_it_is_escaped(
    shelf_reader: Callable[..., Any],
) -> None:
    """`12\\:30` is a word and no field."""
    assert shelf_reader({"name": "take 12:30.wav"})("12\\:30") == ["take 12:30.wav"]


def test_signs_that_sql_knows_stand_for_themselves(shelf_reader: Callable[..., Any]) -> None:
    """`%`, `_`, `\\` and quotes in a word are text."""
    names = shelf_reader({"name": "100%_\\'\".wav"}, {"name": "1000.wav"})
    for word in ("100%", "%_", "_\\", "'\"", "name:%", "-name:1000"):
        assert names(word) == ["100%_\\'\".wav"]


@pytest.mark.parametrize(
    ("term", "message", "character", "hint"),
    [
        ("colour:red", "no field 'colour'", 1, r"Fields: name, path.*colour\\:red"),
        ("confidnce:0.5", "no field 'confidnce'", 1, "did you mean confidence"),
        ("-lable:kick", "no field 'lable'", 2, "did you mean label"),
        ("confidence:x", "'x' is not a number", 12, "0.4..0.6"),
        ("confidence:0.4..O.6", "'O.6' is not a number", 17, "0.4..0.6"),
        ("confidence:0.4x", "no unit 'x'", 15, "%"),
        ("confidence:0.6..0.4", "runs backwards", 12, "write 0.4..0.6"),
        ("confidence::0.5", "is a number", 12, "LOW..HIGH"),
        ("added:lately", "neither a date nor an age", 7, "2026-10-31"),
        ("added:2026-13", "is no date", 7, "2026-10-31"),
        ("added:2026-02-30", "is no date", 7, "2026-10-31"),
        ("added:7q..", "no unit 'q' of time", 8, "min, h, d"),
        ("added:..2026-10-1x", "neither a date nor an age", 18, "2026-10-31"),
        ("added:1d..2d", "runs backwards", 7, "write 2d..1d"),
        ("name::(", "regular expression", 7, "Python"),
        ("name::ab[", "regular expression", 9, "Python"),
        ("digest:12xy", "digits 0-9 and a-f", 10, "beginning"),
        ("state:queued", "no state 'queued'", 7, "claimed, placing, filed"),
        ("state:quarantine", "no state 'quarantine'", 7, "did you mean quarantined"),
        ("mode:mvoe", "no mode 'mvoe'", 6, "did you mean move"),
        ("label:", "value is missing", 7, "quote"),
        ("retained:maybe", "neither yes nor no", 10, "yes or no"),
        ("aded-", "no field 'aded' to sort by", 1, "added-"),
    ],
)
def test_a_term_that_cannot_be_read_says_where_and_what_instead(
    term: str, message: str, character: int, hint: str
) -> None:
    """The error names the term, the fault's place in it, and the remedy."""
    with pytest.raises(QueryError, match=message) as caught:
        compile_query(["kick", term], root=ROOT, now=NOW)
    assert f"at character {character} of the term {term!r}" in caught.value.message
    assert re.search(hint, str(caught.value.hint))


@pytest.mark.parametrize("terms", [[","], ["kick", ","], [",", "kick"], ["a", ",", ",", "b"]])
def test_a_comma_with_nothing_beside_it_is_refused(terms: list[str]) -> None:
    """An empty side would list the whole archive."""
    with pytest.raises(QueryError, match="one side"):
        compile_query(terms, root=ROOT, now=NOW)


@given(st.lists(st.text(max_size=12), max_size=4))
def test_any_words_either_compile_or_are_explained(words: list[str]) -> None:
    """Nothing that can be typed ends in a traceback, from the parser or from SQLite."""
    try:
        query = compile_query(words, root=ROOT, now=NOW)
    except QueryError as error:
        assert error.hint  # noqa: PT017 - either outcome is right
        return
    sql, parameters = query.where()
    assert sql.count("?") >= len(parameters) == sql.replace("'\\'", "").count("?")


@given(st.sampled_from(FIELDS), st.text(alphabet="0123456789.:-dhms%TkMiB ", max_size=30))
def test_any_value_of_a_field_either_compiles_or_is_explained(name: str, value: str) -> None:
    """Numbers, dates and units of every length and shape."""
    try:
        compile_query([f"{name}:{value}"], root=ROOT, now=NOW)
    except QueryError as error:
        assert error.hint  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    "terms",
    [
        ["digest:a1b2"],
        ["label:KICK"],
        ["fine:kick"],
        ["label:nope"],
        ["added:1h.."],
        ["confidence:..0.001"],
        ["added:1h..", "kick", ",", "digest:ff"],
    ],
)
def test_selective_terms_do_not_visit_every_row(tmp_path: Path, terms: list[str]) -> None:
    """Where an index narrows the question, the work doesn't grow with the archive."""
    path = tmp_path / "index.sqlite3"
    with open_shelf(str(path)) as shelf:
        shelf.add("kick.wav")
        shelf.connection.execute(
            f"""INSERT INTO samples (digest, state, label, confidence, path, source, inbox, pack,
                                     name, size, mtime_ns, device, inode, added)
                WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {NARROW_ROWS + 1000})
                SELECT printf('00%08x', i), 'filed', 'Tom', 0.5, i, i, '', '', i, 1, 0, 0, i, i FROM n"""
        )
    connection = sqlite3.connect(path)
    ticks: list[int] = []
    connection.set_progress_handler(lambda: ticks.append(1), 1000)
    ask(Reader(connection, str(path)), terms)
    connection.close()
    # One pass over the table is more than 20,000 rows of several steps each.
    assert len(ticks) < 10


def test_the_first_sample_comes_before_the_last_is_looked_for(tmp_path: Path) -> None:
    """Listing streams: a reader that stops early pays for what it took."""
    path = tmp_path / "index.sqlite3"
    with open_shelf(str(path)) as shelf:
        for number in range(3000):
            shelf.add(f"{number}.wav")
    seen: list[str] = []

    def looked_at(name: str) -> int:
        seen.append(name)
        return 1

    with open_reader(str(path)) as reader:
        query = compile_query(["name::wav"], root=ROOT, now=NOW)
        query = type(query)(query.groups, query.order, {"passes_0": looked_at})
        next(iter(reader.rows(query, ("name",))))
    assert len(seen) < 10


def test_an_interrupt_within_a_regular_expression_is_not_swallowed(tmp_path: Path) -> None:
    """Ctrl-C while SQLite calls back ends the listing as Ctrl-C."""
    path = tmp_path / "index.sqlite3"
    with open_shelf(str(path)) as shelf:
        shelf.add()

    def interrupted(_name: str) -> int:
        raise KeyboardInterrupt

    with open_reader(str(path)) as reader:
        query = compile_query(["name::wav"], root=ROOT, now=NOW)
        query = type(query)(query.groups, query.order, {"passes_0": interrupted})
        with pytest.raises(KeyboardInterrupt):
            list(reader.rows(query, ("name",)))


def test_names_that_are_not_utf8_come_back_as_python_spells_them(
    shelf_reader: Callable[..., Any],
) -> None:
    """A sample's fields are strings with surrogate escapes, whatever SQLite holds."""
    assert isinstance(to_db("\udcff\udce9.wav"), bytes)
    names = shelf_reader({"name": "\udcff\udce9.wav", "pack": "\udcfe"})
    for term in ("wav", "\udcff", "pack:\udcfe", "name::\udce9", "path:\udce9.", "-name:kick"):
        assert names(term) == ["\udcff\udce9.wav"]
