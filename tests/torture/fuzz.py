"""Mutate sound files and have them judged; count what is judged, refused, and what kills a worker.

    python tests/torture/fuzz.py --files 200000

Short drums in every format are damaged as chance has it: mostly in their headers, which is where a decoder
believes what it reads. They are judged, network and all, in the daemon's own worker processes, under the
daemon's own limits of memory and time. Where a worker dies or is too slow, its files are judged again one by
one, so that each is counted for itself. The first hundredth is dropped into a real daemon's inbox besides.
"""

from __future__ import annotations

import argparse
import functools
import io
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import soundfile

import drums
from drumwatchd.analysis.analyse import analyse
from drumwatchd.analysis.model_card import shipped_model
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.analysis.workers import Workers, worker_count
from drumwatchd.errors import AnalysisCrashError, AnalysisError, AnalysisTimeoutError
from home import Home

FORMATS = (
    ("wav", "WAV", "PCM_16"), ("wav", "WAV", "PCM_24"), ("wav", "WAV", "FLOAT"),
    ("wav", "WAV", "IMA_ADPCM"), ("wav", "WAVEX", "PCM_16"), ("w64", "W64", "PCM_16"),
    ("aiff", "AIFF", "PCM_16"), ("aiff", "AIFF", "PCM_24"), ("au", "AU", "PCM_16"),
    ("caf", "CAF", "PCM_16"), ("flac", "FLAC", "PCM_16"), ("flac", "FLAC", "PCM_24"),
    ("ogg", "OGG", "VORBIS"), ("opus", "OGG", "OPUS"), ("mp3", "MP3", "MPEG_LAYER_III"),
)  # fmt: skip
SR = 48_000  # which every format can have
FRAMES = 4_800
HEADER = 64  # bytes; what is decisive in most formats
BLOCK = 50  # files that a worker is given at a time
# Numbers at which a size, a count or a rate turns into another.
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
JUDGED, REFUSED, DIED, SLOW = "judged", "refused", "worker died", "too slow"


@functools.cache
def seeds() -> tuple[tuple[str, bytes], ...]:
    """A suffix and a whole file of each format."""
    made = []
    for number, (suffix, container, subtype) in enumerate(FORMATS):
        stream = io.BytesIO()
        y = drums.synthesise(("kick", "snare", "hat")[number % 3], number, SR)[:FRAMES]
        soundfile.write(stream, y, SR, subtype, format=container)
        made.append((suffix, stream.getvalue()))
    return tuple(made)


def mutated(number: int) -> tuple[str, bytes]:
    """The suffix and content of one damaged file; a number gives the same on every machine."""
    chance = random.Random(number)
    suffix, whole = seeds()[number % len(FORMATS)]
    content = bytearray(whole)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        _damage(content, chance)
    return suffix, bytes(content)


def _damage(content: bytearray, chance: random.Random) -> None:
    reach = HEADER if chance.random() < 0.7 else len(content)
    at = chance.randrange(max(1, min(reach, len(content))))
    kind = chance.randrange(8)
    if kind == 0:
        content[at : at + 1] = bytes([chance.randrange(256)])
    elif kind == 1 and at < len(content):
        content[at] ^= 1 << chance.randrange(8)
    elif kind in (2, 3):
        width = chance.choice((1, 2, 4, 4, 8))
        number = chance.choice(EDGES) & ((1 << 8 * width) - 1)
        content[at : at + width] = number.to_bytes(width, chance.choice(("little", "big")))
    elif kind == 4:
        del content[chance.randrange(len(content) + 1) :]
    elif kind == 5:
        del content[at : at + chance.randrange(1, 64)]
    elif kind == 6:
        content[at:at] = chance.randbytes(chance.randrange(1, 64))
    else:
        start = chance.randrange(len(content) + 1)
        content[at:at] = content[start : start + chance.randrange(1, 512)]


def judge(numbers: str, settings: AnalysisSettings) -> Counter[str]:
    """Run in a worker: judge the files from one number up to another, `"first:end"`."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for number in range(*map(int, numbers.split(":"))):
            suffix, content = mutated(number)
            path = os.path.join(folder, f"{number}.{suffix}")
            with open(path, "wb") as stream:
                stream.write(content)
            try:
                analyse(path, settings)
                counts[JUDGED] += 1
            except AnalysisError:
                counts[REFUSED] += 1
            os.unlink(path)
    return counts


def through_workers(first: int, files: int) -> Iterator[Counter[str]]:
    """Judge `files` damaged files, yield the counts of each block as it is done."""
    workers = Workers(
        AnalysisSettings(str(shipped_model())),
        count=worker_count(0), timeout_seconds=30, memory_mb=1024, idle_seconds=60,
    )  # fmt: skip
    try:
        with ThreadPoolExecutor(workers.count) as executor:
            starts = range(first, first + files, BLOCK)
            blocks = [(start, min(start + BLOCK, first + files)) for start in starts]
            yield from executor.map(functools.partial(_block, workers), blocks)
    finally:
        workers.close()


def _block(workers: Workers, block: tuple[int, int]) -> Counter[str]:
    start, end = block
    try:
        return Counter(workers._call(judge, f"{start}:{end}"))
    except (AnalysisCrashError, AnalysisTimeoutError) as error:
        if end - start > 1:
            counts = [_block(workers, (number, number + 1)) for number in range(start, end)]
            return sum(counts, Counter())
        print(f"file {start}: {error}", file=sys.stderr, flush=True)
        return Counter([SLOW if isinstance(error, AnalysisTimeoutError) else DIED])


def through_daemon(folder: Path, files: int) -> Counter[str]:
    """Drop damaged files into a real daemon's inbox; it has to outlive them, and none may get lost."""
    home = Home(folder)
    home.configure(classify="worker_count = 0\n")
    contents = set()
    for number in range(files):
        suffix, content = mutated(number)
        (home.inbox / f"{number}.{suffix}").write_bytes(content)
        contents.add(content)
    home.drumwatchd("scan", check=None)  # what looks unfinished is waited for as usual
    with home.running() as daemon:
        status = home.wait_idle()
        assert daemon.poll() is None
    kept = [path for path in home.archive.rglob("*") if path.is_file()]
    assert contents <= {path.read_bytes() for path in kept}, "a file was lost"
    # What stays in the inbox came twice: two files that were damaged alike.
    assert {path.read_bytes() for path in home.inbox.iterdir()} <= contents
    return Counter({JUDGED: status["files"]["total"], REFUSED: status["quarantined"]})


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=200_000, help="in all [200000]")
    parser.add_argument("--first", type=int, default=0, help="the first one's number [0]")
    chosen = parser.parse_args()
    started = time.monotonic()
    counts: Counter[str] = Counter()
    for block in through_workers(chosen.first, chosen.files):
        counts += block
        if counts.total() % 10_000 < BLOCK:
            print(f"{time.monotonic() - started:6.0f} s  {dict(counts)}", flush=True)
    print(f"workers: {dict(counts)} of {chosen.files:,} in {time.monotonic() - started:.0f} s")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        print(
            f"daemon, alive to the end: {dict(through_daemon(Path(folder), chosen.files // 100))}"
        )


if __name__ == "__main__":
    main()
