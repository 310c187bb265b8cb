"""`status`, `ls` and `show`: questions to the index, answered without a daemon or a model."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from drumwatchd.cli.context import Context, judging_model
from drumwatchd.cli.output import JSON_SCHEMA, LineWriter, iso_utc, json_text, print_json, visible
from drumwatchd.errors import ModelError, UsageError
from drumwatchd.index.paths import from_db
from drumwatchd.index.reader import Reader, open_reader
from drumwatchd.index.records import Sample, location

if TYPE_CHECKING:
    from drumwatchd.config import Config
    from drumwatchd.index.query import Query
    from drumwatchd.index.status import Status

EXIT_NOT_FOUND = 1
WATCH_SECONDS = 1.0


# -- status -----------------------------------------------------------------------------------


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--watch", is_flag=True, help="Print anew every second, until Ctrl-C.")
@click.pass_obj
def status(context: Context, as_json: bool, watch: bool) -> None:
    """Show what is filed, waiting, and wrong.

    Works with or without a running daemon, and changes nothing.
    """
    config = context.load()

    def look() -> Status:
        return _read_status(config)

    if as_json:
        _print_status_json(look, watch)
    elif watch:
        from drumwatchd.cli.views import watch_status

        with contextlib.suppress(KeyboardInterrupt):
            watch_status(look, WATCH_SECONDS)
    else:
        from drumwatchd.cli.views import print_status

        print_status(look())


def _read_status(config: Config) -> Status:
    from drumwatchd.index.status import read_status

    return read_status(
        str(config.index.path),
        archive_root=str(config.archive.root),
        archive_mode=config.archive.mode,
        inboxes=[(str(inbox.path), inbox.watch) for inbox in config.inboxes],
        model=_model_id(config),
        now=time.time(),
    )


def _model_id(config: Config) -> str | None:
    try:
        return judging_model(config).card.id
    except ModelError:
        # `check-config` and the daemon say what is wrong with it; the counts still stand.
        return None


def _print_status_json(look: Callable[[], Status], watch: bool) -> None:
    with contextlib.suppress(KeyboardInterrupt), LineWriter() as writer:
        writer.write(json_text(status_json(look())))
        while watch:
            time.sleep(WATCH_SECONDS)
            writer.write(json_text(status_json(look())))


def status_json(status: Status) -> dict[str, Any]:
    """The status as other programs read it; keys are only ever added."""
    from drumwatchd import __version__

    counts, filed = status.counts, status.counts.last_filed
    return {
        "schema": JSON_SCHEMA,
        "version": __version__,
        "running": status.running,
        "pid": status.pid,
        "started": iso_utc(status.started),
        "degraded": status.degraded,
        "files": {
            "total": counts.total,
            "by_label": dict(counts.by_label),
            "in_work": counts.in_work,
        },
        "queue": {"pending": status.pending, "oldest_seconds": status.oldest_seconds},
        "duplicates": counts.duplicates,
        "corrections": counts.corrections,
        "gone": counts.gone,
        "quarantined": counts.quarantined,
        "errors": counts.errors,
        "failures": [
            {"path": failure.path, "reason": failure.reason, "at": iso_utc(failure.at)}
            for failure in counts.failures
        ],
        "last_filed": filed and {
            "path": filed.location(status.archive.root),
            "label": filed.label,
            "confidence": filed.confidence,
            "digest": filed.digest,
            "added": iso_utc(filed.added),
        },
        "model": {"id": status.model},
        "workers": status.workers,
        "inboxes": [
            {
                "path": inbox.path,
                "mode": inbox.mode,
                "last_event": iso_utc(inbox.last_event),
                "last_rescan": iso_utc(inbox.last_rescan),
                "degraded": inbox.degraded,
                "files_left_alone": inbox.files_left_alone,
                "unreadable_folders": inbox.unreadable_folders,
                "found_by_rescan": inbox.found_by_rescan,
            }
            for inbox in status.inboxes
        ],
        "index": {"path": status.index_path, "size_bytes": status.index_size},
        "archive": {
            "root": status.archive.root,
            "mode": status.archive.mode,
            "free_bytes": status.archive.free,
            "watched": status.archive.watched,
            "last_rescan": iso_utc(status.archive.last_rescan),
            "untracked": status.archive.untracked,
            "unreadable_folders": status.archive.unreadable_folders,
            "degraded": status.archive.degraded,
        },
    }  # fmt: skip


# -- ls ---------------------------------------------------------------------------------------


class QueryCommand(click.Command):
    """Takes ``-term`` for a negated term, where click would see a bundle of options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spell negated terms ``^term``, which the query reads the same."""
        options = {name for option in self.get_params(ctx) for name in option.opts}
        valued = {
            name
            for option in self.get_params(ctx)
            if isinstance(option, click.Option) and not option.is_flag
            for name in option.opts
        }
        spelled, words = [], iter(args)
        for word in words:
            if word == "--":
                spelled += [word, *words]
                break
            if len(word) > 1 and word[0] == "-" and word[1] != "-" and word not in options:
                word = "^" + word[1:]
            spelled.append(word)
            if word in valued:
                # What follows is the option's value, whatever it looks like.
                spelled += [value for value in [next(words, None)] if value is not None]
        return super().parse_args(ctx, spelled)


@click.command(cls=QueryCommand)
@click.argument("query", nargs=-1, type=click.UNPROCESSED)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option("--format", "template", metavar="TEMPLATE",
              help="Print a template, e.g. '{label} {confidence:.2f} {path}'.")  # fmt: skip
@click.option("--limit", metavar="N", type=click.IntRange(min=0), help="Stop after N samples.")
@click.option("-0", "--null", is_flag=True, help="End each path with NUL, for xargs -0.")
@click.pass_obj
def ls(
    context: Context,
    query: tuple[str, ...],
    as_json: bool,
    template: str | None,
    limit: int | None,
    null: bool,
) -> None:
    """List filed samples that match all terms of QUERY, by default their paths.

    \b
    word                 in the name, path, label, fine label or pack
    label:kick fine:rim  a field (also: tag, confidence, added, path, name, pack,
                         source, digest, model, state, duration, size, mode)
    confidence:..0.6     a range, open on either side
    added:7d..           a date or an age: 2026-10, 2026-10-01..2026-10-31, ..2h
    name::^kick.*wav$    a regular expression
    -label:tom           not
    snare , fine:clap    or
    added-               sort: newest first (added+ oldest first)

    state:quarantined lists what couldn't be judged, review:yes what to look at,
    corrected:yes what you corrected.
    """
    from drumwatchd.index.query import compile_query

    if as_json and (template is not None or null):
        raise UsageError("--json goes without --format and --null")
    config = context.load()
    root = str(config.archive.root)
    compiled = compile_query(query, root=root, now=time.time())
    with LineWriter("\0" if null else "\n") as writer:
        if template is not None:
            from drumwatchd.cli.template import compile_template

            render = compile_template(template, root=root, safe=writer.is_terminal)
        with open_reader(str(config.index.path)) as reader:
            if not as_json and template is None:
                _list_paths(reader, compiled, root, limit, writer)
                return
            for sample in reader.samples(compiled, limit=limit, with_top=True):
                writer.write(json_text(sample_json(sample, root)) if as_json else render(sample))


def _list_paths(
    reader: Reader, query: Query, root: str, limit: int | None, writer: LineWriter
) -> None:
    spell = visible if writer.is_terminal else str
    for path, source in reader.rows(query, ("path", "source"), limit=limit):
        relative = None if path is None else from_db(path)
        writer.write(spell(location(relative, from_db(source), root)))


def sample_json(sample: Sample, root: str) -> dict[str, Any]:
    """One sample as other programs read it; keys are only ever added."""
    return {
        "digest": sample.digest,
        "path": sample.location(root),
        "label": sample.label,
        "fine": sample.fine,
        "confidence": sample.confidence,
        "top": [{"label": label, "probability": probability} for label, probability in sample.top],
        "source": sample.source,
        "added": iso_utc(sample.added),
        "name": sample.name,
        "pack": sample.pack,
        "duration": sample.duration,
        "size": sample.size,
        "model": sample.model,
        "mode": sample.mode,
        "state": sample.state,
        "reason": sample.reason,
        "review": sample.review,
        "tag": sample.tag,
        "corrected": sample.corrected,
        "schema": JSON_SCHEMA,
    }


# -- show -------------------------------------------------------------------------------------


@click.command()
@click.argument("target", metavar="FILE|DIGEST", type=click.UNPROCESSED)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def show(context: Context, target: str, as_json: bool) -> None:
    """Show why a sample stands where it does, and what happened to it.

    FILE may stand in the archive, in an inbox (even if it is gone from there) or anywhere else:
    then its content is looked up. DIGEST may be cut short, to four digits at least.
    """
    from drumwatchd.cli.lookup import find_story

    config = context.load()
    root = str(config.archive.root)
    with open_reader(str(config.index.path)) as reader:
        story = find_story(reader, target, root=root, default_algorithm=config.index.hash_algorithm)
    if story is None:
        click.echo(f"drumwatchd: the index knows nothing of {visible(target)}", err=True)
        click.get_current_context().exit(EXIT_NOT_FOUND)
    if as_json:
        print_json(story_json(story, root))
    else:
        from drumwatchd.cli.views import print_story

        print_story(story, root)


def story_json(story: Any, root: str) -> dict[str, Any]:
    """All that `show` knows, as other programs read it; keys are only ever added."""
    sample, remembered = story.sample, story.remembered
    return {
        "schema": JSON_SCHEMA,
        **(sample_json(sample, root) if sample else _unjudged_json(remembered)),
        "probabilities": dict(sample.probabilities) if sample else {},
        "exists": story.exists,
        "retained": bool(sample and sample.retained),
        "correction": story.correction and story.correction | {
            "at": iso_utc(story.correction["at"])
        },
        "duplicates": list(story.duplicates),
        "remembered": remembered and {
            "path": remembered.path,
            "outcome": remembered.outcome,
            "reason": remembered.reason,
            "at": iso_utc(remembered.at),
        },
        "history": [
            {
                "at": iso_utc(event.at),
                "event": event.event,
                "path": event.path,
                "detail": event.detail,
            }
            for event in story.history
        ],
    }  # fmt: skip


def _unjudged_json(remembered: Any) -> dict[str, Any]:
    """The keys of a sample for a file that never became one."""
    unknown = (
        "label", "fine", "confidence", "added", "review", "tag", "duration", "model", "mode",
        "corrected",
    )  # fmt: skip
    return {
        **dict.fromkeys(unknown),
        "digest": remembered.digest,
        "path": remembered.path,
        "source": remembered.path,
        "top": [],
        "name": os.path.basename(remembered.path),
        "size": remembered.size,
        "state": remembered.outcome,
        "reason": remembered.reason,
    }
