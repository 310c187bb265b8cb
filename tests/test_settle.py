"""When is a file finished?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drumwatchd.files import Source
from drumwatchd.inbox.settle import Settling, patience_seconds, promised_size


def source(size: int = 10, mtime_ns: int = 1, path: str = "/in/a.wav") -> Source:
    return Source(path, "/in", size, mtime_ns, 1, 7)


def take(
    settling: Settling, now: float, current: Source | None, *, incomplete: bool = False
) -> list[Source]:
    return settling.take_finished(now, lambda _: current, lambda _: incomplete, limit=100)


def test_a_still_file_is_taken_after_settle_seconds() -> None:
    """Not a moment before the wait is over, and then once."""
    settling = Settling()
    settling.observe(source(), 100.0, 2.0)
    assert take(settling, 101.9, source()) == []
    assert take(settling, 102.0, source()) == [source()]
    assert take(settling, 200.0, source()) == []
    assert len(settling) == 0


def test_an_old_file_waits_just_as_long() -> None:
    """Modification times in the past say nothing: the copy may be under way right now."""
    settling = Settling()
    settling.observe(source(mtime_ns=1), 100.0, 2.0)
    assert take(settling, 100.0, source(mtime_ns=1)) == []


def test_a_change_starts_the_wait_anew() -> None:
    """Growth that no event announced is seen at the second look."""
    settling = Settling()
    settling.observe(source(10), 100.0, 2.0)
    assert take(settling, 102.0, source(20, 2)) == []
    assert take(settling, 103.9, source(20, 2)) == []
    assert take(settling, 104.0, source(20, 2)) == [source(20, 2)]


def test_a_hinted_change_starts_the_wait_anew() -> None:
    """A hint between two looks counts as a look."""
    settling = Settling()
    settling.observe(source(10), 100.0, 2.0)
    settling.observe(source(20, 2), 101.5, 2.0)
    assert take(settling, 102.0, source(20, 2)) == []
    assert take(settling, 103.5, source(20, 2)) == [source(20, 2)]


def test_repeated_hints_do_not_postpone() -> None:
    """Fifty hints about an unchanged file leave its wait as it is."""
    settling = Settling()
    for tick in range(50):
        settling.observe(source(), 100.0 + tick / 100, 2.0)
    assert take(settling, 102.0, source()) == [source()]


def test_a_vanished_file_is_dropped() -> None:
    """What is gone is neither taken nor waited for."""
    settling = Settling()
    settling.observe(source(), 100.0, 2.0)
    assert take(settling, 102.0, None) == []
    assert len(settling) == 0


def test_a_promising_header_gets_patience_but_not_for_ever() -> None:
    """A file that says it should be longer is waited for, then taken as it is."""
    settling = Settling()
    settling.observe(source(), 100.0, 2.0)
    assert take(settling, 102.0, source(), incomplete=True) == []
    end = 100.0 + patience_seconds(2.0)
    assert take(settling, end - 0.1, source(), incomplete=True) == []
    assert take(settling, end, source(), incomplete=True) == [source()]


def test_the_limit_leaves_the_rest_for_later() -> None:
    """Finished files beyond the limit are still there the next time."""
    settling = Settling()
    files = {f"/in/{n}.wav": source(path=f"/in/{n}.wav") for n in range(5)}
    for file in files.values():
        settling.observe(file, 0.0, 1.0)
    first = settling.take_finished(1.0, lambda s: files[s.path], lambda _: False, limit=3)
    second = settling.take_finished(1.0, lambda s: files[s.path], lambda _: False, limit=3)
    assert len(first) == 3
    assert {s.path for s in first + second} == set(files)


def test_the_oldest_is_the_one_seen_first() -> None:
    """The queue's age is told from first sight, not from the last change."""
    settling = Settling()
    settling.observe(source(path="/in/a.wav"), 10.0, 2.0)
    settling.observe(source(path="/in/b.wav"), 20.0, 2.0)
    settling.observe(source(99, path="/in/a.wav"), 30.0, 2.0)
    assert settling.oldest() == 10.0


@given(st.lists(st.tuples(st.floats(0.01, 1.5), st.integers(0, 3)), max_size=30))
def test_no_file_is_taken_before_it_stood_still(writes: list[tuple[float, int]]) -> None:
    """Whatever the writer's rhythm, a taken file has not changed for settle_seconds."""
    settling, now, size, changed = Settling(), 0.0, 0, 0.0
    settling.observe(source(0), now, 1.0)
    for pause, growth in writes:
        now += pause
        taken = take(settling, now, source(size))
        if taken:
            assert now - changed >= 1.0
            return
        if growth:
            size, changed = size + growth, now


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"RIFF\x24\x00\x00\x00WAVE", 44),
        (b"FORM\x00\x00\x01\x00AIFF", 264),
        (b"FORM\x00\x00\x01\x00AIFC", 264),
        (b"RIFF\xff\xff\xff\xffWAVE", None),
        (b"RIFF\x00\x00\x00\x00WAVE", None),
        (b"RIFF\x24\x00\x00\x00AVI ", None),
        (b"fLaC\x00\x00\x00\x22\x10\x00\x10\x00", None),
        (b"RIFF", None),
    ],
)
def test_promised_size(header: bytes, expected: int | None) -> None:
    """Only a usable size field promises anything."""
    assert promised_size(header) == expected
