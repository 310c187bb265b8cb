"""The example and the reference say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
import tomli
from msgspec import structs

from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.config import load_config
from drumwatchd.config.convert import EXAMPLES, describe
from drumwatchd.config.environment import variables
from drumwatchd.config.example import example_text, fill
from drumwatchd.config.lines import find_lines
from drumwatchd.config.model import ARRAYS, PLACEHOLDERS, TABLES
from drumwatchd.config.render import toml_value

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = (ROOT / "docs/reference/configuration.md").read_text(encoding="utf-8")
KEYS = [(table, field) for table, kind in TABLES.items() for field in structs.fields(kind)]
IDS = [f"{table}.{field.name}" for table, field in KEYS]
each_key = pytest.mark.parametrize(("table", "field"), KEYS, ids=IDS)


def example_table(name: str) -> dict[str, object]:
    document = tomli.loads(example_text())
    table = document[name][0] if name in ARRAYS else document[name]
    assert isinstance(table, dict)
    return table


def test_example_is_the_one_in_the_repository() -> None:
    """The file that people read is the file that `init` writes."""
    assert example_text() == (ROOT / "config.example.toml").read_text(encoding="utf-8")


@each_key
def test_example_shows_the_default(table: str, field: structs.FieldInfo) -> None:
    """Every key stands in the example, with its default."""
    value = example_table(table)[field.name]
    if not field.required:
        assert msgspec.convert(value, type=field.type) == field.default


def test_example_names_nothing_else(tmp_path: Path) -> None:
    """The example has no key that the code doesn't know, and loads as it is."""
    assert sorted(tomli.loads(example_text())) == sorted(TABLES)
    (tmp_path / "config.toml").write_text(example_text(), encoding="utf-8")
    load_config(tmp_path / "config.toml", {})


@each_key
def test_example_explains_every_key(table: str, field: structs.FieldInfo) -> None:
    """Each key has a comment, on its line or on the one above it."""
    key = (table, 0, field.name) if table in ARRAYS else (table, field.name)
    lines = example_text().split("\n")
    at = find_lines(example_text())[key] - 1
    above = lines[at - 1]
    assert "# " in lines[at] or above.startswith(("#", "[["))


def test_example_is_narrow() -> None:
    """The example fits an editor's window."""
    assert max(map(len, example_text().split("\n"))) <= 100


@each_key
def test_reference_tells_default_and_bounds(table: str, field: structs.FieldInfo) -> None:
    """The reference has a row for every key, with its default and what it may be."""
    header = f"[[{table}]]" if table in ARRAYS else f"[{table}]"
    section = REFERENCE.split(f"## `{header}`\n")[1].split("\n## ")[0]
    row = re.search(rf"^\| `{field.name}` \| (.*?) \| (.*?) \| (.+) \|$", section, re.MULTILINE)
    assert row is not None
    default = "required" if field.required else f"`{toml_value(field.default)}`"
    assert row[1] == default
    assert row[2].replace("`", "") == describe(field.type)


def test_reference_has_no_other_keys() -> None:
    """No row of the reference is about a key that is gone."""
    rows = re.findall(r"^\| `([a-z_0-9]+)` \|", REFERENCE, re.MULTILINE)
    assert sorted(rows) == sorted(field.name for _, field in KEYS)


def test_reference_names_placeholders_and_labels() -> None:
    """Every placeholder and every label stands in the reference."""
    assert re.findall(r"^\| `\{(\w+)\}` \|", REFERENCE, re.MULTILINE) == list(PLACEHOLDERS)
    listed = REFERENCE.split("The labels: ")[1].split(".")[0]
    assert tuple(re.split(r",\s+", listed)) == FINE_LABELS


def test_variables_in_the_docs_exist() -> None:
    """A variable that the example or the reference shows does override a key."""
    shown = re.findall(r"(DRUMWATCHD_[A-Z_]+)=", REFERENCE + example_text())
    assert shown
    assert set(shown) <= set(variables())


def test_every_required_key_has_an_example() -> None:
    """Where no default can be proposed there is an example to propose."""
    required = {(TABLES[table].__name__, field.name) for table, field in KEYS if field.required}
    assert required == set(EXAMPLES)


def test_filling_keeps_comments() -> None:
    """A place that is filled in replaces the value alone, backslashes and quotes included."""
    text = fill(example_text(), {("index", "path"): 'a\\1"b'})
    assert tomli.loads(text)["index"]["path"] == 'a\\1"b'
    assert "# remembers every sample" in text.split("\n")[find_lines(text)[("index", "path")] - 1]
