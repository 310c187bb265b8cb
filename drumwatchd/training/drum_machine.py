"""A parametric drum machine: sounds for labels of which a corpus has few or none.

Each label has one or more voices, and each voice a wide range of tunings, lengths and timbres. The
generator decides everything. Rooms, equalisers and noise floors are left to `augment`.

References:
    N. Fletcher, T. Rossing, The Physics of Musical Instruments, 2nd ed., 1998: membranes (3),
    bars (2), plates (3), timpani (18.1), cymbals and gongs (20), bells (21).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import scipy.signal

from drumwatchd.training import non_drums
from drumwatchd.training.oscillators import Array, Bench, Generator, drive, mix, unit

Signal = npt.NDArray[np.float32]
Recipe = Callable[[Bench], Array]
Voice = Callable[[int, Generator], Signal]

SECONDS = 1.35

# Zeros of the Bessel functions: an ideal membrane. With air and a shell below, a kettledrum's
# diametrical modes move to near 2:3:4:5:6.
_MEMBRANE = (1.0, 1.593, 2.135, 2.295, 2.653, 2.917, 3.155, 3.5, 3.598)
_KETTLE = (0.85, 1.0, 1.5, 1.99, 2.44, 2.89)
_BAR = (1.0, 2.756, 5.404, 8.933, 13.34, 18.64)
_TINE = (1.0, 6.267, 17.55)
_CHURCH_BELL = (0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.67, 3.0, 4.0, 5.3, 6.7)
_HAND_BELL = (1.0, 3.0, 3.9, 5.1, 6.2, 8.4)
# The six square waves that an 808 makes its cymbals, hats and cowbell of.
_SIX_SQUARES = (205.3, 304.4, 369.6, 522.7, 540.0, 800.0)


def synthesise(label: str, sr: int, rng: Generator) -> Signal:
    """A sound of `label` by one of its voices: float32 [shape=(n,)], peak 1, at most 1.4 s.

    Raises:
        KeyError: if no voice plays the label.
    """
    voices = VOICES[label]
    return voices[int(rng.integers(len(voices)))](sr, rng)


def perform(recipe: Recipe) -> Voice:
    """A voice of a recipe: cut where it has died away, faded out where it hasn't."""

    def voice(sr: int, rng: Generator) -> Signal:
        bench = Bench(sr, rng, SECONDS)
        # Few samples reach up to 20 kHz: tape, microphones and old samplers don't.
        y = unit(bench.soften(recipe(bench), bench.pick(6_000, 20_000)))[: int(SECONDS * sr)]
        audible = np.flatnonzero(np.abs(y) > 1e-4)
        y = y[: audible[-1] + 1].copy()
        fade = min(y.size, sr // 100)
        y[-fade:] *= np.linspace(1.0, 0.0, fade)
        return unit(y).astype(np.float32)

    voice.__name__ = recipe.__name__.strip("_")
    voice.__doc__ = recipe.__doc__
    return voice


# ── skins ────────────────────────────────────────────────────────────────────────────────────────


def _kick_electronic(b: Bench) -> Array:
    """A falling sine with a click, from 808 to 909 and beyond."""
    end_hz = b.pick(38, 75)
    body = b.sine(b.glide(end_hz * b.pick(1.3, 8), end_hz, b.pick(0.006, 0.05)))
    body = body * b.decay(b.pick(0.15, 1.4), 0.0015)
    click = b.band(b.noise(), b.pick(800, 4_000)) * b.decay(b.pick(0.004, 0.03), 0.0005)
    return drive(mix((1.0, body), (b.pick(0.02, 0.5), click)), b.pick(0.5, 5))


def _kick_acoustic(b: Bench) -> Array:
    """A damped membrane, its beater, and a little of the room in the shell."""
    hz = b.pick(45, 85)
    body = b.modes(hz * b.spread(_MEMBRANE, 0.05), b.spread(np.geomspace(1, 0.06, 9), 0.6), 0.25)
    thump = b.sine(b.glide(hz * 2.5, hz, 0.015)) * b.decay(b.pick(0.12, 0.45))
    beater = b.band(b.noise(), b.pick(1_500, 3_500), 7_000) * b.decay(b.pick(0.01, 0.05))
    return mix((1.0, thump), (0.5, body), (b.pick(0.05, 0.5), beater))


def _snare_electronic(b: Bench) -> Array:
    """Two sines and filtered noise."""
    hz = b.pick(150, 260)
    bend = b.glide(b.pick(1.0, 2.0), 1.0, 0.01)
    head = b.sine(hz * bend) + b.pick(0.2, 0.9) * b.sine(1.83 * hz * bend)
    wires = b.band(b.noise(), b.pick(500, 3_000), b.pick(7_000, 18_000)) * b.decay(b.pick(0.1, 0.5))
    y = mix((b.pick(0.2, 1), head * b.decay(b.pick(0.08, 0.3))), (b.pick(0.25, 1), wires))
    return drive(y, b.pick(0.4, 3))


def _snare_acoustic(b: Bench) -> Array:
    """A head with ring, wires that answer a little later, and a stick."""
    hz = b.pick(140, 300)
    t60s = np.geomspace(b.pick(0.12, 0.7), 0.08, 9)
    head = b.modes(hz * b.spread(_MEMBRANE, 0.06), b.spread(np.geomspace(1, 0.1, 9), 0.7), t60s)
    wires = b.band(b.noise(), b.pick(700, 2_000), b.pick(8_000, 16_000))
    wires = wires * b.decay(b.pick(0.15, 0.5), b.pick(0.001, 0.006))
    stick = b.band(b.noise(), 2_000) * b.decay(0.01, 0.0003)
    return mix((b.pick(0.3, 1), head), (b.pick(0.2, 1), wires), (b.pick(0.1, 0.6), stick))


def _tom_electronic(b: Bench) -> Array:
    """A sine or triangle that falls a little, with a breath of noise."""
    hz = b.pick(65, 260)
    body = b.sine(b.glide(hz * b.pick(1.1, 2.5), hz, b.pick(0.02, 0.15)))
    breath = b.noise(0.5) * b.decay(b.pick(0.05, 0.25))
    body = body * b.decay(b.pick(0.25, 2.0))
    return drive(mix((1.0, body), (b.pick(0.01, 0.25), breath)), b.pick(0.3, 3))


def _tom_acoustic(b: Bench) -> Array:
    """Two heads, slightly apart in tune, that beat as they ring."""
    return _drum(b, b.pick(70, 220), ring=b.pick(0.5, 3.5), stick=b.pick(0.05, 0.5))


def _timbale(b: Bench) -> Array:
    """A tight single head on a steel shell that rings along."""
    hz = b.pick(240, 560)
    skin = _drum(b, hz, ring=b.pick(0.4, 1.6), stick=b.pick(0.4, 1.5))
    shell_hz = hz * b.spread((2.7, 4.1, 5.3, 6.9, 8.8, 11.3), 0.12)
    shell = b.modes(shell_hz, b.spread(np.geomspace(1, 0.3, 6), 0.6), b.pick(0.2, 1.2))
    return mix((1.0, skin), (b.pick(0.3, 1.5), shell))


def _timpani(b: Bench) -> Array:
    """A kettle: nearly harmonic, long; a soft mallet."""
    hz = b.pick(68, 190)
    gains = b.spread((0.25, 1.0, 0.75, 0.45, 0.3, 0.2), 0.6)
    t60s = b.pick(1.2, 5) * b.spread((0.12, 1.0, 0.8, 0.6, 0.5, 0.4), 0.3)
    kettle = b.modes(hz * b.spread(_KETTLE, 0.012), gains, t60s)
    # The head is tighter while it moves far: struck hard, it starts sharp.
    thud = b.sine(b.glide(hz * 1.1, hz * 0.9, 0.05)) * b.decay(b.pick(0.1, 0.3), 0.004)
    mallet = b.band(b.noise(1.0), 150, b.pick(600, 4_000)) * b.decay(b.pick(0.03, 0.15), 0.003)
    return mix((1.0, kettle), (b.pick(0.1, 0.5), thud), (b.pick(0.05, 0.5), mallet))


def _conga(b: Bench) -> Array:
    """A hand drum: open tones ring, slaps and muffled tones hardly do."""
    hz = b.pick(165, 390)
    return _hand_drum(b, hz, open_ring=b.pick(0.25, 0.8))


def _bongo(b: Bench) -> Array:
    """The same in small."""
    hz = b.pick(300, 750)
    return _hand_drum(b, hz, open_ring=b.pick(0.15, 0.8))


def _conga_808(b: Bench) -> Array:
    """A nearly pure falling sine."""
    hz = b.pick(150, 480)
    return b.sine(b.glide(hz * b.pick(1.02, 1.2), hz, 0.03)) * b.decay(b.pick(0.12, 0.4), 0.002)


def _drum(b: Bench, hz: float, ring: float, stick: float) -> Array:
    ratios = b.spread(_MEMBRANE, 0.03)
    gains = b.spread(np.geomspace(1, b.pick(0.03, 0.2), 9), 0.6)
    t60s = ring * np.geomspace(1.0, 0.25, 9)
    skin = b.modes(hz * ratios, gains, t60s) + 0.5 * b.modes(
        hz * ratios * b.pick(0.985, 1.03), gains, t60s
    )
    attack = b.sine(b.glide(hz * b.pick(1.05, 1.6), hz, 0.02)) * b.decay(ring * 0.4)
    tip = b.band(b.noise(), b.pick(700, 2_500), 9_000) * b.decay(b.pick(0.01, 0.05), 0.0005)
    return mix((1.0, skin), (0.6, attack), (stick, tip))


def _hand_drum(b: Bench, hz: float, open_ring: float) -> Array:
    slap = b.maybe(0.3)
    ring = open_ring * (b.pick(0.25, 0.7) if slap or b.maybe(0.25) else 1.0)
    gains = b.spread(np.geomspace(1, 0.4 if slap else 0.06, 9), 0.5)
    skin = b.modes(hz * b.spread(_MEMBRANE, 0.03), gains, ring * np.geomspace(1, 0.2, 9))
    hand = b.band(b.noise(0.5), b.pick(400, 1_500), b.pick(3_000, 9_000))
    hand = hand * b.decay(b.pick(0.01, 0.04), 0.0008)
    return mix((1.0, skin), (b.pick(0.2, 0.8) if slap else b.pick(0.05, 0.4), hand))


def _cuica(b: Bench) -> Array:
    """A rubbed stick pulls the skin along and lets go: a saw whose pitch the thumb bends."""
    hz = b.pick(220, 900)
    shape = b.rng.integers(3)
    t, length = b.t, b.pick(0.12, 0.5)
    if shape == 0:
        pitch = b.glide(hz * b.pick(0.5, 0.8), hz, b.pick(0.03, 0.12))
    elif shape == 1:
        pitch = b.glide(hz * b.pick(1.3, 2.0), hz, b.pick(0.03, 0.12))
    else:
        pitch = hz * (0.7 + 0.5 * np.sin(np.pi * np.minimum(1.0, t / length)))
    pitch = b.vibrato(pitch, b.pick(18, 60), b.pick(0.004, 0.03))
    y = b.partials(pitch, b.pick(0.8, 1.8))
    y = b.resonate(y, hz * b.pick(0.9, 1.5), b.pick(1, 4)) + 0.2 * y
    rub = b.band(b.noise(), hz, 5 * hz)
    y = mix((1.0, y), (b.pick(0.02, 0.2), rub))
    return y * b.swell(b.pick(0.01, 0.05), length, b.pick(0.03, 0.15))


# ── wood, hands, seeds and scrapes ───────────────────────────────────────────────────────────────


def _clave(b: Bench) -> Array:
    """A hard wooden bar over a hollow hand; an 808 makes do with its fundamental."""
    hz = b.pick(1_300, 3_200)
    gains = np.array([1.0, b.pick(0.01, 0.35), b.pick(0.005, 0.2)])
    bar = b.modes(
        hz * b.spread(_BAR[:3], 0.06), gains, b.pick(0.025, 0.22) * np.array([1, 0.5, 0.3])
    )
    tap = b.band(b.noise(), 2_000) * b.decay(0.006, 0.0003)
    return mix((1.0, bar), (b.pick(0.005, 0.25), tap))


def _woodblock(b: Bench) -> Array:
    """A hollow block: a low-quality cavity and the plate above it."""
    hz = b.pick(450, 1_500)
    block = b.modes(
        hz * b.spread((1, 1.9, 2.7, 4.2), 0.15),
        b.spread((1, 0.6, 0.35, 0.2), 0.6),
        b.pick(0.05, 0.2),
    )
    tap = b.band(b.noise(), 1_500, 9_000) * b.decay(0.008, 0.0003)
    return mix((1.0, block), (b.pick(0.05, 0.4), tap))


def _rim_electronic(b: Bench) -> Array:
    """Two short tones and a click."""
    hz = b.pick(350, 700)
    tones = b.sine(hz) + b.pick(0.5, 1.5) * b.sine(hz * b.pick(2.5, 4.2))
    click = b.band(b.noise(), b.pick(900, 2_500)) * b.decay(b.pick(0.005, 0.03), 0.0003)
    y = mix((1.0, tones * b.decay(b.pick(0.025, 0.2), 0.0005)), (b.pick(0.1, 0.8), click))
    return drive(y, b.pick(0.5, 3))


def _rim_cross_stick(b: Bench) -> Array:
    """A stick laid over the head, hit on the hoop: wood above, the drum below."""
    wood_hz = b.pick(700, 1_900)
    wood = b.modes(
        wood_hz * b.spread((1, 1.6, 2.4, 3.7, 5.1), 0.15),
        b.spread(np.ones(5), 0.7),
        b.pick(0.04, 0.15),
    )
    shell = b.modes(b.pick(180, 420) * b.spread(_MEMBRANE[:4], 0.05), 1.0, b.pick(0.05, 0.18))
    tap = b.band(b.noise(), 2_500) * b.decay(0.008, 0.0003)
    return mix((1.0, wood), (b.pick(0.1, 0.6), shell), (b.pick(0.1, 0.6), tap))


def _clap(b: Bench) -> Array:
    """Several hands, a few milliseconds apart, and the room's answer."""
    gap = b.pick(0.006, 0.014)
    hands = np.arange(b.rng.integers(2, 6)) * gap + b.rng.uniform(0, 0.002)
    noise = b.band(b.noise(), b.pick(500, 1_100), b.pick(2_200, 7_000))
    tail = np.where(b.t >= hands[-1], np.exp(-6.91 * (b.t - hands[-1]) / b.pick(0.1, 0.5)), 0.0)
    return noise * (b.strikes(hands, b.pick(0.008, 0.03)) + b.pick(0.3, 1.0) * tail)


def _shaken(b: Bench, hz: float, strokes: Array) -> Array:
    """Seeds in a shell: many small collisions, denser in the middle of each stroke."""
    width = b.pick(0.005, 0.03)
    centres = b.rng.choice(strokes, int(b.pick(60, 600)))
    seeds = centres + width * b.rng.standard_normal(centres.size)
    grains = b.strikes(seeds, b.pick(0.003, 0.012)) * b.noise()
    shell = b.band(grains, hz, hz * b.pick(1.5, 4), order=2)
    envelope = sum(np.exp(-0.5 * ((b.t - s) / (1.3 * width)) ** 2) for s in strokes)
    air = b.band(b.noise(), hz * 0.8) * envelope
    return mix((1.0, shell), (b.pick(0.1, 1.0), air))


def _shaker(b: Bench) -> Array:
    """Fine seeds, bright; one stroke, or forth and back."""
    strokes = 0.05 + np.array([0.0, b.pick(0.06, 0.14)])
    strokes = strokes[:1] if b.maybe(0.6) else strokes
    return _shaken(b, b.pick(3_500, 7_500), strokes)


def _maracas(b: Bench) -> Array:
    """Coarser seeds that hit at once: the sharp end of a throw."""
    low_hz = b.pick(3_500, 8_000)
    noise = b.band(b.noise(), low_hz, low_hz * b.pick(1.3, 2.5), order=2)
    hit = noise * b.decay(b.pick(0.03, 0.16), b.pick(0.004, 0.025))
    seeds = b.strikes(b.pick(0.01, 0.05) * b.rng.random(int(b.pick(10, 80))), 0.006) * noise
    return mix((1.0, hit), (b.pick(0.2, 1.0), seeds))


def _cabasa(b: Bench) -> Array:
    """Steel beads turned over ridged steel: a bright scrape, short or long."""
    length = b.pick(0.05, 0.3)
    beads = np.sort(b.rng.uniform(0.0, length, int(length * b.pick(250, 1_500))))
    grains = b.strikes(beads, b.pick(0.002, 0.008)) * b.noise()
    steel = b.band(grains, b.pick(4_000, 8_000), order=2)
    ring = b.resonate(grains, b.pick(5_000, 11_000), b.pick(2, 10))
    y = mix((1.0, steel), (b.pick(0.1, 0.8), ring))
    return y * b.swell(b.pick(0.004, 0.4 * length + 0.005), 0.5 * length, b.pick(0.02, 0.12))


def _guiro(b: Bench) -> Array:
    """A stick over the notches of a gourd: a train of ticks that quickens or slows down."""
    length, rate = b.pick(0.06, 0.7), b.pick(60, 260)
    gaps = np.linspace(1.0, b.pick(0.5, 2.0), int(length * rate) + 3) / rate
    times = np.cumsum(b.spread(gaps, 0.25))
    ticks = b.strikes(times, b.pick(0.003, 0.012)) * (0.6 * b.noise() + 0.1)
    hz = b.pick(900, 3_500)
    gourd = b.resonate(ticks, hz, b.pick(1.5, 6)) + b.resonate(ticks, hz * b.pick(1.6, 2.6), 3)
    y = mix((1.0, gourd), (b.pick(0.1, 0.7), b.band(ticks, 2_500)))
    return y * b.swell(b.pick(0.002, 0.3 * length), times[-1] * 0.8, b.pick(0.01, 0.1))


def _vibraslap(b: Bench) -> Array:
    """Loose teeth rattle in a wooden box: ticks at first 25 a second, fading for a second."""
    rate = b.pick(17, 38)
    times = np.cumsum(b.spread(np.linspace(1.0, b.pick(0.7, 1.4), 50) / rate, 0.08))
    teeth = np.concatenate([times + b.rng.uniform(0, 0.006, times.size) for _ in range(3)])
    ticks = b.strikes([0.001, *teeth], b.pick(0.008, 0.03)) * b.noise()
    hz = b.pick(1_800, 3_600)
    box = b.resonate(ticks, hz, b.pick(4, 12)) + b.resonate(ticks, hz * b.pick(1.3, 1.9), 8)
    y = mix((1.0, box), (b.pick(0.1, 0.5), b.band(ticks, 3_000)))
    return y * b.decay(b.pick(0.8, 2.5))


# ── metal ────────────────────────────────────────────────────────────────────────────────────────


def _plate_modes(b: Bench, low_hz: float, high_hz: float, count: int) -> Array:
    """A thin plate has equally many modes in every hertz."""
    return np.sort(b.rng.uniform(low_hz, high_hz, count))


def _six_squares(b: Bench) -> Array:
    tune = b.pick(0.75, 1.6)
    squares = (b.partials(tune * hz * b.pick(0.97, 1.03), 1.0, odd=True) for hz in _SIX_SQUARES)
    return np.asarray(sum(squares))


def _hihat_electronic(b: Bench) -> Array:
    """Six squares or noise, high-passed; closed or open."""
    source = _six_squares(b) if b.maybe(0.5) else b.noise()
    t60 = b.pick(0.05, 0.3) if b.maybe(0.6) else b.pick(0.4, 2.0)
    return b.band(source, b.pick(5_000, 9_000), order=2) * b.decay(t60)


def _hihat_acoustic(b: Bench) -> Array:
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


def _crash(b: Bench) -> Array:
    """Thin and large, hit on its edge."""
    return _cymbal(
        b,
        low_hz=b.pick(220, 500),
        ring=b.pick(2.0, 8.0),
        bloom=b.pick(0.004, 0.03),
        plate=b.pick(0.15, 0.8),
        dark=b.pick(0.3, 0.8),
    )


def _crash_electronic(b: Bench) -> Array:
    """Six squares or noise, with a fast and a slow decay."""
    source = mix((b.pick(0.2, 1.0), _six_squares(b)), (b.pick(0.05, 1.0), b.noise()))
    low = b.band(source, b.pick(2_000, 4_500), b.pick(5_000, 9_000)) * b.decay(b.pick(1.2, 5))
    high = b.band(source, b.pick(6_000, 9_000)) * b.decay(b.pick(0.6, 3))
    return mix((1.0, low), (b.pick(0.6, 2.0), high))


def _splash(b: Bench) -> Array:
    """A small, thin crash: higher and over soon."""
    return _cymbal(
        b,
        low_hz=b.pick(500, 1_100),
        ring=b.pick(1.2, 4.5),
        bloom=b.pick(0.002, 0.01),
        plate=b.pick(0.15, 0.7),
        dark=b.pick(0.4, 0.9),
    )


def _china(b: Bench) -> Array:
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
    return mix((1.0, wave), (b.pick(0.3, 0.9), drive(trash, b.pick(2, 8))))


def _ride(b: Bench) -> Array:
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


def _ride_bell(b: Bench) -> Array:
    """The same on its cup: a bell with some wash."""
    hz = b.pick(450, 1_100) * b.spread((1, 1.53, 2.24, 2.85, 3.6, 4.7, 6.1, 7.9), 0.08)
    bell = b.modes(hz, b.spread(np.geomspace(1, 0.3, 8), 0.6), b.pick(0.8, 3))
    return mix((1.0, bell), (b.pick(0.2, 0.8), _ride(b)))


def _sizzle(b: Bench) -> Array:
    """A ride or crash with rivets: each jumps and falls back, long after the stroke."""
    cymbal = _ride(b) if b.maybe(0.5) else _crash(b)
    jumps = b.rng.uniform(0.01, SECONDS, int(b.pick(120, 900)))
    rivets = b.band(b.strikes(jumps, b.pick(0.006, 0.025)) * b.noise(), b.pick(4_000, 7_000))
    buzz_hz = b.pick(35, 110)
    buzz = 0.6 + 0.4 * np.sign(b.sine(b.vibrato(buzz_hz, b.pick(3, 9), 0.1)))
    rivets = rivets * buzz * b.decay(b.pick(1.5, 6), b.pick(0.005, 0.06))
    return mix((1.0, cymbal), (b.pick(0.4, 1.2), rivets))


def _cowbell_electronic(b: Bench) -> Array:
    """Two squares, 540 and 800 Hz when new."""
    hz = b.pick(430, 720)
    squares = b.partials(hz, 1.0, odd=True) + b.partials(hz * b.pick(1.44, 1.52), 1.0, odd=True)
    y = b.band(squares, hz * 0.9, hz * b.pick(3, 9))
    return y * (b.decay(b.pick(0.03, 0.08)) + b.pick(0.3, 0.9) * b.decay(b.pick(0.15, 0.7)))


def _cowbell_acoustic(b: Bench) -> Array:
    """A folded steel shell, mostly two modes, held or not."""
    hz = b.pick(450, 1_050) * b.spread((1, 1.5, 2.3, 2.9, 3.8, 4.9, 6.3), 0.1)
    gains = b.spread((1, 0.8, 0.4, 0.3, 0.25, 0.2, 0.15), 0.5)
    shell = b.modes(hz, gains, b.pick(0.12, 0.9) * np.geomspace(1, 0.4, 7))
    tip = b.band(b.noise(), 2_000, 9_000) * b.decay(0.012, 0.0004)
    return mix((1.0, shell), (b.pick(0.05, 0.5), tip))


def _agogo(b: Bench) -> Array:
    """A small cone bell: purer and higher than a cowbell."""
    hz = b.pick(650, 2_000) * b.spread((1, 2.0, 2.76, 4.1, 5.6, 7.4), 0.08)
    gains = b.spread(np.geomspace(1, b.pick(0.05, 1.0), 6), 0.7)
    bell = b.modes(hz, gains, b.pick(0.2, 1.1) * np.geomspace(1, 0.4, 6))
    tip = b.band(b.noise(), 3_000) * b.decay(0.01, 0.0004)
    return mix((1.0, bell), (b.pick(0.03, 0.35), tip))


def _agogo_electronic(b: Bench) -> Array:
    """Metallic FM."""
    hz = b.pick(700, 1_900)
    index = b.pick(0.8, 4) * b.decay(b.pick(0.05, 0.3))
    return b.fm(hz, b.rng.choice([1.41, 2.0, 2.76, 3.53]), index) * b.decay(b.pick(0.15, 0.8))


def _bell_cast(b: Bench) -> Array:
    """A church or hand bell: pairs of modes that beat, a strike note between them."""
    cast = b.maybe(0.5)
    ratios = np.asarray(_CHURCH_BELL if cast else _HAND_BELL)
    hz = (b.pick(220, 900) if cast else b.pick(500, 2_600)) * b.spread(ratios, 0.01)
    gains = b.spread(np.geomspace(1, 0.15, hz.size), 0.7)
    t60s = b.pick(1.5, 8) * np.geomspace(1, 0.2, hz.size)
    rim = b.modes(hz, gains, t60s) + 0.7 * b.modes(hz * b.pick(1.001, 1.008), gains, t60s)
    clapper = b.band(b.noise(), 2_000, 10_000) * b.decay(0.02, 0.0005)
    return mix((1.0, rim), (b.pick(0.02, 0.3), clapper))


def _bell_tube(b: Bench) -> Array:
    """Chimes and orchestra bells: a free bar or tube."""
    hz = b.pick(400, 2_800) * b.spread(_BAR, 0.01)
    gains = b.spread(np.geomspace(1, 0.08, 6), 0.7)
    bar = b.modes(hz, gains, b.pick(0.8, 5) * np.geomspace(1, 0.15, 6))
    return mix((1.0, bar), (b.pick(0.01, 0.15), b.band(b.noise(), 3_000) * b.decay(0.01)))


def _bell_fm(b: Bench) -> Array:
    """Chowning's bell: FM at an irrational ratio, the index falling with the sound."""
    t60 = b.pick(0.8, 5)
    return b.fm(b.pick(200, 1_600), b.rng.choice([1.4, 2.4, 3.51]), b.pick(1, 8) * b.decay(t60)) * (
        b.decay(t60)
    )


def _bell_sleigh(b: Bench) -> Array:
    """Dozens of small jingle bells, shaken."""
    strokes = 0.05 + np.cumsum(b.spread(np.full(b.rng.integers(1, 5), b.pick(0.07, 0.2)), 0.2))
    bells_hz = _plate_modes(b, b.pick(2_500, 5_000), b.pick(8_000, 14_000), 50)
    bells = b.modes(bells_hz, b.spread(np.ones(50), 0.9), b.pick(0.1, 0.6))
    centres = b.rng.choice(strokes, int(b.pick(20, 150)))
    hits = b.strikes(centres + b.pick(0.01, 0.04) * b.rng.standard_normal(centres.size), 0.001)
    return np.asarray(scipy.signal.fftconvolve(hits, bells)[: b.t.size])


def _triangle(b: Bench) -> Array:
    """A bent steel rod: dozens of modes in pairs, almost no fundamental; open or held."""
    base_hz = b.pick(400, 800)
    numbers = np.arange(2, 13)
    ratios = ((2 * numbers + 1) / 3.011) ** 2  # a free bar; bending it splits every mode
    hz = np.concatenate([base_hz * b.spread(ratios, 0.05), base_hz * b.spread(ratios, 0.05)])
    t60s = (b.pick(0.08, 0.3) if b.maybe(0.3) else b.pick(1.2, 6)) * (1_500 / (hz + 1_500)) ** 0.3
    gains = b.spread(np.ones(hz.size), 0.9) * (hz / 4_000) ** b.rng.uniform(0.0, 1.5)
    rod = b.modes(hz, gains, t60s)
    return mix((1.0, rod), (b.pick(0.02, 0.25), b.band(b.noise(), 5_000) * b.decay(0.01, 0.0003)))


def _tambourine(b: Bench) -> Array:
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
        y = mix((1.0, y), (b.pick(0.1, 0.6), _drum(b, b.pick(180, 400), 0.15, 0.2)))
    return y


def _metal_bar(b: Bench) -> Array:
    """Pipes, bars and rails."""
    hz = b.pick(150, 1_800) * b.spread(_BAR if b.maybe(0.7) else _TINE, 0.06)
    gains = b.spread(np.ones(hz.size), 0.8)
    bar = b.modes(hz, gains, b.pick(0.2, 3) * np.geomspace(1, 0.3, hz.size))
    twin = b.modes(hz * b.pick(1.002, 1.05), gains, b.pick(0.1, 1.5))
    knock = b.band(b.noise(), b.pick(500, 3_000)) * b.decay(b.pick(0.01, 0.06), 0.0004)
    return mix((1.0, bar), (b.pick(0.2, 0.9), twin), (b.pick(0.1, 0.8), knock))


def _metal_plate(b: Bench) -> Array:
    """Sheets, lids, anvils and scaffolding: the modes of a supported rectangle."""
    m, n = np.meshgrid(np.arange(1, 11), np.arange(1, 11))
    ratios = np.sort((m**2 + b.pick(0.3, 3.0) * n**2).ravel())
    hz = b.pick(90, 900) * b.spread(ratios / ratios[0], 0.04)
    t60s = b.pick(0.15, 2.5) * (hz[0] / hz) ** b.rng.uniform(0.05, 0.5)
    plate = b.modes(hz, b.spread(np.ones(hz.size), 0.9) * (hz[0] / hz) ** 0.3, t60s)
    knock = b.band(b.noise(), b.pick(300, 3_000)) * b.decay(b.pick(0.01, 0.08), 0.0004)
    return drive(mix((1.0, plate), (b.pick(0.1, 0.9), knock)), b.pick(0.3, 4))


def _metal_electronic(b: Bench) -> Array:
    """Ring modulation and clangorous FM."""
    hz = b.pick(180, 1_600)
    index = b.pick(2, 12) * b.decay(b.pick(0.1, 1.0))
    y = b.fm(hz, b.rng.uniform(1.1, 4.9), index) * b.sine(hz * b.rng.uniform(0.3, 3.0))
    return drive(y * b.decay(b.pick(0.1, 1.2)), b.pick(0.3, 3))


def _reverse(b: Bench) -> Array:
    """Something that rang, backwards: it swells and stops short."""
    rings = (_crash, _ride, _china, _crash_electronic, _snare_acoustic, _hihat_acoustic, _bell_cast)
    y = unit(rings[b.rng.integers(len(rings))](b)) * b.decay(b.pick(0.4, 3))
    return y[: int(b.pick(0.25, 1.2) * b.sr)][::-1].copy()


_RECIPES: Mapping[str, tuple[Recipe, ...]] = {
    "Agogo": (_agogo, _agogo_electronic),
    "Bell": (_bell_cast, _bell_tube, _bell_sleigh, _bell_fm),
    "Bongo": (_bongo,),
    "Cabasa": (_cabasa,),
    "China": (_china,),
    "Clap": (_clap,),
    "Clave": (_clave,),
    "Conga": (_conga, _conga_808),
    "Cowbell": (_cowbell_electronic, _cowbell_acoustic),
    "Crash": (_crash, _crash_electronic),
    "Cuica": (_cuica,),
    "Cymbal": (_crash, _crash_electronic),
    "FX": non_drums.EFFECTS,
    "Guiro": (_guiro,),
    "Hihat": (_hihat_electronic, _hihat_acoustic),
    "Kick": (_kick_electronic, _kick_acoustic),
    "Maracas": (_maracas,),
    "Metal": (_metal_bar, _metal_plate, _metal_electronic),
    "Noise": non_drums.NOISES,
    "Perc": (_woodblock,),
    "Reverse": (_reverse,),
    "Ride": (_ride, _ride_bell),
    "Rim": (_rim_electronic, _rim_cross_stick),
    "Shaker": (_shaker,),
    "Sizzle": (_sizzle,),
    "Snare": (_snare_electronic, _snare_acoustic),
    "Splash": (_splash,),
    "Tambourine": (_tambourine,),
    "Timbale": (_timbale,),
    "Timpani": (_timpani,),
    "Tom": (_tom_electronic, _tom_acoustic),
    "Triangle": (_triangle,),
    "Vibraslap": (_vibraslap,),
    "Vox": non_drums.VOICES_OF_PEOPLE,
}

VOICES: Mapping[str, tuple[Voice, ...]] = MappingProxyType(
    {label: tuple(map(perform, recipes)) for label, recipes in _RECIPES.items()}
)
