"""`doctor`: whether this machine is as the daemon needs it."""

from __future__ import annotations

import click

from drumwatchd.cli import EXIT_FOUND
from drumwatchd.cli.context import Context
from drumwatchd.cli.output import JSON_SCHEMA, print_json, visible


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def doctor(context: Context, as_json: bool) -> None:
    """Look whether everything is as the daemon needs it.

    Folders and who may write there, room, limits, the index and where it lies, what the service can
    see, hooks, and whether a sound is judged. Run it as the daemon's user. Changes nothing.

    Exit code 1 where something fails.
    """
    from dataclasses import asdict

    from drumwatchd.doctor import diagnose

    config = context.load()
    found = []
    for one in diagnose(config):
        found.append(one)
        if not as_json:
            remedy = f"; {one.remedy}" if one.remedy else ""
            click.echo(visible(f"{one.state:<5} {one.what:<10} {one.found}{remedy}"))
    if as_json:
        print_json({"schema": JSON_SCHEMA, "checks": [asdict(one) for one in found]})
    if any(one.state == "fail" for one in found):
        raise SystemExit(EXIT_FOUND)
