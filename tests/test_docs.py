"""What the documentation says is so."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from drumwatchd.cli import COMMANDS, cli
from drumwatchd.config import load_config

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_command_reference_is_the_commands_help() -> None:
    """docs/reference/commands.md is what make_commands.py writes now."""
    script = REPOSITORY / "docs" / "reference" / "make_commands.py"
    code = f"import runpy; print(runpy.run_path({str(script)!r})['page'](), end='')"
    # In a process of its own: click remembers the help options of a command it has shown.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert script.with_name("commands.md").read_bytes() == done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    """Someone at a terminal needs no manual."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_the_readmes_commands_exist() -> None:
    """Every `drumwatchd …` line is parsed by the command that it names."""
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    calls = [shlex.split(line)[1:] for line in lines if line.startswith("drumwatchd ")]
    assert len(calls) > 8
    for name, *arguments in calls:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, name
        command.make_context(name, list(arguments))


def test_the_readmes_configuration_is_sound(tmp_path: Path) -> None:
    """The ten lines are accepted as they stand."""
    (text,) = blocks("toml")
    assert tomllib.loads(text)
    path = tmp_path / "config.toml"
    path.write_text(text)
    assert load_config(path, {}).archive.mode == "move"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Relative links and pictures are there."""
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target
