"""The commands: the only printer, and the only place with exit codes.

Exit codes: 0 done · 1 something found · 2 usage or configuration · 3 partly done ·
4 already running · 130 interrupted.
"""

from __future__ import annotations

import importlib
import io
import keyword
import os
import sys

import click

from drumwatchd import __version__
from drumwatchd.cli.context import Context
from drumwatchd.errors import AlreadyRunningError, DrumwatchdError

EXIT_FOUND, EXIT_USAGE, EXIT_PARTLY, EXIT_RUNNING, EXIT_INTERRUPTED = 1, 2, 3, 4, 130

# In the order that `--help` lists them; a module is imported when its command is used.
COMMANDS = {
    "init": ("setup", "Write a commented configuration and make its folders."),
    "check-config": ("setup", "Check the configuration and say what is in force."),
    "run": ("run", "Watch the inboxes and file what arrives (the daemon)."),
    "scan": ("run", "File what is in the inboxes now, then exit."),
    "classify": ("classify", "Say what files sound like; file nothing."),
    "rebuild": ("rebuild", "Make an organised archive of a run of classify."),
    "stats": ("stats", "Show what a run or the index holds, in numbers and pictures."),
    "import": ("bring_in", "Take a run's files into the archive and its index."),
    "status": ("queries", "Show what is filed, waiting, and wrong."),
    "ls": ("queries", "List filed samples that match a query."),
    "show": ("queries", "Show why a sample stands where it does."),
    "log": ("history", "Show what was done: filed, moved, corrected."),
    "review": ("review", "List what to listen to: whose correction teaches most."),
    "similar": ("similar", "List what sounds like a sample."),
    "duplicates": ("duplicates", "List contents that came again, and twins of recordings."),
    "correct": ("correct", "Say what a sample is; it is filed there."),
    "undo": ("correct", "Take corrections or batches of reclassify back."),
    "overrides": ("correct", "Take corrections from one index to another."),
    "reclassify": ("reclassify", "Judge filed samples again, and file them by that."),
    "models": ("models", "List the adapted models, and what was measured."),
    "promote": ("models", "Let another model judge."),
    "rollback": ("models", "Let the model judge again that did before."),
    "doctor": ("doctor", "Look whether this machine is as the daemon needs it."),
    "check": ("check", "Check that index, manifests, disk and models agree."),
    "repair": ("check", "Mend what check finds; no sample is ever deleted."),
    "backup": ("check", "Copy the index, while the daemon runs or not."),
    "retry": ("retry", "Take quarantined and failed files again."),
    "validate-mapping": ("mapping", "Check the two tables of a model folder."),
    "create-stub": ("mapping", "Write fresh tables for a model folder."),
    "completion": ("setup", "Print shell completion."),
}


class LazyGroup(click.Group):
    """Imports a command's module only when that command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in reading order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"drumwatchd.cli.{COMMANDS[cmd_name][0]}")
        function = cmd_name.replace("-", "_")
        command = getattr(module, f"{function}_" if keyword.iskeyword(function) else function)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Configuration; else $DRUMWATCHD_CONFIG, ~/.config/drumwatchd/config.toml, "
    "/etc/drumwatchd/config.toml.",
)
@click.version_option(__version__, prog_name="drumwatchd")
@click.pass_context
def cli(ctx: click.Context, config_path: str | None) -> None:
    """Drop drum samples in a folder; find them filed by what they sound like."""
    ctx.obj = Context(config_path)


def main() -> None:
    """Run a command; turn errors into one message and an exit code."""
    open_streams()
    try:
        code = cli(standalone_mode=False)
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.Abort:
        code = EXIT_INTERRUPTED
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except DrumwatchdError as error:
        click.echo(f"drumwatchd: {printable(str(error))}", err=True)
        code = exit_code(error)
    except OSError as error:
        if error.filename is not None:
            raise
        # Of a descriptor, not of a path: most of all, the disk behind `> file` is full.
        discard_output()
        click.echo(f"drumwatchd: can't write ({error.strerror})", err=True)
        code = EXIT_PARTLY
    sys.exit(code if isinstance(code, int) else 0)


def open_streams() -> None:
    """Stand in for streams that the caller closed (``>&-``); print ``?`` for what a locale lacks.

    Else the next file that is opened, the index say, would be taken for the closed stream.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - as long as the process
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def discard_output() -> None:
    """Send nowhere what is still buffered: it has to go somewhere when the interpreter exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def exit_code(error: DrumwatchdError) -> int:
    """The exit code that an error ends the program with."""
    return EXIT_RUNNING if isinstance(error, AlreadyRunningError) else EXIT_USAGE


def printable(text: str) -> str:
    """Text with bytes that aren't UTF-8 made visible, for messages."""
    return text.encode("utf-8", "backslashreplace").decode()
