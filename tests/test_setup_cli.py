"""`init`, `check-config` and `completion`, as a user runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

from drumwatchd.config import load_config
from drumwatchd.config.example import example_text

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


def drumwatchd(
    home: Path, *arguments: str | Path, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run the real command in `home`, with only the variables that are given."""
    basics = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.argv[0] = 'drumwatchd'; from drumwatchd.cli import main; main()",
            *arguments,
        ],
        cwd=home,
        env=basics | environ,
        capture_output=True,
        text=True,
        check=False,
    )


class TestInit:
    def test_own_place(self, home: Path) -> None:
        """Without a folder the configuration goes where it is looked for, the rest nearby."""
        done = drumwatchd(home, "init")
        assert (done.returncode, done.stderr) == (0, "")
        config = load_config(home / ".config/drumwatchd/config.toml", {"HOME": str(home)})
        assert config.inboxes[0].path == home / "drumwatchd/inbox"
        assert config.archive.root == home / "drumwatchd/archive"
        assert config.index.path == home / ".local/state/drumwatchd/index.sqlite3"
        assert config.inboxes[0].path.is_dir()
        assert config.archive.root.is_dir()
        assert config.index.path.parent.is_dir()
        assert 'path = "~/drumwatchd/inbox"' in config.path.read_text()
        assert "next: drumwatchd run\n" in done.stdout

    def test_xdg_places(self, home: Path) -> None:
        """XDG variables say where configuration and state go."""
        environ = {"XDG_CONFIG_HOME": str(home / "c"), "XDG_STATE_HOME": str(home / "s")}
        assert drumwatchd(home, "init", **environ).returncode == 0
        config = load_config(home / "c/drumwatchd/config.toml", {"HOME": str(home)})
        assert config.index.path == home / "s/drumwatchd/index.sqlite3"

    def test_folder(self, home: Path) -> None:
        """With a folder everything is in there, and can be moved with it."""
        done = drumwatchd(home, "init", "drums")
        assert (done.returncode, done.stderr) == (0, "")
        assert sorted(path.name for path in (home / "drums").iterdir()) == [
            "archive",
            "config.toml",
            "inbox",
            "state",
        ]
        assert f"next: drumwatchd --config {home}/drums/config.toml run\n" in done.stdout
        (home / "drums").rename(home / "elsewhere")
        config = load_config(home / "elsewhere/config.toml", {})
        assert config.inboxes[0].path == home / "elsewhere/inbox"
        assert config.index.path == home / "elsewhere/state/index.sqlite3"

    def test_here_gives_the_example(self, home: Path) -> None:
        """``init .`` writes the example as it ships."""
        assert drumwatchd(home, "init", ".").returncode == 0
        assert (home / "config.toml").read_text() == example_text()

    @pytest.mark.parametrize("by_option", [True, False])
    def test_file_that_is_asked_for(self, home: Path, by_option: bool) -> None:
        """``--config`` or the variable says where the file goes."""
        path = home / "etc/mine.toml"
        arguments = ["--config", str(path)] if by_option else []
        environ = {} if by_option else {"DRUMWATCHD_CONFIG": str(path)}
        done = drumwatchd(home, *arguments, "init", **environ)
        assert done.returncode == 0
        assert load_config(path, {"HOME": str(home)}).archive.root == home / "drumwatchd/archive"
        assert ("next: drumwatchd run\n" in done.stdout) is not by_option

    def test_option_and_folder(self, home: Path, tmp_path: Path) -> None:
        """The file may stand apart from the folders, which it then names in full."""
        path, folder = tmp_path / "etc/drums.toml", tmp_path / "srv"
        assert drumwatchd(home, "--config", path, "init", folder).returncode == 0
        assert tomli.loads(path.read_text())["archive"]["root"] == str(folder / "archive")

    def test_existing_configuration_stays(self, home: Path) -> None:
        """A configuration is never overwritten, unless that is asked for."""
        config = home / "config.toml"
        config.write_text("mine")
        done = drumwatchd(home, "init", ".")
        assert done.returncode == 2
        assert str(config) in done.stderr
        assert "--force" in done.stderr
        assert [path.name for path in home.iterdir()] == ["config.toml"]
        assert config.read_text() == "mine"
        assert drumwatchd(home, "init", ".", "--force").returncode == 0
        assert config.read_text() == example_text()

    def test_existing_folders_stay(self, home: Path) -> None:
        """Folders that are there are used as they are."""
        (home / "inbox").mkdir()
        (home / "inbox/kick.wav").touch()
        done = drumwatchd(home, "init", ".")
        assert done.returncode == 0
        assert f"{home}/inbox  (was there)" in done.stdout
        assert (home / "inbox/kick.wav").exists()

    def test_odd_folder_name(self, home: Path) -> None:
        """Quotes, backslashes, spaces and Unicode in a name come through TOML."""
        folder = home / 'My "drums" \\ Größe'
        done = drumwatchd(home, "--config", "c.toml", "init", folder)
        assert done.returncode == 0
        assert load_config(home / "c.toml", {}).inboxes[0].path == folder / "inbox"

    def test_name_that_toml_can_not_spell(self, home: Path) -> None:
        """A name that is not UTF-8 is refused where the file must spell it, else it serves."""
        folder = home / os.fsdecode(b"\xff")
        refused = drumwatchd(home, "--config", "c.toml", "init", folder)
        assert refused.returncode == 2
        assert "UTF-8" in refused.stderr
        assert not (home / "c.toml").exists()
        assert drumwatchd(home, "init", folder).returncode == 0
        assert (folder / "inbox").is_dir()

    def test_file_in_the_way(self, home: Path) -> None:
        """A file where a folder should be is named."""
        (home / "inbox").touch()
        done = drumwatchd(home, "init", ".")
        assert done.returncode == 2
        assert f"{home}/inbox" in done.stderr


class TestCheckConfig:
    def test_sound(self, home: Path) -> None:
        """A sound configuration: its file, the settings in force as TOML, and notes."""
        drumwatchd(home, "init", ".")
        done = drumwatchd(home, "--config", "config.toml", "check-config")
        assert (done.returncode, done.stderr) == (0, "")
        first, _, rest = done.stdout.partition("\n")
        assert first == f"configuration is sound: {home}/config.toml"
        settings = rest.split("\nnote: ")[0].split("\nwarning: ")[0]
        assert tomli.loads(settings)["inbox"][0]["path"] == f"{home}/inbox"
        assert tomli.loads(settings)["archive"]["mode"] == "move"
        assert "same file system as the archive" in done.stdout

    def test_json(self, home: Path) -> None:
        """``--json``: the same as one object."""
        drumwatchd(home, "init", ".")
        done = drumwatchd(
            home, "--config", "config.toml", "check-config", "--json", DRUMWATCHD_LOG_LEVEL="debug"
        )
        report = json.loads(done.stdout)
        assert (done.returncode, report["schema"], report["sound"]) == (0, 1, True)
        assert report["settings"]["inbox"][0]["settle_seconds"] == 2.0
        assert report["settings"]["log"]["level"] == "debug"
        tables = ["inbox", "archive", "index", "classify", "retrain", "log"]
        assert list(report["settings"]) == tables
        assert report["overrides"] == [
            {"variable": "DRUMWATCHD_LOG_LEVEL", "table": "log", "key": "level", "raw": "debug"}
        ]
        assert {note["level"] for note in report["notes"]} <= {"note", "warning"}

    def test_found_where_it_is_looked_for(self, home: Path) -> None:
        """What `init` made is what `check-config` finds, without an option."""
        drumwatchd(home, "init")
        done = drumwatchd(home, "check-config")
        assert done.returncode == 0
        assert f"sound: {home}/.config/drumwatchd/config.toml" in done.stdout

    def test_faults(self, home: Path) -> None:
        """Faults: all of them, each with file and line, and exit code 2."""
        config = home / "config.toml"
        config.write_text(example_text().replace('"move"', '"mvoe"').replace("0.5", "5"))
        done = drumwatchd(home, "--config", config, "check-config")
        assert (done.returncode, done.stdout) == (2, "")
        lines = example_text().split("\n")
        for beginning, key in (("mode", "archive.mode"), ("conf", "classify.confidence_threshold")):
            number = next(n for n, line in enumerate(lines, 1) if line.startswith(beginning))
            assert f"{config}:{number}: {key}: must be " in done.stderr

    def test_faults_as_json(self, home: Path) -> None:
        """``--json`` tells faults on stdout, with the same exit code."""
        (home / "config.toml").write_text("[log]\nlevl = 1\n")
        done = drumwatchd(home, "--config", "config.toml", "check-config", "--json")
        report = json.loads(done.stdout)
        assert (done.returncode, done.stderr, report["sound"]) == (2, "", False)
        assert {
            "key": "log.levl",
            "line": 2,
            "problem": "is not a known key",
            "fix": "write level",
            "variable": None,
        } in report["faults"]

    def test_none(self, home: Path) -> None:
        """Without a configuration the way to one is told."""
        done = drumwatchd(home, "check-config", DRUMWATCHD_CONFIG=str(home / "none.toml"))
        assert done.returncode == 2
        assert "drumwatchd init" in done.stderr
        assert "Traceback" not in done.stderr

    def test_notes_on_what_is_missing(self, home: Path) -> None:
        """Missing folders and models, and overrides, are no faults but are told."""
        (home / "config.toml").write_text(example_text())
        done = drumwatchd(
            home,
            "--config",
            "config.toml",
            "check-config",
            DRUMWATCHD_CLASSIFY_MODEL="nowhere",
            DRUMWATCHD_ARCHIVE_NAME_TEMPLATE="{label}/{stem}",
        )
        assert done.returncode == 0
        notes = [
            line for line in done.stdout.splitlines() if line.startswith(("note:", "warning:"))
        ]
        assert notes == [
            "note: DRUMWATCHD_ARCHIVE_NAME_TEMPLATE overrides archive.name_template",
            "note: DRUMWATCHD_CLASSIFY_MODEL overrides classify.model",
            f"warning: inbox[0].path: {home}/inbox is not there; make it: mkdir -p {home}/inbox",
            f"note: archive.root: {home}/archive is not there yet; the daemon makes it",
            "warning: archive.name_template: doesn't end with {suffix}; "
            "programs may not know the files as audio",
            f"note: index.path: {home}/state/index.sqlite3 is not there yet; the daemon makes it",
            *(
                note
                for note in notes
                if note.startswith("warning: classify.model: no model folder")
            ),
        ]
        assert f"{home}/nowhere" in notes[-1]

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
    def test_notes_on_rights(self, home: Path) -> None:
        """Folders that this user can't read or write are told."""
        drumwatchd(home, "init", ".")
        (home / "inbox").chmod(0o555)
        (home / "archive").chmod(0o555)
        done = drumwatchd(home, "--config", "config.toml", "check-config")
        (home / "inbox").chmod(0o755)
        (home / "archive").chmod(0o755)
        assert "warning: inbox[0].path: " in done.stdout
        assert "warning: archive.root: " in done.stdout

    @pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="wants a second file system")
    @pytest.mark.parametrize(
        ("mode", "note"),
        [
            ("move", "note: inbox[0].path: another file"),
            ("hardlink", "warning: inbox[0].path: another"),
        ],
    )
    def test_notes_on_other_file_systems(self, home: Path, mode: str, note: str) -> None:
        """Whether samples can be linked over depends on the file systems, and is told."""
        if os.stat("/dev/shm").st_dev == home.stat().st_dev:
            pytest.skip("one file system only")
        drumwatchd(home, "init", ".")
        environ = {"DRUMWATCHD_ARCHIVE_ROOT": "/dev/shm/not-there", "DRUMWATCHD_ARCHIVE_MODE": mode}
        done = drumwatchd(home, "--config", "config.toml", "check-config", **environ)
        assert note in done.stdout


class TestCompletion:
    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_script(self, home: Path, shell: str) -> None:
        """The script is for the shell that is named, and valid where that shell is here."""
        done = drumwatchd(home, "completion", shell)
        assert done.returncode == 0
        assert f"_DRUMWATCHD_COMPLETE={shell}_complete" in done.stdout
        if shutil.which(shell):
            subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True)

    def test_shell_of_the_user(self, home: Path) -> None:
        """Without a name it is the user's own shell."""
        done = drumwatchd(home, "completion", SHELL="/usr/bin/zsh")
        assert "#compdef drumwatchd" in done.stdout

    def test_unknown_shell(self, home: Path) -> None:
        """A shell that isn't served is told, with those that are."""
        for environ in ({"SHELL": "/bin/tcsh"}, {}):
            done = drumwatchd(home, "completion", **environ)
            assert done.returncode == 2
            assert "bash, zsh, fish" in done.stderr

    def test_completes(self, home: Path) -> None:
        """The script's call back into the program lists the commands."""
        done = drumwatchd(
            home,
            _DRUMWATCHD_COMPLETE="bash_complete",
            COMP_WORDS="drumwatchd check",
            COMP_CWORD="1",
        )
        assert done.stdout.splitlines() == ["plain,check-config", "plain,check"]


def test_the_configuration_starts_fast(home: Path) -> None:
    """Reading the configuration imports neither the log nor anything that draws or computes."""
    drumwatchd(home, "init", ".")
    code = (
        "import sys; from drumwatchd.config import load_config; load_config('config.toml', {})\n"
        "heavy = {'structlog', 'rich', 'numpy', 'watchdog', 'difflib', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=home,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
