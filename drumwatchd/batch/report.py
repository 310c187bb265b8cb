"""What `stats` shows: a `Tally` of an index, and which labels were corrected to which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from drumwatchd.batch import journal
from drumwatchd.batch.run_folder import RunFolder
from drumwatchd.batch.tally import Tally
from drumwatchd.index.query import Query
from drumwatchd.index.reader import Reader


def confusion_of(run: RunFolder, said: Mapping[str, str]) -> Counter[tuple[str, str]]:
    """How often a file that the run judged as the first label is the second by its owner's word.

    Args:
        run: a whole one.
        said: what their owner says, by digest.
    """
    found: Counter[tuple[str, str]] = Counter()
    for _, _, record in journal.records(run.journal):
        meant = said.get(record.seen.digest or "")
        if meant is not None and record.said:
            found[record.said["label"], meant] += 1
    return found


def tally_of_index(reader: Reader, everything: Query) -> Tally:
    """What an index holds.

    Args:
        reader: of it.
        everything: the query for all that is filed.
    """
    tally = Tally()
    columns = ("label", "confidence", "duration", "size", "review")
    for label, confidence, duration, size, review in reader.rows(everything, columns):
        tally.files += 1
        tally.size += size
        tally.judged(label, confidence, duration or 0.0, review=review is not None)
    tally.duplicates = reader.count_events("duplicate")
    for (state, _), count in reader.count_samples().items():
        if state == "quarantined":
            tally.errors["quarantined"] += count
    if failed := reader.count_remembered("failed"):
        tally.errors["failed"] = failed
    return tally
