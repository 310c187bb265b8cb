"""The commented configuration that ships with drumwatchd, and the places filled into it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from drumwatchd.config.lines import Key, find_lines
from drumwatchd.config.render import toml_value
from drumwatchd.errors import ConfigError

NAME = "config.example.toml"


def example_text() -> str:
    """The example as it ships: in the package once installed, else in the repository.

    Raises:
        ConfigError: it is in neither place.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package, package.parent):
        if (folder / NAME).is_file():
            return (folder / NAME).read_text(encoding="utf-8")
    raise ConfigError(
        "the example configuration is missing",
        path=str(package / NAME),
        hint="reinstall drumwatchd",
    )


def fill(text: str, values: Mapping[Key, str]) -> str:
    """Replace the text value of each key, on the line where it stands; comments stay.

    Raises:
        KeyError: a key isn't in `text`.
    """
    numbers = find_lines(text)
    lines = text.split("\n")
    for key, value in values.items():
        at = numbers[key] - 1
        replacement = toml_value(value).replace("\\", r"\\")
        lines[at] = re.sub(r'"[^"]*"', replacement, lines[at], count=1)
    return "\n".join(lines)
