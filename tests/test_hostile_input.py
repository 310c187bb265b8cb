"""Damaged files by the thousand, and small ones that unpack to hours: they cost little, and no daemon."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

import drums
from drumwatchd.analysis.analyse import analyse
from drumwatchd.analysis.model_card import shipped_model
from drumwatchd.analysis.settings import AnalysisSettings
from torture.fuzz import DIED, JUDGED, REFUSED, SLOW, mutated, through_daemon, through_workers

HOURS = 12
# So much of a file is listened to, and a block more.
MOST_SECONDS = 12.0


def test_damaged_files_kill_no_worker() -> None:
    """Each is judged or refused; `torture/fuzz.py` does the same with 200,000."""
    counts = sum(through_workers(0, 2_000), Counter[str]())
    assert counts[DIED] == counts[SLOW] == 0
    assert counts[JUDGED] + counts[REFUSED] == 2_000
    assert min(counts[JUDGED], counts[REFUSED]) > 200


@pytest.mark.e2e
def test_a_daemon_outlives_damaged_files(tmp_path: Path) -> None:
    """And no content gets lost: what can't be judged is set aside."""
    assert through_daemon(tmp_path, 45).total() > 20


def test_the_same_number_is_the_same_damage() -> None:
    """What was found once can be found again."""
    assert mutated(17) == mutated(17)
    assert len({mutated(number) for number in range(60)}) == 60


@pytest.fixture(scope="module", params=["flac", "wav"])
def bomb(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve hours of silence: 8 MB as FLAC, and as a WAV that is one hole."""
    path = tmp_path_factory.mktemp("bomb") / f"bomb.{request.param}"
    if request.param == "flac":
        with soundfile.SoundFile(path, "w", 16_000, 1) as sound:
            for _ in range(HOURS):
                sound.write(np.zeros(16_000 * 3_600, np.int16))
        assert path.stat().st_size < 16 << 20
        return path
    soundfile.write(path, np.zeros(1, np.int16), 8_000)
    size = 44 + 2 * 8_000 * 3_600 * HOURS
    with path.open("r+b") as stream:
        stream.truncate(size)
        for at, number in ((4, size - 8), (40, size - 44)):
            stream.seek(at)
            stream.write(number.to_bytes(4, "little"))
    return path


def test_hours_in_a_small_file_are_not_listened_to(
    bomb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only so much is decoded as is heard of any file."""
    decoded: list[float] = []
    read = soundfile.SoundFile.read

    def counted(sound: soundfile.SoundFile, *arguments: object, **keywords: object) -> object:
        found = read(sound, *arguments, **keywords)
        decoded.append(len(found) / sound.samplerate)
        return found

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    found = analyse(str(bomb), AnalysisSettings(str(shipped_model())))
    assert found.duration_seconds == pytest.approx(HOURS * 3_600, abs=1)
    assert found.verdict.label == "misc"
    assert 0 < sum(decoded) < MOST_SECONDS


PEAK = """
import resource, sys
from drumwatchd.analysis.analyse import analyse
from drumwatchd.analysis.settings import AnalysisSettings
for path in sys.argv[2:]:
    analyse(path, AnalysisSettings(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_hours_in_a_small_file_cost_no_more_memory_than_a_hit(bomb: Path, tmp_path: Path) -> None:
    """Peaks of whole processes: 16 MB lie between them at most."""
    drums.write(tmp_path / "kick.wav", "kick")

    def peak(*paths: Path) -> int:
        command = [sys.executable, "-c", PEAK, str(shipped_model()), *map(str, paths)]
        return int(subprocess.run(command, capture_output=True, check=True).stdout)

    assert peak(tmp_path / "kick.wav", bomb) - peak(tmp_path / "kick.wav") < 16 << 10
