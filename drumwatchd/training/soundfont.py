"""Notes of a General MIDI soundfont as labelled sounds: above all, what is no drum.

Sample folders hold basses, pads and voices beside drums; a soundfont that any distribution carries
shows them to the network. What is played here is close to what a synthesiser plays: samples,
loops, tuning, layers, envelopes of loudness and a fixed filter; modulation is left out.

References:
    E-mu Systems, SoundFont Technical Specification 2.04, 2006: files (7), generators (8.1).
"""

from __future__ import annotations

import csv
import itertools
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.signal
import soundfile
import soxr

from drumwatchd.errors import UsageError

Signal = npt.NDArray[np.float32]
Zone = Mapping[int, int]  # generator number: amount

_HEADER = np.dtype(
    [("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("_", "V12")]
)
_INSTRUMENT = np.dtype([("name", "S20"), ("bag", "<u2")])
_BAG = np.dtype([("generator", "<u2"), ("modulator", "<u2")])
_GENERATOR = np.dtype([("number", "<u2"), ("amount", "<i2")])
_SAMPLE = np.dtype(
    [
        ("name", "S20"),
        *((field, "<u4") for field in ("start", "end", "loop_start", "loop_end", "rate")),
        *(("key", "u1"), ("correction", "i1"), ("link", "<u2"), ("type", "<u2")),
    ]
)

# Generators by the specification's numbers.
_START, _END, _LOOP_START, _LOOP_END = 0, 1, 2, 3
_COARSE = {_START: 4, _END: 12, _LOOP_START: 45, _LOOP_END: 50}
_FILTER, _ATTACK, _HOLD, _DECAY, _SUSTAIN, _RELEASE = 8, 34, 35, 36, 37, 38
_PLAYED_BY, _KEYS, _VELOCITIES, _ATTENUATION = 41, 43, 44, 48
_COARSE_TUNE, _FINE_TUNE, _SAMPLE_ID, _LOOPS, _SCALE, _ROOT_KEY = 51, 52, 53, 54, 56, 58
_DEFAULTS = {_FILTER: 13_500, _SCALE: 100, _ROOT_KEY: -1, _LOOPS: 0} | dict.fromkeys(
    (_ATTACK, _HOLD, _DECAY, _RELEASE), -12_000
)
# A preset's amounts add to an instrument's, except where the specification forbids them.
_INSTRUMENT_ONLY = {*range(5), 12, 45, 50, _KEYS, _VELOCITIES, _SAMPLE_ID, _LOOPS, _ROOT_KEY}
_IN_ROM = 0x8000
_COMPRESSED = 0x10  # not of the specification: what makes an .sf3

# What General MIDI's programs (from 0) are in our labels; all others are FX. Steel drums and the
# gunshot are left out: too much like drums for teaching what is none.
_LABELS = {
    **dict.fromkeys((9, 14, 112), "Bell"),
    **dict.fromkeys((52, 53, 54), "Vox"),
    **dict.fromkeys((116, 117, 118), "Tom"),
    **dict.fromkeys((121, 122, 126), "Noise"),
    47: "Timpani",
    113: "Agogo",
    115: "Perc",
    119: "Reverse",
}
_LEFT_OUT = (114, 127)
_BASSES = range(32, 40)
_KEYS_OF_BASSES = (26, 31, 35, 40, 45, 52)
_KEYS_OF_OTHERS = (38, 46, 53, 60, 67, 76)
_SECONDS_HELD = (0.2, 0.5, 1.2)
_VELOCITIES_PLAYED = (100, 70, 120)
_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Preset:
    """One instrument of a soundfont: `zones` as (of the preset, of the instrument)."""

    name: str
    bank: int
    program: int
    zones: Sequence[tuple[Zone, Zone]]


@dataclass(frozen=True, slots=True)
class SoundFont:
    """Presets, the headers of samples, and all samples in one row: int16 [shape=(n,)]."""

    presets: Sequence[Preset]
    headers: np.ndarray
    samples: npt.NDArray[np.int16]


def extract(soundfont: Path, out: Path, *, source: str, notes: int = 5, sr: int = 44_100) -> int:
    """Write notes of each melodic preset as `out`/<label>/….flac, and list them in corpus.csv.

    Percussion kits (bank 128) are left out, and so are programs that are neither drum nor clearly
    something else. The kit is the preset's name; no fold ever holds these sounds out.

    Args:
        soundfont: an .sf2 file with General MIDI's programs.
        out: a folder, made where missing.
        source: what the table calls them.
        notes: of each preset, one to six.
        sr: of the files, Hz.

    Returns:
        How many were written.

    Raises:
        UsageError: if it is no SoundFont 2 file.
    """
    font = read_soundfont(soundfont)
    rows = []
    for preset in font.presets:
        if preset.bank != 0 or preset.program in _LEFT_OUT:
            continue
        label = _LABELS.get(preset.program, "FX")
        for key, velocity, held in _takes(preset.program, notes):
            y = render(font, preset, key=key, velocity=velocity, seconds_held=held, sr=sr)
            if not y.any():
                continue
            name = re.sub(r"[^\w.-]+", "-", f"{preset.program:03}-{preset.name}-{key}")
            path = Path(label, f"{name}.flac")
            (out / label).mkdir(parents=True, exist_ok=True)
            soundfile.write(out / path, y, sr, subtype="PCM_16")
            rows.append((path.as_posix(), source, preset.name, label, -1))
    with (out / "corpus.csv").open("w", newline="", encoding="utf-8") as table:
        csv.writer(table).writerows([("path", "source", "kit", "label", "fold"), *rows])
    return len(rows)


def read_soundfont(path: Path) -> SoundFont:
    """Map the file into memory and list its presets, lowest bank and program first.

    Raises:
        UsageError: if it is no SoundFont 2 file.
    """
    try:
        data = np.memmap(path, dtype=np.uint8, mode="r")
        chunks = dict(_chunks(data, 12))
        if any(chunks[b"shdr"].view(_SAMPLE)["type"] & _COMPRESSED):
            raise ValueError("samples in Vorbis")
        headers = chunks[b"phdr"].view(_HEADER)
        of_presets = _zones(headers, chunks, b"pbag", b"pgen")
        instruments = _zones(chunks[b"inst"].view(_INSTRUMENT), chunks, b"ibag", b"igen")
        samples = chunks[b"shdr"].view(_SAMPLE)[:-1]
        pcm = chunks[b"smpl"].view("<i2")
    except (KeyError, ValueError, IndexError, struct.error) as error:
        raise UsageError(
            "no SoundFont 2 file", path=str(path), hint="an .sf3 is compressed: take an .sf2"
        ) from error
    presets = [
        Preset(
            header["name"].split(b"\0")[0].decode("latin-1").strip(),
            int(header["bank"]),
            int(header["program"]),
            [
                (outer, inner)
                for outer in zones
                if _PLAYED_BY in outer
                for inner in instruments[outer[_PLAYED_BY]]
                if _SAMPLE_ID in inner
            ],
        )
        for header, zones in zip(headers[:-1], of_presets, strict=True)
    ]
    return SoundFont(sorted(presets, key=lambda p: (p.bank, p.program)), samples, pcm)


def render(
    font: SoundFont, preset: Preset, *, key: int, velocity: int, seconds_held: float, sr: int
) -> Signal:
    """One note: float32 [shape=(n,)], mono, peak 1 unless silent, at most 1.5 s."""
    total = np.zeros(int(_SECONDS * sr), dtype=np.float32)
    for outer, inner in preset.zones:
        if _answers(outer, key, velocity) and _answers(inner, key, velocity):
            y = _voice(font, _added(outer, inner), key, seconds_held, sr)
            total[: y.size] += y[: total.size]
    peak = float(np.abs(total).max())
    if peak == 0.0:
        return total
    end = int(np.flatnonzero(np.abs(total) > 1e-4 * peak)[-1]) + 1
    return np.asarray(total[:end] / np.float32(peak), dtype=np.float32)


def _takes(program: int, notes: int) -> Iterator[tuple[int, int, float]]:
    """(key, velocity, seconds held), going through all of them unevenly from program to program.

    Drums and noises are never let go early: they end by themselves.
    """
    keys = _KEYS_OF_BASSES if program in _BASSES else _KEYS_OF_OTHERS
    for number, key in enumerate(keys[:notes]):
        turn = number + program
        held = _SECONDS if program in _LABELS else _SECONDS_HELD[(turn + turn // 3) % 3]
        yield key, _VELOCITIES_PLAYED[turn % 3], held


def _voice(font: SoundFont, zone: Zone, key: int, seconds_held: float, sr: int) -> Signal:
    header = font.headers[zone[_SAMPLE_ID]]
    if header["type"] & _IN_ROM:
        return np.zeros(0, np.float32)
    root = zone[_ROOT_KEY] if zone[_ROOT_KEY] >= 0 else int(header["key"])
    cents = (key - root) * zone[_SCALE] + int(header["correction"])
    cents += 100 * zone.get(_COARSE_TUNE, 0) + zone.get(_FINE_TUNE, 0)
    rate = float(header["rate"]) * 2.0 ** (cents / 1200.0)
    recorded = _unrolled(font, zone, header, int(_SECONDS * rate) + 1)
    y = np.asarray(soxr.resample(recorded, rate, sr), dtype=np.float32)[: int(_SECONDS * sr)]
    cutoff_hz = 8.176 * 2.0 ** (zone[_FILTER] / 1200.0)
    if zone[_FILTER] < _DEFAULTS[_FILTER] and cutoff_hz < 0.45 * sr:
        y = scipy.signal.sosfilt(scipy.signal.butter(2, cutoff_hz, fs=sr, output="sos"), y)
    gain_db = _envelope_db(zone, seconds_held, y.size, sr) - zone.get(_ATTENUATION, 0) / 10.0
    return np.asarray(y * 10.0 ** (gain_db / 20.0), dtype=np.float32)


def _unrolled(font: SoundFont, zone: Zone, header: np.void, wanted: int) -> Signal:
    """The sample, its loop repeated until there are `wanted` values."""
    start, end, loop_start, loop_end = (
        int(header[field]) + zone.get(fine, 0) + 32_768 * zone.get(_COARSE[fine], 0)
        for field, fine in (
            ("start", _START),
            ("end", _END),
            ("loop_start", _LOOP_START),
            ("loop_end", _LOOP_END),
        )
    )
    y = font.samples[start:end].astype(np.float32) / np.float32(32_768)
    if zone[_LOOPS] & 1 and start <= loop_start < loop_end <= end:
        loop = y[loop_start - start : loop_end - start]
        repeats = max(0, -(-(wanted - (loop_end - start)) // loop.size))
        y = np.concatenate([y[: loop_end - start], np.tile(loop, repeats)])
    return y[:wanted]


def _envelope_db(zone: Zone, seconds_held: float, n: int, sr: int) -> npt.NDArray[np.float64]:
    """Loudness over time: up, held, down to the sustained level, and away at the note's end."""
    attack, hold, decay, release = (
        2.0 ** (zone[number] / 1200.0) for number in (_ATTACK, _HOLD, _DECAY, _RELEASE)
    )
    t = np.arange(n) / sr
    sustain_db = -min(100.0, zone.get(_SUSTAIN, 0) / 10.0)
    fallen_db = np.maximum(sustain_db, -100.0 / decay * np.maximum(0.0, t - attack - hold))
    risen_db = 20.0 * np.log10(np.clip(t / attack, 1e-5, 1.0))
    # At least 50 ms, lest the end clicks.
    released_db = -100.0 / max(release, 0.05) * np.maximum(0.0, t - seconds_held)
    return np.asarray(np.maximum(-120.0, fallen_db + risen_db + released_db))


def _answers(zone: Zone, key: int, velocity: int) -> bool:
    for number, value in ((_KEYS, key), (_VELOCITIES, velocity)):
        low, high = struct.pack("<H", zone.get(number, 0x7F00) & 0xFFFF)
        if not low <= value <= high:
            return False
    return True


def _added(outer: Zone, inner: Zone) -> Zone:
    total = _DEFAULTS | dict(inner)
    for number, amount in outer.items():
        if number not in _INSTRUMENT_ONLY:
            total[number] = total.get(number, 0) + amount
    return total


def _zones(
    headers: np.ndarray, chunks: Mapping[bytes, np.ndarray], bag: bytes, generator: bytes
) -> list[list[Zone]]:
    """Per header its zones; the first is for all the others if it plays nothing itself."""
    bags = chunks[bag].view(_BAG)["generator"].tolist()
    generators = chunks[generator].view(_GENERATOR).tolist()
    first = headers["bag"].tolist()
    found: list[list[Zone]] = []
    for begin, end in itertools.pairwise(first):
        zones = [dict(generators[bags[i] : bags[i + 1]]) for i in range(begin, end)]
        common = zones[0] if zones and not {_PLAYED_BY, _SAMPLE_ID} & zones[0].keys() else {}
        found.append([common | zone for zone in zones])
    return found


def _chunks(data: np.ndarray, at: int) -> Iterator[tuple[bytes, np.ndarray]]:
    """Names and contents of RIFF chunks from `at`, those inside lists as well."""
    while at + 8 <= len(data):
        name, size = struct.unpack("<4sI", data[at : at + 8].tobytes())
        if name == b"LIST":
            yield from _chunks(data[: at + 8 + size], at + 12)
        else:
            yield name, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
