"""The log, as the real process writes it."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from drumwatchd import log

ROOT = Path(__file__).resolve().parent.parent
UNDER_SYSTEMD = {"INVOCATION_ID": "0" * 32}


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def run(
    code: str, stderr: int, tmp_path: Path, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    keep = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return subprocess.run(
        [sys.executable, "-c", f"import structlog; from drumwatchd import log\n{code}"],
        stderr=stderr,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "TERM": "xterm"} | keep | (environ or {}),
        check=True,
    )


SAY = "log.configure(); structlog.get_logger().info('filed', label='Kick')"


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON: one object a line, time in UTC, level and event first, fields as they are."""
    log.configure("info", "json")
    structlog.get_logger().info("filed", label="Kick", confidence=0.5, top=[["Kick", 0.5]])
    line = written(capsys)[0]
    assert list(line) == ["timestamp", "level", "event", "label", "confidence", "top"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", str(line["timestamp"]))
    assert (line["level"], line["event"], line["top"]) == ("info", "filed", [["Kick", 0.5]])


def test_digests_are_short_for_people_and_whole_for_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A terminal line shows as much of a digest as `show` takes; JSON all of it."""
    for format in ("console", "json"):
        log.configure("info", format)
        structlog.get_logger().info("filed", digest="0123456789abcdef" * 4)
    console, line = capsys.readouterr().err.splitlines()
    assert "0123456789ab" in console
    assert "0123456789abc" not in console
    assert json.loads(line)["digest"] == "0123456789abcdef" * 4


def test_console_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Console: readable, without colour where stderr is no terminal."""
    log.configure("info", "console")
    structlog.get_logger().info("filed", label="Kick")
    line = capsys.readouterr().err
    assert re.fullmatch(r"[\d-]+ [\d:]+ \[info +\] filed +label=Kick\n", line)


@pytest.mark.parametrize(
    ("format", "environ", "is_json"),
    [
        ("auto", UNDER_SYSTEMD, True),
        ("auto", {"JOURNAL_STREAM": "8:1"}, True),
        ("auto", {}, False),
        ("console", UNDER_SYSTEMD, False),
        ("json", {}, True),
    ],
)
def test_format_by_surroundings(
    capsys: pytest.CaptureFixture[str],
    format: log.Format,
    environ: dict[str, str],
    is_json: bool,
) -> None:
    """``auto`` is JSON under systemd; what is asked for explicitly is obeyed."""
    log.configure("info", format, environ)
    structlog.get_logger().info("filed")
    assert capsys.readouterr().err.startswith("{") is is_json


def test_level_may_change_while_running(capsys: pytest.CaptureFixture[str]) -> None:
    """Loggers that exist already follow when the log is configured again."""
    logger = structlog.get_logger()
    for level in ("info", "debug", "error"):
        log.configure(level, "json")
        logger.debug("detail", configured=level)
        logger.info("news", configured=level)
        logger.error("trouble", configured=level)
    assert [(line["event"], line["configured"]) for line in written(capsys)] == [
        ("news", "info"),
        ("trouble", "info"),
        ("detail", "debug"),
        ("news", "debug"),
        ("trouble", "debug"),
        ("trouble", "error"),
    ]


@pytest.mark.parametrize("format", ["json", "console"])
def test_odd_names_are_printable(capsys: pytest.CaptureFixture[str], format: log.Format) -> None:
    """Names that are not UTF-8, and bytes and paths, are spelled so that any reader takes them."""
    log.configure("info", format)
    odd = os.fsdecode(b"\xff\xe9 \xc3\xa9.wav")
    structlog.get_logger().info(
        "filed", a=odd, b=b"\xff", c=Path(odd), d=[odd], e={odd: odd}, f="\ud800"
    )
    text = capsys.readouterr().err
    text.encode()
    assert text.count("\\xff") >= 4
    assert "é.wav" in text
    assert "\\ud800" in text


def test_names_can_not_forge_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A name with a newline or an escape sequence stays on its line and has no effect."""
    log.configure("info", "console")
    structlog.get_logger().info("filed", path="a\nfake\x1b[2J\u2028.wav", source="x\x9b.wav")
    text = capsys.readouterr().err
    assert len(text.splitlines()) == 1
    assert r"a\nfake\x1b[2J\u2028.wav" in text
    assert r"x\x9b.wav" in text


def test_exceptions_are_formatted(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception is a field with its traceback in JSON, lines below the event on a console."""
    for format in ("json", "console"):
        log.configure("info", format)
        try:
            raise ValueError(os.fsdecode(b"\xff"))
        except ValueError:
            structlog.get_logger().exception("failed", path="x")
    first, *rest = capsys.readouterr().err.splitlines()
    line = json.loads(first)
    assert (line["event"], line["level"], line["path"]) == ("failed", "error", "x")
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: \\xff")
    assert rest[1] == "Traceback (most recent call last):"
    assert rest[-1] == "ValueError: \\xff"


def test_libraries_speak_through_our_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings and worse from `logging` come once, as our own lines; their chatter doesn't."""
    for _ in range(3):
        log.configure("info", "json")
    library = logging.getLogger("watchdog")
    library.info("chatter")
    library.warning("lost %d events", 3)
    library.log(35, "an odd level")
    try:
        raise OSError("gone")
    except OSError:
        library.exception("it broke")
    lines = written(capsys)
    assert [(line["level"], line["message"]) for line in lines] == [
        ("warning", "lost 3 events"),
        ("warning", "an odd level"),
        ("error", "it broke"),
    ]
    assert {(line["event"], line["library"]) for line in lines} == {("library message", "watchdog")}
    assert "OSError: gone" in str(lines[2]["exception"])


def test_libraries_heed_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    """With level error a library's warnings are left out too."""
    log.configure("error", "json")
    logging.getLogger("watchdog").warning("small trouble")
    assert written(capsys) == []


def test_terminal_gets_colour_even_in_a_systemd_session(tmp_path: Path) -> None:
    """A terminal inherits systemd's variables from its desktop; its lines are for people."""
    controller, terminal = pty.openpty()
    try:
        for environ, has_colour in (
            ({}, True),
            ({"NO_COLOR": "1"}, False),
            ({"TERM": "dumb"}, False),
        ):
            run(SAY, terminal, tmp_path, UNDER_SYSTEMD | environ)
            line = os.read(controller, 4096)
            assert b"filed" in line
            assert not line.startswith(b"{")
            assert (b"\x1b[" in line) is has_colour
    finally:
        os.close(controller)
        os.close(terminal)


def test_journal_gets_priorities(tmp_path: Path) -> None:
    """On journald's own stream each line carries its priority, elsewhere none does."""
    code = (
        "log.configure(); l = structlog.get_logger()\n"
        "l.info('a'); l.warning('b'); l.error('c'); l.critical('d'); l.exception('e')"
    )
    path = tmp_path / "journal"
    with open(path, "wb") as stream:
        status = os.fstat(stream.fileno())
        environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        run(code, stream.fileno(), tmp_path, environ)
    lines = path.read_text().splitlines()
    assert [line[:3] for line in lines] == ["<6>", "<4>", "<3>", "<2>", "<3>"]
    assert [json.loads(line[3:])["event"] for line in lines] == list("abcde")
    with open(path, "wb") as stream:
        run(SAY, stream.fileno(), tmp_path, {"JOURNAL_STREAM": "1:1"})
    assert path.read_text().startswith("{")


def test_lost_stderr_does_not_stop_the_work(tmp_path: Path) -> None:
    """When whoever read the log has gone, the process goes on."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        code = f"{SAY}\nstructlog.get_logger().info('again')\nopen('done', 'w').close()"
        # Python itself complains at exit about what it couldn't flush.
        code += "\nimport os; os._exit(0)"
        run(code, writer, tmp_path)
    finally:
        os.close(writer)
    assert (tmp_path / "done").exists()


def test_closed_stderr_does_not_stop_the_work(tmp_path: Path) -> None:
    """Nor when there never was one."""
    code = "import sys; sys.stderr = None\n" + SAY + "\nopen('done', 'w').close()"
    run(code, subprocess.DEVNULL, tmp_path)
    assert (tmp_path / "done").exists()
