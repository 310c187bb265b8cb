"""Write docs/reference/commands.md from the commands' own help.

python docs/reference/make_commands.py
"""

from __future__ import annotations

from pathlib import Path

import click

from drumwatchd.cli import cli

PAGE = Path(__file__).with_name("commands.md")
WIDTH = 88
INTRODUCTION = """# Commands

Written from the commands' own `--help`. Data goes to stdout, progress and messages to stderr; bars
show on a terminal only, and `NO_COLOR` is honoured.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | something was found, or nothing where something was asked for |
| 2 | usage or configuration; something that must be there at start is missing |
| 3 | partly done: something was left out |
| 4 | another drumwatchd works on this index |
| 130 | interrupted |
"""


def page() -> str:
    """The whole page."""
    top = click.Context(cli, info_name="drumwatchd", terminal_width=WIDTH, **cli.context_settings)
    parts = [INTRODUCTION, _section("drumwatchd", cli.get_help(top))]
    for name in cli.list_commands(top):
        command = cli.get_command(top, name)
        assert command is not None
        context = click.Context(command, parent=top, info_name=name, terminal_width=WIDTH)
        parts.append(_section(f"drumwatchd {name}", command.get_help(context)))
        if isinstance(command, click.Group):
            parts += _subcommands(command, context)
    return "\n".join(parts)


def _subcommands(group: click.Group, parent: click.Context) -> list[str]:
    sections = []
    for name, command in group.commands.items():
        context = click.Context(command, parent=parent, info_name=name, terminal_width=WIDTH)
        title = f"drumwatchd {parent.info_name} {name}"
        sections.append(_section(title, command.get_help(context)))
    return sections


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n```text\n{text}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
