"""Spoken words as a corpus to train on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import soundfile

from drumwatchd.errors import UsageError
from drumwatchd.training import speech
from drumwatchd.training.corpus import read_corpus


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite isn't installed")
def test_every_voice_says_every_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each word is a labelled sound, each voice a kit."""
    monkeypatch.setattr(speech, "_WORDS", ["hey", "let's go"])
    assert speech.speak(tmp_path, source="words") == 8
    examples = read_corpus(tmp_path)
    assert {e.label for e in examples} == {"Vox"}
    assert {e.source for e in examples} == {"words"}
    assert len({e.kit for e in examples}) == 4
    assert all(soundfile.info(e.path).duration > 0.1 for e in examples)


def test_without_flite_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error, not a traceback, and the way out."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="apt install flite"):
        speech.speak(tmp_path / "out", source="words")
