"""Take a run's files into an archive and its index, by the same story as any other file's.

    digest → claim → (what the run heard) → place → record → remove the source

Only the ear is another: it has heard everything already. So whatever the pipeline promises holds here:
nothing is analysed, nothing is replaced, what is known is a duplicate, and a kill at any moment costs
nothing. A daemon may work on the same index meanwhile.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from drumwatchd.analysis.result import Analysis
from drumwatchd.archive.archive import Archive
from drumwatchd.archive.manifest import Manifests
from drumwatchd.batch import journal
from drumwatchd.batch.judging import Judge
from drumwatchd.batch.left_out import LeftOut, StandIns, instead
from drumwatchd.batch.records import Record, full_path
from drumwatchd.batch.run_folder import RunFolder
from drumwatchd.errors import DrumwatchdError, SourceChangedError
from drumwatchd.files import Source, digest_source, look
from drumwatchd.index.store import Index
from drumwatchd.pipeline import Outcome, Pipeline


@dataclass(slots=True)
class BroughtIn:
    """What became of a run's files.

    Attributes:
        labels: files that were filed now, by label.
        known: files whose content the archive has already.
        unjudged: files that the run couldn't judge.
        left: files that were left out, for which a duplicate may stand in.
    """

    labels: Counter[str] = field(default_factory=Counter)
    known: int = 0
    unjudged: int = 0
    left: StandIns = field(default_factory=StandIns)

    @property
    def problems(self) -> list[tuple[str, str]]:
        """Files that were left out, each with its reason."""
        return self.left.problems


class LaterManifests(Manifests):
    """Manifests that whoever may write them follows up with: the daemon, or we at the end.

    Two processes that append to one file would each take the other's lines for damage.
    """

    def __init__(self, root: str, index: Index) -> None:
        super().__init__(root, index)
        self._owed: set[str] = set()
        self._outdates = index

    def append(self, label: str, row_id: int) -> None:
        """Note that the manifest of a label is behind, before anybody has to know it."""
        if label not in self._owed:
            self._owed.add(label)
            self.outdate()

    def outdate(self) -> None:
        """Say again that these manifests are behind: others may have written them meanwhile."""
        with self._outdates.transaction() as connection:
            self._outdates.outdate_manifests(connection, sorted(self._owed))


class _Memory:
    """The ear of the pipeline: says what the run heard of the file that is in work."""

    def __init__(self) -> None:
        self.analysis: Analysis | None = None

    def analyse(self, path: str, name: str) -> Analysis:
        assert self.analysis is not None
        return self.analysis


class _Sources:
    """Every root of a run is an inbox whose duplicates stay where they are."""

    def __getitem__(self, inbox: str) -> Any:
        return "keep"


def bring_in(
    run: RunFolder,
    index: Index,
    archive: Archive,
    judge: Judge,
    network: str | None,
    brought: BroughtIn,
) -> Iterator[int]:
    """Take every file in, as far as the archive doesn't have it; tells how many more are done.

    Args:
        run: a whole one.
        index: to write to.
        archive: of that index.
        judge: what each file is filed as.
        network: id of the model whose embeddings the index keeps; None where the run's are another's.
        brought: is added to.

    Raises:
        DrumwatchdError: archive or index can't take any more now; what was taken in stays.
    """
    memory = _Memory()
    # A sample that isn't in its place may have been moved by hand just now: the daemon will see.
    pipeline = Pipeline(index, archive, memory, _Sources(), lambda row: True)  # type: ignore[arg-type]
    for begin, _, record in journal.records(run.journal):
        if record.error is not None:
            brought.unjudged += 1
        elif record.duplicate_of is None:
            _take(run, begin, record, index, archive, pipeline, memory, judge, network, brought)
        else:
            brought.known += 1  # the first of its content speaks for it
            if first := brought.left.first_of(record):
                begin, record = first.begin, instead(run.journal, first.begin, record)
                _take(run, begin, record, index, archive, pipeline, memory, judge, network, brought)
        yield 1


def _take(
    run: RunFolder,
    begin: int,
    record: Record,
    index: Index,
    archive: Archive,
    pipeline: Pipeline,
    memory: _Memory,
    judge: Judge,
    network: str | None,
    brought: BroughtIn,
) -> None:
    path, digest = full_path(run.about.roots, record.seen.place), record.seen.digest or ""
    if _is_filed(record, path, index, archive):
        brought.known += 1
        brought.left.found(digest)
        return
    try:
        source = _source(run, record, path, archive)
    except (SourceChangedError, OSError) as error:
        reason = str(getattr(error, "message", None) or error)
        brought.left.leave_out(digest, LeftOut(begin, path, reason))
        return
    judged = judge(record)
    analysis = record.analysis(judged.label, judged.folded, judged.confidence, judged.reason)
    memory.analysis = analysis if network == analysis.model else _without_embedding(analysis)
    result = pipeline.process(source)
    if result.outcome is Outcome.BLOCKED:
        assert isinstance(result.error, DrumwatchdError)
        raise result.error
    row = index.row_of(digest)
    if result.outcome is Outcome.FILED and row is not None and row.state == "filed":
        brought.labels[row.label or ""] += 1
        brought.left.found(digest)
    elif result.outcome is Outcome.DUPLICATE:
        brought.known += 1
        brought.left.found(digest)
    else:
        why = _WHY[result.outcome] if result.error is None else result.error.message
        brought.left.leave_out(digest, LeftOut(begin, path, why))


_WHY = {
    Outcome.FILED: "the daemon took the same content just now",
    Outcome.QUARANTINED: "the same content is in quarantine",
    Outcome.FAILED: "it can't be read",
    Outcome.CHANGED: "it changed since it was judged",
    Outcome.LATER: "the same content is in work",
    Outcome.SOUGHT: "the same content isn't in its place in the archive, and is looked for",
}


def _is_filed(record: Record, path: str, index: Index, archive: Archive) -> bool:
    """Whether the archive has this content, in its place, and nothing is left to be done."""
    row = index.row_of(record.seen.digest or "")
    if row is None or row.state != "filed" or not archive.is_present(row):
        return False
    # A move may have been interrupted when only the original was left to remove.
    return not (row.mode == "move" and row.source.path == path and os.path.lexists(path))


def _source(run: RunFolder, record: Record, path: str, archive: Archive) -> Source:
    """The file, which is by content what was judged.

    Raises:
        SourceChangedError: it isn't, or isn't there, or is the archive's already.
    """
    place, seen = record.seen.place, record.seen
    root = run.about.roots[place.root]
    source = look(path, root if place.path else os.path.dirname(root))
    if source is None:
        raise SourceChangedError("it is gone", path=path)
    if path.startswith(os.path.realpath(archive.settings.root).rstrip("/") + "/"):
        raise SourceChangedError("it stands in the archive, where nobody filed it", path=path)
    if source.size != seen.size or digest_source(source, run.about.algorithm) != seen.digest:
        raise SourceChangedError("it changed since it was judged", path=path)
    return source


def _without_embedding(analysis: Analysis) -> Analysis:
    """Another network's embedding would mislead all that compares them."""
    return Analysis(
        analysis.verdict,
        analysis.model,
        b"",
        analysis.duration_seconds,
        analysis.sample_rate_hz,
        analysis.channels,
    )
