"""A configuration written back as TOML; loading that gives the same configuration."""

from __future__ import annotations

from os import PathLike, fspath

import msgspec

from drumwatchd.config.model import Config

_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\", 0x7F: "\\u007F"} | {
    code: f"\\u{code:04X}" for code in range(32)
}


def render(config: Config) -> str:
    """Every key of `config` with the value in force, as TOML."""
    tables: list[tuple[str, msgspec.Struct]] = [
        *(("[[inbox]]", inbox) for inbox in config.inboxes),
        ("[archive]", config.archive),
        ("[index]", config.index),
        ("[classify]", config.classify),
        ("[retrain]", config.retrain),
        *(("[[hook]]", hook) for hook in config.hooks),
        ("[metrics]", config.metrics),
        ("[log]", config.log),
    ]
    return "\n".join(f"{header}\n{_pairs(table)}" for header, table in tables)


def _pairs(table: msgspec.Struct) -> str:
    return "".join(
        f"{name} = {toml_value(value)}\n" for name, value in msgspec.structs.asdict(table).items()
    )


def toml_value(value: object) -> str:
    """Spell one value as TOML does; what TOML can't say is shown as Python shows it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | PathLike):
        return f'"{fspath(value).translate(_ESCAPES)}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        pairs = (f"{key} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    return str(value)
