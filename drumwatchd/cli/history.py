"""`log`: what happened to samples, the newest last."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import click

from drumwatchd.cli.context import Context
from drumwatchd.cli.output import JSON_SCHEMA, LineWriter, iso_utc, json_text, local_time, visible
from drumwatchd.errors import UsageError

if TYPE_CHECKING:
    from drumwatchd.index.records import Event

SHORT_DIGEST = 12
_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}


class Moment(click.ParamType[float]):
    """A moment: so long ago, as 2h or 3d, or a date and time, as 2026-05-01 or 2026-05-01T18:00."""

    name = "moment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Unix time."""
        if isinstance(value, float):
            return value
        ago = re.fullmatch(r"(\d+)([smhdw])", str(value))
        if ago:
            return time.time() - int(ago[1]) * _UNITS[ago[2]]
        from datetime import datetime

        try:
            return datetime.fromisoformat(str(value)).timestamp()  # local, where no zone is named
        except ValueError:
            self.fail(f"{value} is no moment; say 2h, 3d or 2026-05-01T18:00", param, ctx)


@click.command()
@click.argument("target", metavar="[FILE|DIGEST]", type=click.UNPROCESSED, required=False)
@click.option("--since", metavar="WHEN", type=Moment(), help="2h, 3d, or 2026-05-01T18:00.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(0), default=100, show_default=True,
    help="Only the newest; 0 for all.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def log(
    context: Context, target: str | None, since: float | None, limit: int, as_json: bool
) -> None:
    """Show what was done: filed, moved, corrected, set aside; the newest last.

    Each placement and each move is a line, with its time, the beginning of the digest, what
    happened and where. With FILE or DIGEST only what happened to that sample. What is to be taken
    back is for undo.
    """
    from drumwatchd.cli.lookup import find_story
    from drumwatchd.index.reader import open_reader

    config = context.load()
    with open_reader(str(config.index.path)) as reader:
        digest = None
        if target is not None:
            root, algorithm = str(config.archive.root), config.index.hash_algorithm
            story = find_story(reader, target, root=root, default_algorithm=algorithm)
            if story is None or story.sample is None:
                raise UsageError("the index knows no such sample", path=target)
            digest = story.sample.digest
        happened = reader.happened(since=since or 0.0, digest=digest, limit=limit or None)
    with LineWriter() as writer:
        for of, event in happened:
            writer.write(json_text(_as_json(of, event)) if as_json else _as_text(of, event))


def _as_json(digest: str | None, event: Event) -> dict[str, Any]:
    return {
        "schema": JSON_SCHEMA, "at": iso_utc(event.at), "digest": digest, "event": event.event,
        "path": event.path, "detail": event.detail,
    }  # fmt: skip


def _as_text(digest: str | None, event: Event) -> str:
    short = (digest or "-")[:SHORT_DIGEST]
    detail = ", ".join(f"{key} {value}" for key, value in event.detail.items())
    text = f"{local_time(event.at)}  {short:<{SHORT_DIGEST}}  {event.event:<15}  {event.path or ''}"
    return visible(f"{text}  ({detail})" if detail else text)
