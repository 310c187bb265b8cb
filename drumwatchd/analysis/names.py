"""What a file is called, as evidence beside what it sounds like.

A name is read word by word: the file's own name first, then the folders it came in, each believed
less than the one before. What it says becomes probabilities over the fine labels, and these are
fused with what the network heard. A name that says nothing leaves the answer as it is.

References:
    Kittler et al., "On Combining Classifiers", IEEE TPAMI 20(3), 1998: the product rule.
    Hinton, "Training Products of Experts by Minimizing Contrastive Divergence", Neural Computation
    14(8), 2002: experts mixed with a uniform distribution, so that none can veto the others.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from drumwatchd.analysis.labels import MISC
from drumwatchd.analysis.name_grammar import Statement, doubted, read
from drumwatchd.analysis.result import Verdict

# How far a name is believed, and how far all that the folders above it say together.
NAME_TRUST, FOLDER_TRUST = 0.95, 0.8
# How far name and sound are believed when they are fused; benchmarks/names.py is how it was chosen.
NAME_RELIABILITY, SOUND_RELIABILITY = 0.7, 0.98
SURE = 0.75  # where both are, and of different folders, a person should look


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a name says.

    Attributes:
        probabilities: of the 34 fine labels, sum 1; None where it names none.
        loop: how likely it is that the file holds more than one hit, in [0, 1].
    """

    probabilities: Mapping[str, float] | None
    loop: float


def weigh(
    path: str, heard: Mapping[str, float], judge: Callable[[Mapping[str, float]], Verdict]
) -> Verdict:
    """The verdict on a sound and its name together.

    Args:
        path: below the inbox, as `evidence` takes it.
        heard: fine probabilities of the sound alone.
        judge: makes a verdict of fine probabilities.

    Returns:
        What `judge` says of `heard` where the name says nothing; else of both, with `review` set
        where each alone is sure of another folder.
    """
    sound, said = judge(heard), evidence(path)
    if said is None:
        return sound
    if said.probabilities is None:
        return _as_loop(sound, said.loop)
    name = judge(said.probabilities)
    both = judge(fuse(heard, said.probabilities))
    reason = f"{both.reason}; {_in_words(said.probabilities)}"
    return dataclasses.replace(both, reason=reason, review=_conflict(name, sound))


def evidence(path: str) -> Evidence | None:
    """Read a file's path below its inbox; None where it says nothing.

    Args:
        path: the folders between inbox and file, and the file's name with its suffix.
    """
    *folders, name = path.split(os.sep)
    own = read(os.path.splitext(name)[0], is_folder=False)
    above = [read(folder, is_folder=True) for folder in folders]
    if loop := _loop(own, above):
        return Evidence(None, loop)
    named = _together([*(folder.spread for folder in above if folder.spread), own.spread])
    return Evidence(named, 0.0) if named else None


def fuse(heard: Mapping[str, float], named: Mapping[str, float]) -> dict[str, float]:
    """Fuse two independent witnesses: p ∝ (r·h + (1 - r)/n) · (q·e + (1 - q)/n).

    h is what was heard, e what the name says, r and q are their reliabilities and n is the number
    of labels. Who errs is taken to say anything: so neither rules out what the other is sure of,
    and a name raises the odds of its label at most by (q + (1 - q)/n) / ((1 - q)/n).

    Args:
        heard: probabilities of the labels that the model knows; sum 1.
        named: probabilities of an `Evidence`.
    """
    labels = tuple(heard)
    return _product(
        [doubted(heard, SOUND_RELIABILITY, labels), doubted(named, NAME_RELIABILITY, labels)]
    )


def _loop(own: Statement, above: Sequence[Statement]) -> float:
    """How likely several hits are, by the nearest name that says anything of it.

    In "Loops & Samples/Kicks" it is the nearer folder that says what its files are.
    """
    if own.loop is not None:
        return NAME_TRUST * own.loop
    telling = (folder for folder in reversed(above) if folder.spread or folder.loop is not None)
    nearest = next(telling, own)
    return NAME_TRUST * FOLDER_TRUST * bool(nearest.loop)


def _together(spreads: Sequence[Mapping[str, float] | None]) -> Mapping[str, float] | None:
    """What names say, the outermost first: each outweighs all above it, and the last is the file's."""
    named: Mapping[str, float] | None = None
    for spread in spreads:
        experts = [doubted(named, FOLDER_TRUST)] if named else []
        if spread:
            experts.append(doubted(spread, NAME_TRUST))
        named = _product(experts) if experts else None
    return named


def _product(experts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The normalised product of distributions over the same labels."""
    first, *others = experts
    weights = {
        label: math.prod((p, *(other[label] for other in others))) for label, p in first.items()
    }
    total = sum(weights.values())
    return {label: weight / total for label, weight in weights.items()}


def _as_loop(sound: Verdict, share: float) -> Verdict:
    """Give misc the share that the name says it is no single hit; the network knows no such label."""
    folded = {folder: p * (1.0 - share) for folder, p in sound.probabilities.items()}
    folded[MISC] += share
    one_hit = sound.folded != MISC and min(share, sound.confidence) >= SURE
    return dataclasses.replace(
        sound,
        label=MISC,
        folded=MISC,
        confidence=folded[MISC],
        probabilities=folded,
        reason="its name says that it is a loop",
        review="its name says loop, it sounds like one hit" if one_hit else None,
    )


def _in_words(named: Mapping[str, float]) -> str:
    likely = [label for label, p in named.items() if p > max(named.values()) / 2]
    if len(likely) > 3:
        return "its name rules some out"
    return f"its name says {' or '.join(likely)}"


def _conflict(name: Verdict, sound: Verdict) -> str | None:
    if name.folded == sound.folded or min(name.confidence, sound.confidence) < SURE:
        return None
    named, heard = (v.fine if v.folded == MISC else v.folded for v in (name, sound))
    return f"its name says {named}, it sounds like {heard}"
