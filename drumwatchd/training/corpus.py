"""Read a labelled corpus: a `corpus.csv`, or any tree `<Label>/…`."""

from __future__ import annotations

import csv
import difflib
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drumwatchd.analysis.formats import is_audio
from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.errors import UsageError

N_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled sound.

    Attributes:
        path: the sound file.
        label: one of the fine labels.
        source: where the sound was published.
        kit: the instrument or machine it was taken from; a kit never stands on both sides.
        fold: 0 to 4, the same for the whole kit.
    """

    path: str
    label: str
    source: str
    kit: str
    fold: int


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


def split_by_fold(
    examples: Iterable[Example], held_out: int
) -> tuple[list[Example], list[Example]]:
    """Part whole kits: (training, held out).

    Raises:
        UsageError: if a kit stands in several folds, one of them held out: figures would flatter.
    """
    examples = list(examples)
    train = [example for example in examples if example.fold != held_out]
    test = [example for example in examples if example.fold == held_out]
    shared = {(e.source, e.kit) for e in train} & {(e.source, e.kit) for e in test}
    if shared:
        source, kit = min(shared)
        raise UsageError(f"kit {kit} of {source} stands on both sides of fold {held_out}")
    return train, test


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
    return Example(os.path.join(folder, row["path"]), row["label"], source, kit, fold)


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
    digest = hashlib.sha256(f"{source}\0{kit}".encode("utf-8", "surrogateescape")).digest()
    return digest[0] % N_FOLDS


def _check_labels(examples: Iterable[Example], labels: Sequence[str], root: Path) -> None:
    unknown = sorted({example.label for example in examples} - set(labels))
    if not unknown:
        return
    complaints = []
    for label in unknown:
        near = difflib.get_close_matches(label.capitalize(), labels, n=1, cutoff=0.0)
        complaints.append(f"{label} (nearest: {near[0]})")
    raise UsageError(f"unknown labels: {', '.join(complaints)}", path=str(root))
