"""Contents that came again, and recordings that are filed more than once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

import drums
from drumwatchd.analysis import twins
from drumwatchd.analysis.model_card import shipped_model
from drumwatchd.batch.twins import SAME
from home import Home

SR = 44_100
KINDS = ("kick", "snare", "tom", "crash", "clap")


def padded(y: np.ndarray) -> np.ndarray:
    silence = np.zeros(SR // 8, np.float32)
    return np.concatenate([silence, y, silence])


def coded(y: np.ndarray, folder: Path, suffix: str) -> np.ndarray:
    """What is left of a sound after a lossy code."""
    path = folder / f"coded.{suffix}"
    soundfile.write(path, y, SR)
    return soundfile.read(path, dtype="float32")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_what_became_of_a_recording_is_still_it(kind: str, tmp_path: Path) -> None:
    """Quieter, upside down, cut at either end, at another rate and back, coded."""
    y = drums.synthesise(kind, 1)
    down = soxr.resample(soxr.resample(y, SR, 32_000), 32_000, SR)
    became = {
        "quieter": 0.1 * y, "upside down": -y, "head cut": y[40:], "tail cut": y[: len(y) // 2],
        "resampled": down, "late": y[np.r_[0:1, 0 : len(y) - 1]],
        "ogg": coded(y, tmp_path, "ogg"), "mp3": coded(y, tmp_path, "mp3"),
    }  # fmt: skip
    found = {name: twins.agreement(y, twin.astype(np.float32), SR) for name, twin in became.items()}
    assert {name: agreed for name, agreed in found.items() if agreed < SAME} == {}


@pytest.mark.parametrize("kind", KINDS)
def test_another_hit_is_another_recording(kind: str) -> None:
    """However alike the drums are."""
    y = drums.synthesise(kind, 1)
    assert max(twins.agreement(y, drums.synthesise(kind, seed), SR) for seed in (2, 3, 4)) < SAME


def test_what_says_nothing_agrees_with_nothing() -> None:
    """Silence, and a handful of samples."""
    y = drums.synthesise("kick", 1)
    assert twins.agreement(y, np.zeros(1000, np.float32), SR) == 0.0
    assert twins.agreement(y, y[:20], SR) == 0.0


def test_what_cannot_be_read_has_no_answer(tmp_path: Path) -> None:
    """Gone, or no audio; the other pairs have one."""
    kick = drums.write(tmp_path / "kick.wav", "kick")
    (tmp_path / "text.wav").write_text("x")
    bad = str(tmp_path / "text.wav")
    pairs = [(kick, kick), (kick, bad), (str(tmp_path / "gone.wav"), kick)]
    assert twins.agreements(pairs, str(shipped_model())) == [pytest.approx(1.0), None, None]
    assert twins.copies([kick, bad]) == [twins.Copy(True, pytest.approx(0.6, abs=0.5), SR), None]


@pytest.mark.e2e
def test_twins_are_found_and_the_best_copy_named_first(tmp_path: Path) -> None:
    """Re-encoded, padded, quieter, in an archive of links; every file stays where it is."""
    home = Home(tmp_path, archive='mode = "symlink"')
    for seed in (1, 2):
        for kind in ("kick", "snare", "crash"):
            drums.write(home.inbox / f"{kind} {seed}.wav", kind, seed=seed)
    kick, snare = drums.synthesise("kick", 1), drums.synthesise("snare", 2)
    soundfile.write(home.inbox / "kick low.mp3", kick, SR)
    soundfile.write(home.inbox / "kick rate.wav", soxr.resample(kick, SR, 22_050), 22_050)
    soundfile.write(home.inbox / "snare quiet.wav", padded(0.3 * snare), SR)
    home.drumwatchd("scan")
    before = home.archived()
    assert len(before) == 9
    told = home.drumwatchd("duplicates", "--near", "--json").stdout.splitlines()
    groups = [json.loads(line) for line in told]
    found = {tuple(sample["name"] for sample in group["samples"]) for group in groups}
    assert found == {
        ("kick 1.wav", "kick rate.wav", "kick low.mp3"), ("snare quiet.wav", "snare 2.wav"),
    }  # fmt: skip
    assert all(SAME <= group["agreement"] <= 1.0 for group in groups)
    text = home.drumwatchd("duplicates", "--near").stdout
    assert [len(part.splitlines()) for part in text.split("\n\n")] in ([2, 3], [3, 2])
    assert home.archived() == before
    (home.archive / "Snare" / "snare quiet.wav").unlink()
    assert "2 pairs not read" in home.drumwatchd("duplicates", "--near", check=3).stderr


@pytest.mark.e2e
def test_what_came_again_is_listed_with_the_places(tmp_path: Path) -> None:
    """The filed sample first; nothing where nothing came again."""
    home = Home(tmp_path)
    drums.write(home.inbox / "kick.wav", "kick")
    home.drumwatchd("scan")
    done = home.drumwatchd("duplicates")
    assert (done.stdout, "no duplicates" in done.stderr) == ("", True)
    for name in ("again.wav", "once more.wav"):
        drums.write(home.inbox / name, "kick")
        home.drumwatchd("scan")
    (kick,) = home.archive.glob("Kick/*")
    lines = home.drumwatchd("duplicates").stdout.splitlines()
    assert lines == [
        str(kick),
        *(str(home.inbox / name) for name in ("again.wav", "once more.wav")),
    ]
    (told,) = map(json.loads, home.drumwatchd("duplicates", "--json").stdout.splitlines())
    assert told["path"] == str(kick)
    assert [one["path"] for one in told["again"]] == lines[1:]
    kick.unlink()  # whoever keeps the first of a group and deletes the rest has to have the first
    assert home.drumwatchd("duplicates").stdout == ""
