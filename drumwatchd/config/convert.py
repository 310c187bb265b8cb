"""One TOML table into its Struct, key by key, so that every fault is found."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import inspect, structs

from drumwatchd.config.faults import Faults, listed, nearest
from drumwatchd.config.lines import Key
from drumwatchd.config.model import Text
from drumwatchd.config.render import toml_value

S = TypeVar("S", bound=msgspec.Struct)
Resolve = Callable[[str], Path]

# What to write where a key has no default to propose.
EXAMPLES: Mapping[tuple[str, str], str] = {
    ("InboxConfig", "path"): "inbox",
    ("ArchiveConfig", "root"): "archive",
    ("IndexConfig", "path"): "index.sqlite3",
}


def convert_table(
    kind: type[S], values: object, key: Key, resolve: Resolve, faults: Faults
) -> S | None:
    """Convert one table; a faulty key falls back to its default, so that later checks go on.

    Args:
        kind: the Struct of this table.
        values: the table as tomli gave it.
        key: where the table stands.
        resolve: makes a path absolute.
        faults: collects what is wrong.

    Returns:
        The table, or None if a key without a default is missing or faulty.
    """
    if not isinstance(values, dict):
        header = f"[{key[0]}]" if len(key) == 1 else f"[[{key[0]}]]"
        faults.add(key, "must be a table", f"write {header} on a line of its own, its keys below")
        return None
    fields = {field.name: field for field in structs.fields(kind)}
    _report_unknown(values, fields, key, faults)
    converted: dict[str, Any] = {}
    for name, field in fields.items():
        proposal = f"write {name} = {toml_value(_proposal(kind, field))}"
        if name not in values:
            if field.required:
                faults.add((*key, name), "is missing", proposal)
            continue
        try:
            converted[name] = _convert_value(field.type, values[name], resolve)
        except msgspec.ValidationError:
            _report_value((*key, name), values[name], field, proposal, faults)
    missing = any(field.required and name not in converted for name, field in fields.items())
    return None if missing else kind(**converted)


def _proposal(kind: type[msgspec.Struct], field: structs.FieldInfo) -> object:
    return EXAMPLES[(kind.__name__, field.name)] if field.required else field.default


def _report_unknown(
    values: Mapping[str, object], known: Mapping[str, object], key: Key, faults: Faults
) -> None:
    for name in values:
        if name not in known:
            close = nearest(name, known)
            fix = f"write {close}" if close else f"remove it; {key[0]} has {listed(known, 'and')}"
            faults.add((*key, name), "is not a known key", fix)


def _convert_value(type_: Any, value: object, resolve: Resolve) -> Any:
    """Raises `msgspec.ValidationError` if `value` isn't of `type_` and within its bounds."""
    if type_ is Path:
        return resolve(msgspec.convert(value, type=Text))
    return msgspec.convert(value, type=type_)


def _report_value(
    key: Key, value: object, field: structs.FieldInfo, proposal: str, faults: Faults
) -> None:
    """Say what is wrong with a value that msgspec refused; of a list, with each element."""
    expected = inspect.type_info(field.type)
    if not (isinstance(expected, inspect.VarTupleType) and isinstance(value, list) and value):
        faults.add(
            key, _problem(value, describe(field.type)), _fix(str(key[-1]), value, field, proposal)
        )
        return
    for number, item in enumerate(value):
        if not isinstance(item, str):
            fix = f'write "{_short(item)}"' if isinstance(item, int | float) else "remove it"
            faults.add((*key, number), _problem(item, "text in quotes"), fix)
        elif not item or "\0" in item:
            faults.add((*key, number), _problem(item, "text in quotes"), "remove it")


def _problem(value: object, expected: str) -> str:
    if value in ("", []):
        return "must not be empty"
    if isinstance(value, str) and "\0" in value:
        return "must not contain a NUL character"
    return f"must be {expected}, not {_short(value)}"


def describe(type_: Any) -> str:
    """What a key of this type may hold, in words."""
    expected = inspect.type_info(type_)
    if isinstance(expected, inspect.LiteralType):
        return listed(map(toml_value, get_args(type_)))
    if isinstance(expected, inspect.BoolType):
        return "true or false"
    if isinstance(expected, inspect.VarTupleType):
        return "a list of texts"
    if isinstance(expected, inspect.IntType | inspect.FloatType):
        kind = "a whole number" if isinstance(expected, inspect.IntType) else "a number"
        return f"{kind} from {expected.ge} to {expected.le}"
    return "text in quotes"


def _fix(name: str, value: object, field: structs.FieldInfo, proposal: str) -> str:
    """The nearest allowed value, or the number that stands in quotes, or the default."""
    expected = inspect.type_info(field.type)
    meant: object = None
    if isinstance(value, str) and isinstance(expected, inspect.LiteralType):
        meant = nearest(value, map(str, expected.values))
    elif isinstance(value, str):
        meant = _unquoted_number(value, field.type)
    return proposal if meant is None else f"write {name} = {toml_value(meant)}"


def _unquoted_number(text: str, type_: Any) -> object:
    """The number in `text`, if the key would take it."""
    with contextlib.suppress(ValueError):  # msgspec.ValidationError is one
        if not isinstance(number := msgspec.convert(text, type=type_, strict=False), tuple):
            return number
    return None


def _short(value: object) -> str:
    text = toml_value(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
