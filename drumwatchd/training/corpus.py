"""Read a labelled corpus: a `corpus.csv`, or any tree `<Label>/…`."""

from __future__ import annotations

import csv
import difflib
import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from drumwatchd.analysis.formats import is_audio
from drumwatchd.analysis.labels import CANONICAL_OF, FINE_LABELS
from drumwatchd.errors import UsageError

N_FOLDS = 5
# Sources whose kits are machines of many makers.
MACHINE_COLLECTIONS = ("gh-147-drum-machines", "gh-tidal-drum-machines")


# Source of what an owner corrected.
CORRECTIONS = "corrections"


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled sound.

    Attributes:
        path: the sound file.
        label: one of the fine labels.
        source: where the sound was published.
        kit: the instrument or machine it was taken from; a kit never stands on both sides.
        fold: 0 to 4, the same for the whole kit.
        detail: what is known beyond the label (``hihat_open``), or nothing; the same sound is the
            same example without it.
    """

    path: str
    label: str
    source: str
    kit: str
    fold: int
    detail: str = field(default="", compare=False)


def read_corpus(root: str | Path, labels: Sequence[str] = FINE_LABELS) -> list[Example]:
    """List the examples under `root`, in an order that doesn't depend on the file system.

    Raises:
        UsageError: if there are none, or a label isn't in the table (the nearest is named).
    """
    root = Path(root)
    table = root / "corpus.csv"
    rows = _rows_of_table(table) if table.is_file() else _rows_of_tree(root)
    examples = list(rows)
    _check_labels(examples, labels, root)
    if not examples:
        raise UsageError(
            "no labelled sounds", path=str(root), hint="make folders <Label>/…, or a corpus.csv"
        )
    return examples


def split(examples: Iterable[Example], hold_out: str) -> tuple[list[Example], list[Example]]:
    """Part a corpus: (training, held out), whole kits on one side.

    Args:
        examples: to part.
        hold_out: ``fold:F`` for one fold of the corpus; ``sources:I/N`` for the I-th of N groups of
            whole sources, from 0 (`source_groups`); ``random:I/N`` for every N-th sound wherever it
            comes from, which flatters; ``none``. Several, joined by ``+``, hold out all that any
            of them does.

    Raises:
        UsageError: if `hold_out` can't be read, or a kit would stand on both sides.
    """
    examples = list(examples)
    try:
        away = frozenset[Example]().union(*(_away(examples, p) for p in hold_out.split("+")))
    except ValueError as error:
        raise UsageError(
            f"can't hold out {hold_out!r}", hint="fold:1, sources:0/4, random:0/5 or none"
        ) from error
    train = [example for example in examples if example not in away]
    test = [example for example in examples if example in away]
    if "random:" not in hold_out:
        _check_kits(train, test, hold_out)
    return train, test


def _away(examples: Sequence[Example], hold_out: str) -> frozenset[Example]:
    """What one rule holds out; ValueError if it is none."""
    how, _, which = hold_out.partition(":")
    if how == "none":
        return frozenset()
    if how == "fold":
        return frozenset(example for example in examples if example.fold == int(which))
    number, n_parts = (int(part) for part in which.split("/"))
    if not 0 <= number < n_parts:
        raise ValueError(hold_out)
    if how == "sources":
        groups = source_groups(examples, n_parts)
        return frozenset(e for e in examples if groups[unit_of(e)] == number)
    if how == "random":
        return frozenset(e for e in examples if _digest("\0".join(sound_of(e))) % n_parts == number)
    raise ValueError(hold_out)


def sound_of(example: Example) -> tuple[str, str, str, str]:
    """What an example is called wherever its corpus stands: source, kit, label and file name."""
    return example.source, example.kit, example.label, Path(example.path).name


def unit_of(example: Example) -> str:
    """What is held out as a whole: the source; in a collection of machines, their maker.

    Machines of one maker share circuits and recordings, and stand in several collections.
    """
    if example.source not in MACHINE_COLLECTIONS:
        return example.source
    maker = re.match(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", example.kit)
    return f"maker {(maker[0] if maker else example.kit).lower()}"


def source_groups(examples: Iterable[Example], n_groups: int) -> dict[str, int]:
    """Part the units into groups that hold about as many sounds of each canonical label.

    The largest unit first, each into the group where it makes the squares of the shares grow
    least; the same for the same corpus on every machine.
    """
    units: dict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        units[unit_of(example)][CANONICAL_OF[example.label]] += 1
    total = sum(units.values(), Counter[str]())
    loads = [Counter[str]() for _ in range(n_groups)]
    groups = {}
    for unit, counts in sorted(units.items(), key=lambda item: (-item[1].total(), item[0])):

        def growth(group: int, counts: Counter[str] = counts) -> float:
            load = loads[group]
            return sum((2 * load[label] + n) * n / total[label] ** 2 for label, n in counts.items())

        groups[unit] = min(range(n_groups), key=growth)
        loads[groups[unit]] += counts
    return groups


def thin_labels(
    examples: Iterable[Example], labels: Sequence[str] = FINE_LABELS, wanted: int = 10
) -> dict[str, int]:
    """Labels with fewer than `wanted` examples, and how many each has."""
    counts = Counter(example.label for example in examples)
    return {label: counts[label] for label in labels if counts[label] < wanted}


def _rows_of_table(table: Path) -> Iterator[Example]:
    with table.open(newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        try:
            missing = {"path", "label"} - set(reader.fieldnames or ())
            if missing:
                raise UsageError(f"columns missing: {', '.join(sorted(missing))}", path=str(table))
            for row in reader:
                yield _example(row, table.parent)
        except (ValueError, csv.Error) as error:  # bytes that aren't UTF-8 are a ValueError too
            where = f"line {reader.line_num} can't be read"
            raise UsageError(f"{where} ({error})", path=str(table)) from error


def _example(row: Mapping[str, str | None], folder: Path) -> Example:
    if not row["path"] or not row["label"]:
        raise ValueError("path or label is missing")
    source, kit = row.get("source") or "", row.get("kit") or ""
    fold = int(row_fold) if (row_fold := row.get("fold")) else _fold_of(source, kit)
    path, detail = os.path.join(folder, row["path"]), row.get("detail") or ""
    return Example(path, row["label"], source, kit, fold, detail)


def _rows_of_tree(root: Path) -> Iterator[Example]:
    """`<Label>/<kit>/…/sound.wav`; of files right under the label each is its own kit."""
    for folder, names, files in os.walk(root):
        names.sort()
        for name in sorted(files):
            below = os.path.relpath(os.path.join(folder, name), root).split(os.sep)
            if not is_audio(name) or len(below) < 2 or name.startswith("."):
                continue
            kit = below[1]
            path = os.path.join(folder, name)
            yield Example(path, below[0], root.name, kit, _fold_of(root.name, kit))


def _fold_of(source: str, kit: str) -> int:
    return _digest(f"{source}\0{kit}") % N_FOLDS


def _digest(text: str) -> int:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[0]


def _check_kits(train: Iterable[Example], test: Iterable[Example], hold_out: str) -> None:
    shared = {(e.source, e.kit) for e in train} & {(e.source, e.kit) for e in test}
    if shared:
        source, kit = min(shared)
        raise UsageError(f"kit {kit} of {source} stands on both sides of {hold_out}")


def _check_labels(examples: Iterable[Example], labels: Sequence[str], root: Path) -> None:
    unknown = sorted({example.label for example in examples} - set(labels))
    if not unknown:
        return
    complaints = []
    for label in unknown:
        near = difflib.get_close_matches(label.capitalize(), labels, n=1, cutoff=0.0)
        complaints.append(f"{label} (nearest: {near[0]})")
    raise UsageError(f"unknown labels: {', '.join(complaints)}", path=str(root))
