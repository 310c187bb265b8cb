"""The two tables of a model folder that people edit: written fresh, and checked as a whole.

`read_card` stops at the first fault and wants only what it can't do without; this says everything
that is wrong or odd at once, before a daemon is started with it. Pure Python.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from drumwatchd.analysis.labels import CANONICAL_OF, FINE_LABELS, MISC
from drumwatchd.analysis.model_card import (
    CANONICAL_MAPPING_NAME,
    CARD_NAME,
    LABEL_MAPPING_NAME,
)
from drumwatchd.errors import UsageError
from drumwatchd.files import write_atomically

_Pairs = list[tuple[str, Any]]


class Remark(NamedTuple):
    """A ``fault`` makes the model unusable or judges wrongly; a ``warning`` may be meant so."""

    level: Literal["fault", "warning"]
    file: str
    text: str


def check_tables(folder: Path, targets: Sequence[str]) -> list[Remark]:
    """Everything that is wrong with the tables in `folder`, faults first.

    Args:
        folder: with both tables; with a card too, its labels are what the network learned.
        targets: labels that have a folder of their own.
    """
    learned = learned_labels(folder)
    named, remarks = _read_pairs(folder / LABEL_MAPPING_NAME)
    folded, more = _read_pairs(folder / CANONICAL_MAPPING_NAME)
    remarks += more
    if named is not None:
        remarks += _on_labels(named, learned)
    if folded is not None:
        labels = [name for _, name in named or [] if isinstance(name, str)] or list(learned)
        remarks += _on_canonical(folded, labels, targets)
    return sorted(remarks, key=lambda remark: remark.level != "fault")


def write_stubs(folder: Path, *, force: bool = False) -> list[Path]:
    """Write both tables fresh: every output of the card in `folder`, or the 34 labels without one.

    Raises:
        UsageError: one is there already and `force` isn't given, or they can't be written.
    """
    labels = learned_labels(folder)
    tables: dict[Path, dict[Any, str]] = {
        folder / LABEL_MAPPING_NAME: dict(enumerate(labels)),
        folder / CANONICAL_MAPPING_NAME: {label: CANONICAL_OF.get(label, MISC) for label in labels},
    }
    there = [path for path in tables if path.exists()]
    if there and not force:
        raise UsageError(
            "the table is there already", path=str(there[0]), hint="replace it with --force"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, table in tables.items():
            write_atomically(str(path), json.dumps(table, indent=2) + "\n")
    except OSError as error:
        problem = f"can't write the tables ({error.strerror})"
        raise UsageError(problem, path=str(folder)) from error
    return list(tables)


def learned_labels(folder: Path) -> tuple[str, ...]:
    """The labels that the network in `folder` was trained on; the 34 where no card says so."""
    try:
        labels = json.loads((folder / CARD_NAME).read_text(encoding="utf-8"))["labels"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return FINE_LABELS
    is_list = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
    return tuple(labels) if is_list and labels else FINE_LABELS


def _read_pairs(path: Path) -> tuple[_Pairs | None, list[Remark]]:
    """The entries in their order; a dictionary would hide keys that stand there twice."""
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text, object_pairs_hook=list)
    except OSError as error:
        return None, [Remark("fault", path.name, f"can't be read ({error.strerror})")]
    except (ValueError, RecursionError) as error:
        return None, [Remark("fault", path.name, f"isn't valid JSON ({error})")]
    if not text.lstrip().startswith("{"):
        return None, [Remark("fault", path.name, "should be one JSON object")]
    return value, []


def _on_labels(pairs: _Pairs, learned: Sequence[str]) -> Iterator[Remark]:
    """`label_mapping.json`: each output of the network has one name, and no two the same."""

    def remark(text: str, level: Literal["fault", "warning"] = "fault") -> Remark:
        return Remark(level, LABEL_MAPPING_NAME, text)

    outputs = [str(number) for number in range(len(learned))]
    for output in _repeated(key for key, _ in pairs):
        yield remark(f"output {output} is named more than once")
    names = dict(pairs)
    for key in names:
        if key not in outputs:
            yield remark(f"{key!r} is no output; they go from 0 to {len(learned) - 1}")
    missing = [output for output in outputs if output not in names]
    if missing:
        yield remark(f"no name for output {', '.join(missing)}")
    for output, name in names.items():
        if not isinstance(name, str) or not name:
            yield remark(f"output {output} should have a name, not {json.dumps(name)}")
    for name in _repeated(name for name in names.values() if isinstance(name, str) and name):
        same = [output for output, other in names.items() if other == name]
        yield remark(f"{name} is the name of outputs {', '.join(same)}")
    for output, label in zip(outputs, learned, strict=True):
        name = names.get(output, label)
        if isinstance(name, str) and name and name != label:
            yield remark(f"output {output} is called {name}, but learned as {label}", "warning")


def _on_canonical(pairs: _Pairs, labels: Sequence[str], targets: Sequence[str]) -> Iterator[Remark]:
    """`canonical_mapping.json`: each label has a folder that samples can be filed in."""

    def remark(text: str, level: Literal["fault", "warning"] = "fault") -> Remark:
        return Remark(level, CANONICAL_MAPPING_NAME, text)

    for label in _repeated(key for key, _ in pairs):
        yield remark(f"{label} stands there more than once")
    folders = dict(pairs)
    missing = [label for label in dict.fromkeys(labels) if label not in folders]
    if missing:
        yield remark(f"no folder for {', '.join(missing)}")
    for label, folder in folders.items():
        if not isinstance(folder, str) or not folder:
            yield remark(f"{label} should fold to a name, not {json.dumps(folder)}")
        if label not in labels:
            text = f"{label} is no label that the network says{_nearest(label, labels)}"
            yield remark(text, "warning")
    homeless = defaultdict(list)
    for label, folder in folders.items():
        if label in labels and label not in targets and isinstance(folder, str) and folder:
            homeless[folder].append(label)
    for folder, sources in homeless.items():
        if folder not in (*targets, MISC):
            where = f"{folder}, where {', '.join(sources)} should go, is no target label"
            hint = _nearest(folder, [*targets, MISC])
            yield remark(f"{where}{hint}; they will go to misc", "warning")
    for target in targets:
        if target not in labels and target not in homeless:
            yield remark(f"nothing folds to the target label {target}", "warning")


def _repeated(values: Iterable[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]


def _nearest(word: str, words: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, words, n=1)
    return f" (nearest: {near[0]})" if near else ""
