"""The configuration file: what is accepted, and what is said of the rest."""

from __future__ import annotations

import math
import os
import pickle
from pathlib import Path

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from drumwatchd.analysis.labels import CANONICAL_LABELS, FINE_LABELS
from drumwatchd.config import (
    ArchiveConfig,
    ClassifyConfig,
    Config,
    InboxConfig,
    IndexConfig,
    LogConfig,
    find_config,
    load_config,
    user_path,
)
from drumwatchd.config.environment import find_overrides
from drumwatchd.config.lines import find_lines
from drumwatchd.config.render import render
from drumwatchd.errors import ConfigError, Fault

SOUND = """\
[[inbox]]
path = "inbox"
settle_seconds = 2.0
[archive]
root = "archive"
mode = "move"
[index]
path = "index.sqlite3"
[classify]
confidence_threshold = 0.5
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def faults_of(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[Fault]:
    with pytest.raises(ConfigError) as caught:
        load_config(write(folder, text), environ or {})
    return list(caught.value.faults)


def only_fault(folder: Path, text: str, environ: dict[str, str] | None = None) -> Fault:
    faults = faults_of(folder, text, environ)
    assert len(faults) == 1, faults
    return faults[0]


def test_short_file_gets_defaults(tmp_path: Path) -> None:
    """Keys that aren't written have their defaults; paths are absolute."""
    path = write(tmp_path, SOUND)
    assert load_config(path, {}) == Config(
        path=path,
        inboxes=(InboxConfig(path=tmp_path / "inbox"),),
        archive=ArchiveConfig(root=tmp_path / "archive"),
        index=IndexConfig(path=tmp_path / "index.sqlite3"),
        classify=ClassifyConfig(),
        log=LogConfig(),
    )


def test_paths_start_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths are relative to the file, wherever the command was started."""
    write(tmp_path, SOUND)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_config("../config.toml", {}).inboxes[0].path == tmp_path / "inbox"


def test_tilde_is_home_and_variables_are_not(tmp_path: Path) -> None:
    """``~`` expands; a dollar sign is a character like any other."""
    text = SOUND.replace('"inbox"', '"~/drums"').replace('"archive"', '"$HOME/x"')
    config = load_config(write(tmp_path, text), {"HOME": "/home/sam"})
    assert config.inboxes[0].path == Path("/home/sam/drums")
    assert config.archive.root == tmp_path / "$HOME/x"


def test_model_folder_is_absolute(tmp_path: Path) -> None:
    """A model's folder is found from the file too, and ``""`` stays the shipped one."""
    config = load_config(write(tmp_path, SOUND + 'model = "models/mine"\n'), {})
    assert config.classify.model == str(tmp_path / "models/mine")
    assert load_config(write(tmp_path, SOUND), {}).classify.model == ""


def test_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    """A file saved with a byte order mark reads like any other."""
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SOUND.encode())
    assert load_config(path, {}).archive.mode == "move"


def test_whole_numbers_serve_as_numbers(tmp_path: Path) -> None:
    """``settle_seconds = 2`` is as good as ``2.0``."""
    config = load_config(write(tmp_path, SOUND.replace("2.0", "2")), {})
    assert config.inboxes[0].settle_seconds == 2.0


TABLE_FAULTS = [
    ("watch", 'watch = "pol"', '"auto", "native" or "poll", not "pol"', 'write watch = "poll"'),
    ("watch", 'watch = "x"', 'not "x"', 'write watch = "auto"'),
    ("watch", "watch = 3", "not 3", 'write watch = "auto"'),
    ("rescan_seconds", 'rescan_seconds = "60"', "a number from 1 to 86400, not \"60\"", "write rescan_seconds = 60.0"),
    ("rescan_seconds", "rescan_seconds = 0", "a number from 1 to 86400, not 0", "write rescan_seconds = 300.0"),
    ("rescan_seconds", "rescan_seconds = nan", "not nan", "write rescan_seconds = 300.0"),
    ("rescan_seconds", "rescan_seconds = inf", "not inf", "write rescan_seconds = 300.0"),
    ("rescan_seconds", "rescan_seconds = true", "not true", "write rescan_seconds = 300.0"),
    ("rescan_seconds", "rescan_seconds = 1979-05-27", "not 1979-05-27", "write rescan_seconds = 300.0"),
    ("duplicates", "duplicates = []", "must not be empty", 'write duplicates = "keep"'),
    ("duplicates", "duplicates = {}", "not {}", 'write duplicates = "keep"'),
    ("ignore", 'ignore = "*.tmp"', 'a list of texts, not "*.tmp"', "write ignore = ["),
    ("ignore[1]", 'ignore = ["*.tmp", ""]', "must not be empty", "remove it"),
    ("ignore[0]", "ignore = [7]", "text in quotes, not 7", 'write "7"'),
    ("ignore[0]", "ignore = [[]]", "must not be empty", "remove it"),
    ("setle_second", "setle_second = 2", "is not a known key", "write settle_seconds"),
    ("zzzz", "zzzz = 2", "is not a known key", "remove it; inbox has path, watch"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "line", "problem", "fix"), TABLE_FAULTS)
def test_wrong_value_is_told_with_the_right_one(
    tmp_path: Path, key: str, line: str, problem: str, fix: str
) -> None:
    """A wrong value: its key, its line, what it may be, and what to write."""
    fault = only_fault(tmp_path, SOUND.replace("settle_seconds = 2.0", line))
    assert fault.key == f"inbox[0].{key}"
    assert fault.line == 3
    assert problem in fault.problem
    assert fault.fix.startswith(fix)


CLASSIFY_FAULTS = [
    ("top_k = 3.0", "classify.top_k", "a whole number from 1 to 34, not 3.0", "write top_k = 3"),
    ("top_k = 35", "classify.top_k", "from 1 to 34, not 35", "write top_k = 3"),
    ("target_labels = []", "classify.target_labels", "must not be empty", "write target_labels = ["),
    ('target_labels = ["kick"]', "classify.target_labels[0]", '"kick" is no label', 'write "Kick"'),
    ('target_labels = ["zzz"]', "classify.target_labels[0]", '"zzz" is no label', "choose of Agogo, Bell"),
    ('target_labels = ["misc"]', "classify.target_labels[0]", '"misc" is always there', "remove it"),
    ('target_labels = ["Tom", "Tom"]', "classify.target_labels[1]", '"Tom" stands twice', "remove one"),
    ("target_labels = [1]", "classify.target_labels[0]", "text in quotes, not 1", 'write "1"'),
    ('model = "a\\u0000b"', "classify.model", "must not contain a NUL character", 'write model = ""'),
]  # fmt: skip


@pytest.mark.parametrize(("line", "key", "problem", "fix"), CLASSIFY_FAULTS)
def test_classify_faults(tmp_path: Path, line: str, key: str, problem: str, fix: str) -> None:
    """Labels are of the 34, each once; numbers are within their bounds."""
    fault = only_fault(tmp_path, SOUND + line)
    assert (fault.key, fault.line) == (key, 11)
    assert problem in fault.problem
    assert fault.fix.startswith(fix)


@pytest.mark.parametrize("threshold", ["-0.1", "1.5", "50", "nan"])
def test_threshold_is_a_probability(tmp_path: Path, threshold: str) -> None:
    """The threshold is within [0, 1]."""
    fault = only_fault(tmp_path, SOUND.replace("= 0.5", f"= {threshold}"))
    assert fault.key == "classify.confidence_threshold"
    assert fault.problem == f"must be a number from 0 to 1, not {threshold}"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{stem}{suffix}", 'must begin with "{label}/"'),
        ("/{label}/{stem}", 'must begin with "{label}/"'),
        ("../{label}/{stem}", 'must begin with "{label}/"'),
        ("{label}", "names no file"),
        ("{label}-{stem}/x", 'must begin with "{label}/"'),
        ("{label}/", "names no file"),
        ("{label}/{pack}{suffix}", "names no file"),
        ("{label}/{tag}{suffix}", "names no file"),
        ("{label}/{pack}.{tag}", "names no file"),
        ("{label}/{stem}/", "names no file"),
        ("{label}/../{stem}", "must not have an empty part"),
        ("{label}//{stem}", "must not have an empty part"),
        ("{label}/..", "must not have an empty part"),
        ("{label}/{stm}{suffix}", "{stm} is no placeholder"),
        ("{label}/{stem:5}{suffix}", "{stem:5} is no placeholder"),
        ("{label}/{}{stem}", "{} is no placeholder"),
        ("{label}/{stem", "has a brace without its partner"),
        ("{label}/{{stem}}", "has a brace without its partner"),
        ("", "must not be empty"),
    ],
)
def test_name_template_stays_below_its_label(tmp_path: Path, template: str, problem: str) -> None:
    """A template gives every sample a name below its label's folder, or is refused."""
    text = SOUND.replace('mode = "move"', f'name_template = "{template}"')
    fault = only_fault(tmp_path, text)
    assert (fault.key, fault.line) == ("archive.name_template", 6)
    assert problem in fault.problem


def test_unknown_placeholder_is_told_the_nearest(tmp_path: Path) -> None:
    """A mistyped placeholder names the one that was meant."""
    text = SOUND.replace('mode = "move"', 'name_template = "{label}/{stm}"')
    assert only_fault(tmp_path, text).fix == "write {stem}"


def test_template_without_label_is_given_one(tmp_path: Path) -> None:
    """The fix for a template that doesn't begin with the label is a template that loads."""
    for template in ("{stem}{suffix}", "/{label}/{stem}", "../../{fine}/{stem}"):
        text = SOUND.replace('mode = "move"', f'name_template = "{template}"')
        fix = only_fault(tmp_path, text).fix.removeprefix("write ")
        load_config(write(tmp_path, SOUND.replace('mode = "move"', fix)), {})


@pytest.mark.parametrize(
    ("inbox", "archive", "index", "key", "problem"),
    [
        ("a", "a", "i", "inbox[0].path", "is the same folder as the archive"),
        ("a", "a/b", "i", "inbox[0].path", "holds the archive"),
        ("a/b", "a", "i", "inbox[0].path", "lies inside the archive"),
        (".", "a", "../i", "inbox[0].path", "holds the archive"),
        ("a", "b", "a/i", "index.path", "lies inside inbox[0]"),
        ("a", "b", "b/i", "index.path", "lies inside the archive"),
        ("a/../b", "b/x/", "i", "inbox[0].path", "holds the archive"),
    ],
)
def test_nothing_eats_itself(
    tmp_path: Path, inbox: str, archive: str, index: str, key: str, problem: str
) -> None:
    """Inbox, archive and index must not lie in each other."""
    text = f'[[inbox]]\npath="{inbox}"\n[archive]\nroot="{archive}"\n[index]\npath="{index}"\n'
    fault = only_fault(tmp_path, text)
    assert fault.key == key
    assert fault.problem.startswith(problem)


def test_neighbours_with_a_common_beginning_are_apart(tmp_path: Path) -> None:
    """``drums`` and ``drums-archive`` share letters, not folders."""
    text = '[[inbox]]\npath="drums"\n[archive]\nroot="drums-archive"\n[index]\npath="i"\n'
    load_config(write(tmp_path, text), {})


def test_nesting_is_seen_through_links(tmp_path: Path) -> None:
    """A symbolic link to the archive is the archive."""
    (tmp_path / "archive").mkdir()
    (tmp_path / "inbox").symlink_to("archive")
    assert "same folder as the archive" in only_fault(tmp_path, SOUND).problem


def test_inboxes_do_not_nest(tmp_path: Path) -> None:
    """A folder within a watched folder is watched already."""
    faults = faults_of(tmp_path, '[[inbox]]\npath = "inbox/sub"\n' + SOUND)
    assert [(f.key, f.line) for f in faults] == [("inbox[1].path", 4)]
    assert faults[0].problem == f"holds inbox[0]: {tmp_path}/inbox/sub"


def test_index_is_a_file_and_archive_a_folder(tmp_path: Path) -> None:
    """A folder can't be the index, and a file can't be the archive."""
    (tmp_path / "index.sqlite3").mkdir()
    (tmp_path / "archive").touch()
    faults = faults_of(tmp_path, SOUND)
    assert [(f.key, f.line, f.problem) for f in faults] == [
        ("archive.root", 5, "is not a folder"),
        ("index.path", 8, "is a folder; the index is a file"),
    ]


def test_missing_keys_name_an_example(tmp_path: Path) -> None:
    """The three places have no default; each that is missing is told."""
    faults = faults_of(tmp_path, "[[inbox]]\n[archive]\n")
    assert [(f.key, f.line, f.problem, f.fix) for f in faults] == [
        ("index.path", None, "is missing", 'write path = "index.sqlite3"'),
        ("inbox[0].path", 1, "is missing", 'write path = "inbox"'),
        ("archive.root", 2, "is missing", 'write root = "archive"'),
    ]


def test_empty_file_lists_what_is_needed(tmp_path: Path) -> None:
    """An empty file misses an inbox, an archive and an index."""
    assert [f.key for f in faults_of(tmp_path, "")] == ["inbox", "archive.root", "index.path"]


@pytest.mark.parametrize(
    ("text", "key", "line", "fix"),
    [
        (SOUND + "[classfy]\n", "classfy", 11, "write [classify]"),
        (SOUND + "[[inboxes]]\n", "inboxes", 11, "write [[inbox]]"),
        (SOUND + "[zzz]\n", "zzz", 11, "there are [[inbox]], [archive], [index]"),
        (SOUND.replace("[[inbox]]", "[inbox]"), "inbox", 1, "write [[inbox]] with two brackets"),
        ("log = 3\n" + SOUND, "log", 1, "write [log] on a line of its own"),
        ("inbox = []\n" + SOUND[SOUND.index("[archive]") :], "inbox", 1, "write [[inbox]], and"),
        ('inbox = "x"\n' + SOUND[SOUND.index("[archive]") :], "inbox", 1, "write [[inbox]], and"),
        (
            'inbox = ["x"]\n' + SOUND[SOUND.index("[archive]") :],
            "inbox[0]",
            1,
            "write [[inbox]] on",
        ),
    ],
)
def test_tables_that_are_none(tmp_path: Path, text: str, key: str, line: int, fix: str) -> None:
    """A mistyped table or header is told, with the header that was meant."""
    fault = only_fault(tmp_path, text)
    assert (fault.key, fault.line) == (key, line)
    assert fault.fix.startswith(fix)


def test_all_faults_at_once(tmp_path: Path) -> None:
    """Every fault of every table is in one error, in the order of the file."""
    text = SOUND.replace("2.0", '"x"').replace('"move"', '"mvoe"').replace("0.5", "5")
    faults = faults_of(tmp_path, text + "[log]\nlevel = 1\ncolour = 2\n")
    assert [(f.key, f.line) for f in faults] == [
        ("inbox[0].settle_seconds", 3),
        ("archive.mode", 6),
        ("classify.confidence_threshold", 10),
        ("log.level", 12),
        ("log.colour", 13),
    ]


def test_message_reads_as_file_line_key(tmp_path: Path) -> None:
    """The error's text has one line a fault, that editors can jump to."""
    path = write(tmp_path, SOUND.replace('"move"', '"mvoe"'))
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    assert str(caught.value).splitlines() == [
        f"the configuration has 1 fault: {path}",
        f'  {path}:6: archive.mode: must be "move", "copy", "hardlink", "symlink" or "none", '
        'not "mvoe"; write mode = "move"',
    ]


def test_error_survives_pickling(tmp_path: Path) -> None:
    """The faults cross process borders with the error."""
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, ""), {})
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.faults) == (str(caught.value), caught.value.faults)


@pytest.mark.parametrize(
    ("text", "line", "fix"),
    [
        ("[[inbox]]\npath = inbox\n", 2, 'text stands in quotes: path = "inbox"'),
        ("[[inbox]]\nwatch = auto # or poll\n", 2, 'text stands in quotes: watch = "auto"'),
        ("[[inbox]\n", 1, "look at this line"),
        ("[log]\nlevel = 'info'\nlevel = 'debug'\n", 3, "look at this line"),
        ("[log]\nlevel = 'info\n", 2, "look at this line"),
        ("[log]\nx = [1,\n  2\nlevel = 3\n", 4, "look at this line"),
        ("[log]\nlevel = 'info\n\n[classify]\n", 2, "look at this line"),
        ("x = [1,\n\n\n", 1, "look at this line"),
        (f"x = {'9' * 5_000}\n", 1, "look at this line"),
        (f"x = {'[' * 5_000}{']' * 5_000}\n", 1, "look at this line"),
        ("[log]\nx = [1,\n", 2, "look at this line"),
    ],
)
def test_syntax_error_names_its_line(tmp_path: Path, text: str, line: int, fix: str) -> None:
    """What isn't TOML is told with its line, and the commonest slip with its repair."""
    fault = only_fault(tmp_path, text)
    assert fault.line == line
    assert fault.problem.startswith("is not TOML: ")
    assert fault.fix.startswith(fix)


def test_what_nests_too_deep_for_us_is_a_fault_too(tmp_path: Path) -> None:
    """tomli takes 400 levels; their lines aren't found, and that is all."""
    assert only_fault(tmp_path, "x = " + "{b=" * 390 + "1" + "}" * 390 + "\n" + SOUND)
    environ = {"DRUMWATCHD_LOG_LEVEL": "[" * 600}
    assert only_fault(tmp_path, SOUND, environ).key == "log.level"


def test_not_utf8(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are told with their line."""
    path = tmp_path / "config.toml"
    path.write_bytes(b'[[inbox]]\npath = "\xff"\n')
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    assert caught.value.faults == (Fault("", 2, "is not UTF-8 text", "save the file as UTF-8"),)


def test_unreadable_files_name_the_way_out(tmp_path: Path) -> None:
    """A missing file, and a folder in its place, point to `init`."""
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match="drumwatchd init") as caught:
            load_config(path, {})
        assert caught.value.path == str(path)


class TestEnvironment:
    def load(self, folder: Path, environ: dict[str, str], text: str = SOUND) -> Config:
        return load_config(write(folder, text), environ)

    def test_words_and_numbers(self, tmp_path: Path) -> None:
        """Variables override keys; words need no quotes."""
        config = self.load(
            tmp_path,
            {
                "DRUMWATCHD_ARCHIVE_MODE": "copy",
                "DRUMWATCHD_LOG_LEVEL": '"debug"',
                "DRUMWATCHD_CLASSIFY_CONFIDENCE_THRESHOLD": "0.6",
                "DRUMWATCHD_CLASSIFY_TOP_K": "5",
                "DRUMWATCHD_CLASSIFY_TARGET_LABELS": '["Kick", "Rim"]',
            },
        )
        assert (config.archive.mode, config.log.level) == ("copy", "debug")
        assert (config.classify.confidence_threshold, config.classify.top_k) == (0.6, 5)
        assert config.classify.target_labels == ("Kick", "Rim")

    def test_every_inbox_is_reached(self, tmp_path: Path) -> None:
        """An inbox variable holds for all inboxes."""
        text = '[[inbox]]\npath = "other"\n' + SOUND
        config = self.load(tmp_path, {"DRUMWATCHD_INBOX_SETTLE_SECONDS": "9"}, text)
        assert [inbox.settle_seconds for inbox in config.inboxes] == [9.0, 9.0]

    def test_path_of_the_only_inbox(self, tmp_path: Path) -> None:
        """A path from outside replaces that of one inbox, or makes the first."""
        environ = {"DRUMWATCHD_INBOX_PATH": "elsewhere"}
        without = SOUND[SOUND.index("[archive]") :]
        for text in (SOUND, without):
            assert self.load(tmp_path, environ, text).inboxes[0].path == tmp_path / "elsewhere"

    def test_one_path_can_not_be_many(self, tmp_path: Path) -> None:
        """With several inboxes a single path from outside is a fault."""
        text = '[[inbox]]\npath = "other"\n' + SOUND
        fault = only_fault(tmp_path, text, {"DRUMWATCHD_INBOX_PATH": "x"})
        assert fault.variable == "DRUMWATCHD_INBOX_PATH"
        assert fault.problem == "one path can't stand for 2 inboxes"

    def test_a_folder_may_look_like_a_number(self, tmp_path: Path) -> None:
        """Text keys take the value as it stands, even if TOML would read a number."""
        for name in ("2024", "true", "1979-05-27", "inf", "[x]", "a\nb = 1", "a # b"):
            config = self.load(tmp_path, {"DRUMWATCHD_INBOX_PATH": name})
            assert config.inboxes[0].path == tmp_path / name

    def test_a_path_need_not_be_utf8(self, tmp_path: Path) -> None:
        """A path with odd bytes can't stand in TOML, but can come from outside."""
        name = os.fsdecode(b"\xff")
        assert self.load(tmp_path, {"DRUMWATCHD_ARCHIVE_ROOT": name}).archive.root.name == name

    def test_tables_need_not_be_in_the_file(self, tmp_path: Path) -> None:
        """With variables for the three places an empty file is enough."""
        environ = {
            "DRUMWATCHD_INBOX_PATH": "a",
            "DRUMWATCHD_ARCHIVE_ROOT": "b",
            "DRUMWATCHD_INDEX_PATH": "c",
        }
        assert self.load(tmp_path, environ, "").index.path == tmp_path / "c"

    def test_wrong_value_names_the_variable(self, tmp_path: Path) -> None:
        """A fault from outside names its variable instead of a line, once for all inboxes."""
        text = '[[inbox]]\npath = "other"\nwatch = "auto"\n' + SOUND
        fault = only_fault(tmp_path, text, {"DRUMWATCHD_INBOX_WATCH": "pol"})
        assert (fault.variable, fault.line) == ("DRUMWATCHD_INBOX_WATCH", None)
        assert fault.fix == 'set DRUMWATCHD_INBOX_WATCH="poll"'
        assert fault.describe("f.toml").startswith("$DRUMWATCHD_INBOX_WATCH: inbox[0].watch: ")

    def test_wrong_element_is_not_looked_for_in_the_file(self, tmp_path: Path) -> None:
        """An overridden list is at fault itself, not the line that it overrides."""
        text = SOUND + 'target_labels = ["Kick"]\n'
        fault = only_fault(tmp_path, text, {"DRUMWATCHD_CLASSIFY_TARGET_LABELS": '["kik"]'})
        assert (fault.variable, fault.line) == ("DRUMWATCHD_CLASSIFY_TARGET_LABELS", None)

    def test_good_value_mends_a_bad_file(self, tmp_path: Path) -> None:
        """What is overridden in the file isn't judged."""
        text = SOUND.replace('"move"', '"mvoe"')
        assert self.load(tmp_path, {"DRUMWATCHD_ARCHIVE_MODE": "copy"}, text).archive.mode == "copy"

    def test_unknown_variable(self, tmp_path: Path) -> None:
        """A variable that names no key is a fault, with the nearest that does."""
        fault = only_fault(tmp_path, SOUND, {"DRUMWATCHD_ARCHIV_MODE": "copy"})
        assert fault.variable == "DRUMWATCHD_ARCHIV_MODE"
        assert fault.fix == "set DRUMWATCHD_ARCHIVE_MODE instead"
        far = only_fault(tmp_path, SOUND, {"DRUMWATCHD_": "copy"})
        assert far.problem == "names no key of the configuration"

    def test_variables_that_are_no_keys(self, tmp_path: Path) -> None:
        """The file's own name and the test corpus are no keys and no faults."""
        environ = {"DRUMWATCHD_CONFIG": "x", "DRUMWATCHD_CORPUS": "y", "_DRUMWATCHD_COMPLETE": "z"}
        assert self.load(tmp_path, environ) == self.load(tmp_path, {})
        assert find_overrides(environ) == ()


class TestFind:
    def test_order(self, tmp_path: Path) -> None:
        """The option wins over the variable, the variable over the user's file."""
        user = tmp_path / "xdg/drumwatchd/config.toml"
        user.parent.mkdir(parents=True)
        user.touch()
        environ = {"XDG_CONFIG_HOME": str(tmp_path / "xdg"), "DRUMWATCHD_CONFIG": "/v.toml"}
        assert find_config("/o.toml", environ) == Path("/o.toml")
        assert find_config(None, environ) == Path("/v.toml")
        del environ["DRUMWATCHD_CONFIG"]
        assert find_config(None, environ) == user

    def test_user_path(self) -> None:
        """Without a usable ``$XDG_CONFIG_HOME`` the user's file is below ``~/.config``."""
        expected = Path("/h/.config/drumwatchd/config.toml")
        assert user_path({"HOME": "/h"}) == expected
        assert user_path({"HOME": "/h", "XDG_CONFIG_HOME": "relative"}) == expected

    def test_relative_and_tilde(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that was asked for is found from here, or from home."""
        monkeypatch.chdir(tmp_path)
        assert find_config("c.toml", {}) == tmp_path / "c.toml"
        assert find_config(None, {"DRUMWATCHD_CONFIG": "~/c.toml", "HOME": "/h"}) == Path(
            "/h/c.toml"
        )

    def test_none(self, tmp_path: Path) -> None:
        """When nothing is found the error names the places and `init`."""
        with pytest.raises(ConfigError) as caught:
            find_config(None, {"HOME": str(tmp_path)})
        for words in (f"{tmp_path}/.config/drumwatchd/config.toml", "/etc/drumwatchd/", "init"):
            assert words in str(caught.value)


def number(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


def options(*words: str) -> st.SearchStrategy[str]:
    return st.sampled_from(words)


NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda name: name not in (".", "..") and not name.startswith("~"))
GLOBS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    names = draw(st.lists(NAMES, min_size=3, max_size=5, unique_by=str.casefold))
    archive, index, *inboxes = (Path("/nowhere-at-all") / name for name in names)
    return Config(
        path=None,
        inboxes=tuple(draw(st.builds(
            InboxConfig, path=st.just(inbox), watch=options("auto", "native", "poll"),
            settle_seconds=number(0, 86_400), rescan_seconds=number(1, 86_400),
            poll_seconds=number(0.1, 3_600), duplicates=options("keep", "quarantine", "delete"),
            ignore=st.lists(GLOBS, max_size=3).map(tuple),
        )) for inbox in inboxes),
        archive=draw(st.builds(
            ArchiveConfig, root=st.just(archive),
            mode=options("move", "copy", "hardlink", "symlink", "none"),
            name_template=options("{label}/{pack}/{stem}{suffix}", "{label}/{fine}-{digest8}"),
        )),
        index=draw(st.builds(
            IndexConfig, path=st.just(index), hash_algorithm=options("sha256", "md5", "blake2b")
        )),
        classify=draw(st.builds(
            ClassifyConfig, confidence_threshold=number(0, 1), top_k=st.integers(1, 34),
            target_labels=st.lists(options(*FINE_LABELS), min_size=1, unique=True).map(tuple),
            model=options("", "/models/mine"), worker_count=st.integers(0, 256),
            worker_idle_seconds=number(0, 86_400), worker_timeout_seconds=number(0.1, 3_600),
            worker_memory_mb=st.integers(256, 1_048_576),
        )),
        log=draw(st.builds(
            LogConfig, level=options("debug", "info", "warning", "error"),
            format=options("auto", "json", "console"),
        )),
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(config=configs())
def test_every_sound_configuration_comes_back(
    tmp_path_factory: pytest.TempPathFactory, config: Config
) -> None:
    """Written as TOML and read again, a configuration is the same."""
    path = tmp_path_factory.getbasetemp() / "round-trip.toml"
    path.write_text(render(config), encoding="utf-8")
    again = load_config(path, {})
    assert again.path == path
    assert (again.inboxes, again.archive, again.index) == (
        config.inboxes,
        config.archive,
        config.index,
    )
    assert (again.classify, again.log) == (config.classify, config.log)


def test_lines_of_every_kind_of_toml() -> None:
    """Keys are found in tables, arrays of tables, dotted and quoted keys, and inline tables."""
    text = (
        '''\
# [comment]
top = "[not.a.table]"
[a] # [b]
x = """
[inside]
y = 1
"""
'quoted.key' = 'it''s' # never reached
'''.replace("'it''s'", "'its'")
        + '''\
z = [ # numbers
  1, [2,
  3],  # ] not the end
  "]",
]
b.c = { d = 1, e = { f = [
  1 ] } }
t = 1979-05-27 07:32:00
[[a.list]]
k = 1
[[a.list]]
k = 2
[a.list.sub]
m = \'\'\'
]]\'\'\'
[[ other . "odd name" ]]
n = """ "" \\""" """""
o = 1
'''
    )
    tomli.loads(text)
    lines = find_lines(text)
    expected = {
        ("top",): 2, ("a",): 3, ("a", "x"): 4, ("a", "quoted.key"): 8, ("a", "z"): 9,
        ("a", "z", 0): 10, ("a", "z", 1): 10, ("a", "z", 1, 1): 11, ("a", "z", 2): 12,
        ("a", "b"): 14, ("a", "b", "c"): 14, ("a", "b", "c", "d"): 14, ("a", "b", "c", "e"): 14,
        ("a", "b", "c", "e", "f"): 14, ("a", "b", "c", "e", "f", 0): 15, ("a", "t"): 16,
        ("a", "list"): 17, ("a", "list", 0): 17, ("a", "list", 0, "k"): 18,
        ("a", "list", 1): 19, ("a", "list", 1, "k"): 20, ("a", "list", 1, "sub"): 21,
        ("a", "list", 1, "sub", "m"): 22, ("other", "odd name", 0): 24,
        ("other", "odd name", 0, "n"): 25, ("other", "odd name", 0, "o"): 26,
    }  # fmt: skip
    assert {key: lines.get(key) for key in expected} == expected


def test_lines_with_windows_line_ends() -> None:
    """Carriage returns don't move the count."""
    assert find_lines("[log]\r\n\r\nlevel = 'info'\r\n")[("log", "level")] == 3


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet="[]{}=,.\"'#\n\\ ab1", max_size=60))
def test_lines_never_fail(text: str) -> None:
    """Whatever the text, finding lines ends, with lines that exist."""
    assert all(1 <= line <= text.count("\n") + 1 for line in find_lines(text).values())


def test_defaults_are_those_of_the_labels() -> None:
    """The default folders are the canonical labels, in their order."""
    assert ClassifyConfig().target_labels == CANONICAL_LABELS
    assert math.isclose(ClassifyConfig().confidence_threshold, 0.5)
