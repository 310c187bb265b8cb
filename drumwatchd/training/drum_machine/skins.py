"""Recipes for drums with a skin: kicks, snares, toms, timpani, hand drums, the cuica."""

from __future__ import annotations

import numpy as np

from drumwatchd.training.drum_machine.bench import Array, Bench, drive, mix

# Zeros of the Bessel functions: an ideal membrane. With air and a shell below, a kettledrum's
# diametrical modes move to near 2:3:4:5:6.
MEMBRANE = (1.0, 1.593, 2.135, 2.295, 2.653, 2.917, 3.155, 3.5, 3.598)
_KETTLE = (0.85, 1.0, 1.5, 1.99, 2.44, 2.89)


def kick_electronic(b: Bench) -> Array:
    """A falling sine with a click, from 808 to 909 and beyond."""
    end_hz = b.pick(38, 75)
    body = b.sine(b.glide(end_hz * b.pick(1.3, 8), end_hz, b.pick(0.006, 0.05)))
    body = body * b.decay(b.pick(0.15, 1.4), 0.0015)
    click = b.band(b.noise(), b.pick(800, 4_000)) * b.decay(b.pick(0.004, 0.03), 0.0005)
    return drive(mix((1.0, body), (b.pick(0.02, 0.5), click)), b.pick(0.5, 5))


def kick_acoustic(b: Bench) -> Array:
    """A damped membrane, its beater, and a little of the room in the shell."""
    hz = b.pick(45, 85)
    body = b.modes(hz * b.spread(MEMBRANE, 0.05), b.spread(np.geomspace(1, 0.06, 9), 0.6), 0.25)
    thump = b.sine(b.glide(hz * 2.5, hz, 0.015)) * b.decay(b.pick(0.12, 0.45))
    beater = b.band(b.noise(), b.pick(1_500, 3_500), 7_000) * b.decay(b.pick(0.01, 0.05))
    return mix((1.0, thump), (0.5, body), (b.pick(0.05, 0.5), beater))


def snare_electronic(b: Bench) -> Array:
    """Two sines and filtered noise."""
    hz = b.pick(150, 260)
    bend = b.glide(b.pick(1.0, 2.0), 1.0, 0.01)
    head = b.sine(hz * bend) + b.pick(0.2, 0.9) * b.sine(1.83 * hz * bend)
    wires = b.band(b.noise(), b.pick(500, 3_000), b.pick(7_000, 18_000)) * b.decay(b.pick(0.1, 0.5))
    y = mix((b.pick(0.2, 1), head * b.decay(b.pick(0.08, 0.3))), (b.pick(0.25, 1), wires))
    return drive(y, b.pick(0.4, 3))


def snare_acoustic(b: Bench) -> Array:
    """A head with ring, wires that answer a little later, and a stick."""
    hz = b.pick(140, 300)
    t60s = np.geomspace(b.pick(0.12, 0.7), 0.08, 9)
    head = b.modes(hz * b.spread(MEMBRANE, 0.06), b.spread(np.geomspace(1, 0.1, 9), 0.7), t60s)
    wires = b.band(b.noise(), b.pick(700, 2_000), b.pick(8_000, 16_000))
    wires = wires * b.decay(b.pick(0.15, 0.5), b.pick(0.001, 0.006))
    stick = b.band(b.noise(), 2_000) * b.decay(0.01, 0.0003)
    return mix((b.pick(0.3, 1), head), (b.pick(0.2, 1), wires), (b.pick(0.1, 0.6), stick))


def tom_electronic(b: Bench) -> Array:
    """A sine or triangle that falls a little, with a breath of noise."""
    hz = b.pick(65, 260)
    body = b.sine(b.glide(hz * b.pick(1.1, 2.5), hz, b.pick(0.02, 0.15)))
    breath = b.noise(0.5) * b.decay(b.pick(0.05, 0.25))
    body = body * b.decay(b.pick(0.25, 2.0))
    return drive(mix((1.0, body), (b.pick(0.01, 0.25), breath)), b.pick(0.3, 3))


def tom_acoustic(b: Bench) -> Array:
    """Two heads, slightly apart in tune, that beat as they ring."""
    return drum(b, b.pick(70, 220), ring=b.pick(0.5, 3.5), stick=b.pick(0.05, 0.5))


def timbale(b: Bench) -> Array:
    """A tight single head on a steel shell that rings along."""
    hz = b.pick(240, 560)
    skin = drum(b, hz, ring=b.pick(0.4, 1.6), stick=b.pick(0.4, 1.5))
    shell_hz = hz * b.spread((2.7, 4.1, 5.3, 6.9, 8.8, 11.3), 0.12)
    shell = b.modes(shell_hz, b.spread(np.geomspace(1, 0.3, 6), 0.6), b.pick(0.2, 1.2))
    return mix((1.0, skin), (b.pick(0.3, 1.5), shell))


def timpani(b: Bench) -> Array:
    """A kettle: nearly harmonic, long; a soft mallet."""
    hz = b.pick(68, 190)
    gains = b.spread((0.25, 1.0, 0.75, 0.45, 0.3, 0.2), 0.6)
    t60s = b.pick(1.2, 5) * b.spread((0.12, 1.0, 0.8, 0.6, 0.5, 0.4), 0.3)
    kettle = b.modes(hz * b.spread(_KETTLE, 0.012), gains, t60s)
    # The head is tighter while it moves far: struck hard, it starts sharp.
    thud = b.sine(b.glide(hz * 1.1, hz * 0.9, 0.05)) * b.decay(b.pick(0.1, 0.3), 0.004)
    mallet = b.band(b.noise(1.0), 150, b.pick(600, 4_000)) * b.decay(b.pick(0.03, 0.15), 0.003)
    return mix((1.0, kettle), (b.pick(0.1, 0.5), thud), (b.pick(0.05, 0.5), mallet))


def conga(b: Bench) -> Array:
    """A hand drum: open tones ring, slaps and muffled tones hardly do."""
    hz = b.pick(165, 390)
    return _hand_drum(b, hz, open_ring=b.pick(0.25, 0.8))


def bongo(b: Bench) -> Array:
    """The same in small."""
    hz = b.pick(300, 750)
    return _hand_drum(b, hz, open_ring=b.pick(0.15, 0.8))


def conga_808(b: Bench) -> Array:
    """A nearly pure falling sine."""
    hz = b.pick(150, 480)
    return b.sine(b.glide(hz * b.pick(1.02, 1.2), hz, 0.03)) * b.decay(b.pick(0.12, 0.4), 0.002)


def drum(b: Bench, hz: float, ring: float, stick: float) -> Array:
    """A skin at `hz` that rings so many seconds, and how loud the stick is."""
    ratios = b.spread(MEMBRANE, 0.03)
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
    skin = b.modes(hz * b.spread(MEMBRANE, 0.03), gains, ring * np.geomspace(1, 0.2, 9))
    hand = b.band(b.noise(0.5), b.pick(400, 1_500), b.pick(3_000, 9_000))
    hand = hand * b.decay(b.pick(0.01, 0.04), 0.0008)
    return mix((1.0, skin), (b.pick(0.2, 0.8) if slap else b.pick(0.05, 0.4), hand))


def cuica(b: Bench) -> Array:
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
