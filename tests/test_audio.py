"""Reading the beginning of a file, whatever it is."""

from __future__ import annotations

import os
import re
import resource
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

import drums
from drumwatchd.analysis import audio
from drumwatchd.errors import DecodeError, SourceChangedError
from test_features import MFCC as SPEC

FORMATS = ("wav", "aif", "aiff", "flac", "ogg", "opus", "mp3", "w64", "caf", "au", "rf64")


def write(path: Path, y: np.ndarray, sr: int = 44_100, subtype: str | None = None) -> str:
    soundfile.write(path, y, sr, subtype=subtype)
    return str(path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_reads_every_format(suffix: str, tmp_path: Path) -> None:
    """Each format gives the same sound, from its onset, within what its codec loses."""
    path = drums.write(tmp_path / f"drum.{suffix}", "snare", sr=48_000)
    recording = audio.load(path, SPEC)
    assert recording.sample_rate_hz == 48_000
    assert recording.duration_seconds == pytest.approx(0.5, abs=0.08)
    reference = audio.load(drums.write(tmp_path / "r.wav", "snare", sr=48_000), SPEC).y
    n = min(recording.y.size, reference.size)
    loudness = np.sqrt(np.mean(recording.y[:n] ** 2)), np.sqrt(np.mean(reference[:n] ** 2))
    assert loudness[0] == pytest.approx(loudness[1], rel=0.15)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_reads_every_depth(subtype: str, tmp_path: Path) -> None:
    """Samples of every depth come out as the same floats, within its rounding."""
    y = drums.synthesise("kick")
    recording = audio.load(write(tmp_path / "kick.wav", y, subtype=subtype), SPEC)
    start = audio.onset(y, SPEC)
    np.testing.assert_allclose(recording.y, y[start:], atol=1 / 100)


@pytest.mark.parametrize("sr", [8_000, 22_050, 48_000, 96_000, 192_000, 384_000])
def test_resamples_to_the_rate_of_the_network(sr: int, tmp_path: Path) -> None:
    """A tone keeps its pitch at every sample rate."""
    t = np.arange(int(0.5 * sr)) / sr
    path = write(tmp_path / "tone.wav", (0.5 * np.sin(2 * np.pi * 1_000 * t)).astype("f4"), sr)
    recording = audio.load(path, SPEC)
    spectrum = np.abs(np.fft.rfft(recording.y * np.hanning(recording.y.size)))
    hz = np.argmax(spectrum) * recording.sr / recording.y.size
    assert hz == pytest.approx(1_000, abs=5)
    assert recording.sample_rate_hz == sr


def test_mixes_channels(tmp_path: Path) -> None:
    """The mean of the channels is heard."""
    left, right = drums.synthesise("kick"), np.zeros(26_460, np.float32)
    path = write(tmp_path / "a.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    recording = audio.load(path, SPEC)
    assert recording.channels == 2
    assert np.abs(recording.y).max() == pytest.approx(np.abs(left).max() / 2, rel=1e-3)


def test_channels_that_cancel_are_heard_all_the_same(tmp_path: Path) -> None:
    """A sound in opposite phase left and right is judged by one channel, not taken for silence."""
    y = drums.synthesise("snare")
    recording = audio.load(write(tmp_path / "a.wav", np.stack([y, -y], axis=1)), SPEC)
    assert not recording.is_silent
    assert np.abs(recording.y).max() == pytest.approx(np.abs(y).max(), rel=1e-3)


def test_skips_leading_silence(tmp_path: Path) -> None:
    """With half a second of silence before it, the same drum gives the same window."""
    y = drums.synthesise("tom")
    plain = audio.load(write(tmp_path / "a.wav", y, subtype="FLOAT"), SPEC).y
    late = np.concatenate([np.zeros(22_050, np.float32), y])
    padded = audio.load(write(tmp_path / "b.wav", late, subtype="FLOAT"), SPEC).y
    size = min(plain.size, padded.size) - SPEC.onset_margin
    offset = int(np.argmax(np.correlate(padded[:4_000], plain[:2_000], "valid")))
    np.testing.assert_allclose(padded[offset : offset + size], plain[:size], atol=1e-6)
    assert offset <= SPEC.onset_margin


@pytest.mark.parametrize("n", [1, 2, 7, 64, 366])
def test_very_short_files_are_heard(n: int, tmp_path: Path) -> None:
    """A single sample is a recording too; real one-shots begin at eight milliseconds."""
    path = write(tmp_path / "click.wav", np.full(n, 0.5, np.float32), 96_000)
    recording = audio.load(path, SPEC)
    assert recording.y.size >= 1
    assert recording.duration_seconds == pytest.approx(n / 96_000)


def test_long_files_cost_no_more_than_their_beginning(tmp_path: Path) -> None:
    """Twelve hours of 32 channels: only the window is read, memory stays where it was."""
    path = tmp_path / "long.w64"
    with soundfile.SoundFile(path, "w", 384_000, 32, "PCM_16") as sound:
        noise = np.random.default_rng(0).normal(0, 0.1, (38_400, 32))
        for _ in range(30):
            sound.write(noise)
    audio.load(drums.write(tmp_path / "warm.wav", "kick"), SPEC)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    recording = audio.load(str(path), SPEC)
    assert recording.y.size == SPEC.n_samples
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80_000


def beat(seconds: float, sr: int = 44_100) -> np.ndarray:
    """A kick every half second."""
    y = np.zeros(int(seconds * sr), np.float32)
    kick = drums.synthesise("kick", sr=sr)
    for start in range(0, y.size - kick.size, sr // 2):
        y[start : start + kick.size] += kick
    return y


@pytest.mark.parametrize("suffix", ["wav", "aiff", "flac", "ogg", "mp3"])
def test_a_loop_is_told_by_what_follows_the_window(suffix: str, tmp_path: Path) -> None:
    """Whatever the format, a file is heard beyond the second that the network judges."""
    path = write(tmp_path / f"loop.{suffix}", beat(4.0))
    assert re.fullmatch(r"a loop: 7 hits in 4\.[01] s", audio.load(path, SPEC).not_one_hit)
    path = drums.write(tmp_path / f"hit.{suffix}", "kick")
    assert audio.load(path, SPEC).not_one_hit is None


def test_the_first_ten_seconds_are_heard(tmp_path: Path) -> None:
    """What follows them costs no time, and is no evidence."""
    kick = drums.synthesise("kick")
    y = np.zeros(15 * 44_100, np.float32)
    y[: kick.size] = kick
    y[11 * 44_100 :] = beat(4.0)
    assert audio.load(write(tmp_path / "a.wav", y), SPEC).not_one_hit is None
    y[9 * 44_100 :][: kick.size] = kick
    reason = audio.load(write(tmp_path / "b.wav", y), SPEC).not_one_hit
    assert reason == "several sounds: 2 in 10.0 s"


def test_a_loop_whose_channels_cancel_is_heard(tmp_path: Path) -> None:
    """It is followed in the channel that the window was taken from."""
    y = beat(4.0)
    recording = audio.load(write(tmp_path / "a.wav", np.stack([y, -y], axis=1)), SPEC)
    assert recording.not_one_hit == "a loop: 7 hits in 4.0 s"


def test_damage_after_the_window_refuses_no_file(tmp_path: Path) -> None:
    """What can't be decoded or is no number ends the listening, and the rest counts."""
    y = np.tile(beat(4.0), 2)
    y[int(5.2 * 44_100) :] = np.nan
    path = write(tmp_path / "a.wav", y, subtype="FLOAT")
    assert audio.load(path, SPEC).y.size == SPEC.n_samples
    whole = tmp_path / "b.flac"
    write(whole, np.random.default_rng(0).normal(0, 0.1, 441_000))
    content = bytearray(whole.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    whole.write_bytes(content)
    assert audio.load(str(whole), SPEC).y.size == SPEC.n_samples


def test_says_the_duration_of_the_whole_file(tmp_path: Path) -> None:
    """The duration is the file's, not the window's."""
    path = write(tmp_path / "long.wav", np.random.default_rng(0).normal(0, 0.1, 441_000))
    assert audio.load(path, SPEC).duration_seconds == pytest.approx(10.0)


def test_silence_is_recognised(tmp_path: Path) -> None:
    """Below -80 dBFS there is nothing to hear; a constant offset is no sound either."""
    quiet = np.full(4_000, 0.3, np.float32)
    quiet[::2] += 5e-5
    assert audio.load(write(tmp_path / "a.wav", quiet, subtype="FLOAT"), SPEC).is_silent
    assert audio.load(drums.write(tmp_path / "b.wav", "silence"), SPEC).is_silent
    assert not audio.load(drums.write(tmp_path / "c.wav", "rim"), SPEC).is_silent


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_that_are_no_numbers_are_refused(
    value: float, channels: int, tmp_path: Path
) -> None:
    """NaN and infinity are named as the reason."""
    y = np.zeros((1_000, channels), np.float32)
    y[500, -1] = value
    with pytest.raises(DecodeError, match="no numbers"):
        audio.load(write(tmp_path / "a.wav", y, subtype="FLOAT"), SPEC)


@pytest.mark.parametrize("sr", [44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_largest_floats_give_a_sound_or_a_reason(
    sr: int, channels: int, tmp_path: Path
) -> None:
    """What overflows in the mix or in the resampler is refused, and nothing warns of it."""
    noise = np.sign(drums.synthesise("noise", sr=sr)) * np.finfo(np.float32).max
    y = np.repeat(noise[:, None], channels, axis=1).astype(np.float32)
    path = write(tmp_path / "loud.wav", y, sr, subtype="FLOAT")
    if (sr, channels) == (SPEC.sr, 1):
        recording = audio.load(path, SPEC)
        assert np.isfinite(recording.y).all()
        assert not recording.is_silent
    else:
        with pytest.raises(DecodeError, match="no numbers"):
            audio.load(path, SPEC)


def test_what_is_no_audio_is_refused(tmp_path: Path) -> None:
    """Empty files, text, truncated headers and files without frames each say what they are."""
    cases = {
        "empty.wav": (b"", "0 bytes"),
        "text.wav": (b"this is not audio at all" * 50, "can't be decoded"),
        "header.wav": (b"RIFF\x24\x00\x00\x00WAVEfmt ", "can't be decoded"),
    }
    for name, (content, reason) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DecodeError, match=reason) as caught:
            audio.load(str(tmp_path / name), SPEC)
        assert caught.value.path == str(tmp_path / name)
    none = write(tmp_path / "none.wav", np.zeros(0, np.float32))
    with pytest.raises(DecodeError, match="0 frames"):
        audio.load(none, SPEC)


def test_a_lying_header_gives_what_is_there(tmp_path: Path) -> None:
    """A header that promises hours is read up to the end of the file."""
    path = tmp_path / "lie.wav"
    write(path, drums.synthesise("kick"))
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", 0x7FFFFFF0)
    path.write_bytes(content)
    assert audio.load(str(path), SPEC).y.size <= 26_460


def test_an_impossible_rate_is_refused(tmp_path: Path) -> None:
    """A sample rate of gigahertz would cost memory; the header is not believed."""
    path = tmp_path / "rate.wav"
    write(path, drums.synthesise("kick"))
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", 2_000_000_000)
    path.write_bytes(content)
    with pytest.raises(DecodeError, match="2000000000 Hz"):
        audio.load(str(path), SPEC)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """FIFOs, sockets, folders, devices and links are refused at once, without waiting."""
    os.mkfifo(tmp_path / "fifo.wav")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "socket.wav"))
        (tmp_path / "folder.wav").mkdir()
        (tmp_path / "loop.wav").symlink_to("loop.wav")
        (tmp_path / "link.wav").symlink_to(drums.write(tmp_path / "real.wav", "kick"))
        for name in ("fifo", "socket", "folder", "loop", "link"):
            with pytest.raises(DecodeError, match=r"regular file|symbolic link"):
                audio.load(str(tmp_path / f"{name}.wav"), SPEC)
    with pytest.raises(DecodeError, match="not a regular file"):
        audio.load("/dev/zero", SPEC)


def test_a_file_that_is_gone_may_come_back(tmp_path: Path) -> None:
    """A missing file is a change of the inbox, not a bad sample."""
    with pytest.raises(SourceChangedError):
        audio.load(str(tmp_path / "gone.wav"), SPEC)


@pytest.mark.parametrize("name", [b"\xff\xe9.wav", b"new\nline.wav", "Kick é.wav".encode()])
def test_names_may_be_any_bytes(name: bytes, tmp_path: Path) -> None:
    """Names that are no text are opened all the same."""
    path = drums.write(os.path.join(os.fsencode(tmp_path), name), "kick")
    assert audio.load(path, SPEC).y.size > 0


def test_descriptors_are_closed(tmp_path: Path) -> None:
    """Neither success nor failure leaves a descriptor open."""
    good = drums.write(tmp_path / "a.wav", "kick")
    bad = tmp_path / "b.wav"
    bad.write_bytes(b"no audio")
    audio.load(good, SPEC)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        audio.load(good, SPEC)
        with pytest.raises(DecodeError):
            audio.load(str(bad), SPEC)
    assert len(os.listdir("/proc/self/fd")) == before
