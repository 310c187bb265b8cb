"""The log: one line an event, on stderr; whoever runs us stores it.

An event is a constant lowercase phrase with fields::

    log = get_logger()
    log.info("filed", digest=digest, label="Kick", duration_ms=41)

On a terminal lines are for people; under systemd they are JSON. `configure` may be called again
at any time, as after SIGHUP, and loggers made by `get_logger` follow.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Literal


@contextlib.contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Make an import fail that is only tried."""
    known = sys.modules.get(package)
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]
        if known is not None:
            sys.modules[package] = known


# structlog imports rich wherever it is installed, for tracebacks that are drawn; ours are plain, and
# rich would cost the daemon 5 MB and every start 30 ms.
with _hidden("rich"):
    import structlog

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_DIGEST_DIGITS = 12
_FIRST_KEYS = ("timestamp", "level", "event")
# The only fields that are meant to have more than one line.
_MULTILINE_KEYS = ("exception", "stack")


def configure(
    level: Level = "info", format: Format = "auto", environ: Mapping[str, str] = os.environ
) -> None:
    """Set how much is said, and in which form; may be called again.

    Args:
        level: the least that is said.
        format: ``json``, ``console``, or ``auto``: readable on a terminal, JSON under systemd,
            readable without colour elsewhere.
        environ: tells whether systemd runs us, and ``NO_COLOR``.
    """
    as_json = format == "json" or (format == "auto" and _wants_json(environ))
    renderer: list[Any] = (
        [structlog.processors.JSONRenderer(ensure_ascii=False)]
        if as_json
        else [_shorten_digest, _escape_controls, _console_renderer(environ)]
    )
    time_format, utc = ("iso", True) if as_json else ("%Y-%m-%d %H:%M:%S", False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt=time_format, utc=utc),
            structlog.processors.format_exc_info,
            _make_printable,
            _put_first_keys_first,
            *renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=_StderrFactory(is_journal(environ)),
        # A cached logger would keep the level it was first used with.
        cache_logger_on_first_use=False,
    )
    _route_libraries(max(_LEVELS[level], logging.WARNING))


def get_logger() -> Any:
    """A logger; may be made at import, before `configure` is called."""
    return structlog.get_logger()


def is_journal(environ: Mapping[str, str]) -> bool:
    """Whether stderr is journald's own stream.

    References:
        systemd.exec(5), ``$JOURNAL_STREAM``: device and inode of the stream.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream = os.fstat(sys.stderr.fileno())
        return environ.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"
    return False


def printable(value: Any) -> Any:
    r"""Spell paths and bytes so that any encoder takes them: ``b"\xff.wav"`` as ``\xff.wav``."""
    if isinstance(value, str):
        return _without_surrogates(value)
    if isinstance(value, bytes | os.PathLike):
        return _without_surrogates(os.fsdecode(value))
    if isinstance(value, list | tuple):
        return [printable(item) for item in value]
    if isinstance(value, Mapping):
        return {printable(key): printable(item) for key, item in value.items()}
    return value


def _without_surrogates(text: str) -> str:
    if text.isascii():
        return text
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        raw = text.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")


def _wants_json(environ: Mapping[str, str]) -> bool:
    # Desktop terminals inherit both variables from the session's own unit: a terminal comes first.
    if _is_terminal():
        return False
    return bool(environ.get("JOURNAL_STREAM") or environ.get("INVOCATION_ID"))


def _is_terminal() -> bool:
    return sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()


def _console_renderer(environ: Mapping[str, str]) -> structlog.dev.ConsoleRenderer:
    wants_colour = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    return structlog.dev.ConsoleRenderer(
        colors=_is_terminal() and wants_colour,
        sort_keys=False,
        exception_formatter=structlog.dev.plain_traceback,
    )


def _make_printable(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    return {key: printable(value) for key, value in event.items()}


def _put_first_keys_first(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    first = {key: event[key] for key in _FIRST_KEYS if key in event}
    return first | {key: event[key] for key in event if key not in first}


def _shorten_digest(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """For people as many digits as `drumwatchd show` needs, so that a line fits."""
    if isinstance(event.get("digest"), str):
        event["digest"] = event["digest"][:_DIGEST_DIGITS]
    return event


def _escape_controls(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A file name must not move the cursor or forge a second line."""
    return {
        key: _escaped(value) if isinstance(value, str) and key not in _MULTILINE_KEYS else value
        for key, value in event.items()
    }


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


class _StderrFactory:
    """Makes the loggers that structlog writes through."""

    def __init__(self, is_journal: bool) -> None:
        self._logger = _StderrLogger(is_journal)

    def __call__(self, *_arguments: Any) -> _StderrLogger:
        return self._logger


class _StderrLogger:
    """Writes whole lines to whatever stderr is now, and outlives its loss."""

    _lock = threading.Lock()

    def __init__(self, is_journal: bool) -> None:
        self._is_journal = is_journal

    def _write(self, message: str, priority: int) -> None:
        # journald takes the priority from this prefix, so that `journalctl -p` can filter.
        prefix = f"<{priority}>" if self._is_journal else ""
        # A daemon whose terminal or pipe has gone still has samples to file.
        with self._lock, contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"{prefix}{message}\n")
            sys.stderr.flush()

    def debug(self, message: str) -> None:
        self._write(message, 7)

    def info(self, message: str) -> None:
        self._write(message, 6)

    def warning(self, message: str) -> None:
        self._write(message, 4)

    def error(self, message: str) -> None:
        self._write(message, 3)

    def critical(self, message: str) -> None:
        self._write(message, 2)

    msg = info
    warn = warning
    exception = error
    fatal = critical


class _LibraryHandler(logging.Handler):
    """Hands what libraries say through `logging` to our own log."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(
            min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL),
            "library message",
            library=record.name,
            message=record.getMessage(),
            **({"exc_info": record.exc_info} if record.exc_info else {}),
        )


def _route_libraries(level: int) -> None:
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _LibraryHandler):
            root.removeHandler(handler)
    root.addHandler(_LibraryHandler(level))
