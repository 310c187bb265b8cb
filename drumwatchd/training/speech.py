"""Spoken words as labelled sounds, said by flite: packs hold vocal shots and tags beside drums."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

from drumwatchd.errors import UsageError

LABEL = "Vox"
_VOICES = ("awb", "kal16", "rms", "slt")
_WORDS = (
    "yeah, hey, what, go, drop, stop, come on, uh, oh, ah, let's go, check, one, two, three, four, "
    "ready, listen, bass, beat, turn it up, again, no, yes, all right, dance, move, louder, love, "
    "fire, night, music, people, baby, jump, clap your hands, everybody, this is it, rewind, sound, "
    "wait a minute, break it down, pick up the phone, I don't know, tonight we are here, hush, "
    "system online, warning, welcome, hello, goodbye, free, radio, exclusive, free sample"
).split(", ")


def speak(out: Path, *, source: str) -> int:
    """Let every voice say every word into `out`, a corpus folder; each voice is a kit.

    Args:
        out: the folder; it gets a `corpus.csv`.
        source: what its table calls it.

    Returns:
        How many sounds.

    Raises:
        UsageError: if flite isn't installed, or can't speak.
    """
    rows = []
    for voice in _VOICES:
        (out / voice).mkdir(parents=True, exist_ok=True)
        for word in _WORDS:
            path = f"{voice}/{word}.wav"
            _say(word, voice, out / path)
            rows.append((path, LABEL, source, voice))
    with (out / "corpus.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(("path", "label", "source", "kit"))
        writer.writerows(rows)
    return len(rows)


def _say(text: str, voice: str, path: Path) -> None:
    try:
        subprocess.run(
            ["flite", "-voice", voice, "-t", text, "-o", str(path)],
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError as error:
        raise UsageError("flite isn't installed", hint="on Debian: apt install flite") from error
    except subprocess.CalledProcessError as error:
        raise UsageError(f"flite can't speak ({error.stderr.strip()})", path=str(path)) from error
