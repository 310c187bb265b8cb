"""Soundfonts: what a tiny one of our own plays, and how it is labelled."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from drumwatchd.errors import UsageError
from drumwatchd.training.corpus import read_corpus
from drumwatchd.training.soundfont import Signal, extract, read_soundfont, render

SR = 22_050
LOOP = 50  # samples: one period of 441 Hz, which is nearly key 69
ATTENUATION, SAMPLE_ID, LOOPS, INSTRUMENT, KEYS = 48, 53, 54, 41, 43


def chunk(name: str, content: bytes) -> bytes:
    return struct.pack("<4sI", name.encode(), len(content)) + content + b"\0" * (len(content) % 2)


def write_soundfont(path: Path, presets: list[tuple[str, int, int]], keys: int = 0x7F00) -> Path:
    """Presets (name, program, bank) that all play one looped sine, on `keys` (low, high bytes)."""
    pcm = np.tile(np.round(20_000 * np.sin(2 * np.pi * np.arange(LOOP) / LOOP)), 20).astype("<i2")
    rows = [*presets, ("EOP", 0, 0)]
    headers = b"".join(
        struct.pack("<20sHHH12x", name.encode(), program, bank, number)
        for number, (name, program, bank) in enumerate(rows)
    )
    # Each preset has one zone, of one generator; the instrument has a common zone and its own.
    bags = b"".join(struct.pack("<HH", number, 0) for number in range(len(rows)))
    generators = struct.pack("<Hh", INSTRUMENT, 0) * len(presets) + bytes(4)
    inner = [(ATTENUATION, 60), (KEYS, keys), (LOOPS, 1), (SAMPLE_ID, 0), (0, 0)]
    sample = struct.pack("<20s5IBbHH", b"sine", 0, 1000, 0, LOOP, SR, 69, 0, 0, 1)
    hydra = [
        *(chunk("phdr", headers), chunk("pbag", bags), chunk("pgen", generators)),
        chunk("inst", struct.pack("<20sH20sH", b"one", 0, b"EOI", 2)),
        chunk("ibag", struct.pack("<HHHHHH", 0, 0, 1, 0, 4, 0)),
        chunk("igen", b"".join(struct.pack("<Hh", *pair) for pair in inner)),
        chunk("shdr", sample + bytes(46)),
    ]
    lists = [
        chunk("LIST", b"sdta" + chunk("smpl", pcm.tobytes())),
        chunk("LIST", b"pdta" + b"".join(hydra)),
    ]
    path.write_bytes(chunk("RIFF", b"sfbk" + b"".join(lists)))
    return path


def play(path: Path, key: int, seconds_held: float = 0.5) -> Signal:
    font = read_soundfont(path)
    return render(font, font.presets[0], key=key, velocity=90, seconds_held=seconds_held, sr=SR)


def pitch_hz(y: Signal) -> float:
    spectrum = np.abs(np.fft.rfft(y * np.hanning(y.size), 1 << 17))
    return float(np.argmax(spectrum)) * SR / (1 << 17)


def test_a_note_has_its_pitch(tmp_path: Path) -> None:
    """An octave above the sample's key is twice as high."""
    path = write_soundfont(tmp_path / "a.sf2", [("Lead", 80, 0)])
    assert pitch_hz(play(path, 69)) == pytest.approx(441.0, rel=0.003)
    assert pitch_hz(play(path, 81)) == pytest.approx(882.0, rel=0.003)
    assert pitch_hz(play(path, 62)) == pytest.approx(441.0 * 2 ** (-7 / 12), rel=0.003)


def test_a_loop_goes_on_as_long_as_the_note_is_held(tmp_path: Path) -> None:
    """The sample lasts 45 ms; the note lasts as long as the key is down."""
    path = write_soundfont(tmp_path / "a.sf2", [("Lead", 80, 0)])
    short, long = play(path, 69, 0.2), play(path, 69, 1.0)
    assert 0.2 < short.size / SR < 0.3
    assert 1.0 < long.size / SR < 1.1
    middle = long[SR // 2 : SR // 2 + 1000]
    assert np.abs(middle).max() == pytest.approx(1.0, abs=0.05)


def test_keys_outside_a_zone_are_silent(tmp_path: Path) -> None:
    """A zone from key 60 to 72 answers there and nowhere else."""
    keys = struct.unpack("<h", bytes([60, 72]))[0]
    path = write_soundfont(tmp_path / "a.sf2", [("Lead", 80, 0)], keys)
    assert play(path, 60).any()
    assert not play(path, 59).any()
    assert not play(path, 73).any()


def test_programs_become_labels(tmp_path: Path) -> None:
    """Timpani are Timpani, a bass is FX; kits and doubtful programs are left out."""
    presets = [
        ("Finger Bass", 33, 0),
        ("Timpani", 47, 0),
        ("Woodblock", 115, 0),
        ("Taiko/Drum", 116, 0),
        ("Gunshot", 127, 0),
        ("Standard", 0, 128),
    ]
    path = write_soundfont(tmp_path / "a.sf2", presets)
    out = tmp_path / "corpus"
    assert extract(path, out, source="tiny", notes=2, sr=SR) == 8
    examples = read_corpus(out)
    assert Counter(e.label for e in examples) == {"FX": 2, "Timpani": 2, "Perc": 2, "Tom": 2}
    assert {e.kit for e in examples} == {"Finger Bass", "Timpani", "Woodblock", "Taiko/Drum"}
    assert {(e.source, e.fold) for e in examples} == {("tiny", -1)}
    for example in examples:
        y, sr = soundfile.read(example.path)
        assert sr == SR
        assert y.ndim == 1
        assert 0 < y.size <= 1.5 * SR


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not a soundfont, but a text of some length"])
def test_what_is_no_soundfont_is_refused(tmp_path: Path, content: bytes) -> None:
    """An error that says so, whatever the file holds."""
    path = tmp_path / "a.sf2"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="no SoundFont 2 file"):
        read_soundfont(path)


def test_a_cut_soundfont_is_refused(tmp_path: Path) -> None:
    """Half a download plays nothing."""
    whole = write_soundfont(tmp_path / "a.sf2", [("Lead", 80, 0)]).read_bytes()
    cut = tmp_path / "cut.sf2"
    cut.write_bytes(whole[: len(whole) - 100])
    with pytest.raises(UsageError):
        read_soundfont(cut)


def test_a_compressed_soundfont_is_refused(tmp_path: Path) -> None:
    """An .sf3 has the same tables; its samples, taken as they are, would be noise."""
    whole = write_soundfont(tmp_path / "a.sf2", [("Lead", 80, 0)]).read_bytes()
    mono = struct.pack("<HH", 0, 1) + bytes(46)
    assert whole.count(mono) == 1
    path = tmp_path / "a.sf3"
    path.write_bytes(whole.replace(mono, struct.pack("<HH", 0, 0x11) + bytes(46)))
    with pytest.raises(UsageError, match="is compressed"):
        read_soundfont(path)
