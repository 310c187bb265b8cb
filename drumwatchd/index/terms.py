"""The words of a query, taken apart into terms; nothing is looked up, and nothing is SQL yet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drumwatchd.errors import QueryError
from drumwatchd.index.ranges import BYTE_UNITS, FRACTION_UNITS, SECOND_UNITS

STATES = ("claimed", "placing", "filed", "quarantined", "gone")
MODES = ("move", "copy", "hardlink", "symlink", "none")
WORD = "word"  # the value, or a part of it, ignoring case
LABEL = "label"  # the whole value, ignoring case
PLACE = "place"  # a file or folder, or part of its path
DIGEST = "digest"
TIME = "time"
FLAG = "flag"
# Field → what its terms mean; for numbers their units.
KINDS: Mapping[str, str | Mapping[str, float]] = {
    "name": WORD, "path": PLACE, "label": LABEL, "fine": LABEL,
    "confidence": FRACTION_UNITS, "added": TIME, "source": PLACE, "pack": WORD,
    "digest": DIGEST, "model": WORD, "state": LABEL, "duration": SECOND_UNITS,
    "size": BYTE_UNITS, "inbox": PLACE, "mode": LABEL, "reason": WORD, "retained": FLAG,
    "review": FLAG, "tag": LABEL, "corrected": FLAG,
}  # fmt: skip
FIELDS = tuple(KINDS)
CHOICES = {"state": STATES, "mode": MODES}


@dataclass(frozen=True, slots=True)
class Term:
    """One term taken apart; `start` is where `value` begins in `text`."""

    text: str
    negated: bool
    field: str | None
    operator: str  # "", ":" regex, "=" the very value, "=~" the same ignoring case
    value: str
    start: int

    def fault(self, message: str, position: int, hint: str) -> QueryError:
        """The error for this term; `position` counts characters before the fault."""
        where = f"at character {position + 1} of the term {self.text!r}"
        return QueryError(f"{message}, {where}", hint=hint)


def split_terms(terms: Sequence[str]) -> tuple[list[list[Term]], list[tuple[str, bool]]]:
    """Part the terms at the commas and take the sort orders out.

    Returns:
        The sides of the commas, and the orders as (field, descending).

    Raises:
        QueryError: a word can't be read.
    """
    sides: list[list[Term]] = [[]]
    order: list[tuple[str, bool]] = []
    for text in terms:
        word = text.removesuffix(",")
        if sort := _sort_of(word):
            order.append(sort)
        elif word:
            sides[-1].append(_take_apart(word))
        if word != text:
            sides.append([])
    if len(sides) > 1 and not all(sides):
        raise QueryError(
            "one side of a ',' has no term and would list everything",
            hint="write terms on both sides, or leave the comma out",
        )
    return sides, order


def _sort_of(text: str) -> tuple[str, bool] | None:
    if text[-1:] not in ("+", "-") or not re.fullmatch(r"[A-Za-z]+[+-]", text):
        return None
    name = text[:-1].lower()
    if name in KINDS:
        return name, text.endswith("-")
    if close := nearest(name, FIELDS, 0.8):
        raise QueryError(
            f"there is no field {text[:-1]!r} to sort by, at character 1 of the term {text!r}",
            hint=f"did you mean {close}{text[-1]}? To look for the text, write name:{text}",
        )
    return None


def _take_apart(text: str) -> Term:
    negated = len(text) > 1 and text[0] in "-^"
    start = int(negated)
    rest = text[start:]
    if is_place(rest):
        return Term(text, negated, "path", "", rest, start)
    name: str | None = None
    if key := re.match(r"([^\s:]*[^\s:\\]):", rest):
        name = key[1].lower()
        _check_field(text, start, name)
        start += key.end()
        rest = rest[key.end() :]
    operator = next((sign for sign in (":", "=~", "=") if rest.startswith(sign)), "")
    value = rest[len(operator) :]
    if name is None and operator != ":":
        value = value.replace("\\:", ":")
    start += len(operator)
    term = Term(text, negated, name, operator, value, start)
    if not value and operator != "=":
        raise term.fault("a value is missing", start, "quote values that hold spaces")
    return term


def _check_field(text: str, start: int, name: str) -> None:
    if name in KINDS:
        return
    close = nearest(name, FIELDS)
    meant = f"did you mean {close}? " if close else ""
    escaped = text[start:].replace(":", "\\:", 1)
    raise QueryError(
        f"there is no field {name!r}, at character {start + 1} of the term {text!r}",
        hint=f"{meant}Fields: {', '.join(FIELDS)}. To look for the text, write '{escaped}'",
    )


def is_place(text: str) -> bool:
    """Whether a value names a file or folder, as opposed to a part of a path."""
    return text.startswith(("/", "./", "../", "~/")) or text in (".", "..", "~")


def nearest(word: str, known: Sequence[str], cutoff: float = 0.6) -> str | None:
    """The known word that `word` most looks like; a higher `cutoff` (to 1) is stricter."""
    import difflib  # only a fault needs it

    found = difflib.get_close_matches(word.lower(), [item.lower() for item in known], 1, cutoff)
    return next((item for item in known if item.lower() in found), None)
