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

from drumwatchd.training.drum_machine import metal, non_drums, skins, wood
from drumwatchd.training.drum_machine.bench import SECONDS, Array, Bench, Generator, unit

Signal = npt.NDArray[np.float32]
Recipe = Callable[[Bench], Array]
Voice = Callable[[int, Generator], Signal]


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
        bench = Bench(sr, rng)
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


def _reverse(b: Bench) -> Array:
    """Something that rang, backwards: it swells and stops short."""
    rings = (
        metal.crash,
        metal.ride,
        metal.china,
        metal.crash_electronic,
        skins.snare_acoustic,
        metal.hihat_acoustic,
        metal.bell_cast,
    )
    y = unit(rings[b.rng.integers(len(rings))](b)) * b.decay(b.pick(0.4, 3))
    return y[: int(b.pick(0.25, 1.2) * b.sr)][::-1].copy()


_RECIPES: Mapping[str, tuple[Recipe, ...]] = {
    "Agogo": (metal.agogo, metal.agogo_electronic),
    "Bell": (metal.bell_cast, metal.bell_tube, metal.bell_sleigh, metal.bell_fm),
    "Bongo": (skins.bongo,),
    "Cabasa": (wood.cabasa,),
    "China": (metal.china,),
    "Clap": (wood.clap,),
    "Clave": (wood.clave,),
    "Conga": (skins.conga, skins.conga_808),
    "Cowbell": (metal.cowbell_electronic, metal.cowbell_acoustic),
    "Crash": (metal.crash, metal.crash_electronic),
    "Cuica": (skins.cuica,),
    "Cymbal": (metal.crash, metal.crash_electronic),
    "FX": non_drums.EFFECTS,
    "Guiro": (wood.guiro,),
    "Hihat": (metal.hihat_electronic, metal.hihat_acoustic),
    "Kick": (skins.kick_electronic, skins.kick_acoustic),
    "Maracas": (wood.maracas,),
    "Metal": (metal.metal_bar, metal.metal_plate, metal.metal_electronic),
    "Noise": non_drums.NOISES,
    "Perc": (wood.woodblock,),
    "Reverse": (_reverse,),
    "Ride": (metal.ride, metal.ride_bell),
    "Rim": (wood.rim_electronic, wood.rim_cross_stick),
    "Shaker": (wood.shaker,),
    "Sizzle": (metal.sizzle,),
    "Snare": (skins.snare_electronic, skins.snare_acoustic),
    "Splash": (metal.splash,),
    "Tambourine": (metal.tambourine,),
    "Timbale": (skins.timbale,),
    "Timpani": (skins.timpani,),
    "Tom": (skins.tom_electronic, skins.tom_acoustic),
    "Triangle": (metal.triangle,),
    "Vibraslap": (wood.vibraslap,),
    "Vox": non_drums.VOICES_OF_PEOPLE,
}

VOICES: Mapping[str, tuple[Voice, ...]] = MappingProxyType(
    {label: tuple(map(perform, recipes)) for label, recipes in _RECIPES.items()}
)
