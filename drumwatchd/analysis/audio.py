"""Read the beginning of a sound file as mono, at the rate that the network wants.

Only the network's window is kept. What follows it, up to ten seconds, is heard once, to tell a hit
from a loop. All is decoded in blocks, so that neither a twelve-hour take nor 32 channels at 384 kHz
cost more memory than a hit does.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from drumwatchd.analysis import events
from drumwatchd.analysis.model_card import FeatureSpec
from drumwatchd.errors import DecodeError, SourceChangedError

Signal = npt.NDArray[np.float32]

# Quieter than one step of a 14-bit converter: dither, or nothing.
SILENT_BELOW = 1e-4
# Real files keep within these; a header that says otherwise lies and would cost memory.
_LOWEST_RATE_HZ, _HIGHEST_RATE_HZ = 1_000, 1_536_000
_BLOCK_VALUES = 1 << 20
# Ten seconds of eight channels at 384 kHz; more is decoded only where the window needs it.
_MOST_HEARD_VALUES = 1 << 25
# libsndfile's word for "the header doesn't say" is the largest 64-bit number.
_UNKNOWN_FRAMES = 1 << 48
_FEW_CHANNELS = 8
_NO_NUMBERS = "holds samples that are no numbers (NaN or infinity)"
# Rounding and the resampler's reach at the end of the window.
_SPARE_SECONDS = 0.02
# A stereo mix this far below its loudest channel has cancelled itself out.
_CANCELLED_BELOW = 0.05


@dataclass(frozen=True, slots=True)
class Recording:
    """The analysed beginning of a file, and what its header says.

    Attributes:
        y: float32 [shape=(n,)], mono, n ≤ n_samples, from the onset on, level as stored.
        sr: sample rate of `y`, Hz.
        duration_seconds: length of the whole file.
        sample_rate_hz: as stored.
        channels: as stored.
        not_one_hit: what else the file is, in one phrase; None for one hit.
    """

    y: Signal
    sr: int
    duration_seconds: float
    sample_rate_hz: int
    channels: int
    not_one_hit: str | None

    @property
    def is_silent(self) -> bool:
        """Nothing to hear: the swing, constant offset left aside, stays below -80 dBFS."""
        return float(self.y.max() / 2 - self.y.min() / 2) < SILENT_BELOW


def load(path: str, spec: FeatureSpec) -> Recording:
    """Decode the window of `path` that `spec` asks for.

    Leading silence is skipped: many packs have some, and the network is trained on onsets.

    Raises:
        DecodeError: if it is no regular file, no audio, empty, damaged, or holds NaN or infinity.
        SourceChangedError: if it is gone.
    """
    with _opened(path) as descriptor, _decoder(descriptor, path) as sound:
        rate, channels = int(sound.samplerate), int(sound.channels)
        if not _LOWEST_RATE_HZ <= rate <= _HIGHEST_RATE_HZ:
            raise DecodeError(f"the header says {rate} Hz, which no sample has", path=path)
        seconds = spec.n_samples / spec.sr + spec.onset_search_seconds + _SPARE_SECONDS
        y, channel = _read_mono(sound, int(seconds * rate), path)
        known = 0 if sound.frames > _UNKNOWN_FRAMES else int(sound.frames)
        duration_seconds = max(known, y.size) / rate
        not_one_hit = events.why_not_one_hit(_listen(sound, y, channel))
    y = resample(y, rate, spec.sr)
    if not np.isfinite(y).all():
        # Near the largest float the resampler overshoots to infinity.
        raise DecodeError(_NO_NUMBERS, path=path)
    y = y[onset(y, spec) :][: spec.n_samples]
    window = np.ascontiguousarray(y)
    return Recording(window, spec.sr, duration_seconds, rate, channels, not_one_hit)


def resample(y: Signal, sr_from: int, sr_to: int) -> Signal:
    """Change the rate of float32 `y` [shape=(n,)]; soxr's HQ, since QQ aliases audibly."""
    if sr_from == sr_to:
        return y
    changed = soxr.resample(y, sr_from, sr_to, quality="HQ")
    # A handful of samples at a high rate can round to none at a lower one.
    return np.asarray(changed if changed.size else y[:1], dtype=np.float32)


def onset(y: Signal, spec: FeatureSpec) -> int:
    """Where the window begins: a little before `y` first comes near its peak.

    Args:
        y: float32 [shape=(n,)], n ≥ 1.
        spec: names the level, the margin, and how far to look.

    Returns:
        An index into `y`; 0 if nothing precedes the sound.
    """
    envelope = np.abs(y)
    level = float(envelope.max()) * 10.0 ** (spec.onset_db / 20.0)
    first = int(np.argmax(envelope >= level))
    return max(0, min(first - spec.onset_margin, int(spec.onset_search_seconds * spec.sr)))


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    """A descriptor of a regular file; never follows a link, never waits for a FIFO's writer."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(os.fsencode(path), flags)
    except FileNotFoundError as error:
        raise SourceChangedError("there is no such file", path=path) from error
    except OSError as error:
        raise DecodeError(_why_not_opened(error), path=path) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise DecodeError("not a regular file", path=path)
        yield descriptor
    finally:
        os.close(descriptor)


def _why_not_opened(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "a symbolic link, not a file"
    if error.errno == errno.ENXIO:
        return "not a regular file"
    return f"can't be opened ({error.strerror})"


@contextlib.contextmanager
def _decoder(descriptor: int, path: str) -> Iterator[soundfile.SoundFile]:
    """libsndfile on `descriptor`, its complaints in plain language."""
    if os.fstat(descriptor).st_size == 0:
        raise DecodeError("the file is empty (0 bytes)", path=path)
    try:
        with soundfile.SoundFile(descriptor, closefd=False) as sound:
            yield sound
    except soundfile.LibsndfileError as error:
        reason = str(error.error_string).strip().rstrip(".")
        raise DecodeError(f"can't be decoded as audio ({reason})", path=path) from error


def _read_mono(sound: soundfile.SoundFile, n_frames: int, path: str) -> tuple[Signal, int | None]:
    """The first `n_frames` frames as the mean of the channels, or the loudest if they cancel.

    Returns:
        float32 [shape=(n,)], and the channel that it is; None for the mean.
    """
    mono, channel_peaks = _mix(sound, n_frames)
    if not mono.size:
        raise DecodeError("no audio in the file (0 frames)", path=path)
    if not (np.isfinite(mono).all() and np.isfinite(channel_peaks).all()):
        raise DecodeError(_NO_NUMBERS, path=path)
    loudest = int(np.argmax(channel_peaks))
    if np.abs(mono).max() >= _CANCELLED_BELOW * channel_peaks[loudest]:
        return mono, None
    sound.seek(0)
    return _mix(sound, n_frames, loudest)[0], loudest


def _mix(
    sound: soundfile.SoundFile, n_frames: int, channel: int | None = None
) -> tuple[Signal, Signal]:
    """Read block by block: mono float32 [shape=(n,)], and each channel's peak."""
    parts: list[Signal] = []
    peaks = np.zeros(sound.channels, dtype=np.float32)
    for block in _blocks(sound, n_frames):
        peaks = np.maximum(peaks, _peaks(block))
        parts.append(_mono(block, channel))
    if len(parts) == 1:
        return parts[0], peaks
    mono = np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
    return mono, peaks


def _listen(sound: soundfile.SoundFile, y: Signal, channel: int | None) -> Signal:
    """The powers of `y`, which has been read, and of what follows it, as `events.powers` has them.

    Damage ends it: what comes after the window is evidence, and never a reason to refuse a file.
    """
    rate = int(sound.samplerate)
    parts = [events.powers(y, rate)]
    most = min(int(events.LISTEN_SECONDS * rate), _MOST_HEARD_VALUES // sound.channels)
    with contextlib.suppress(soundfile.LibsndfileError):
        for block in _blocks(sound, most - y.size):
            mono = _mono(block, channel)
            if not np.isfinite(mono).all():
                break
            parts.append(events.powers(mono, rate))
    return np.concatenate(parts)


def _blocks(sound: soundfile.SoundFile, n_frames: int) -> Iterator[Signal]:
    """Up to `n_frames` frames from here on, float32 [shape=(n, channels)], n ≥ 1."""
    block_frames = max(1, _BLOCK_VALUES // sound.channels)
    left = n_frames
    while left > 0:
        if sound.seekable() and sound.tell() >= sound.frames:
            return  # reading nothing costs as much as reading a hit
        block = sound.read(min(left, block_frames), dtype="float32", always_2d=True)
        if not len(block):
            return
        yield block
        left -= len(block)


def _peaks(block: Signal) -> Signal:
    """Of each channel; one by one where that is several times as fast as along an axis."""
    if block.shape[1] > _FEW_CHANNELS:
        return np.asarray(np.abs(block).max(axis=0))
    return np.array([np.abs(channel).max() for channel in block.T], dtype=np.float32)


def _mono(block: Signal, channel: int | None) -> Signal:
    if channel is not None:
        return block[:, channel].copy()
    if block.shape[1] == 1:
        return block[:, 0]
    with np.errstate(over="ignore"):  # to infinity, which is refused
        if block.shape[1] == 2:  # the same mean, and several times as fast
            return np.asarray((block[:, 0] + block[:, 1]) / np.float32(2.0), dtype=np.float32)
        return np.asarray(block.mean(axis=1), dtype=np.float32)
