"""Which files libsndfile reads, told by their suffix; no audio library is imported."""

from __future__ import annotations

import os

# Suffixes of libsndfile's major formats, less the headerless ones (.raw, .vox, .gsm) and those that
# usually mean something else (.mat, .mpc).
AUDIO_SUFFIXES = frozenset(
    """.wav .wave .bwf .aif .aiff .aifc .flac .ogg .oga .opus .mp3 .w64 .caf .rf64 .au .snd .avr
    .htk .iff .svx .8svx .16sv .nist .sph .paf .pvf .sd2 .sds .sf .ircam .voc .wve .xi""".split()
)


def is_audio(name: str) -> bool:
    """Whether the suffix is one that libsndfile reads."""
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES
