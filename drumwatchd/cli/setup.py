"""Commands around the configuration: `init`, `check-config`, `completion`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from drumwatchd.cli import printable
from drumwatchd.cli.context import Context
from drumwatchd.errors import ConfigError, UsageError
from drumwatchd.files import write_atomically

if TYPE_CHECKING:
    from drumwatchd.config import Config
    from drumwatchd.config.environment import Override
    from drumwatchd.config.lines import Key

SCHEMA = 1
SHELLS = ("bash", "zsh", "fish")


class Places(NamedTuple):
    """What `init` makes."""

    config: Path
    inbox: Path
    archive: Path
    state: Path


@click.command("init")
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace a configuration that is already there.")
@click.pass_obj
def init(context: Context, folder: Path | None, force: bool) -> None:
    """Write a commented configuration and make its folders.

    With FOLDER everything is made in there: config.toml, inbox, archive, state. Without, the
    configuration goes where drumwatchd looks for it, and inbox and archive into ~/drumwatchd.
    """
    from drumwatchd.config.example import example_text, fill

    places = choose_places(context.config_path, folder, os.environ)
    text = fill(example_text(), spelled(places, os.environ))
    make_folder(places.config.parent)
    write_config(places.config, text, force=force)
    made = [path for path in (places.inbox, places.archive, places.state) if make_folder(path)]
    _print_made(places, made, os.environ)


def choose_places(
    config_path: str | None, folder: Path | None, environ: Mapping[str, str]
) -> Places:
    """Decide what `init` makes, from ``--config``, FOLDER and the user's own places."""
    from drumwatchd.config.places import absolute_path, home_folder, user_path, xdg_folder

    asked = config_path or (None if folder else environ.get("DRUMWATCHD_CONFIG"))
    if folder is not None:
        base = Path(os.path.abspath(folder))
        default, data, state = base / "config.toml", base, base / "state"
    else:
        default, data = user_path(environ), home_folder(environ) / "drumwatchd"
        state = xdg_folder("XDG_STATE_HOME", ".local/state", environ) / "drumwatchd"
    config = absolute_path(asked, Path.cwd(), environ) if asked else default
    return Places(config, data / "inbox", data / "archive", state)


def spelled(places: Places, environ: Mapping[str, str]) -> dict[Key, str]:
    """How the configuration names the places: as short as it can."""
    from drumwatchd.config.places import home_folder

    base, home = places.config.parent, home_folder(environ)

    def shortest(path: Path) -> str:
        if path.is_relative_to(base):
            return str(path.relative_to(base))
        return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)

    return {
        ("inbox", 0, "path"): shortest(places.inbox),
        ("archive", "root"): shortest(places.archive),
        ("index", "path"): shortest(places.state / "index.sqlite3"),
    }


def make_folder(path: Path) -> bool:
    """Make a folder and its parents; whether it was missing.

    Raises:
        UsageError: it can't be made.
    """
    if os.path.isdir(path):
        return False
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"can't make the folder ({error.strerror})", path=str(path)) from error
    return True


def write_config(path: Path, text: str, *, force: bool) -> None:
    """Write a new configuration; an existing one is replaced only with `force`.

    Raises:
        UsageError: one is already there, or it can't be written.
    """
    try:
        text.encode()
        if force:
            write_atomically(str(path), text)
        else:
            with open(path, "x", encoding="utf-8") as stream:
                stream.write(text)
    except UnicodeEncodeError as error:
        hint = "TOML is UTF-8 and can't spell this folder's name; choose another"
        raise UsageError("can't write the configuration", path=str(path), hint=hint) from error
    except FileExistsError as error:
        hint = "keep it, or replace it with --force"
        raise UsageError("a configuration is there", path=str(path), hint=hint) from error
    except OSError as error:
        problem = f"can't write the configuration ({error.strerror})"
        raise UsageError(problem, path=str(path)) from error


def _print_made(places: Places, made: Iterable[Path], environ: Mapping[str, str]) -> None:
    from drumwatchd.config import find_config

    click.echo(f"configuration  {printable(str(places.config))}")
    for name, path in (("inbox", places.inbox), ("archive", places.archive)):
        click.echo(f"{name:13}  {printable(str(path))}{'' if path in made else '  (was there)'}")
    try:
        is_found = find_config(None, environ) == places.config
    except ConfigError:
        is_found = False
    option = "" if is_found else f"--config {_quoted(places.config)} "
    click.echo(
        f"\nnext: drumwatchd {option}run\nthen drop samples into {printable(str(places.inbox))}"
    )


@click.command("check-config")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def check_config(context: Context, as_json: bool) -> None:
    """Check the configuration: every fault with its line, or the settings in force.

    Exits with 2 if there are faults.
    """
    from drumwatchd.cli.config_notes import notes_on
    from drumwatchd.config.environment import find_overrides

    try:
        config = context.load()
    except ConfigError as error:
        if not as_json:
            raise
        _print_json(faults_object(error))
        raise click.exceptions.Exit(2) from error
    overrides = find_overrides(os.environ)
    notes = notes_on(config)
    if as_json:
        _print_json(
            {
                "schema": SCHEMA,
                "sound": True,
                "path": str(config.path),
                "settings": settings_object(config),
                "overrides": [override._asdict() for override in overrides],
                "notes": [note._asdict() for note in notes],
            }
        )
    else:
        _print_sound(config, overrides, [f"{note.level}: {note.text}" for note in notes])


def faults_object(error: ConfigError) -> dict[str, object]:
    """What ``check-config --json`` prints of a configuration that can't be used."""
    return {
        "schema": SCHEMA,
        "sound": False,
        "path": error.path,
        "message": error.message,
        "hint": error.hint,
        "faults": [fault._asdict() for fault in error.faults],
    }


def settings_object(config: Config) -> dict[str, object]:
    """The settings in force, under the names that the file has."""
    import msgspec

    tables = msgspec.to_builtins(config, enc_hook=str)
    return {
        "inbox": tables["inboxes"],
        **{name: tables[name] for name in ("archive", "index", "classify", "retrain", "log")},
    }


def _print_sound(config: Config, overrides: Iterable[Override], notes: Iterable[str]) -> None:
    from drumwatchd.config.render import render

    click.echo(f"configuration is sound: {printable(str(config.path))}\n")
    click.echo(printable(render(config)))
    for override in overrides:
        click.echo(f"note: {override.variable} overrides {override.table}.{override.key}")
    for note in notes:
        click.echo(printable(note))


def _print_json(value: dict[str, object]) -> None:
    import json

    click.echo(json.dumps(value, indent=2))


@click.command("completion")
@click.argument("shell", required=False, type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str | None) -> None:
    """Print the completion script for SHELL, by default the shell you use.

    \b
    bash: drumwatchd completion bash > ~/.local/share/bash-completion/completions/drumwatchd
    zsh:  drumwatchd completion zsh > a folder of $fpath, as _drumwatchd
    fish: drumwatchd completion fish > ~/.config/fish/completions/drumwatchd.fish
    """
    from click.shell_completion import get_completion_class

    shell = shell or os.path.basename(os.environ.get("SHELL", ""))
    if shell not in SHELLS:
        raise UsageError(
            f"no completion for the shell {shell!r}" if shell else "which shell?",
            hint=f"name one: {', '.join(SHELLS)}",
        )
    kind = get_completion_class(shell)
    assert kind is not None
    root = context.find_root().command
    click.echo(kind(root, {}, "drumwatchd", "_DRUMWATCHD_COMPLETE").source())


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(printable(str(path)))
