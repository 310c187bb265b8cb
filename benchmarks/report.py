"""Tables as text, which is Markdown, and their places in a document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import Row, Table, machine

HEADER = ("what", "here", "baseline", "ratio", "wanted", "met")


def as_text(tables: Sequence[Table]) -> str:
    """Tables one below the other, aligned for the eye."""
    return "\n".join(_as_text(table) for table in tables)


def _as_text(table: Table) -> str:
    lines = [HEADER, *(_cells(row) for row in table.rows)]
    used = [n for n in range(len(HEADER)) if any(line[n] for line in lines[1:])]
    widths = {n: max(len(line[n]) for line in lines) for n in used}
    text = ["| " + " | ".join(line[n].ljust(widths[n]) for n in used) + " |" for line in lines]
    # The first column says what, the others hold quantities.
    rule = "|".join("-" * (widths[n] + 1) + ("-" if n == 0 else ":") for n in used)
    text.insert(1, f"|{rule}|")
    baseline = f" Baseline: {table.baseline}." if table.baseline else ""
    caption = f"{table.caption}.{baseline} {machine()}."
    return f"**{table.title}**\n\n" + "\n".join(text) + f"\n\n{caption}\n"


def _cells(row: Row) -> tuple[str, ...]:
    met = {True: "yes", False: "**no**", None: ""}[row.met]
    return (row.what, row.here, row.baseline, row.ratio, row.wanted, met)


def markers(name: str) -> tuple[str, str]:
    """The lines between which the tables of a benchmark stand."""
    return f"<!-- benchmark: {name} -->", f"<!-- end of {name} -->"


def write(document: Path, name: str, tables: Sequence[Table]) -> None:
    """Replace what stands between the markers of a benchmark.

    Raises:
        ValueError: the document has no such markers.
    """
    begin, end = markers(name)
    before, found, rest = document.read_text(encoding="utf-8").partition(begin)
    _, found_too, after = rest.partition(end)
    if not (found and found_too):
        raise ValueError(f"{document} has no markers for {name}")
    text = f"{before}{begin}\n\n{as_text(tables)}\n{end}{after}"
    document.write_text(text, encoding="utf-8")
