"""Judge filed samples again by the model that is active now, and file them elsewhere where it says so.

What was corrected of sounds like them speaks as it does for new ones. What its owner corrected stays, and so does what is silent or no single hit: there the sound of the
first hit decides nothing. No audio is read, so only samples can be judged of which the index keeps what
the active model's network made of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from typing import Any, TypeVar

from drumwatchd.analysis.neighbours import precedents_of
from drumwatchd.analysis.precedents import Said
from drumwatchd.analysis.rehearing import Rehearing, Sound, are_whole
from drumwatchd.analysis.result import Verdict
from drumwatchd.analysis.verdicts import is_by_sound
from drumwatchd.archive.archive import Archive
from drumwatchd.archive.moves import Mover
from drumwatchd.errors import PlacementError, UsageError
from drumwatchd.index.lessons import precedents
from drumwatchd.index.paths import from_db
from drumwatchd.index.query import Clause, Query
from drumwatchd.index.reader import Reader
from drumwatchd.index.records import location
from drumwatchd.index.rejudged import Judgement, Moved, Rejudged
from drumwatchd.index.store import Index

_T = TypeVar("_T")
_Values = tuple[Any, ...]
LOT = 500
COLUMNS = (
    "id", "digest", "label", "path", "source", "pack", "reason", "model", "added", "embedding",
    "(digest IN (SELECT digest FROM corrections))", "(state = 'filed')",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """A sample that is judged to be of another class now.

    Attributes:
        id: its row.
        digest: of its content.
        was: its label.
        path: where it stands, absolute.
        verdict: what it is now.
    """

    id: int
    digest: str
    was: str
    path: str
    verdict: Verdict


@dataclass(slots=True)
class Tally:
    """How many samples there were, each counted once.

    Attributes:
        changed: judged to be of another class now.
        same: judged, and of the same class or not surely of another.
        corrected: their owner said what they are.
        no_hit: silent ones, loops, long takes: not judged by sound.
        unknown: another network heard them, or they were edited since.
    """

    changed: int = 0
    same: int = 0
    corrected: int = 0
    no_hit: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one change.

    Attributes:
        digest: of the sample's content.
        was: its label before.
        label: its label now.
        confidence: of that; None where it isn't known.
        stood: where it stood, absolute.
        path: where it stands now, absolute; None where it stayed, for the reason in `problem`.
    """

    digest: str
    was: str
    label: str
    confidence: float | None
    stood: str
    path: str | None
    problem: str | None = None


class SecondHearing:
    """Judges what the index keeps; nothing is changed.

    Attributes:
        model: id of the model that judges.
    """

    def __init__(
        self, reader: Reader, rehearing: Rehearing, root: str, folders: Sequence[str] = ()
    ) -> None:
        """`folders` are labels of the class folders that the owner made."""
        base, card = rehearing.base, rehearing.card
        said = Said(precedents(reader, base, rehearing.learned), list(folders))
        rehearing.said = precedents_of(said, card.embedding_size) if said.corrections else None
        self.model = rehearing.card.id
        self._reader = reader
        self._rehearing = rehearing
        self._since = reader.meta(rehearing.base.network_key)
        self._root = root

    def changes(self, query: Query, tally: Tally) -> Iterator[Change]:
        """Every sample of the query that is of another class now, as `tally` counts."""
        for rows in _lots(self._reader.rows(query, COLUMNS), LOT):
            asked = self._asked(rows, tally)
            sounds = [Sound(row[9], self._name_of(row)) for row in asked]
            verdicts = self._rehearing.second_thoughts(sounds, [row[2] for row in asked])
            for row, verdict in zip(asked, verdicts, strict=True):
                if verdict is None:
                    tally.same += 1
                    continue
                tally.changed += 1
                row_id, digest, was, path, source, *_ = row
                relative = None if path is None else from_db(path)
                place = location(relative, from_db(source), self._root)
                yield Change(row_id, digest, was, place, verdict)

    def changes_of(self, ids: Sequence[int]) -> list[Change]:
        """As `changes`, of some rows as they are now."""
        marks = ", ".join("?" * len(ids))
        return list(self.changes(Query(((Clause(f"id IN ({marks})", tuple(ids)),),)), Tally()))

    def _asked(self, rows: Sequence[_Values], tally: Tally) -> list[_Values]:
        """Those that are judged; the others are counted."""
        asked = [row for row in rows if self._is_asked(row, tally)]
        whole = are_whole([row[9] for row in asked], self._rehearing.card)
        tally.unknown += len(asked) - int(whole.sum())
        return list(compress(asked, whole))

    def _is_asked(self, row: _Values, tally: Tally) -> bool:
        *_, reason, model, added, _embedding, is_corrected, is_filed = row
        if not is_filed:
            return False
        if is_corrected:
            tally.corrected += 1
        elif not is_by_sound(reason):
            tally.no_hit += 1
        elif not self._rehearing.base.has_heard(model, added, self._since):
            tally.unknown += 1
        else:
            return True
        return False

    def _name_of(self, row: _Values) -> str:
        """The path that a sample came by, where names are evidence."""
        if not self._rehearing.uses_names:
            return ""
        _, _, _, _, source, pack, *_ = row
        return os.path.join(from_db(pack), os.path.basename(from_db(source)))


class Batch:
    """Files samples by what they are judged to be now; all of it can be taken back at once.

    Attributes:
        number: of the batch; None until the first sample is moved.
    """

    def __init__(self, index: Index, archive: Archive, model: str, query: str) -> None:
        self.number: int | None = None
        self._index = index
        self._archive = archive
        self._mover = Mover(index, archive)
        self._model, self._query = model, query

    def run(self, hearing: SecondHearing, ids: Sequence[int]) -> Iterator[Outcome]:
        """File these rows, as far as they still are of another class.

        Raises:
            ArchiveError, IndexStoreError: it can't go on; what was filed stays filed.
        """
        for lot in _lots(ids, LOT):
            for change in hearing.changes_of(lot):
                yield self._file(change)

    def _file(self, change: Change) -> Outcome:
        verdict, row = change.verdict, self._index.row(change.id)
        problem, path = None, None
        try:
            if row is None or (row.digest, row.label) != (change.digest, change.was):
                raise UsageError("it changed meanwhile", path=change.path, hint="try again")
            if self.number is None:
                self.number = Rejudged(self._index).begin_batch(self._model, self._query)
            now = Judgement.of(verdict, self._model)
            path = _place(self._archive, change.path, self._mover.reclassify(row, now, self.number))
        except (UsageError, PlacementError) as error:
            problem = str(error)
        return Outcome(
            change.digest, change.was, verdict.label, verdict.confidence, change.path, path, problem
        )


def take_back(index: Index, archive: Archive, batch: int) -> Iterator[Outcome]:
    """Judge and file what a batch moved as it was before.

    What was corrected or moved by another batch since stays as it is.

    Raises:
        ArchiveError, IndexStoreError: it can't go on; what was taken back stays so.
    """
    mover = Mover(index, archive)
    mover.finish_all()  # of what can't be finished now, the next rescan says why
    for moved in Rejudged(index).moved_by(batch):
        yield _take_back(index, archive, mover, moved, batch)


def _take_back(index: Index, archive: Archive, mover: Mover, moved: Moved, batch: int) -> Outcome:
    row, problem, path = index.row_of(moved.digest), None, None
    stood = (
        location(moved.path, "", archive.settings.root) if row is None else archive.full_path(row)
    )
    try:
        if row is None or row.state != "filed":
            raise UsageError("it isn't in the archive any more", path=stood)
        if archive.corrections.of(moved.digest) is not None:
            raise UsageError("you corrected it since", path=stood)
        path = _place(archive, stood, mover.take_back(row, moved, batch))
    except (UsageError, PlacementError) as error:
        problem = str(error)
    was = moved.was
    return Outcome(moved.digest, moved.label, was.label, was.confidence, stood, path, problem)


def _place(archive: Archive, stood: str, path: str | None) -> str:
    return stood if path is None else os.path.join(archive.settings.root, path)


def _lots(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    iterator = iter(items)
    while lot := list(islice(iterator, size)):
        yield lot
