"""What `status` and `show` look like on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from drumwatchd import __version__
from drumwatchd.cli.lookup import Story
from drumwatchd.cli.output import (
    age,
    byte_size,
    console,
    counted,
    local_time,
    seconds_text,
    visible,
)
from drumwatchd.index.records import Event, Sample
from drumwatchd.index.status import ArchiveStatus, Counts, InboxStatus, Status

BAR_WIDTH = 30
EIGHTHS = " ▏▎▍▌▋▊▉█"
QUIET, GOOD, WARN, BAD, LEAD, BAR = "dim", "green", "yellow", "bold red", "bold", "cyan"


def bar(fraction: float, width: int = BAR_WIDTH) -> Text:
    """A horizontal bar, `fraction` of `width` columns long, to an eighth of a column."""
    eighths = round(min(max(fraction, 0.0), 1.0) * width * 8)
    if fraction > 0:
        eighths = max(eighths, 1)
    return Text("█" * (eighths // 8) + EIGHTHS[eighths % 8].strip(), style=BAR)


# -- status -----------------------------------------------------------------------------------


def print_status(status: Status) -> None:
    """Draw the status once."""
    console().print(status_view(status))


def watch_status(look: Callable[[], Status], interval_seconds: float) -> None:
    """Draw the status anew at every interval, until interrupted."""
    screen = console()
    if not screen.is_terminal:
        while True:
            screen.print(status_view(look()))
            time.sleep(interval_seconds)
    with Live(status_view(look()), console=screen, auto_refresh=False) as live:
        while True:
            time.sleep(interval_seconds)
            live.update(status_view(look()), refresh=True)


def status_view(status: Status) -> RenderableType:
    """The whole status as one panel."""
    parts: list[RenderableType] = [_label_table(status.counts), Text(), _facts(status)]
    if status.counts.failures:
        parts += [Text(), _failures(status)]
    parts += [Text(), _inbox_table(status)]
    return Panel(
        Group(*parts),
        title=Text.assemble((f"drumwatchd {__version__}", LEAD), " · ", _running(status)),
        title_align="left",
        border_style="red" if _is_degraded(status) else QUIET,
    )


def _is_degraded(status: Status) -> bool:
    inboxes = any(inbox.degraded for inbox in status.inboxes)
    return bool(status.degraded or status.archive.degraded or inboxes)


def _running(status: Status) -> Text:
    if not status.running:
        return Text("not running", style=WARN)
    text = "running"
    if status.started is not None:
        text += f" for {age(status.now - status.started)}"
    if status.pid is not None:
        text += f", pid {status.pid}"
    return Text(f"degraded, {text}", style=BAD) if _is_degraded(status) else Text(text, style=GOOD)


def _label_table(counts: Counts) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style=LEAD)
    table.add_column(justify="right")
    table.add_column()
    most = max(counts.by_label.values(), default=0) or 1
    for label, count in counts.by_label.items():
        table.add_row(Text(visible(label)), f"{count:,}", bar(count / most))
    table.add_row(Text("total", style=QUIET), Text(f"{counts.total:,}", style=QUIET))
    return table


def _facts(status: Status) -> Table:
    counts = status.counts
    table = _grid()
    if status.degraded:
        table.add_row(Text("degraded", style=BAD), Text(visible(status.degraded), style=BAD))
    table.add_row("queue", _queue(status))
    if counts.last_filed:
        table.add_row("last filed", _last_filed(counts.last_filed, status.now))
    table.add_row(
        "set aside",
        Text(", ").join([
            _count(counts.quarantined, "quarantined", WARN),
            _count(counts.errors, "error" if counts.errors == 1 else "errors", WARN),
            _count(counts.duplicates, "duplicate" if counts.duplicates == 1 else "duplicates", ""),
        ]),
    )  # fmt: skip
    if counts.corrections or counts.gone:
        corrections = counted(counts.corrections, "correction")
        table.add_row("by you", f"{corrections}, {counts.gone:,} gone")
    table.add_row("model", visible(status.model or "can't be read; see check-config"))
    table.add_row("archive", _archive(status.archive))
    size = "not made yet" if status.index_size is None else byte_size(status.index_size)
    table.add_row("index", f"{visible(status.index_path)} ({size})")
    return table


def _archive(archive: ArchiveStatus) -> Text:
    free = "" if archive.free is None else f", {byte_size(archive.free)} free"
    text = Text(f"{visible(archive.root)} ({archive.mode}{free})")
    if archive.degraded and archive.watched:
        text.append(f"\n{visible(archive.degraded)}", style=BAD)
    if archive.unreadable_folders:
        text.append(f"\n{archive.unreadable_folders:,} folders can't be read", style=WARN)
    if archive.untracked:
        files = counted(archive.untracked, "untracked file")
        text.append(f"\n{files} left alone", style=QUIET)
    return text


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style=QUIET, no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _queue(status: Status) -> str:
    work = f", {status.counts.in_work} in work" if status.counts.in_work else ""
    if not status.pending:
        return f"empty{work}"
    oldest = status.oldest_seconds
    waits = "" if oldest is None else f", the oldest for {age(oldest)}"
    return f"{status.pending:,} waiting{waits}{work}"


def _last_filed(sample: Sample, now: float) -> str:
    confidence = "" if sample.confidence is None else f" {sample.confidence:.2f}"
    return f"{visible(sample.name)} → {sample.label}{confidence}, {age(now - sample.added)} ago"


def _count(count: int, what: str, style: str) -> Text:
    return Text(f"{count:,} {what}", style=style if count else QUIET)


def _failures(status: Status) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(style=WARN, overflow="fold")
    for failure in status.counts.failures:
        table.add_row(visible(failure.path), visible(failure.reason or "failed"))
    rest = status.counts.errors - len(status.counts.failures)
    title = "newest errors" if rest > 0 else "errors"
    return Group(Text(title, style=QUIET), Padding(table, (0, 0, 0, 2)))


def _inbox_table(status: Status) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=QUIET)
    table.add_column("inbox", overflow="fold")
    for title in ("watched", "last event", "last rescan"):
        table.add_column(title, no_wrap=True)
    for inbox in status.inboxes:
        table.add_row(
            _inbox_name(inbox),
            inbox.mode,
            _ago(inbox.last_event, status.now),
            _ago(inbox.last_rescan, status.now),
        )
    return table


def _inbox_name(inbox: InboxStatus) -> Text:
    name = Text(visible(inbox.path))
    if inbox.degraded:
        name.append(f"\n{visible(inbox.degraded)}", style=BAD)
    if inbox.unreadable_folders:
        name.append(f"\n{inbox.unreadable_folders:,} folders can't be read", style=WARN)
    notes = []
    if inbox.files_left_alone:
        notes.append(f"{inbox.files_left_alone:,} other files left alone")
    if inbox.found_by_rescan:
        notes.append(f"{inbox.found_by_rescan:,} found by rescan")
    if notes:
        name.append(f"\n{', '.join(notes)}", style=QUIET)
    return name


def _ago(moment: float | None, now: float) -> Text:
    return Text("-", style=QUIET) if moment is None else Text(f"{age(now - moment)} ago")


# -- show -------------------------------------------------------------------------------------


def print_story(story: Story, root: str) -> None:
    """Draw all that is known of one sample."""
    console().print(story_view(story, root))


def story_view(story: Story, root: str) -> RenderableType:
    """One sample, or one inbox file that failed, as one panel."""
    sample = story.sample
    if sample is None:
        parts: list[RenderableType] = [_failed_facts(story)]
        title = Text(visible(story.remembered.path if story.remembered else ""), style=LEAD)
    else:
        parts = [_sample_facts(sample, story, root)]
        if sample.top:
            parts += [Text(), _probabilities("sounds like", sample.top)]
        if sample.probabilities:
            best = sorted(sample.probabilities, key=lambda item: -item[1])
            parts += [Text(), _probabilities("folded to", best)]
        title = Text(visible(sample.name), style=LEAD)
    if story.history:
        parts += [Text(), _history(story.history)]
    return Panel(Group(*parts), title=title, title_align="left", border_style=QUIET)


def _sample_facts(sample: Sample, story: Story, root: str) -> Table:
    table = _grid()
    if story.note:
        table.add_row("note", Text(story.note, style=WARN))
    table.add_row(*_verdict(sample))
    if sample.reason:
        table.add_row("why", visible(sample.reason))
    if story.correction:
        table.add_row("you said", _said(story.correction))
    if sample.tag:
        table.add_row("tag", visible(f"{sample.fine}, {sample.tag}"))
    if sample.review:
        table.add_row("review", Text(visible(sample.review), style=WARN))
    in_archive = sample.state in ("filed", "gone") and sample.path is not None
    table.add_row("archived" if in_archive else "path", _standing(sample, story, root))
    if sample.path is not None:
        table.add_row("source", visible(sample.source))
    if sample.retained:
        table.add_row("", Text("the source could not be removed", style=WARN))
    if sample.pack:
        table.add_row("pack", visible(sample.pack))
    how = f", by {sample.mode}" if sample.mode else ""
    table.add_row("added" if sample.state == "filed" else "since", local_time(sample.added) + how)
    length = "" if sample.duration is None else f"{seconds_text(sample.duration)}, "
    table.add_row("length", f"{length}{byte_size(sample.size)}")
    if sample.model:
        table.add_row("model", visible(sample.model))
    table.add_row("digest", sample.digest)
    for path in story.duplicates:
        table.add_row("duplicate", visible(path))
    return table


def _verdict(sample: Sample) -> tuple[str, Text]:
    if sample.state == "quarantined":
        return "state", Text("quarantined", style=BAD)
    if sample.state == "gone":
        return "state", Text(f"gone from {visible(sample.label or '')}", style=WARN)
    if sample.state != "filed":
        return "state", Text("in work", style=WARN)
    text = Text(sample.label or "", style=LEAD)
    if sample.confidence is not None:
        text.append(f" {sample.confidence:.2f}")
    return "label", text


def _said(correction: Mapping[str, Any]) -> Text:
    text = Text(visible(correction["label"]), style=LEAD)
    how = {"moved": "by moving it", "command": "by command", "imported": "by import"}
    was = f", it was {visible(correction['was'])}" if correction["was"] else ""
    text.append(f"  {how.get(correction['how'], '')}, {local_time(correction['at'])}{was}", "")
    if correction["note"]:
        text.append(f"\n{visible(correction['note'])}", style=QUIET)
    return text


def _standing(sample: Sample, story: Story, root: str) -> Text:
    text = Text(visible(sample.location(root)))
    if not story.exists:
        text.append("  not there any more", style=BAD)
    return text


def _failed_facts(story: Story) -> Table:
    table, remembered = _grid(), story.remembered
    assert remembered is not None
    table.add_row("state", Text(f"{remembered.outcome}, left where it is", style=BAD))
    table.add_row("why", visible(remembered.reason or "unknown"))
    table.add_row("since", local_time(remembered.at))
    table.add_row("size", byte_size(remembered.size))
    if not story.exists:
        table.add_row("", Text("not there any more", style=BAD))
    return table


def _probabilities(title: str, ranked: Iterable[tuple[str, float]]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=10)
    table.add_column(justify="right")
    table.add_column()
    for label, probability in ranked:
        table.add_row(visible(label), f"{probability:.3f}", bar(probability))
    return Group(Text(title, style=QUIET), Padding(table, (0, 0, 0, 2)))


def _history(events: Iterable[Event]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(style=LEAD, no_wrap=True)
    table.add_column(overflow="fold")
    for event in events:
        path = [visible(event.path)] if event.path else []
        table.add_row(
            local_time(event.at), visible(event.event), "\n".join([*path, *_details(event.detail)])
        )
    return Group(Text("history", style=QUIET), Padding(table, (0, 0, 0, 2)))


def _details(detail: Mapping[str, Any]) -> list[str]:
    return [
        f"{visible(str(key))}: {visible(str(value))}"
        for key, value in detail.items()
        if value not in (None, "") and not isinstance(value, dict)
    ]
