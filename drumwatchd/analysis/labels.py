"""The 34 fine labels, their fold to six canonical labels and misc, the verdict; and what an owner may add.

Pure Python: the daemon's own process and the commands read labels without numpy.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from drumwatchd.analysis.result import Verdict

FINE_LABELS = tuple(
    """Agogo Bell Bongo Cabasa China Clap Clave Conga Cowbell Crash Cuica Cymbal FX Guiro Hihat
    Kick Maracas Metal Noise Perc Reverse Ride Rim Shaker Sizzle Snare Splash Tambourine Timbale
    Timpani Tom Triangle Vibraslap Vox""".split()
)
CANONICAL_LABELS = ("Crash", "Hihat", "Kick", "Ride", "Snare", "Tom")
MISC = "misc"

CANONICAL_OF = dict.fromkeys(FINE_LABELS, MISC) | {
    "China": "Crash", "Splash": "Crash", "Cymbal": "Crash", "Sizzle": "Crash",
    "Rim": "Snare", "Timbale": "Tom", "Timpani": "Tom",
} | {label: label for label in CANONICAL_LABELS}  # fmt: skip

# A manifest is called after its label, and its name has to fit beside an ending.
LONGEST_LABEL_BYTES = 200
# What systems make at the top of a disk or share. Trash cans (#recycle, @Recycle, .Trash) and our own
# folders (_quarantine) don't begin with a letter or digit.
NEVER_LABELS = frozenset({"lost+found", "system volume information", "network trash folder"})
# What `classify --out` and `rebuild --out` make, perhaps in the archive's own folder.
_OF_A_RUN = re.compile(r"(run|organized)_\d{8}_\d{6}(-\d+)?")


def name_problem(name: str) -> str | None:
    """Why no label can have this name, nor a class folder; None if one can."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "is no UTF-8"
    if not name or not name[0].isalnum():
        return "doesn't begin with a letter or digit"
    if "/" in name or not name.isprintable() or name != name.strip():
        return "can't be a folder's name here"
    if len(encoded) > LONGEST_LABEL_BYTES:
        return "is too long"
    if _OF_A_RUN.fullmatch(name.casefold()):
        return "is a folder of classify or rebuild"
    return "is a folder of the system" if name.casefold() in NEVER_LABELS else None


def caseless(text: str) -> str:
    """The same for all spellings that a file system which ignores case takes for one name."""
    return unicodedata.normalize("NFC", text).casefold()


def spelled(word: str, known: Iterable[str]) -> str | None:
    """The known name that somebody means by a word in another spelling."""
    wanted = caseless(word)
    return next((name for name in known if caseless(name) == wanted), None)


def target_of(
    fine: str, targets: Sequence[str], canonical_of: Mapping[str, str] = CANONICAL_OF
) -> str:
    """Fold one fine label onto the wanted folders.

    A fine label that is itself wanted keeps its own folder; else its canonical label, if that is
    wanted; else ``misc``.
    """
    if fine in targets:
        return fine
    canonical = canonical_of.get(fine, MISC)
    return canonical if canonical in targets else MISC


def fold(
    fine_probabilities: Mapping[str, float],
    targets: Sequence[str] = CANONICAL_LABELS,
    canonical_of: Mapping[str, str] = CANONICAL_OF,
) -> dict[str, float]:
    """Sum the fine probabilities per folder: the targets in their order, then ``misc``."""
    folded = dict.fromkeys((*targets, MISC), 0.0)
    for fine, probability in fine_probabilities.items():
        folded[target_of(fine, targets, canonical_of)] += probability
    return folded


def judge(
    fine_probabilities: Mapping[str, float],
    *,
    threshold: float,
    top_k: int,
    targets: Sequence[str] = CANONICAL_LABELS,
    canonical_of: Mapping[str, str] = CANONICAL_OF,
) -> Verdict:
    """Decide the folder of one sample from its fine probabilities."""
    folded = fold(fine_probabilities, targets, canonical_of)
    best = max(folded, key=lambda label: folded[label])
    confidence = folded[best]
    ranked = sorted(fine_probabilities.items(), key=lambda item: (-item[1], item[0]))
    if best == MISC:
        # Several labels without a folder can outweigh a likelier one that has one.
        homeless = next(f for f, _ in ranked if target_of(f, targets, canonical_of) == MISC)
        label, reason = MISC, f"sounds like {homeless}, which has no folder of its own"
    elif confidence < threshold:
        label, reason = MISC, f"{best} at {confidence:.2f} is below the threshold {threshold:.2f}"
    else:
        label, reason = best, f"{best} at {confidence:.2f}"
    return Verdict(
        label=label,
        folded=best,
        fine=ranked[0][0],
        confidence=confidence,
        probabilities=folded,
        top=tuple(ranked[:top_k]),
        reason=reason,
    )
