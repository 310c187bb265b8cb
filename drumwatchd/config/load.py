"""Read the configuration file, and either trust all of it or say all that is wrong."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tomli

from drumwatchd.config import checks
from drumwatchd.config.convert import Resolve, convert_table
from drumwatchd.config.environment import apply_overrides, check_variables
from drumwatchd.config.faults import Faults, listed, nearest
from drumwatchd.config.lines import find_lines
from drumwatchd.config.model import (
    ARRAYS,
    TABLES,
    ArchiveConfig,
    ClassifyConfig,
    Config,
    HookConfig,
    InboxConfig,
    IndexConfig,
    LogConfig,
    MetricsConfig,
    RetrainConfig,
)
from drumwatchd.config.places import absolute_path
from drumwatchd.errors import ConfigError

S = TypeVar("S", bound=msgspec.Struct)


def load_config(path: str | os.PathLike[str], environ: Mapping[str, str] = os.environ) -> Config:
    """Read and check the configuration, ``DRUMWATCHD_…`` variables applied.

    Raises:
        ConfigError: the file can't be read, or has faults; its `faults` are all there are.
    """
    file = Path(os.path.abspath(path))
    text = _read(file)
    document = _parse(text, file)
    variables = apply_overrides(document, environ)
    faults = Faults(find_lines(text), variables)
    check_variables(document, environ, faults)
    config = _convert(document, file, environ, faults)
    if faults.found or config is None:
        raise faults.error(file)
    return config


def _read(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the configuration can't be read ({error.strerror})",
            path=str(file),
            hint="make one with `drumwatchd init`, or name another with --config",
        ) from error
    try:
        # Some editors put a byte order mark in front, which TOML doesn't know.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        faults = Faults({("",): content.count(b"\n", 0, error.start) + 1})
        faults.add(("",), "is not UTF-8 text", "save the file as UTF-8")
        raise faults.error(file) from error


def _parse(text: str, file: Path) -> dict[str, Any]:
    try:
        return tomli.loads(text)
    except (ValueError, RecursionError) as error:  # a number or a nesting beyond Python's limits
        problem = re.sub(r" \(at .*\)$", "", str(error))
        place = re.search(r"\(at line (\d+)", str(error))
        line = int(place[1]) if place else _line_left_open(text)
        faults = Faults({("",): line})
        faults.add(("",), f"is not TOML: {problem}", _syntax_fix(text, line))
        raise faults.error(file) from error


def _line_left_open(text: str) -> int:
    """The line of the quote or bracket that has no partner until the end: all before it is TOML."""
    lines = text.split("\n")
    for count in range(len(lines) - 1, 0, -1):
        with contextlib.suppress(ValueError, RecursionError):
            tomli.loads("\n".join(lines[:count]))
            return count + 1
    return 1


def _syntax_fix(text: str, line: int) -> str:
    """Guess the commonest slip, a text without quotes, from the line itself."""
    content = text.split("\n")[line - 1]
    pair = re.match(r"\s*([\w.-]+)\s*=\s*([^\s\"'\[{#][^#]*)", content)
    if pair and not re.fullmatch(r"[\d.]+|true|false", pair[2].strip()):
        return f'text stands in quotes: {pair[1]} = "{pair[2].strip()}"'
    return "look at this line and the one above it for a quote, bracket or = that is missing"


def _convert(
    document: dict[str, Any], file: Path, environ: Mapping[str, str], faults: Faults
) -> Config | None:
    def resolve(text: str) -> Path:
        return absolute_path(text, file.parent, environ)

    def table(kind: type[S], name: str) -> S | None:
        return convert_table(kind, document.get(name, {}), (name,), resolve, faults)

    _report_unknown_tables(document, faults)
    inboxes = _convert_inboxes(document.get("inbox", []), resolve, faults)
    archive, index = table(ArchiveConfig, "archive"), table(IndexConfig, "index")
    classify, retrain = table(ClassifyConfig, "classify"), table(RetrainConfig, "retrain")
    hooks = _convert_hooks(document.get("hook", []), resolve, faults)
    metrics, log = table(MetricsConfig, "metrics"), table(LogConfig, "log")
    checks.check_places(inboxes, archive, index, faults)
    if archive:
        checks.check_name_template(archive.name_template, faults)
    if classify:
        checks.check_target_labels(classify.target_labels, faults)
    if metrics:
        checks.check_listen(metrics.listen, faults)
    if not (inboxes and archive and index and classify and retrain and metrics and log):
        return None
    return Config(
        path=file,
        inboxes=tuple(inbox for _, inbox in inboxes),
        archive=archive,
        index=index,
        classify=_with_model_path(classify, resolve),
        retrain=retrain,
        hooks=hooks,
        metrics=_with_textfile(metrics, resolve),
        log=log,
    )


def _report_unknown_tables(document: Mapping[str, Any], faults: Faults) -> None:
    for name in document:
        if name not in TABLES:
            close = nearest(name, TABLES)
            fix = f"write {_header(close)}" if close else f"there are {_headers()}"
            faults.add((name,), "is not a known table", fix)


def _header(table: str) -> str:
    return f"[[{table}]]" if table in ARRAYS else f"[{table}]"


def _headers() -> str:
    return listed(map(_header, TABLES), "and")


def _convert_inboxes(
    tables: object, resolve: Resolve, faults: Faults
) -> list[tuple[int, InboxConfig]]:
    """Those that are sound enough to go on with, each with its number in the file."""
    if isinstance(tables, dict):
        faults.add(("inbox",), "there may be many inboxes", "write [[inbox]] with two brackets")
        return []
    if not isinstance(tables, list) or not tables:
        faults.add(("inbox",), "no inbox is named", 'write [[inbox]], and below it path = "inbox"')
        return []
    converted = (
        (number, convert_table(InboxConfig, table, ("inbox", number), resolve, faults))
        for number, table in enumerate(tables)
    )
    return [(number, inbox) for number, inbox in converted if inbox]


def _convert_hooks(tables: object, resolve: Resolve, faults: Faults) -> tuple[HookConfig, ...]:
    if not isinstance(tables, list):
        faults.add(("hook",), "there may be many hooks", "write [[hook]] with two brackets")
        return ()
    converted = []
    for number, table in enumerate(tables):
        hook = convert_table(HookConfig, table, ("hook", number), resolve, faults)
        if hook:
            checks.check_hook(hook, number, faults)
            converted.append(hook)
    return tuple(converted)


def _with_textfile(metrics: MetricsConfig, resolve: Resolve) -> MetricsConfig:
    if not metrics.textfile:
        return metrics
    return msgspec.structs.replace(metrics, textfile=str(resolve(metrics.textfile)))


def _with_model_path(classify: ClassifyConfig, resolve: Resolve) -> ClassifyConfig:
    if not classify.model:
        return classify
    return msgspec.structs.replace(classify, model=str(resolve(classify.model)))
