"""Reads one file name or folder name: which instruments it names, and whether it says "loop".

A name is cut into words, compounds such as "closedhat" too; words and phrases are looked up in the
lexicon; then it is judged which of them mean what they say: "Tom 3" does, "Tom Petty" doesn't.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.analysis.lexicon import ENTRIES, LONGEST_PHRASE, Entry, Kind, plain

CODE_TRUST = 0.8  # how far two letters such as BD are believed

_RUN = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?|\d+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BREAK = re.compile(r"[()\[\]{},;&+\u2013\u2014|]|\s-\s")
_CODES = re.compile(r"[A-Z]{2,3}s")
_HH = "hh"  # in no word of any of the languages
_OR = frozenset({"or", "oder", "ou"})
_INSTRUMENTS = (Kind.NOUN, Kind.CODE, Kind.BARE_CODE, Kind.LOOSE)  # the best first
_CODE_KINDS = frozenset({Kind.CODE, Kind.BARE_CODE})
_DENIABLE = frozenset({*_INSTRUMENTS, Kind.LOOP})
_ASIDE = frozenset({Kind.PLAIN, Kind.ONE_SHOT})
_NOUNS = frozenset({Kind.NOUN})
# What compounds are made of; "und" and "out" are found in too many other words.
_PARTS = frozenset({*_INSTRUMENTS, *_ASIDE, Kind.LOOP, Kind.REVERSE})
_SHORT_PARTS = _PARTS - {Kind.PLAIN}


@dataclass(frozen=True, slots=True)
class Statement:
    """What one name says.

    Attributes:
        spread: probabilities of fine labels, sum 1; None where it names none.
        loop: whether it says that there are several hits, or a single one; None for neither.
    """

    spread: Mapping[str, float] | None = None
    loop: bool | None = None


@dataclass(frozen=True, slots=True)
class _Word:
    """Letters or digits of a name."""

    text: str
    key: str  # as the lexicon has it
    glued: bool  # digits follow at once
    breaks: bool  # a bracket, a comma or a spaced hyphen stands before it


@dataclass(frozen=True, slots=True)
class _Item:
    """A word or phrase and its entry, None where the lexicon doesn't have it."""

    words: tuple[_Word, ...]
    entry: Entry | None
    plural: bool = False

    @property
    def kind(self) -> Kind | None:
        """The part that it plays."""
        return self.entry.kind if self.entry else None

    @property
    def is_aside(self) -> bool:
        """Whether it leaves open what the thing is."""
        return self.kind in _ASIDE or self.words[0].key.isdecimal()


@functools.lru_cache(maxsize=1024)
def read(text: str, *, is_folder: bool) -> Statement:
    """What one name says; a folder's must say it more plainly, for many are called after people.

    Args:
        text: the name, without its suffix.
        is_folder: it is a folder's.
    """
    items = list(_items(list(_words(unicodedata.normalize("NFKC", text)))))
    denied = _denied(items)
    meant = [
        item.entry
        for position, item in enumerate(items)
        if item.entry and position not in denied and _is_meant(items, position, is_folder)
    ]
    kinds = {entry.kind for entry in meant}
    best = next((kind for kind in _INSTRUMENTS if kind in kinds), None)
    spread = _mean([entry.spread for entry in meant if entry.kind == best and best])
    if spread and best in _CODE_KINDS:
        spread = doubted(spread, CODE_TRUST)
    if Kind.REVERSE in kinds:
        spread = _mean([{"Reverse": 1.0}, *([spread] if spread else [])])
    labels = {label for position in denied for label in _spread(items[position])}
    return Statement(_without(labels, spread), _says_loop(kinds, best is not None, is_folder))


def doubted(
    spread: Mapping[str, float], reliability: float, labels: Sequence[str] = FINE_LABELS
) -> dict[str, float]:
    """A distribution mixed with ignorance: what isn't reliable in it may mean any label."""
    ignorance = (1.0 - reliability) / len(labels)
    return {label: reliability * spread.get(label, 0.0) + ignorance for label in labels}


# -- meaning ----------------------------------------------------------------------------------


def _says_loop(kinds: Set[Kind], names_instrument: bool, is_folder: bool) -> bool | None:
    several = Kind.LOOP in kinds or (Kind.TEMPO in kinds and not is_folder)
    # Folders called "Beats" and "Amen Break" hold single hits as often as not.
    several = several or (Kind.LOOSE_LOOP in kinds and not (names_instrument or is_folder))
    single = Kind.ONE_SHOT in kinds
    return None if several == single else several


def _is_meant(items: Sequence[_Item], position: int, is_folder: bool) -> bool:
    """Whether a word stands for what the lexicon says, and not for a part of another name."""
    item = items[position]
    after = list(
        itertools.takewhile(lambda other: not other.words[0].breaks, items[position + 1 :])
    )
    if after and after[0].kind == Kind.DISOWNS:
        return False
    if item.kind in _CODE_KINDS and not _is_plain_code(item) and not _is_alone(items, item):
        return False
    return not is_folder or _is_head(item, after)


def _is_plain_code(item: _Item) -> bool:
    word = item.words[0]
    return item.kind == Kind.CODE and (word.text.isupper() or word.glued or word.key == _HH)


def _is_alone(items: Sequence[_Item], item: _Item) -> bool:
    return all(other is item or other.is_aside for other in items)


def _is_head(item: _Item, after: Sequence[_Item]) -> bool:
    """Whether a folder is named after this: "Kicks by Bob" and "Hard Kick" are, "Kick Bob" isn't."""
    if item.plural or item.kind == Kind.ONE_SHOT:
        return True
    if item.kind == Kind.NOUN or item.kind in _CODE_KINDS:
        return all(other.is_aside or other.kind in _PARTS for other in after)
    return all(other.words[0].key.isdecimal() for other in after)


def _denied(items: Sequence[_Item]) -> set[int]:
    """Positions of what is said not to be there: "no kick or snare", "no loop"."""
    found: set[int] = set()
    denies = False
    for position, item in enumerate(items):
        if denies and item.kind in _DENIABLE:
            found.add(position)
        goes_on = position - 1 in found and item.words[0].key in _OR
        denies = goes_on or item.kind == Kind.NEGATION
    return found


def _spread(item: _Item) -> Mapping[str, float]:
    return item.entry.spread if item.entry else {}


def _mean(spreads: Sequence[Mapping[str, float]]) -> dict[str, float] | None:
    """All that are named are as likely, however often."""
    different = [spread for n, spread in enumerate(spreads) if spread not in spreads[:n]]
    if not different:
        return None
    labels = {label for spread in different for label in spread}
    return {
        label: sum(spread.get(label, 0.0) for spread in different) / len(different)
        for label in labels
    }


def _without(denied: Set[str], spread: Mapping[str, float] | None) -> Mapping[str, float] | None:
    """Take labels out; where nothing else is said, any of the others is meant."""
    if not denied:
        return spread
    base = spread or dict.fromkeys(FINE_LABELS, 1.0)
    left = {label: weight for label, weight in base.items() if label not in denied}
    total = sum(left.values())
    return {label: weight / total for label, weight in left.items()} if total else None


# -- words ------------------------------------------------------------------------------------


def _items(words: Sequence[_Word]) -> Iterator[_Item]:
    """The longest phrases of the lexicon, from left to right."""
    start = 0
    while start < len(words):
        item = next(_phrases(words[start : start + LONGEST_PHRASE]), None)
        yield item or _Item((words[start],), None)
        start += len(item.words) if item else 1


def _phrases(words: Sequence[_Word]) -> Iterator[_Item]:
    for count in range(len(words), 0, -1):
        found = tuple(words[:count])
        entry, plural = _entry(tuple(word.key for word in found))
        is_parted = any(word.breaks for word in found[1:])
        # "Drum & Bass" is one name; "Bass & Drum" doesn't make a bass drum.
        if entry and (entry.kind == Kind.NEUTRAL or not is_parted):
            yield _Item(found, entry, plural)


def _entry(phrase: tuple[str, ...]) -> tuple[Entry | None, bool]:
    """The entry of a phrase, and whether it was found by its plural."""
    if found := ENTRIES.get(phrase):
        return found, False
    *first, last = phrase
    for ending in ("s", "es"):
        entry = ENTRIES.get((*first, last.removesuffix(ending)))
        if entry and last.endswith(ending) and entry.kind not in _CODE_KINDS:
            return entry, True
    return None, False


def _words(text: str) -> Iterator[_Word]:
    """Cut a name at separators, at digits, and within compounds of known words."""
    end = 0
    for run in _RUN.finditer(text):
        breaks = bool(_BREAK.search(text, end, run.start()))
        end = run.end()
        pieces = list(_pieces(run[0]))
        for number, piece in enumerate(pieces):
            glued = number == len(pieces) - 1 and text[end : end + 1].isdecimal()
            yield _Word(piece, plain(piece), glued, breaks and number == 0)


def _pieces(run: str) -> Iterator[str]:
    if _CODES.fullmatch(run):
        yield run[:-1]
    elif run.isdecimal() or _entry((plain(run),))[0]:
        yield run
    else:
        for part in _CAMEL.split(run):
            yield from _compound(part)


def _compound(part: str) -> Sequence[str]:
    """The words of "closedhat" or "nokick"; the word itself where it isn't made of known ones."""
    key = plain(part)
    if _is_a(_INSTRUMENTS, key):
        return [part]
    if key.endswith("less") and _is_a(_NOUNS, key[:-4]):
        return ["no", key[:-4]]
    for no in ("no", "non"):
        if key.startswith(no) and _is_a(_NOUNS, key.removeprefix(no)):
            return [no, key.removeprefix(no)]
    return _split(key) or [part]


@functools.lru_cache(maxsize=4096)
def _split(key: str) -> tuple[str, ...] | None:
    """Known words that `key` is made of, the longest first; None unless all of it is."""
    if not key:
        return ()
    for end in range(len(key), 0, -1):
        if _is_part(key[:end]) and (rest := _split(key[end:])) is not None:
            return (key[:end], *rest)
    return None


def _is_part(key: str) -> bool:
    if key == _HH or not key.isascii():
        return _is_a(_PARTS, key)
    return len(key) >= 3 and _is_a(_PARTS if len(key) > 3 else _SHORT_PARTS, key)


def _is_a(kinds: Iterable[Kind], key: str) -> bool:
    entry, _ = _entry((key,))
    return entry is not None and entry.kind in kinds
