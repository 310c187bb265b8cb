"""`status`, `ls` and `show` as a person and as a program use them."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from conftest import make_analysis
from drumwatchd.cli.context import Context
from drumwatchd.cli.output import LineWriter, age, byte_size, iso_utc, visible
from drumwatchd.cli.queries import ls, show, status
from drumwatchd.cli.template import FIELDS as TEMPLATE_FIELDS
from drumwatchd.cli.template import compile_template
from drumwatchd.errors import DrumwatchdError, IndexStoreError, QueryError, UsageError
from drumwatchd.files import digest_source, look
from drumwatchd.index import lock
from drumwatchd.index.query import compile_query
from drumwatchd.index.store import Index, open_index
from drumwatchd.index.terms import FIELDS
from shelf import DAY, HOUR, NOW, Shelf, open_shelf

ODD_NAME = "\udcff\udce9\n.wav"
MODULE = [sys.executable, "-m", "drumwatchd"]


class Home:
    """A configuration on temporary folders, and its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inbox, self.root = folder / "inbox", folder / "archive"
        self.index_path = str(folder / "index.sqlite3")
        self.config = folder / "config.toml"
        self.config.write_text(
            '[[inbox]]\npath = "inbox"\nwatch = "poll"\n[archive]\nroot = "archive"\n'
            '[index]\npath = "index.sqlite3"\n',
            encoding="utf-8",
        )
        self.inbox.mkdir()
        self.root.mkdir()

    def fill(self, write: Callable[[Shelf], object]) -> None:
        """Make the index."""
        with open_shelf(self.index_path) as shelf:
            write(shelf)

    def call(self, command: Any, *arguments: str) -> Result:
        """Run a command in this process; our own errors come through."""
        context = Context(str(self.config))
        result = CliRunner().invoke(command, list(arguments), obj=context)
        if isinstance(result.exception, DrumwatchdError):
            raise result.exception
        return result

    def lines(self, *arguments: str) -> list[Any]:
        """What `ls --json` prints."""
        result = self.call(ls, *arguments, "--json")
        assert result.exit_code == 0
        return [json.loads(line) for line in result.stdout.splitlines()]

    def process(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run a command as its own process."""
        return subprocess.run(
            [*MODULE, "--config", str(self.config), *arguments],
            capture_output=True, check=False, timeout=60, **options,
        )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Empty folders and a configuration."""
    return Home(tmp_path)


@pytest.fixture
def filled(home: Home) -> Home:
    """An archive of four samples, one of them with a name that isn't UTF-8."""

    def write(shelf: Shelf) -> None:
        shelf.add("808 Kick.wav", fine="Kick", pack="TR-808", confidence=0.91, added=NOW - DAY)
        shelf.add("rim.flac", fine="Rim", confidence=0.5512)
        shelf.add(ODD_NAME, fine="Ride", confidence=0.7)
        shelf.add("x.wav", state="quarantined", label=None, fine=None, confidence=None,
                  path=None, reason="not audio", model=None, duration=None)  # fmt: skip

    home.fill(write)
    return home


@pytest.fixture
def index_writer(home: Home) -> Iterator[Index]:
    """The daemon's side of the index."""
    index = open_index(home.index_path, "sha256")
    yield index
    index.close()


# -- status -----------------------------------------------------------------------------------


def test_status_prints_the_keys_that_other_programs_rely_on(filled: Home) -> None:
    """One object, with a schema number and every label."""
    said = json.loads(filled.call(status, "--json").stdout)
    assert said["schema"] == 1
    assert said["running"] is False
    assert said["files"]["total"] == 3
    assert said["files"]["by_label"] == {
        "Crash": 0, "Hihat": 0, "Kick": 1, "Ride": 1, "Snare": 1, "Tom": 0, "misc": 0,
    }  # fmt: skip
    assert said["queue"] == {"pending": 0, "oldest_seconds": None}
    assert (said["duplicates"], said["quarantined"], said["errors"]) == (0, 1, 0)
    assert isinstance(said["model"]["id"], str)
    (inbox,) = said["inboxes"]
    assert (inbox["path"], inbox["mode"], inbox["last_rescan"]) == (str(filled.inbox), "poll", None)
    assert said["index"]["path"] == filled.index_path
    assert said["archive"]["root"] == str(filled.root)
    assert said["archive"]["free_bytes"] > 0


def test_status_before_the_first_run_answers_and_makes_nothing(home: Home) -> None:
    """No index, no daemon: zeros and exit code 0, in JSON and for people."""
    before = sorted(os.listdir(home.folder))
    assert json.loads(home.call(status, "--json").stdout)["files"]["total"] == 0
    assert "not running" in home.call(status).stdout
    assert sorted(os.listdir(home.folder)) == before


def test_status_for_people_fits_eighty_columns(filled: Home) -> None:
    """Every line fits, whatever is in a name; no colour goes into a pipe."""
    result = filled.process("status", env=os.environ | {"COLUMNS": "80"})
    text = result.stdout.decode()
    assert result.returncode == 0
    assert max(map(len, text.splitlines())) == 80
    assert re.search(r"Kick +1 +█", text)
    assert "1 quarantined" in text
    assert "\x1b" not in text


def test_status_shows_what_is_degraded(filled: Home) -> None:
    """The reason stands in the text, as it does in JSON."""
    live = {"degraded": "the archive is not mounted", "pid": 1, "inboxes": []}
    Path(f"{filled.index_path}.live.json").write_text(json.dumps(live), encoding="utf-8")
    with lock.hold(filled.index_path):
        text = filled.call(status).stdout
        said = json.loads(filled.call(status, "--json").stdout)
    assert "degraded, running" in text
    assert "the archive is not mounted" in text
    assert (said["running"], said["degraded"]) == (True, "the archive is not mounted")


def test_status_loads_only_what_it_needs(filled: Home) -> None:
    """A fresh process prints JSON without numpy, structlog or rich."""
    code = (
        "import sys; from drumwatchd.cli import cli;"
        f"cli(['--config', {str(filled.config)!r}, 'status', '--json'], standalone_mode=False);"
        "heavy = {'numpy', 'scipy', 'structlog', 'rich', 'watchdog', 'pebble', 'soundfile', 'difflib'};"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize("arguments", [["--watch"], ["--watch", "--json"]])
def test_watching_goes_on_until_it_is_interrupted(filled: Home, arguments: list[str]) -> None:
    """The status comes again by itself, and Ctrl-C is how it is meant to end."""
    with subprocess.Popen(
        [*MODULE, "--config", str(filled.config), "status", *arguments],
        stdout=subprocess.PIPE,
        preexec_fn=_heed_interrupts,
    ) as process:
        assert process.stdout is not None
        seen = b""
        while seen.count(b"drumwatchd 0.") + seen.count(b'{"schema"') < 2:
            chunk = os.read(process.stdout.fileno(), 65536)
            assert chunk, seen
            seen += chunk
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0


def test_a_watched_status_is_drawn_over_itself_on_a_terminal(filled: Home) -> None:
    """No page after page: the cursor goes back up."""
    command = [*MODULE, "--config", str(filled.config), "status", "--watch"]
    shown = on_terminal(command, interrupt_after=b"\x1b[1A")
    assert b"not running" in shown


def test_a_reader_that_goes_away_ends_the_watching(filled: Home) -> None:
    """`status --watch --json | head -1` doesn't stay behind for ever."""
    with subprocess.Popen(
        [*MODULE, "--config", str(filled.config), "status", "--watch", "--json"],
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 0


# -- streams ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["status"], ["status", "--json"], ["ls"], ["check-config"]])
def test_a_full_disk_behind_stdout_is_said(filled: Home, command: list[str]) -> None:
    """One line and exit code 3: something was left out."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*MODULE, "--config", str(filled.config), *command],
            stdout=full, stderr=subprocess.PIPE, check=False, timeout=60,
        )  # fmt: skip
    assert done.stderr == b"drumwatchd: can't write (No space left on device)\n"
    assert done.returncode == 3


def test_only_the_end_of_stdout_is_a_good_end() -> None:
    """Another pipe's, as of a worker that died, comes through."""
    with pytest.raises(BrokenPipeError), LineWriter():
        raise BrokenPipeError


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["status --json", "check-config", "scan"])
def test_streams_may_be_closed(home: Home, command: str, closed: str) -> None:
    """As some supervisors start programs; no file of ours gets a stream's number."""
    line = f"{shlex.join([*MODULE, '--config', str(home.config)])} {command} {closed}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["status", "show rim.flac", "classify --help"])
def test_a_locale_without_our_characters_gets_others(filled: Home, command: str) -> None:
    """Latin-1 has no bars and no ellipsis: a stand-in is shown, and no traceback."""
    environment = os.environ | {"PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
    done = filled.process(*command.split(), env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode("latin-1").count("?")


# -- ls ---------------------------------------------------------------------------------------


def test_ls_prints_one_path_a_line(filled: Home) -> None:
    """Absolute paths below the archive, as raw bytes, in the order of arrival."""
    result = filled.process("ls")
    root = os.fsencode(filled.root)
    assert result.returncode == 0
    assert result.stdout == (
        root
        + b"/Kick/808 Kick.wav\n"
        + root
        + b"/Snare/rim.flac\n"
        + root
        + b"/Ride/\xff\xe9\n.wav\n"
    )


def test_ls_ends_paths_with_nul_for_xargs(filled: Home) -> None:
    """`-0` makes even a name with a newline one record."""
    result = filled.process("ls", "-0", "label:ride")
    assert result.stdout == os.fsencode(filled.root) + b"/Ride/\xff\xe9\n.wav\0"


def test_ls_json_has_the_keys_that_other_programs_rely_on(filled: Home) -> None:
    """One object a line, times in ISO 8601 and UTC."""
    (line,) = filled.lines("808")
    assert list(line)[:8] == [
        "digest", "path", "label", "fine", "confidence", "top", "source", "added",
    ]  # fmt: skip
    assert line["path"] == str(filled.root / "Kick" / "808 Kick.wav")
    assert (line["label"], line["fine"], line["confidence"]) == ("Kick", "Kick", 0.91)
    assert line["top"] == [
        {"label": "Kick", "probability": 0.8}, {"label": "Tom", "probability": 0.1},
    ]  # fmt: skip
    assert line["source"] == str(filled.inbox / "TR-808" / "808 Kick.wav")
    assert datetime.fromisoformat(line["added"]) == datetime.fromtimestamp(NOW - DAY, UTC)
    assert line["schema"] == 1


def test_ls_json_keeps_names_of_any_bytes(filled: Home) -> None:
    """All ASCII; Python reads the very name back."""
    result = filled.process("ls", "--json", "label:ride")
    assert result.stdout.isascii()
    assert os.fsencode(json.loads(result.stdout)["name"]) == b"\xff\xe9\n.wav"


def test_ls_in_mode_none_prints_where_the_sample_stands(home: Home) -> None:
    """Nothing was placed, so the path is the source."""
    home.fill(lambda shelf: shelf.add("kick.wav", path=None, mode="none"))
    assert home.call(ls).stdout == f"{home.inbox}/kick.wav\n"
    assert home.lines()[0]["path"] == f"{home.inbox}/kick.wav"


def test_ls_takes_a_minus_for_not_and_keeps_its_options(filled: Home) -> None:
    """`-label:kick` is a term, also between options and after `--`."""
    others = ["rim.flac", ODD_NAME]
    assert [line["name"] for line in filled.lines("-label:kick")] == others
    assert [line["name"] for line in filled.lines("-confidence:0.9..", "-0x")] == others
    assert [line["name"] for line in filled.lines("wav", "-808", "--limit", "1")] == [ODD_NAME]
    result = filled.call(ls, "--format", "-{fine}", "--", "-label:kick")
    assert result.stdout.splitlines() == ["-Rim", "-Ride"]


def test_ls_limits_and_sorts(filled: Home) -> None:
    """The newest first, and no more than asked for."""
    assert (
        filled.call(ls, "--format", "{fine}", "confidence-", "--limit", "2").stdout
        == "Kick\nRide\n"
    )
    assert filled.call(ls, "--limit", "0").stdout == ""


def test_ls_takes_a_limit_beyond_any_archive(filled: Home) -> None:
    """A number that SQLite can't hold is only another word for all."""
    assert len(filled.lines("--limit", "9" * 30)) == 3


def test_ls_prints_templates(filled: Home) -> None:
    """Python's format language over the known fields; no value prints as a dash."""
    template = r"{label:<6}|{confidence:.2f}|{digest8}|{stem}{suffix}|{added:%Y}|{top}\t{{x}}"
    text = filled.call(ls, "--format", template, "fine:rim").stdout
    digest = filled.lines("fine:rim")[0]["digest"]
    assert text == f"Snare |0.55|{digest[:8]}|rim.flac|2026|Rim 0.80, Tom 0.10\t{{x}}\n"
    result = filled.call(
        ls, "--format", "{label:>5}|{confidence:8.2f}|{reason}", "state:quarantined"
    )
    assert result.stdout == "    -|       -|not audio\n"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{lable}", "no field {lable}.*did you mean {label}"),
        ("{label", "can't be read"),
        ("{}", "no field {}"),
        ("{label.__class__}", "no field {label.__class__}"),
        ("{label:.2f}", "can't be printed as '.2f'"),
        ("{confidence:{path}}", "can't be printed"),
        ("{label!z}", "unknown conversion"),
        ("{label:>9999999999999999}", "too wide"),
    ],
)
def test_ls_explains_a_template_that_cannot_be_read(
    filled: Home, template: str, message: str
) -> None:
    """Before the first line is printed."""
    with pytest.raises(UsageError, match=message):
        filled.call(ls, "--format", template)


def test_ls_refuses_what_contradicts_itself(filled: Home) -> None:
    """JSON has one form."""
    with pytest.raises(UsageError, match="--json"):
        filled.call(ls, "--json", "--format", "{label}")


def test_ls_without_an_index_says_how_to_make_one(home: Home) -> None:
    """An empty answer would be a lie."""
    with pytest.raises(IndexStoreError, match="no index yet"):
        home.call(ls)


def test_a_fault_in_a_query_ends_with_exit_code_2(filled: Home) -> None:
    """The message is on stderr, one line and no traceback."""
    result = filled.process("ls", "confdence:..0.6")
    assert (result.returncode, result.stdout) == (2, b"")
    assert b"did you mean confidence" in result.stderr
    assert b"Traceback" not in result.stderr


def test_a_reader_that_has_enough_ends_ls_quietly(home: Home) -> None:
    """`ls | head -1` complains of nothing."""

    def write(shelf: Shelf) -> None:
        for number in range(5000):
            shelf.add(f"a long enough name to fill a pipe's buffer several times {number}.wav")

    home.fill(write)
    process = subprocess.Popen(
        [*MODULE, "--config", str(home.config), "ls"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().endswith(b" 0.wav\n")
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 0


def test_a_terminal_is_shown_escapes_and_no_control_characters(home: Home) -> None:
    """A file name can't clear the screen or fake a line."""
    home.fill(lambda shelf: shelf.add("a\x1b[2Jb\n\udcff\u202e.wav"))
    for arguments in (["ls"], ["ls", "--format", "{path}"]):
        shown = on_terminal([*MODULE, "--config", str(home.config), *arguments])
        assert shown == os.fsencode(home.root) + b"/Kick/a\\x1b[2Jb\\n\\xff\\u202e.wav\r\n"


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def on_terminal(command: list[str], interrupt_after: bytes | None = None) -> bytes:
    """What a command prints on a terminal, until it ends or is interrupted after these bytes."""
    ours, theirs = pty.openpty()
    printed = b""
    try:
        # Who starts the tests in the background has them ignore Ctrl-C; a terminal's program doesn't.
        with subprocess.Popen(
            command, stdout=theirs, stderr=theirs, stdin=theirs, preexec_fn=_heed_interrupts
        ) as process:
            os.close(theirs)
            # Linux fails the read, others return nothing, once the last writer is gone.
            with contextlib.suppress(OSError):
                while chunk := os.read(ours, 4096):
                    printed += chunk
                    if interrupt_after and interrupt_after in printed:
                        process.send_signal(signal.SIGINT)
                        interrupt_after = None
            assert process.wait(timeout=60) == 0, printed
    finally:
        os.close(ours)
    return printed


# -- show -------------------------------------------------------------------------------------


def place(home: Home, content: bytes = b"boom") -> dict[str, Any]:
    """File one sample by hand, with a duplicate of it in the inbox; returns its row."""
    import hashlib

    digest = hashlib.sha256(content).hexdigest()
    (home.root / "Kick").mkdir(exist_ok=True)
    (home.root / "Kick" / "kick.wav").write_bytes(content)
    again = str(home.inbox / "again.wav")

    def write(shelf: Shelf) -> None:
        shelf.add("kick.wav", digest=digest, confidence=0.93)
        shelf.add("other.wav")
        shelf.note(digest, "filed", "Kick/kick.wav", NOW - DAY, source=str(home.inbox / "kick.wav"))
        shelf.note(digest, "duplicate", again, NOW - HOUR, action="keep")
        shelf.note(digest, "polished by hand", None, NOW, by=["me"])
        shelf.remember(again, "duplicate", digest)

    home.fill(write)
    return {"digest": digest, "again": again}


def test_show_finds_a_sample_by_every_name_it_has(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Archive path, source that is gone, duplicate, digest, its beginning, name, any copy."""
    row = place(home)
    copy = home.folder / "elsewhere.bin"
    copy.write_bytes(b"boom")
    monkeypatch.chdir(home.root)
    for target in (
        "Kick/kick.wav", str(home.root / "Kick" / "kick.wav"), str(home.inbox / "kick.wav"),
        row["again"], row["digest"], row["digest"][:6].upper(), "kick.wav", str(copy),
    ):  # fmt: skip
        said = json.loads(home.call(show, target, "--json").stdout)
        assert said["digest"] == row["digest"], target


def test_show_tells_the_whole_story(home: Home) -> None:
    """Why, how sure, whence, what happened since, and whether it is still there."""
    row = place(home)
    said = json.loads(home.call(show, row["digest"], "--json").stdout)
    assert said["schema"] == 1
    assert (said["label"], said["reason"], said["exists"]) == ("Kick", "Kick at 0.90", True)
    assert said["probabilities"] == {"Kick": 0.93, "misc": 0.05}
    assert said["duplicates"] == [row["again"]]
    assert [event["event"] for event in said["history"]] == [
        "filed",
        "duplicate",
        "polished by hand",
    ]
    text = home.call(show, row["digest"]).stdout
    for words in ("Kick 0.93", "Kick at 0.90", "sounds like", "0.800  █", "folded to", row["digest"],
                  "again.wav", "polished by hand", "drumwatchd-1"):  # fmt: skip
        assert words in text


def test_what_is_finer_than_a_label_is_listed_and_shown(home: Home) -> None:
    """By its term, in JSON, in a template, and to a person."""

    def write(shelf: Shelf) -> None:
        shelf.add("hat.wav", fine="Hihat", tag="open")
        shelf.add("other.wav", fine="Hihat", tag="closed")
        shelf.add("kick.wav")

    home.fill(write)
    (line,) = home.lines("tag:open")
    assert (line["name"], line["tag"]) == ("hat.wav", "open")
    assert [line["tag"] for line in home.lines("name:kick")] == [None]
    assert home.call(ls, "fine:hihat", "--format", "{tag}").stdout == "open\nclosed\n"
    assert "Hihat, open" in home.call(show, "hat.wav").stdout
    assert "tag" not in home.call(show, "kick.wav").stdout


def test_what_is_marked_for_review_is_listed_and_shown(home: Home) -> None:
    """By its term, in JSON, in a template, and to a person."""
    reason = "its name says Kick, it sounds like Tom"

    def write(shelf: Shelf) -> None:
        shelf.add("tom.wav", fine="Tom")
        shelf.add("kick.wav", fine="Tom", review=reason)

    home.fill(write)
    (line,) = home.lines("review:yes")
    assert (line["name"], line["review"]) == ("kick.wav", reason)
    assert [line["review"] for line in home.lines("review:no")] == [None]
    assert home.call(ls, "review:yes", "--format", "{review}").stdout == f"{reason}\n"
    assert reason in home.call(show, "kick.wav").stdout
    assert "its name" not in home.call(show, "tom.wav").stdout


def test_show_says_when_the_file_is_gone_from_the_archive(home: Home) -> None:
    """The index remembers more than the disk holds."""
    row = place(home)
    (home.root / "Kick" / "kick.wav").unlink()
    assert json.loads(home.call(show, row["digest"], "--json").stdout)["exists"] is False
    assert "not there any more" in home.call(show, "kick.wav").stdout


def test_show_says_when_another_file_stands_at_the_source(home: Home) -> None:
    """An inbox path that is used again doesn't pass for the sample that came from it."""
    row = place(home)
    (home.inbox / "kick.wav").write_bytes(b"another")
    said = home.call(show, str(home.inbox / "kick.wav"))
    assert row["digest"] in said.stdout
    assert "another file stands at this path now" in " ".join(said.stdout.split())


def test_show_tells_why_a_file_failed(home: Home) -> None:
    """An inbox file that never became a sample is found by its path."""
    path = str(home.inbox / "bad.wav")

    def write(shelf: Shelf) -> None:
        shelf.remember(path, "failed", reason="Permission denied")
        shelf.note(None, "failed", path, reason="Permission denied")

    home.fill(write)
    said = json.loads(home.call(show, path, "--json").stdout)
    assert (said["state"], said["reason"], said["label"]) == ("failed", "Permission denied", None)
    assert said["history"][0]["event"] == "failed"
    assert "Permission denied" in home.call(show, path).stdout


def test_show_tells_of_a_failure_where_a_good_file_was_before(home: Home) -> None:
    """The path is used again; what stands there now is what was asked for."""
    path = home.inbox / "kick.wav"
    path.write_bytes(b"new")

    def write(shelf: Shelf) -> None:
        shelf.add("kick.wav")
        shelf.remember(str(path), "failed", reason="Permission denied")

    home.fill(write)
    assert json.loads(home.call(show, str(path), "--json").stdout)["state"] == "failed"


def test_show_tells_why_a_sample_is_quarantined(filled: Home) -> None:
    """The reason, and that it is no file of the archive."""
    text = filled.call(show, "x.wav").stdout
    assert "quarantined" in text
    assert "not audio" in text


def test_show_lists_what_an_ambiguous_word_may_mean(home: Home) -> None:
    """A digest cut too short, or a name that several samples have."""

    def write(shelf: Shelf) -> None:
        for number in range(3):
            shelf.add("twin.wav", digest=f"abcd{number}" + "0" * 59, path=f"Kick/{number}")

    home.fill(write)
    with pytest.raises(UsageError, match=r"cut too short:\n  abcd2.*\n  abcd1.*\n  abcd0"):
        home.call(show, "abcd")
    with pytest.raises(UsageError, match=r"several samples are called twin.wav"):
        home.call(show, "twin.wav")
    assert home.call(show, "abcd1").exit_code == 0


@pytest.mark.parametrize(
    "target", ["nothing.wav", "abc", "ffff", "/nowhere/at all", "\udcff", "/dev/null"]
)
def test_show_ends_with_1_for_what_the_index_does_not_know(filled: Home, target: str) -> None:
    """One line says so."""
    result = filled.call(show, target)
    assert result.exit_code == 1
    assert "the index knows nothing of" in result.stderr


def test_what_the_writer_writes_the_reader_reads(home: Home, index_writer: Index) -> None:
    """A sample that takes the real way is in `status`, `ls` and `show` while the writer is open."""
    path = home.inbox / "Pack" / "\udcff kick.wav"
    path.parent.mkdir()
    path.write_bytes(b"boom")
    source = look(str(path), str(home.inbox))
    assert source is not None
    row = index_writer.claim(source, digest_source(source, "sha256")).row
    assert json.loads(home.call(status, "--json").stdout)["files"]["in_work"] == 1
    relative = "Snare/\udcff kick.wav"
    analysis = make_analysis("Snare", 0.8, fine="Rim")
    assert index_writer.plan(row.id, analysis, relative, name="\udcff kick.wav", mode="copy")
    index_writer.filed(row, relative, remember=True)
    index_writer.duplicate(source, row, "keep", remember=True)
    said = json.loads(home.call(status, "--json").stdout)
    assert (said["files"]["by_label"]["Snare"], said["duplicates"]) == (1, 1)
    (line,) = home.lines("fine:rim", "pack:pack")
    assert line["path"] == str(home.root / relative)
    assert line["top"][0]["label"] == analysis.verdict.top[0][0]
    story = json.loads(home.call(show, str(path), "--json").stdout)
    assert [event["event"] for event in story["history"]] == ["filed", "duplicate"]
    assert story["duplicates"] == [str(path)]


# -- words ------------------------------------------------------------------------------------


def test_quantities_read_well() -> None:
    """Ages, sizes and times in the unit that a person would choose."""
    assert [age(s) for s in (-1, 0.4, 59, 60, 7_300, 90_000)] == [
        "0 s", "0 s", "59 s", "1 min", "2 h", "1 d",
    ]  # fmt: skip
    assert [byte_size(n) for n in (0, 999, 1_000, 99_960, 1.5e6, 2e15)] == [
        "0 B", "999 B", "1.0 kB", "100 kB", "1.5 MB", "2000 TB",
    ]  # fmt: skip
    assert iso_utc(0.25) == "1970-01-01T00:00:00.250Z"
    assert visible("a\tb\udcffé") == "a\\tb\\xffé"


# -- the documentation ------------------------------------------------------------------------

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "queries.md"


def test_every_example_in_the_reference_can_be_typed() -> None:
    """The examples of docs/reference/queries.md compile, and so do the terms in its tables."""
    text = PAGE.read_text(encoding="utf-8")
    commands = re.findall(r"^\$ drumwatchd ls (.*)$(?!\ndrumwatchd:)", text, re.MULTILINE)
    terms = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert len(commands) >= 8
    assert len(terms) >= 20
    for line in [*commands, *terms]:
        words = shlex.split(line.split(" | ")[0], comments=True)
        asked = ls.make_context("ls", words).params
        compile_query(asked["query"], root="/srv/archive", now=NOW)
        if asked["template"]:
            compile_template(asked["template"], root="/srv/archive", safe=False)


def test_the_reference_names_every_field() -> None:
    """Each field has its row, and each row a field."""
    text = PAGE.read_text(encoding="utf-8")
    table = text.split("## Fields", 1)[1].split("\n## ", 1)[0]
    assert sorted(re.findall(r"^\| `(\w+):", table, re.MULTILINE)) == sorted(FIELDS)


def test_the_reference_names_every_field_of_a_template() -> None:
    """`--format` has no field that the page leaves out."""
    text = PAGE.read_text(encoding="utf-8")
    listed = text.split("Its fields:", 1)[1].split(".\n", 1)[0]
    assert re.findall(r"`(\w+)`", listed) == list(TEMPLATE_FIELDS)


def test_the_errors_in_the_reference_are_those_that_are_printed() -> None:
    """What the page quotes is what a person sees."""
    text = PAGE.read_text(encoding="utf-8")
    term, message = re.findall(
        r"^\$ drumwatchd ls (\S+:\S+x)\n(drumwatchd: .*)$", text, re.MULTILINE
    )[0]
    with pytest.raises(QueryError) as caught:
        compile_query([term], root="/srv/archive", now=NOW)
    assert f"drumwatchd: {caught.value}" == message
