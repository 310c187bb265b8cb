"""Recipes for metal: cymbals, bells, jingles, pipes and plates."""

from __future__ import annotations

import numpy as np
import scipy.signal

from drumwatchd.training.drum_machine import skins
from drumwatchd.training.drum_machine.bench import SECONDS, Array, Bench, drive, mix
from drumwatchd.training.drum_machine.wood import BAR

_TINE = (1.0, 6.267, 17.55)
_CHURCH_BELL = (0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.67, 3.0, 4.0, 5.3, 6.7)
_HAND_BELL = (1.0, 3.0, 3.9, 5.1, 6.2, 8.4)
# The six square waves that an 808 makes its cymbals, hats and cowbell of.
_SIX_SQUARES = (205.3, 304.4, 369.6, 522.7, 540.0, 800.0)


def _plate_modes(b: Bench, low_hz: float, high_hz: float, count: int) -> Array:
    """A thin plate has equally many modes in every hertz."""
    return np.sort(b.rng.uniform(low_hz, high_hz, count))


def _six_squares(b: Bench) -> Array:
    tune = b.pick(0.75, 1.6)
    squares = (b.partials(tune * hz * b.pick(0.97, 1.03), 1.0, odd=True) for hz in _SIX_SQUARES)
    return np.asarray(sum(squares))


def hihat_electronic(b: Bench) -> Array:
    """Six squares or noise, high-passed; closed or open."""
    source = _six_squares(b) if b.maybe(0.5) else b.noise()
    t60 = b.pick(0.05, 0.3) if b.maybe(0.6) else b.pick(0.4, 2.0)
    return b.band(source, b.pick(5_000, 9_000), order=2) * b.decay(t60)


def hihat_acoustic(b: Bench) -> Array:
    """Two small cymbals that damp each other, the more so the tighter they are."""
    t60 = b.pick(0.06, 0.35) if b.maybe(0.6) else b.pick(0.5, 2.5)
    hz = _plate_modes(b, b.pick(350, 900), 16_000, 160)
    plate = b.modes(hz, b.spread(np.ones(160), 0.8), t60 * b.pick(0.5, 1.0))
    spray = b.wash(b.pick(2_500, 5_000), 20_000, t60, t60 * 0.8)
    return mix((b.pick(0.2, 0.8), plate), (1.0, spray))


def _cymbal(
    b: Bench, *, low_hz: float, ring: float, bloom: float, plate: float, dark: float
) -> Array:
    """Struck bronze: a stick, a plate of some hundred modes, and the spray that blooms after it.

    `dark` is the share of the ring that is left to the top octave.
    """
    hz = _plate_modes(b, low_hz, 15_000, 260)
    t60s = ring * (hz[0] / hz) ** 0.35 * b.spread(np.ones(hz.size), 0.4)
    gains = b.spread(np.ones(hz.size), 0.9) * (hz / 3_000) ** b.rng.uniform(-0.7, 0.1)
    bronze = b.modes(hz, gains, t60s) * np.minimum(1.0, 0.3 + b.t / 0.006)
    spray = b.wash(low_hz * 1.5, 19_000, ring, ring * dark)
    spray = spray * (1.0 - b.pick(0.3, 0.9) * np.exp(-b.t / bloom))
    stick = b.band(b.noise(), 2_500) * b.decay(b.pick(0.008, 0.03), 0.0005)
    return mix((plate, bronze), (1.0, spray), (b.pick(0.1, 0.6), stick))


def crash(b: Bench) -> Array:
    """Thin and large, hit on its edge."""
    return _cymbal(
        b,
        low_hz=b.pick(220, 500),
        ring=b.pick(2.0, 8.0),
        bloom=b.pick(0.004, 0.03),
        plate=b.pick(0.15, 0.8),
        dark=b.pick(0.3, 0.8),
    )


def crash_electronic(b: Bench) -> Array:
    """Six squares or noise, with a fast and a slow decay."""
    source = mix((b.pick(0.2, 1.0), _six_squares(b)), (b.pick(0.05, 1.0), b.noise()))
    low = b.band(source, b.pick(2_000, 4_500), b.pick(5_000, 9_000)) * b.decay(b.pick(1.2, 5))
    high = b.band(source, b.pick(6_000, 9_000)) * b.decay(b.pick(0.6, 3))
    return mix((1.0, low), (b.pick(0.6, 2.0), high))


def splash(b: Bench) -> Array:
    """A small, thin crash: higher and over soon."""
    return _cymbal(
        b,
        low_hz=b.pick(500, 1_100),
        ring=b.pick(1.2, 4.5),
        bloom=b.pick(0.002, 0.01),
        plate=b.pick(0.15, 0.7),
        dark=b.pick(0.4, 0.9),
    )


def china(b: Bench) -> Array:
    """A turned-up edge makes it trashy: distorted modes around a kilohertz, a harsh spray."""
    trash = b.modes(
        _plate_modes(b, b.pick(250, 500), b.pick(3_000, 6_000), 120), 1.0, b.pick(0.7, 3.0)
    )
    wave = _cymbal(
        b,
        low_hz=b.pick(250, 500),
        ring=b.pick(1.8, 6.0),
        bloom=b.pick(0.002, 0.012),
        plate=b.pick(0.4, 1.0),
        dark=b.pick(0.3, 0.7),
    )
    trash = drive(trash, b.pick(2, 8)) * b.decay(b.pick(1.0, 4.0))
    return mix((1.0, wave), (b.pick(0.15, 0.8), trash))


def ride(b: Bench) -> Array:
    """Thick, hit on its bow: a clear stick over a steady, quiet wash."""
    ping_hz = b.pick(350, 800) * b.spread((1, 1.47, 2.09, 2.56, 3.9, 5.2, 7.1), 0.1)
    ping = b.modes(ping_hz, b.spread(np.ones(7), 0.7), b.pick(0.8, 4.0))
    wave = _cymbal(
        b,
        low_hz=b.pick(300, 700),
        ring=b.pick(2.5, 9.0),
        bloom=b.pick(0.002, 0.01),
        plate=b.pick(0.6, 1.5),
        dark=b.pick(0.25, 0.6),
    )
    tick = b.band(b.noise(), b.pick(3_000, 5_000)) * b.decay(b.pick(0.02, 0.06), 0.0004)
    wave = wave * (b.pick(0.15, 0.5) + b.decay(0.15))
    return mix((1.0, wave), (b.pick(0.1, 0.6), ping), (b.pick(0.5, 1.5), tick))


def ride_bell(b: Bench) -> Array:
    """The same on its cup: a bell with some wash."""
    hz = b.pick(450, 1_100) * b.spread((1, 1.53, 2.24, 2.85, 3.6, 4.7, 6.1, 7.9), 0.08)
    bell = b.modes(hz, b.spread(np.geomspace(1, 0.3, 8), 0.6), b.pick(0.8, 3))
    return mix((1.0, bell), (b.pick(0.2, 0.8), ride(b)))


def sizzle(b: Bench) -> Array:
    """A ride or crash with rivets: each jumps and falls back, long after the stroke."""
    cymbal = ride(b) if b.maybe(0.5) else crash(b)
    jumps = b.rng.uniform(0.01, SECONDS, int(b.pick(120, 900)))
    rivets = b.band(b.strikes(jumps, b.pick(0.006, 0.025)) * b.noise(), b.pick(4_000, 7_000))
    buzz_hz = b.pick(35, 110)
    buzz = 0.6 + 0.4 * np.sign(b.sine(b.vibrato(buzz_hz, b.pick(3, 9), 0.1)))
    rivets = rivets * buzz * b.decay(b.pick(1.5, 6), b.pick(0.005, 0.06))
    return mix((1.0, cymbal), (b.pick(0.4, 1.2), rivets))


def cowbell_electronic(b: Bench) -> Array:
    """Two squares, 540 and 800 Hz when new."""
    hz = b.pick(430, 720)
    squares = b.partials(hz, 1.0, odd=True) + b.partials(hz * b.pick(1.44, 1.52), 1.0, odd=True)
    y = b.band(squares, hz * 0.9, hz * b.pick(3, 9))
    return y * (b.decay(b.pick(0.03, 0.08)) + b.pick(0.3, 0.9) * b.decay(b.pick(0.15, 0.7)))


def cowbell_acoustic(b: Bench) -> Array:
    """A folded steel shell, mostly two modes, held or not."""
    hz = b.pick(450, 1_050) * b.spread((1, 1.5, 2.3, 2.9, 3.8, 4.9, 6.3), 0.1)
    gains = b.spread((1, 0.8, 0.4, 0.3, 0.25, 0.2, 0.15), 0.5)
    shell = b.modes(hz, gains, b.pick(0.12, 0.9) * np.geomspace(1, 0.4, 7))
    tip = b.band(b.noise(), 2_000, 9_000) * b.decay(0.012, 0.0004)
    return mix((1.0, shell), (b.pick(0.05, 0.5), tip))


def agogo(b: Bench) -> Array:
    """A small cone bell: purer and higher than a cowbell."""
    hz = b.pick(650, 2_000) * b.spread((1, 2.0, 2.76, 4.1, 5.6, 7.4), 0.08)
    gains = b.spread(np.geomspace(1, b.pick(0.05, 1.0), 6), 0.7)
    bell = b.modes(hz, gains, b.pick(0.2, 1.1) * np.geomspace(1, 0.4, 6))
    tip = b.band(b.noise(), 3_000) * b.decay(0.01, 0.0004)
    return mix((1.0, bell), (b.pick(0.03, 0.35), tip))


def agogo_electronic(b: Bench) -> Array:
    """Metallic FM."""
    hz = b.pick(700, 1_900)
    index = b.pick(0.8, 4) * b.decay(b.pick(0.05, 0.3))
    return b.fm(hz, float(b.rng.choice([1.41, 2.0, 2.76, 3.53])), index) * b.decay(
        b.pick(0.15, 0.8)
    )


def bell_cast(b: Bench) -> Array:
    """A church or hand bell: pairs of modes that beat, a strike note between them."""
    cast = b.maybe(0.5)
    ratios = np.asarray(_CHURCH_BELL if cast else _HAND_BELL)
    hz = (b.pick(220, 900) if cast else b.pick(500, 2_600)) * b.spread(ratios, 0.01)
    gains = b.spread(np.geomspace(1, 0.15, hz.size), 0.7)
    t60s = b.pick(1.5, 8) * np.geomspace(1, 0.2, hz.size)
    rim = b.modes(hz, gains, t60s) + 0.7 * b.modes(hz * b.pick(1.001, 1.008), gains, t60s)
    clapper = b.band(b.noise(), 2_000, 10_000) * b.decay(0.02, 0.0005)
    return mix((1.0, rim), (b.pick(0.02, 0.3), clapper))


def bell_tube(b: Bench) -> Array:
    """Chimes and orchestra bells: a free bar or tube."""
    hz = b.pick(400, 2_800) * b.spread(BAR, 0.01)
    gains = b.spread(np.geomspace(1, 0.08, 6), 0.7)
    bar = b.modes(hz, gains, b.pick(0.8, 5) * np.geomspace(1, 0.15, 6))
    return mix((1.0, bar), (b.pick(0.01, 0.15), b.band(b.noise(), 3_000) * b.decay(0.01)))


def bell_fm(b: Bench) -> Array:
    """Chowning's bell: FM at an irrational ratio, the index falling with the sound."""
    t60 = b.pick(0.8, 5)
    return b.fm(
        b.pick(200, 1_600), float(b.rng.choice([1.4, 2.4, 3.51])), b.pick(1, 8) * b.decay(t60)
    ) * (b.decay(t60))


def bell_sleigh(b: Bench) -> Array:
    """Dozens of small jingle bells, shaken."""
    strokes = 0.05 + np.cumsum(b.spread(np.full(b.rng.integers(1, 5), b.pick(0.07, 0.2)), 0.2))
    bells_hz = _plate_modes(b, b.pick(2_500, 5_000), b.pick(8_000, 14_000), 50)
    bells = b.modes(bells_hz, b.spread(np.ones(50), 0.9), b.pick(0.1, 0.6))
    centres = b.rng.choice(strokes, int(b.pick(20, 150)))
    hits = b.strikes(centres + b.pick(0.01, 0.04) * b.rng.standard_normal(centres.size), 0.001)
    return np.asarray(scipy.signal.fftconvolve(hits, bells)[: b.t.size])


def triangle(b: Bench) -> Array:
    """A bent steel rod: dozens of modes in pairs, almost no fundamental; open or held."""
    base_hz = b.pick(400, 800)
    numbers = np.arange(2, 13)
    ratios = ((2 * numbers + 1) / 3.011) ** 2  # a free bar; bending it splits every mode
    hz = np.concatenate([base_hz * b.spread(ratios, 0.05), base_hz * b.spread(ratios, 0.05)])
    t60s = (b.pick(0.08, 0.3) if b.maybe(0.3) else b.pick(1.2, 6)) * (1_500 / (hz + 1_500)) ** 0.3
    gains = b.spread(np.ones(hz.size), 0.9) * (hz / 4_000) ** b.rng.uniform(0.0, 1.5)
    rod = b.modes(hz, gains, t60s)
    return mix((1.0, rod), (b.pick(0.02, 0.25), b.band(b.noise(), 5_000) * b.decay(0.01, 0.0003)))


def tambourine(b: Bench) -> Array:
    """Pairs of small plates that clash: once, or shaken; with a skin or without."""
    hits = b.pick(0.015, 0.2) * b.rng.random(int(b.pick(3, 40))) ** 1.5
    modes_hz = _plate_modes(b, b.pick(3_500, 6_000), 16_000, 60)
    jingle = b.modes(modes_hz, b.spread(np.ones(60), 0.9), b.pick(0.2, 1.2))
    pulses = b.strikes([0.0005, *hits], 0.002)
    clash = pulses * b.noise()
    ringing = scipy.signal.fftconvolve(pulses, jingle)[: b.t.size]
    y = mix((1.0, b.band(clash, 4_000, order=2)), (b.pick(0.3, 1.0), ringing))
    spray = b.band(b.noise(), b.pick(5_000, 8_000)) * b.decay(b.pick(0.15, 0.9), 0.003)
    y = mix((1.0, y), (b.pick(0.2, 1.0), spray))
    if b.maybe(0.4):
        y = mix((1.0, y), (b.pick(0.1, 0.6), skins.drum(b, b.pick(180, 400), 0.15, 0.2)))
    return y


def metal_bar(b: Bench) -> Array:
    """Pipes, bars and rails."""
    hz = b.pick(150, 1_800) * b.spread(BAR if b.maybe(0.7) else _TINE, 0.06)
    gains = b.spread(np.ones(hz.size), 0.8)
    bar = b.modes(hz, gains, b.pick(0.2, 3) * np.geomspace(1, 0.3, hz.size))
    twin = b.modes(hz * b.pick(1.002, 1.05), gains, b.pick(0.1, 1.5))
    knock = b.band(b.noise(), b.pick(500, 3_000)) * b.decay(b.pick(0.01, 0.06), 0.0004)
    return mix((1.0, bar), (b.pick(0.2, 0.9), twin), (b.pick(0.1, 0.8), knock))


def metal_plate(b: Bench) -> Array:
    """Sheets, lids, anvils and scaffolding: the modes of a supported rectangle."""
    m, n = np.meshgrid(np.arange(1, 11), np.arange(1, 11))
    ratios = np.sort((m**2 + b.pick(0.3, 3.0) * n**2).ravel())
    hz = b.pick(90, 900) * b.spread(ratios / ratios[0], 0.04)
    t60s = b.pick(0.15, 2.5) * (hz[0] / hz) ** b.rng.uniform(0.05, 0.5)
    plate = b.modes(hz, b.spread(np.ones(hz.size), 0.9) * (hz[0] / hz) ** 0.3, t60s)
    knock = b.band(b.noise(), b.pick(300, 3_000)) * b.decay(b.pick(0.01, 0.08), 0.0004)
    return drive(mix((1.0, plate), (b.pick(0.1, 0.9), knock)), b.pick(0.3, 4))


def metal_electronic(b: Bench) -> Array:
    """Ring modulation and clangorous FM."""
    hz = b.pick(180, 1_600)
    index = b.pick(2, 12) * b.decay(b.pick(0.1, 1.0))
    y = b.fm(hz, b.rng.uniform(1.1, 4.9), index) * b.sine(hz * b.rng.uniform(0.3, 3.0))
    return drive(y * b.decay(b.pick(0.1, 1.2)), b.pick(0.3, 3))
