"""Recipes for wood, hands, seeds and scrapes: claves, rims, claps, shakers, the guiro."""

from __future__ import annotations

import numpy as np

from drumwatchd.training.drum_machine.bench import Array, Bench, drive, mix
from drumwatchd.training.drum_machine.skins import MEMBRANE

BAR = (1.0, 2.756, 5.404, 8.933, 13.34, 18.64)


def clave(b: Bench) -> Array:
    """A hard wooden bar over a hollow hand; an 808 makes do with its fundamental."""
    hz = b.pick(1_300, 3_200)
    gains = np.array([1.0, b.pick(0.01, 0.35), b.pick(0.005, 0.2)])
    bar = b.modes(
        hz * b.spread(BAR[:3], 0.06), gains, b.pick(0.025, 0.22) * np.array([1, 0.5, 0.3])
    )
    tap = b.band(b.noise(), 2_000) * b.decay(0.006, 0.0003)
    return mix((1.0, bar), (b.pick(0.005, 0.25), tap))


def woodblock(b: Bench) -> Array:
    """A hollow block: a low-quality cavity and the plate above it."""
    hz = b.pick(450, 1_500)
    block = b.modes(
        hz * b.spread((1, 1.9, 2.7, 4.2), 0.15),
        b.spread((1, 0.6, 0.35, 0.2), 0.6),
        b.pick(0.05, 0.2),
    )
    tap = b.band(b.noise(), 1_500, 9_000) * b.decay(0.008, 0.0003)
    return mix((1.0, block), (b.pick(0.05, 0.4), tap))


def rim_electronic(b: Bench) -> Array:
    """Two short tones and a click."""
    hz = b.pick(350, 700)
    tones = b.sine(hz) + b.pick(0.5, 1.5) * b.sine(hz * b.pick(2.5, 4.2))
    click = b.band(b.noise(), b.pick(900, 2_500)) * b.decay(b.pick(0.005, 0.03), 0.0003)
    y = mix((1.0, tones * b.decay(b.pick(0.025, 0.2), 0.0005)), (b.pick(0.1, 0.8), click))
    return drive(y, b.pick(0.5, 3))


def rim_cross_stick(b: Bench) -> Array:
    """A stick laid over the head, hit on the hoop: wood above, the drum below."""
    wood_hz = b.pick(700, 1_900)
    wood = b.modes(
        wood_hz * b.spread((1, 1.6, 2.4, 3.7, 5.1), 0.15),
        b.spread(np.ones(5), 0.7),
        b.pick(0.04, 0.15),
    )
    shell = b.modes(b.pick(180, 420) * b.spread(MEMBRANE[:4], 0.05), 1.0, b.pick(0.05, 0.18))
    tap = b.band(b.noise(), 2_500) * b.decay(0.008, 0.0003)
    return mix((1.0, wood), (b.pick(0.1, 0.6), shell), (b.pick(0.1, 0.6), tap))


def clap(b: Bench) -> Array:
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


def shaker(b: Bench) -> Array:
    """Fine seeds, bright; one stroke, or forth and back."""
    strokes = 0.05 + np.array([0.0, b.pick(0.06, 0.14)])
    strokes = strokes[:1] if b.maybe(0.6) else strokes
    return _shaken(b, b.pick(3_500, 7_500), strokes)


def maracas(b: Bench) -> Array:
    """Coarser seeds that hit at once: the sharp end of a throw."""
    low_hz = b.pick(3_500, 8_000)
    noise = b.band(b.noise(), low_hz, low_hz * b.pick(1.3, 2.5), order=2)
    hit = noise * b.decay(b.pick(0.03, 0.16), b.pick(0.004, 0.025))
    seeds = b.strikes(b.pick(0.01, 0.05) * b.rng.random(int(b.pick(10, 80))), 0.006) * noise
    return mix((1.0, hit), (b.pick(0.2, 1.0), seeds))


def cabasa(b: Bench) -> Array:
    """Steel beads turned over ridged steel: a bright scrape, short or long."""
    length = b.pick(0.05, 0.3)
    beads = np.sort(b.rng.uniform(0.0, length, int(length * b.pick(250, 1_500))))
    grains = b.strikes(beads, b.pick(0.002, 0.008)) * b.noise()
    steel = b.band(grains, b.pick(4_000, 8_000), order=2)
    ring = b.resonate(grains, b.pick(5_000, 11_000), b.pick(2, 10))
    y = mix((1.0, steel), (b.pick(0.1, 0.8), ring))
    return y * b.swell(b.pick(0.004, 0.4 * length + 0.005), 0.5 * length, b.pick(0.02, 0.12))


def guiro(b: Bench) -> Array:
    """A stick over the notches of a gourd: a train of ticks that quickens or slows down."""
    length, rate = b.pick(0.06, 0.7), b.pick(60, 260)
    gaps = np.linspace(1.0, b.pick(0.5, 2.0), int(length * rate) + 3) / rate
    times = np.cumsum(b.spread(gaps, 0.25))
    ticks = b.strikes(times, b.pick(0.003, 0.012)) * (0.6 * b.noise() + 0.1)
    hz = b.pick(900, 3_500)
    gourd = b.resonate(ticks, hz, b.pick(1.5, 6)) + b.resonate(ticks, hz * b.pick(1.6, 2.6), 3)
    y = mix((1.0, gourd), (b.pick(0.1, 0.7), b.band(ticks, 2_500)))
    return y * b.swell(b.pick(0.002, 0.3 * length), times[-1] * 0.8, b.pick(0.01, 0.1))


def vibraslap(b: Bench) -> Array:
    """Loose teeth rattle in a wooden box: ticks at first 25 a second, fading for a second."""
    rate = b.pick(17, 38)
    times = np.cumsum(b.spread(np.linspace(1.0, b.pick(0.7, 1.4), 50) / rate, 0.08))
    teeth = np.concatenate([times + b.rng.uniform(0, 0.006, times.size) for _ in range(3)])
    ticks = b.strikes([0.001, *teeth], b.pick(0.008, 0.03)) * b.noise()
    hz = b.pick(1_800, 3_600)
    box = b.resonate(ticks, hz, b.pick(4, 12)) + b.resonate(ticks, hz * b.pick(1.3, 1.9), 8)
    y = mix((1.0, box), (b.pick(0.1, 0.5), b.band(ticks, 3_000)))
    return y * b.decay(b.pick(0.8, 2.5))
