"""``DRUMWATCHD_<TABLE>_<KEY>`` variables override keys of the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import tomli
from msgspec import structs

from drumwatchd.config.faults import Faults, nearest
from drumwatchd.config.lines import Key
from drumwatchd.config.model import ARRAYS, TABLES

PREFIX = "DRUMWATCHD_"
# Ours, but no keys: the first names the file itself, the second a test corpus.
NOT_KEYS = ("DRUMWATCHD_CONFIG", "DRUMWATCHD_CORPUS")


class Override(NamedTuple):
    """One variable that is set, and the key it stands for."""

    variable: str
    table: str
    key: str
    raw: str


def variables() -> dict[str, tuple[str, str]]:
    """Every variable that overrides a key, with its table and key."""
    return {
        f"{PREFIX}{table}_{field.name}".upper(): (table, field.name)
        for table, kind in TABLES.items()
        for field in structs.fields(kind)
    }


def find_overrides(environ: Mapping[str, str]) -> tuple[Override, ...]:
    """The overrides in force, by name."""
    known = variables()
    return tuple(
        Override(name, *known[name], environ[name]) for name in sorted(environ) if name in known
    )


def apply_overrides(document: dict[str, Any], environ: Mapping[str, str]) -> dict[Key, str]:
    """Put the overrides into `document`, in place.

    ``DRUMWATCHD_INBOX_…`` reaches every inbox; ``DRUMWATCHD_INBOX_PATH`` may make the only one.

    Returns:
        The variable that each overridden key comes from.
    """
    origins: dict[Key, str] = {}
    for override in find_overrides(environ):
        for place, table in _targets(document, override):
            table[override.key] = _value(override)
            origins[(*place, override.key)] = override.variable
    return origins


def check_variables(
    document: Mapping[str, Any], environ: Mapping[str, str], faults: Faults
) -> None:
    """Report variables that name no key, and one path for many inboxes."""
    known = variables()
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and name not in NOT_KEYS:
            close = nearest(name, known)
            fix = f"set {close} instead" if close else "unset it"
            faults.add_variable(name, "", "names no key of the configuration", fix)
    inboxes = document.get("inbox")
    if "DRUMWATCHD_INBOX_PATH" in environ and isinstance(inboxes, list) and len(inboxes) > 1:
        faults.add_variable(
            "DRUMWATCHD_INBOX_PATH",
            "inbox.path",
            f"one path can't stand for {len(inboxes)} inboxes",
            "unset it, and write each path in the file",
        )


def _targets(document: dict[str, Any], override: Override) -> Iterator[tuple[Key, dict[str, Any]]]:
    if override.table not in ARRAYS:
        table = document.setdefault(override.table, {})
        if isinstance(table, dict):
            yield (override.table,), table
        return
    is_path = override.key == "path"
    tables = document.setdefault(override.table, [{}] if is_path else [])
    if not isinstance(tables, list) or (is_path and len(tables) > 1):
        return
    for number, table in enumerate(tables):
        if isinstance(table, dict):
            yield (override.table, number), table


def _value(override: Override) -> object:
    """A TOML value where the text is one, else the text itself.

    A key that takes text takes it as it stands, so that a folder may be called ``2024``.
    """
    try:
        parsed = tomli.loads(f"value = {override.raw}")
    except (ValueError, RecursionError):  # no TOML, or beyond Python's limits
        return override.raw
    value = parsed["value"]
    takes_number_or_list = not isinstance(value, str) and _takes_text(override)
    return override.raw if len(parsed) > 1 or takes_number_or_list else value


def _takes_text(override: Override) -> bool:
    from msgspec.inspect import CustomType, LiteralType, StrType, type_info

    field = next(f for f in structs.fields(TABLES[override.table]) if f.name == override.key)
    return isinstance(type_info(field.type), CustomType | LiteralType | StrType)
