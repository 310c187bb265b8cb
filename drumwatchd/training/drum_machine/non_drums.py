"""Recipes for what sample folders hold beside drums: notes, voices, effects and noises.

A network that never meets them calls a bass a kick and a pad a crash.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from drumwatchd.training.drum_machine.bench import Array, Bench, drive, mix

# The first three formants of spoken vowels in Hz (Peterson and Barney 1952, men).
_VOWELS = np.array(
    [
        (270, 2_290, 3_010),  # beat
        (390, 1_990, 2_550),  # bit
        (530, 1_840, 2_480),  # bet
        (660, 1_720, 2_410),  # bat
        (730, 1_090, 2_440),  # father
        (570, 840, 2_410),  # bought
        (440, 1_020, 2_240),  # put
        (300, 870, 2_240),  # boot
        (490, 1_350, 1_690),  # bird
    ]
)
_CHORDS = (
    (1.0, 1.26, 1.498),
    (1.0, 1.189, 1.498),
    (1.0, 1.335, 1.498),
    (1.0, 1.498),
    (1.0, 1.26, 1.498, 1.888),
)


def _bass(b: Bench) -> Array:
    """A plucked, picked or synthesised bass note, its top closing after the attack."""
    hz = b.pick(33, 130)
    plucked = b.maybe(0.5)
    bright = b.partials(hz, b.pick(0.4, 1.3), odd=b.maybe(0.3)) * b.decay(b.pick(0.2, 1.5), 0.003)
    deep = b.sine(hz) + b.pick(0.1, 0.8) * b.sine(2 * hz)
    # A plucked note of hardly any harmonics would be an 808 kick.
    y = mix((b.pick(0.6, 2.0) if plucked else b.pick(0.1, 2.0), bright), (1.0, deep))
    return drive(y * _note(b, percussive=plucked), b.pick(0.3, 4))


def _bass_synthesised(b: Bench) -> Array:
    """A saw or square through a resonant filter that closes: acid, rave and electro basses."""
    hz, slope = b.pick(35, 200), b.pick(0.3, 1.2)
    phase, odd = b.phase(b.glide(hz * b.pick(0.8, 1.2), hz, b.pick(0.005, 0.03))), b.maybe(0.4)
    low_hz = hz * b.pick(1, 4)
    cutoff_hz = b.glide(low_hz * b.pick(2, 30), low_hz, b.pick(0.03, 0.4))
    peak = b.pick(0.1, 4)
    y = np.zeros(b.t.size)
    for n in range(1, 30, 2 if odd else 1):
        octaves = np.log2(n * hz / cutoff_hz)
        gain = 1.0 / (1.0 + 16.0**octaves) + peak * np.exp(-((3.0 * octaves) ** 2))
        y += gain * np.sin(2 * np.pi * n * phase) / n**slope
    return drive(y * _note(b, percussive=b.maybe(0.5)), b.pick(0.3, 6))


def _lead(b: Bench) -> Array:
    """A bright held note, with vibrato or a slide into it."""
    hz = b.pick(180, 1_400)
    pitch = b.vibrato(b.glide(hz * b.pick(0.7, 1.4), hz, b.pick(0.005, 0.1)), b.pick(4, 7), 0.01)
    y = b.partials(pitch, b.pick(0.6, 1.6), odd=b.maybe(0.4))
    if b.maybe(0.5):
        y = y + b.partials(pitch * b.pick(1.003, 1.015), 1.0)
    return drive(y * _note(b), b.pick(0.3, 5))


def _pad(b: Bench) -> Array:
    """A chord of detuned saws or sines that rises slowly."""
    hz, slope = b.pick(70, 400), b.pick(0.9, 2.5)
    tones = b.rng.permutation(_CHORDS[b.rng.integers(len(_CHORDS))])
    y = sum(b.partials(hz * tone * b.pick(0.994, 1.006), slope) for tone in [*tones, *tones])
    y = y * (1.0 + b.pick(0.01, 0.4) * b.sine(b.pick(0.5, 6)))
    return np.asarray(y * b.swell(b.pick(0.03, 0.5), b.pick(0.3, 1.0), b.pick(0.05, 0.5)))


def _stab(b: Bench) -> Array:
    """A short chord: organ, piano or brass."""
    hz, slope = b.pick(110, 500), b.pick(0.8, 2.2)
    tones = _CHORDS[b.rng.integers(len(_CHORDS))]
    y = sum(b.partials(hz * tone, slope) for tone in tones)
    return drive(np.asarray(y) * _note(b, percussive=b.maybe(0.6)), b.pick(0.2, 3))


def _pluck(b: Bench) -> Array:
    """A string: each harmonic dies sooner than the one below, as where it was plucked has it."""
    hz, at = b.pick(60, 1_000), b.rng.uniform(0.05, 0.5)
    n = np.arange(1, 40)
    gains = np.abs(np.sin(np.pi * n * at)) / n ** b.pick(0.6, 1.6)
    stiff = n * np.sqrt(1.0 + b.pick(1e-6, 6e-4) * n**2)
    string = b.modes(hz * stiff, gains, b.pick(0.4, 4) / (1.0 + b.pick(0.02, 0.4) * n))
    return mix((1.0, string), (b.pick(0.01, 0.2), b.band(b.noise(), 1_000, 6_000) * b.decay(0.02)))


def _keys(b: Bench) -> Array:
    """An electric piano, organ or mallet by FM."""
    hz, t60 = b.pick(80, 1_100), b.pick(0.6, 4)
    ratio = float(b.rng.choice([1.0, 2.0, 3.0, 4.0, 7.0, 14.0]))
    y = b.fm(hz, ratio, b.pick(0.5, 5) * b.decay(b.pick(0.1, t60)))
    return y * _note(b, percussive=True) if b.maybe(0.7) else y * _note(b)


def _sweep(b: Bench) -> Array:
    """A riser or downlifter: a tone or filtered noise that climbs or falls."""
    length = b.pick(0.5, 1.3)
    place = np.minimum(1.0, b.t / length)
    low, high = b.pick(60, 500), b.pick(1_500, 9_000)
    pitch = low * (high / low) ** (place if b.maybe(0.6) else 1.0 - place)
    tone = b.partials(np.minimum(pitch, 5_000), b.pick(0.8, 2))
    # A carrier moves narrow noise to the pitch: a swept filter without a filter that moves.
    air = b.band(b.noise(), 5, b.pick(40, 900)) * b.sine(pitch)
    y = mix((float(b.rng.choice([0.0, 0.5, 1.0])), tone), (b.pick(0.1, 1.0), air))
    return y * b.swell(b.pick(0.01, 0.8) * length, 0.3 * length, b.pick(0.02, 0.3))


def _siren(b: Bench) -> Array:
    """A pitch that goes up and down, smoothly or in steps."""
    wave = b.sine(b.pick(1.0, 12))
    pitch = b.pick(300, 1_800) * 2 ** (b.pick(0.1, 0.9) * (np.sign(wave) if b.maybe(0.4) else wave))
    return b.partials(pitch, b.pick(0.9, 3), odd=b.maybe(0.5)) * _note(b)


def _zap(b: Bench) -> Array:
    """A laser: a fast fall through several octaves, once or again and again."""
    start, end = b.pick(2_000, 9_000), b.pick(60, 500)
    pitch = b.glide(start, end, b.pick(0.05, 0.25))
    if b.maybe(0.3):
        pitch = pitch[(np.arange(b.t.size) % int(b.pick(0.05, 0.2) * b.sr))]
    y = b.fm(pitch, b.pick(0.5, 3), b.pick(0.01, 2))
    return drive(y * b.decay(b.pick(0.2, 1.0)), b.pick(0.3, 4))


def _beeps(b: Bench) -> Array:
    """Game and interface sounds: a few short tones in steps."""
    steps = b.rng.integers(2, 9)
    notes = b.pick(200, 1_600) * 2 ** (b.rng.integers(-12, 13, steps) / 12)
    length = b.pick(0.25, 1.2)
    which = np.minimum((b.t / length * steps).astype(int), steps - 1)
    gate = ((b.t / length * steps) % 1.0 < b.pick(0.4, 1.0)) * (b.t < length)
    return b.partials(notes[which], b.pick(0.9, 3), odd=True) * gate


def _whistle(b: Bench) -> Array:
    """A pea whistle, a flute, a bird: a nearly pure tone in breath."""
    hz = b.pick(700, 3_800)
    pitch = b.vibrato(b.glide(hz * b.pick(0.7, 1.3), hz, b.pick(0.01, 0.2)), b.pick(4, 45), 0.03)
    tone = b.sine(pitch) + b.pick(0.01, 0.3) * b.sine(2 * pitch)
    breath = b.band(b.noise(), hz * 0.7, hz * 2)
    return mix((1.0, tone), (b.pick(0.02, 0.4), breath)) * _note(b)


def _drone(b: Bench) -> Array:
    """A machine or an engine: a rough, low, steady wave."""
    hz = b.vibrato(b.pick(25, 140), b.pick(1, 25), b.pick(0.005, 0.1))
    hum = b.partials(hz, b.pick(0.5, 1.5)) * (1.0 + b.pick(0.05, 0.9) * b.sine(b.pick(3, 40)))
    air = b.band(b.noise(0.5), b.pick(60, 500), b.pick(800, 6_000))
    return mix((1.0, hum), (b.pick(0.05, 0.8), air)) * _note(b)


def _field(b: Bench) -> Array:
    """Outdoors and in rooms: wind, water, crowds, rustle."""
    bed = b.band(b.noise(b.rng.uniform(0.2, 1.0)), b.pick(60, 600), b.pick(900, 9_000))
    gusts = np.interp(b.t, np.linspace(0, 1.4, 15), b.rng.uniform(0.2, 1.0, 15))
    drops = b.strikes(b.rng.uniform(0, 1.3, int(b.pick(3, 200))), b.pick(0.003, 0.05))
    drops = b.resonate(drops * b.noise(), b.pick(500, 5_000), b.pick(1, 8))
    return mix((1.0, bed * gusts), (b.pick(0.05, 1.0), drops)) * b.swell(
        b.pick(0.01, 0.3), 1.0, 0.1
    )


def _babble(b: Bench) -> Array:
    """Speech without words: syllables of changing vowels, hissed in between."""
    pitch_hz, rate = b.pick(80, 280), b.pick(3, 7)
    syllables = b.rng.integers(len(_VOWELS), size=int(1.4 * rate) + 1)
    y = np.zeros(b.t.size)
    for number, vowel in enumerate(syllables):
        start = number / rate
        shape = np.clip(1.0 - np.abs((b.t - start - 0.5 / rate) * 2.2 * rate), 0.0, 1.0) ** 0.5
        hum = b.vibrato(pitch_hz * b.pick(0.85, 1.2), b.pick(2, 6), 0.05)
        y += shape * _sung(b, hum, _VOWELS[vowel]) * b.pick(0.4, 1.0)
        if b.maybe(0.4):
            hiss = b.band(b.noise(), b.pick(2_500, 5_000), 9_000)
            y += b.pick(0.05, 0.3) * hiss * np.exp(-(((b.t - start) * 30) ** 2))
    return y


def _shout(b: Bench) -> Array:
    """One short vowel or two: hey, ah, oh, woo, yeah."""
    hz, length = b.pick(90, 520), b.pick(0.08, 0.6)
    place = np.minimum(1.0, b.t / length)
    pitch = hz * (1.0 + b.rng.uniform(-0.2, 0.4) * np.sin(np.pi * place) - 0.1 * place)
    pitch = b.vibrato(pitch, b.pick(4, 7), b.pick(0.002, 0.03))
    first, second = b.rng.integers(len(_VOWELS), size=2)
    y = (1.0 - place) * _sung(b, pitch, _VOWELS[first])
    y = y + place * _sung(b, pitch, _VOWELS[second if b.maybe(0.5) else first])
    breath = b.band(b.noise(), 500, 7_000) * b.decay(b.pick(0.05, 0.3), 0.01)
    y = mix((1.0, y), (b.pick(0.01, 0.5), breath))
    return drive(y * b.swell(b.pick(0.01, 0.06), length, b.pick(0.03, 0.2)), b.pick(0.2, 3))


def _choir(b: Bench) -> Array:
    """Several people on one vowel."""
    hz, vowel = b.pick(110, 450), b.rng.choice(_VOWELS)
    voices = (
        _sung(b, b.vibrato(hz * b.pick(0.985, 1.015), b.pick(4, 7), 0.008), vowel) for _ in range(4)
    )
    return np.asarray(sum(voices)) * b.swell(b.pick(0.02, 0.3), b.pick(0.2, 0.9), b.pick(0.05, 0.4))


def _syllable(b: Bench) -> Array:
    """A hissed or clicked consonant and its vowel: ta, ka, cha, sha, ha."""
    hz, start = b.pick(900, 7_000), b.pick(0.02, 0.12)
    hiss = b.band(b.noise(), hz, hz * b.pick(1.3, 3), order=2)
    hiss = hiss * b.swell(b.pick(0.001, 0.05), 0.5 * start, start)
    vowel = _sung(b, b.glide(b.pick(90, 400), b.pick(90, 400), 0.3), b.rng.choice(_VOWELS))
    vowel = vowel * b.swell(b.pick(0.02, 0.05), b.pick(0.05, 0.4), b.pick(0.03, 0.2))
    delay = int(start * b.sr)
    vowel = np.concatenate([np.zeros(delay), vowel[: vowel.size - delay]])
    return mix((b.pick(0.1, 1.0), hiss), (1.0, vowel))


def _sung(b: Bench, pitch: Array, formants: npt.NDArray[np.int_]) -> Array:
    """A glottis (harmonics at 12 dB per octave) through the formants of a vowel."""
    glottis = b.partials(pitch, b.pick(0.9, 1.4))
    size = b.pick(0.9, 1.3)  # of the mouth: children and women have higher formants
    gains = (1.0, b.pick(0.3, 1.0), b.pick(0.1, 0.5))
    spoken = (
        gain * b.resonate(glottis, size * hz, size * hz / b.pick(60, 160))
        for gain, hz in zip(gains, formants, strict=True)
    )
    return np.asarray(sum(spoken))


def _noise_burst(b: Bench) -> Array:
    """Coloured noise, opened and closed."""
    y = b.noise(b.rng.uniform(0.0, 1.0))
    if b.maybe(0.6):
        y = b.band(y, b.pick(40, 3_000), b.pick(3_500, 18_000), order=int(b.rng.integers(1, 4)))
    return y * b.swell(b.pick(0.002, 0.5), b.pick(0.12, 0.8), b.pick(0.02, 0.5))


def _noise_decaying(b: Bench) -> Array:
    """Noise in a band, dying away longer than a drum would."""
    low = b.pick(100, 6_000)
    y = b.band(b.noise(b.rng.uniform(0.0, 0.7)), low, low * b.pick(1.2, 20), order=2)
    return y * b.decay(b.pick(0.5, 4), b.pick(0.02, 0.4))


def _noise_digital(b: Bench) -> Array:
    """Held random values: the noise channel of a game console, or a lost bit stream."""
    hold = np.cumsum(b.pick(500, 16_000) * b.pick(0.3, 1.0) / b.sr * np.ones(b.t.size))
    values = b.rng.choice([-1.0, 1.0], int(hold[-1]) + 2)
    return np.asarray(values[hold.astype(int)]) * b.swell(
        b.pick(0.001, 0.1), b.pick(0.12, 0.7), b.pick(0.02, 0.4)
    )


def _noise_vinyl(b: Bench) -> Array:
    """Crackle, hiss and rumble of a record."""
    clicks = b.strikes(b.rng.uniform(0, 1.35, int(b.pick(5, 250))), b.pick(0.0006, 0.006))
    clicks = b.band(clicks * b.noise(), b.pick(500, 3_000))
    y = mix((1.0, clicks), (b.pick(0.005, 0.3), b.noise(0.3)), (b.pick(0.01, 0.3), b.noise(1.0)))
    return y * b.swell(b.pick(0.002, 0.1), b.pick(0.3, 1.2), 0.1)


def _noise_sweep(b: Bench) -> Array:
    """A band of noise that moves: wind, swoosh, jet."""
    start, end = b.pick(200, 8_000), b.pick(200, 8_000)
    pitch = start * (end / start) ** np.minimum(1.0, b.t / b.pick(0.3, 1.2))
    y = b.band(b.noise(), 5, b.pick(200, 2_000)) * b.sine(pitch)
    return y * b.swell(b.pick(0.05, 0.6), b.pick(0.05, 0.4), b.pick(0.1, 0.5))


def _note(b: Bench, percussive: bool = False) -> Array:
    if percussive:
        return b.decay(b.pick(0.8, 4), b.pick(0.002, 0.015))
    return b.swell(b.pick(0.004, 0.2), b.pick(0.15, 1.2), b.pick(0.02, 0.4))


EFFECTS = (
    *(_bass, _bass_synthesised, _lead, _pad, _stab, _pluck, _keys),
    *(_sweep, _siren, _zap, _beeps, _whistle, _drone, _field, _babble),
)
VOICES_OF_PEOPLE = (_shout, _choir, _syllable)
NOISES = (_noise_burst, _noise_decaying, _noise_digital, _noise_vinyl, _noise_sweep)
