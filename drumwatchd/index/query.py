"""Query terms, in the manner of beets, compiled to parameterised SQL.

Terms are joined by *and*, a comma stands for *or*, a leading ``-`` or ``^`` negates, and
``field+`` / ``field-`` sorts. Nothing here opens the index: the same terms give the same SQL.
`docs/reference/queries.md` is the long form.

References:
    beets, "Queries": https://beets.readthedocs.io/en/stable/reference/query.html
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drumwatchd.index.paths import from_db, to_db
from drumwatchd.index.ranges import RangeError, Span, number_span, time_span
from drumwatchd.index.terms import (
    CHOICES,
    DIGEST,
    FLAG,
    KINDS,
    PLACE,
    TIME,
    WORD,
    Term,
    is_place,
    nearest,
    split_terms,
)

# SQLite refuses LIKE patterns above 50,000 bytes; no path is longer than this.
LONGEST_WORD = 8_192

# A word without a field looks here: what the sample is called and what it is.
SEARCHED = ("name", "path", "label", "fine", "pack")
# Flags that aren't a column of their own; a reason for a review stands for yes.
FLAGS = {
    "review": "(review IS NOT NULL)",
    "corrected": "(digest IN (SELECT digest FROM corrections))",
}
# Number fields with an index of their own.
NARROWING = ("added", "confidence")

Predicate = Callable[..., int]


@dataclass(frozen=True, slots=True)
class Clause:
    """One term as SQL over ``samples``; `narrows` names the column whose index may find it."""

    sql: str
    parameters: tuple[Any, ...] = ()
    narrows: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """What to list, and in which order.

    Attributes:
        groups: any of these groups; all clauses of a group.
        order: (field, descending), most important first; empty for the order of arrival.
        predicates: functions that the SQL calls, by name; each takes column values.
    """

    groups: tuple[tuple[Clause, ...], ...]
    order: tuple[tuple[str, bool], ...] = ()
    predicates: Mapping[str, Predicate] = field(default_factory=dict)

    def where(self) -> tuple[str, tuple[Any, ...]]:
        """The whole condition and its parameters."""
        texts, parameters = [], []
        for group in self.groups:
            texts.append(" AND ".join(clause.sql for clause in group) or "1")
            parameters += [value for clause in group for value in clause.parameters]
        return " OR ".join(f"({text})" for text in texts), tuple(parameters)


def compile_query(terms: Sequence[str], *, root: str, now: float) -> Query:
    """Compile the words of a command line.

    Args:
        terms: as the shell passes them.
        root: the archive's folder, absolute; `path:` terms may name files below it.
        now: Unix time that ages count back from.

    Raises:
        QueryError: a term can't be read; says which, where, and what to write.
    """
    sides, order = split_terms(terms)
    compiler = _Compiler(root, now)
    groups = tuple(compiler.group(side) for side in sides)
    return Query(groups, tuple(order), compiler.predicates)


def fold_text(text: str) -> str:
    """Text as it is compared: composed, without case."""
    return text.casefold() if text.isascii() else _compose(_compose(text).casefold())


def _compose(text: str) -> str:
    return unicodedata.normalize("NFC", text)


class _Compiler:
    """Holds what every term needs, and the predicates that terms ask for."""

    def __init__(self, root: str, now: float) -> None:
        self.root = root
        self.now = now
        self.predicates: dict[str, Predicate] = {}

    def group(self, terms: Sequence[Term]) -> tuple[Clause, ...]:
        """The clauses of one side of the commas; samples in the archive, unless it names a state."""
        clauses = [self.clause(term) for term in terms]
        if any(term.field == "state" for term in terms):
            # The index by label begins with the state, and here that may be any.
            return tuple(_without_label_index(clause) for clause in clauses)
        return (Clause("state = 'filed'"), *clauses)

    def clause(self, term: Term) -> Clause:
        clause = self._positive(term)
        if not term.negated:
            return clause
        # A field that is NULL doesn't match, so its negation does.
        return Clause(f"({clause.sql}) IS NOT TRUE", clause.parameters)

    def _positive(self, term: Term) -> Clause:
        kind = KINDS[term.field] if term.field else WORD
        if term.operator or kind == WORD or term.field is None:
            return self._text(term)
        if not isinstance(kind, str):
            return _span_clause(term, lambda value: number_span(value, kind))
        if kind == PLACE:
            return self._place(term)
        if kind == TIME:
            return _span_clause(term, lambda value: time_span(value, self.now))
        if kind == FLAG:
            return _flag(term)
        return _digest(term) if kind == DIGEST else self._label(term)

    def _text(self, term: Term) -> Clause:
        fields = (term.field,) if term.field else SEARCHED
        if term.field and not isinstance(KINDS[term.field], str):
            raise term.fault(
                f"{term.field} is a number", term.start - 1, f"write {term.field}:LOW..HIGH"
            )
        if KINDS.get(term.field or "") in (TIME, FLAG):
            raise term.fault(f"{term.field} is not text", term.start - 1, "leave the sign out")
        # Below the archive for a word alone: the archive's own folder would match every sample.
        columns = [_column(name) for name in fields] if term.field else list(SEARCHED)
        if term.operator == ":":
            return self._predicate(columns, _regex(term))
        if term.operator == "=":
            value = to_db(term.value)
            return _any_of([Clause(f"{column} = ?", (value,)) for column in columns])
        if term.operator == "=~":
            return self._predicate(columns, _equals(fold_text(term.value)))
        return self._contains(term, columns)

    def _contains(self, term: Term, columns: Sequence[str]) -> Clause:
        word = fold_text(term.value)
        if len(word) > LONGEST_WORD:
            raise term.fault("this is longer than any path", term.start, "look for less")
        if not word.isascii():
            # Nothing that is all ASCII holds a word that isn't; most names are left here.
            return self._predicate(columns, lambda text: word in fold_text(text), skip_ascii=True)
        pattern = "%" + re.sub(r"([%_\\])", r"\\\1", word) + "%"
        # The cast keeps names that are not UTF-8 in, whatever SQLite was built to think of blobs.
        likes = (f"CAST({column} AS TEXT) LIKE ? ESCAPE '\\'" for column in columns)
        return _any_of([Clause(like, (pattern,)) for like in likes])

    def _label(self, term: Term) -> Clause:
        choices = CHOICES.get(term.field or "")
        if choices and term.value.lower() not in choices:
            close = nearest(term.value, choices)
            meant = f"did you mean {close}? " if close else ""
            raise term.fault(
                f"there is no {term.field} {term.value!r}",
                term.start,
                f"{meant}It is one of {', '.join(choices)}",
            )
        if term.value.isascii():
            narrows = term.field if term.field in ("label", "fine") else None
            return Clause(f"{term.field} = ? COLLATE NOCASE", (term.value,), narrows)
        return self._predicate([str(term.field)], _equals(fold_text(term.value)))

    def _place(self, term: Term) -> Clause:
        column = _column(str(term.field))
        if not is_place(term.value):
            return self._contains(term, [column])
        target = os.path.abspath(os.path.expanduser(term.value))
        if term.field != "path":
            return _below(column, target)
        places = places_below(self.root, target)
        clauses = [Clause("path IS NOT NULL")]
        if "" not in places:
            clauses = [_below("path", place) for place in places]
        source = _below("source", target)
        clauses.append(Clause(f"(path IS NULL AND {source.sql})", source.parameters))
        return _any_of(clauses)

    def _predicate(
        self, columns: Sequence[str], test: Callable[[str], bool], *, skip_ascii: bool = False
    ) -> Clause:
        """A condition that only Python can decide; true if any column passes."""

        def any_passes(*values: str | bytes | None) -> int:
            for value in values:
                if value is None or (skip_ascii and value.isascii()):
                    continue
                if test(value if isinstance(value, str) else from_db(value)):
                    return 1
            return 0

        name = f"passes_{len(self.predicates)}"
        self.predicates[name] = any_passes
        return Clause(f"{name}({', '.join(columns)})")


def _without_label_index(clause: Clause) -> Clause:
    return Clause(clause.sql, clause.parameters) if clause.narrows in ("label", "fine") else clause


def _any_of(clauses: Sequence[Clause]) -> Clause:
    sql = " OR ".join(clause.sql for clause in clauses)
    return Clause(f"({sql})", tuple(value for clause in clauses for value in clause.parameters))


def _column(name: str) -> str:
    return "coalesce(path, source)" if name == "path" else name


def _regex(term: Term) -> Callable[[str], bool]:
    try:
        search = re.compile(term.value).search
    except (re.error, OverflowError, RecursionError) as error:
        position = getattr(error, "pos", None) or 0
        raise term.fault(
            f"the regular expression can't be read ({getattr(error, 'msg', error)})",
            term.start + position,
            "Python's syntax; quote it for the shell",
        ) from error
    return lambda value: search(value) is not None


def _equals(word: str) -> Callable[[str], bool]:
    return lambda value: fold_text(value) == word


def _span_clause(term: Term, read: Callable[[str], Span]) -> Clause:
    try:
        span = read(term.value)
    except RangeError as error:
        raise term.fault(str(error), term.start + error.position, error.hint) from error
    column = str(term.field)
    bounds = [(">=", span.low), ("<=" if span.closed else "<", span.high)]
    wanted = [(sign, value) for sign, value in bounds if value is not None]
    sql = " AND ".join(f"{column} {sign} ?" for sign, _ in wanted) or f"{column} IS NOT NULL"
    return Clause(
        f"({sql})",
        tuple(value for _, value in wanted),
        narrows=column if column in NARROWING and wanted else None,
    )


def _digest(term: Term) -> Clause:
    prefix = term.value.lower()
    if odd := re.search(r"[^0-9a-f]", prefix):
        raise term.fault(
            "a digest has only the digits 0-9 and a-f",
            term.start + odd.start(),
            "give its beginning, as show and ls --json print it",
        )
    # 'g' sorts behind every digit that may follow.
    return Clause("(digest >= ? AND digest < ?)", (prefix, prefix + "g"), narrows="digest")


def _flag(term: Term) -> Clause:
    values = {"yes": 1, "true": 1, "1": 1, "no": 0, "false": 0, "0": 0}
    value = values.get(term.value.lower())
    if value is None:
        raise term.fault(f"{term.value!r} is neither yes nor no", term.start, "write yes or no")
    column = FLAGS.get(str(term.field), term.field)
    return Clause(f"{column} = ?", (value,))


def places_below(root: str, target: str) -> list[str]:
    """The spellings of `target` relative to the archive, ``''`` for the archive or above it.

    Links are followed as a second reading, so that both names of a linked archive work.
    """
    pairs = [(os.path.abspath(root), target), (os.path.realpath(root), os.path.realpath(target))]
    found = []
    for base, path in pairs:
        if base == path or base.startswith(path.rstrip("/") + "/"):
            found.append("")
        elif path.startswith(base.rstrip("/") + "/"):
            found.append(path[len(base.rstrip("/")) + 1 :])
    return list(dict.fromkeys(found))


def _below(column: str, place: str) -> Clause:
    """The file itself, or everything below that folder; text and blobs sort apart."""
    raw = os.fsencode(place.rstrip("/"))
    # '0' follows '/', so this span holds all that begins with the folder's name and a slash.
    spans: list[tuple[Any, Any]] = [(raw + b"/", raw + b"0")]
    if isinstance(to_db(place), str):
        text = place.rstrip("/")
        spans.append((text + "/", text + "0"))
    inside = [Clause(f"({column} >= ? AND {column} < ?)", span) for span in spans]
    return _any_of([Clause(f"{column} = ?", (to_db(place),)), *inside])
