"""Our features are librosa's, only faster."""

from __future__ import annotations

import dataclasses

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import drums
from drumwatchd.analysis.features import (
    FeatureExtractor,
    frame_centres,
    hz_to_mel,
    mel_filters,
    mel_to_hz,
    mfcc,
    power_to_db,
)
from drumwatchd.analysis.model_card import FeatureSpec

MFCC = FeatureSpec(
    kind="mfcc",
    sr=44_100,
    n_samples=50_000,
    n_fft=2_048,
    hop_length=512,
    warp_frames=0,
    warp_seconds=0.0,
    n_mels=128,
    n_mfcc=40,
    fmin=0.0,
    fmax=22_050.0,
    htk=False,
    top_db=80.0,
    relative=False,
    offset=0.0,
    scale=1.0,
    onset_db=-40.0,
    onset_margin=64,
    onset_search_seconds=1.0,
)
LOG_MEL = dataclasses.replace(
    MFCC, kind="log_mel", n_mels=64, n_mfcc=0, fmin=30.0, fmax=18_000.0, htk=True
)
SPECS = {
    "mfcc": MFCC,
    "log-mel": LOG_MEL,
    "relative": dataclasses.replace(LOG_MEL, relative=True),
    "short hop, odd window": dataclasses.replace(LOG_MEL, hop_length=300, n_samples=31_234),
    "slow rate": dataclasses.replace(MFCC, sr=16_000, fmax=8_000.0, n_mels=40, n_mfcc=13),
}


def window_of(y: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """The window as librosa is given it: cut or padded, peak 1."""
    y = librosa.util.fix_length(y, size=spec.n_samples)
    peak = np.abs(y).max()
    return (y / peak if peak > 0 else y).astype(np.float32)


def reference(y: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """What librosa makes of the same window."""
    S = librosa.feature.melspectrogram(
        y=window_of(y, spec),
        sr=spec.sr,
        n_fft=spec.n_fft,
        hop_length=spec.hop_length,
        n_mels=spec.n_mels,
        fmin=spec.fmin,
        fmax=spec.fmax,
        htk=spec.htk,
        pad_mode="constant",
    )
    S_db = librosa.power_to_db(S, ref=np.max if spec.relative else 1.0, top_db=spec.top_db)
    return librosa.feature.mfcc(S=S_db, n_mfcc=spec.n_mfcc) if spec.kind == "mfcc" else S_db


def assert_equal(y: np.ndarray, spec: FeatureSpec) -> None:
    """Same shape, same numbers: to 1e-3 of a coefficient or a decibel."""
    got, wanted = FeatureExtractor(spec)(y), reference(y, spec)
    assert got.shape == wanted.shape == spec.shape
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", drums.KINDS)
@pytest.mark.parametrize("name", SPECS)
def test_equal_to_librosa_on_drums(name: str, kind: str) -> None:
    """Every synthesised drum gives librosa's numbers within 1e-3."""
    assert_equal(drums.synthesise(kind, seed=3), SPECS[name])


@pytest.mark.parametrize("length", [1, 2, 100, 511, 512, 513, 2_047, 2_048, 49_999, 50_000, 90_000])
@pytest.mark.parametrize("name", ["mfcc", "log-mel"])
def test_equal_to_librosa_at_every_length(name: str, length: int) -> None:
    """Leaving out frames of padding changes nothing, however short the sound."""
    y = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    assert_equal(y, SPECS[name])


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.integers(1, 4_000),
        elements=st.floats(-1, 1, width=16),
    ),
    st.integers(1, 30),
)
def test_mfcc_equal_to_librosa_on_anything(y: np.ndarray, repeat: int) -> None:
    """Any finite signal, however odd, gives librosa's MFCC within 1e-3."""
    assert_equal(np.tile(y, repeat), MFCC)


@given(st.floats(1e-3, 1e3), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_the_level_does_not_matter(gain: float, seed: int) -> None:
    """The same sound, louder or softer, has the same features."""
    y = drums.synthesise("snare", seed)
    extract = FeatureExtractor(SPECS["relative"])
    np.testing.assert_allclose(extract(y * np.float32(gain)), extract(y), atol=2e-2)


def test_an_extractor_keeps_nothing_of_the_last_sound() -> None:
    """Reused buffers leave no trace: a short sound after a long one is as if it came first."""
    extract = FeatureExtractor(MFCC)
    fresh = FeatureExtractor(MFCC)(drums.synthesise("rim"))
    extract(drums.synthesise("noise"))
    np.testing.assert_array_equal(extract(drums.synthesise("rim")), fresh)


def test_silence_is_finite() -> None:
    """A window of zeros gives finite numbers, all the same per row."""
    features = FeatureExtractor(SPECS["relative"])(np.zeros(1_000, np.float32))
    assert np.isfinite(features).all()
    assert np.ptp(features) == 0


@pytest.mark.parametrize("htk", [False, True])
def test_mel_filters_equal_librosas(htk: bool) -> None:
    """The filter bank is librosa's, on both mel scales."""
    ours = mel_filters(sr=44_100, n_fft=2_048, n_mels=90, fmin=20.0, fmax=16_000.0, htk=htk)
    theirs = librosa.filters.mel(
        sr=44_100, n_fft=2_048, n_mels=90, fmin=20.0, fmax=16_000.0, htk=htk
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-7)


@given(st.floats(0, 24_000), st.booleans())
def test_mel_scale_is_librosas_and_turns_back(hz: float, htk: bool) -> None:
    """Hz to mel equals librosa's, and mel to Hz undoes it."""
    mel = hz_to_mel(hz, htk=htk)
    assert mel == pytest.approx(librosa.hz_to_mel(hz, htk=htk), abs=1e-9)
    assert mel_to_hz(mel, htk=htk) == pytest.approx(hz, abs=1e-6)


def test_power_to_db_equals_librosas() -> None:
    """Decibels and their floor are librosa's."""
    S = np.random.default_rng(0).random((64, 98)).astype(np.float32) ** 8
    np.testing.assert_allclose(
        power_to_db(S, top_db=60.0), librosa.power_to_db(S, top_db=60.0), atol=1e-4
    )


def test_mfcc_keeps_the_first_coefficients() -> None:
    """The DCT is librosa's, cut at `n_mfcc`."""
    S_db = np.random.default_rng(1).normal(-40, 10, (128, 98)).astype(np.float32)
    np.testing.assert_allclose(mfcc(S_db, 20), librosa.feature.mfcc(S=S_db, n_mfcc=20), atol=1e-3)


WARPED = dataclasses.replace(LOG_MEL, warp_frames=20, warp_seconds=0.03)


def test_a_warped_axis_is_fine_at_the_onset_and_covers_the_window() -> None:
    """Frames grow by one factor, none is left out, and the last ends with the window."""
    centres, counts = frame_centres(WARPED)
    assert counts.size == WARPED.n_frames == 20
    assert (np.diff(centres) > 0).all()
    assert centres[0] < 0.01 * WARPED.sr
    assert WARPED.n_samples - WARPED.hop_length < centres[-1] < WARPED.n_samples
    assert (np.diff(centres) <= WARPED.hop_length + 1).all()


def test_a_warped_frame_is_the_mean_of_the_spectra_in_it() -> None:
    """Each frame is the mean mel power of plain spectra taken at its centres."""
    rng = np.random.default_rng(4)
    y = rng.standard_normal(WARPED.n_samples // 2).astype(np.float32)
    got = FeatureExtractor(WARPED).melspectrogram(y)
    half = WARPED.n_fft // 2
    padded = np.concatenate([np.zeros(half), y, np.zeros(WARPED.n_samples + WARPED.n_fft)])
    filters = mel_filters(
        sr=WARPED.sr, n_fft=WARPED.n_fft, n_mels=WARPED.n_mels,
        fmin=WARPED.fmin, fmax=WARPED.fmax, htk=WARPED.htk,
    )  # fmt: skip
    window = np.hanning(WARPED.n_fft + 1)[:-1]
    centres, counts = frame_centres(WARPED)
    power = [
        filters @ np.abs(np.fft.rfft(window * padded[c : c + WARPED.n_fft])) ** 2 for c in centres
    ]
    frames = np.split(np.array(power), np.cumsum(counts)[:-1])
    wanted = np.stack([frame.mean(axis=0) for frame in frames], axis=1)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4 * wanted.max())
