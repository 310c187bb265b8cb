"""Whether a candidate may judge: it has to win on what was corrected, and to lose nothing elsewhere.

Three questions, all on sounds that the judged head didn't learn from:

1. Does it still know the corpus? On the held-out sounds, against the head that came with the network
   (not the active one: small losses would add up from one adaptation to the next).
2. Does it win on the corrections? Each is judged by a head that was fitted without its pack. The
   active head is treated alike, or it would be asked about what it knows by heart.
3. Do the corrections belong to their sounds? A head that guesses what is often said is right now and
   then even where labels were drawn from a hat, while the active one is wrong by nature: else nobody
   had corrected it. So what was said has to be likelier, by the heads of the second question, than
   the same labels shuffled: for a mistaken sound, too, the truth is seldom the last thing it sounds
   like. Where nearly all say the same, it has to be likelier of these sounds than of the corpus's;
   and since sounds without anything in common pass that now and then, no coin may win as they do.

References:
    Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses", 2005.
    Dixon & Mood, "The Statistical Sign Test", 1946.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from drumwatchd.analysis.head import Head
from drumwatchd.analysis.labels import CANONICAL_OF, MISC
from drumwatchd.training.adapt import (
    AdaptSettings,
    Corrections,
    Mask,
    Rows,
    fit_head,
    fold_matrix,
    folds_of,
    probabilities_on,
)
from drumwatchd.training.replay import Replay

Array = npt.NDArray[np.float32]

_RULED_OUT = np.float32(1e-4)


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What a candidate has to show.

    Attributes:
        most_lost: of the accuracy on the held-out sounds, averaged over kits, as a fraction.
        chance: so seldom may shuffled labels do as well.
        one_kind: where a larger share of the corrections says the same, shuffling changes next to
            nothing and tells nothing; then they are compared with sounds of the corpus.
        luck: and so seldom may a coin, thrown where the two heads differ, win so often (sign test).
        n_folds: of the cross-validation.
        n_shuffles: how often labels are shuffled.
        seed: of the shuffles.
    """

    most_lost: float = 0.005
    chance: float = 0.002
    one_kind: float = 0.8
    luck: float = 0.05
    n_folds: int = 5
    n_shuffles: int = 2_000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a candidate.

    Attributes:
        passed: it may be promoted.
        reason: why, or why not, in one phrase.
        figures: what was measured; accuracies as fractions.
    """

    passed: bool
    reason: str
    figures: Mapping[str, Any]


def judge_candidate(
    candidate: Head,
    base: Head,
    replay: Replay,
    corrections: Corrections,
    *,
    known: Mask,
    by_heart: Mask | None = None,
    adapt: AdaptSettings,
    gate: GateSettings,
) -> Judgement:
    """Put a candidate to the test.

    Args:
        candidate: fitted to all `corrections`.
        base: the head that came with the network.
        replay: of the corpus, with the sounds that are for validation.
        corrections: all there are.
        known: which of them the active head learned from; none, if that is `base`
            [shape=(n,)].
        by_heart: which of them the network itself was trained on; these it isn't asked about.
        adapt: how the candidate was fitted.
        gate: what is asked of it.
    """
    held_out = replay.part(replay.validation)
    before, after = kit_accuracy(base, held_out), kit_accuracy(candidate, held_out)
    folds = folds_of(corrections.groups, gate.n_folds)
    everything = np.ones(len(folds), dtype=bool)
    likelihood, right = _cross_validated(base, replay, corrections, everything, folds, adapt)
    _, right_before = _cross_validated(base, replay, corrections, known, folds, adapt)
    asked = everything if by_heart is None else ~by_heart
    new = asked & ~known
    chance = _chance(candidate, held_out, corrections, likelihood, new, gate)
    figures = {
        "n_corrections": int(asked.sum()),
        "n_new": int(new.sum()),
        "n_packs": len(np.unique(corrections.groups)),
        "kit_accuracy": _rounded(after),
        "kit_accuracy_before": _rounded(before),
        "n_validation": len(held_out.truth),
        "right": int(right[asked].sum()),
        "right_before": int(right_before[asked].sum()),
        "chance": None if chance is None else _rounded(chance),
    }
    luck = _luck(right[asked], right_before[asked]) if _is_one_kind(corrections, new, gate) else 0.0
    return _judgement(figures, chance, luck, gate)


def judge_network(
    candidate: Head,
    held_out: Replay,
    corrections: Corrections,
    *,
    before: float,
    right_before: Mask,
    gate: GateSettings,
) -> Judgement:
    """Put a whole network to the test, on packs that it wasn't trained on.

    Args:
        candidate: its last layer.
        held_out: sounds of the corpus that it wasn't trained on, as it hears them.
        corrections: those that it wasn't trained on, as it hears them.
        before: accuracy on the former, averaged over kits, of the network that came first.
        right_before: which of the latter the model has right that judges now [shape=(n,)].
        gate: what is asked of it.
    """
    after = kit_accuracy(candidate, held_out)
    likelihood, right = _asked(candidate, corrections)
    everything = np.ones(len(right), dtype=bool)
    chance = _chance(candidate, held_out, corrections, likelihood, everything, gate)
    figures = {
        "n_corrections": len(right),
        "n_packs": len(np.unique(corrections.groups)),
        "kit_accuracy": _rounded(after),
        "kit_accuracy_before": _rounded(before),
        "n_validation": len(held_out.truth),
        "right": int(right.sum()),
        "right_before": int(right_before.sum()),
        "chance": None if chance is None else _rounded(chance),
    }
    luck = _luck(right, right_before) if _is_one_kind(corrections, everything, gate) else 0.0
    return _judgement(figures, chance, luck, gate)


def right_on(head: Head, corrections: Corrections) -> Mask:
    """Which corrected sounds a head has right, bool [shape=(n,)]."""
    return _asked(head, corrections)[1]


def _judgement(
    figures: Mapping[str, Any], chance: float | None, luck: float, gate: GateSettings
) -> Judgement:
    faults = _faults(figures, chance, luck, gate)
    if faults:
        return Judgement(False, "; ".join(faults), figures)
    reason = (
        f"right on {figures['right']} of {figures['n_corrections']} corrections that it hadn't "
        f"seen, before on {figures['right_before']}"
    )
    return Judgement(True, reason, figures)


def _faults(
    figures: Mapping[str, Any], chance: float | None, luck: float, gate: GateSettings
) -> list[str]:
    faults = []
    gained = figures["kit_accuracy"] - figures["kit_accuracy_before"]
    if not figures["n_validation"]:
        faults.append("no sounds were held out to measure on")
    elif gained < -gate.most_lost:
        faults.append(f"loses {-100 * gained:.1f} points on sounds of the corpus")
    if figures["right"] <= figures["right_before"] or luck > gate.luck:
        faults.append(
            f"right on {figures['right']} of {figures['n_corrections']} corrections that it "
            f"hadn't seen, before on {figures['right_before']}"
        )
    if chance is not None and chance > gate.chance:
        faults.append(
            "what the new corrections say is hardly likelier than chance: too few of them yet, or "
            "they contradict what is heard"
        )
    return faults


def kit_accuracy(head: Head, replay: Replay) -> float:
    """Share of the sounds whose folder, of the six and misc, is right, averaged over kits.

    A folder of the owner's own counts as misc: it is none of the six, and nobody knows whether he
    would want a clap of the corpus among his claps; a kick there is wrong.
    """
    if not len(replay.truth):
        return 0.0
    folders = sorted(set(CANONICAL_OF.values()))
    true = np.array([folders.index(CANONICAL_OF[label]) for label in replay.labels])
    own = [folders.index(MISC)] * (len(head.labels) - len(true))
    folds = fold_matrix(np.array([*true, *own]))
    right = (head.probabilities(replay.embeddings) @ folds).argmax(axis=1) == true[replay.truth]
    _, kits = np.unique(replay.kits, return_inverse=True)
    return float((np.bincount(kits, weights=right) / np.bincount(kits)).mean())


def _chance(
    candidate: Head,
    held_out: Replay,
    corrections: Corrections,
    likelihood: Array,
    new: Mask,
    gate: GateSettings,
) -> float | None:
    """How often chance does as well as the new corrections; None where there are none."""
    if not new.any():
        return None
    said = corrections.said[new]
    commonest = int(np.bincount(said).argmax())
    if not _is_one_kind(corrections, new, gate):
        return chance_of(likelihood[new], said, gate)
    wanted = corrections.wanted[commonest]
    others = held_out.part(~wanted[held_out.truth])
    p = probabilities_on(candidate, others.embeddings, corrections.labels)
    of_others = np.log(np.maximum(p @ wanted, _RULED_OUT))
    return chance_of_one_kind(likelihood[new][said == commonest, commonest], of_others, gate)


def _is_one_kind(corrections: Corrections, new: Mask, gate: GateSettings) -> bool:
    said = corrections.said[new]
    return len(said) > 0 and float(np.bincount(said).max() / len(said)) > gate.one_kind


def _luck(right: Mask, right_before: Mask) -> float:
    """How often a coin wins as often where just one of two heads is right (sign test)."""
    won, lost = int((right & ~right_before).sum()), int((~right & right_before).sum())
    differ = won + lost
    return sum(math.comb(differ, n) for n in range(won, differ + 1)) / (1 << differ)


def chance_of_one_kind(likelihood: Array, of_others: Array, gate: GateSettings) -> float:
    """How often as many sounds out of all are as likely to be what was said of some.

    Args:
        likelihood: logarithm of how likely it is of the sounds that it was said of [shape=(n,)].
        of_others: the same of sounds that it is wrong of [shape=(n_others,)].
        gate: how often to draw.
    """
    generator = np.random.default_rng(gate.seed)
    every, truth = np.concatenate([likelihood, of_others]), likelihood.sum()
    as_good = sum(
        generator.choice(every, len(likelihood), replace=False).sum() >= truth
        for _ in range(gate.n_shuffles)
    )
    return float((1 + as_good) / (1 + gate.n_shuffles))


def chance_of(likelihood: Array, said: Rows, gate: GateSettings) -> float:
    """How often shuffled labels are as likely.

    Args:
        likelihood: logarithm of how likely each saying is of each sound [shape=(n, n_sayings)].
        said: the true ones [shape=(n,)].
        gate: how often to shuffle.
    """
    rows = np.arange(len(said))
    generator = np.random.default_rng(gate.seed)
    truth = likelihood[rows, said].sum()
    as_good = sum(
        likelihood[rows, generator.permutation(said)].sum() >= truth for _ in range(gate.n_shuffles)
    )
    return float((1 + as_good) / (1 + gate.n_shuffles))


def _cross_validated(
    base: Head,
    replay: Replay,
    corrections: Corrections,
    learned: Mask,
    folds: Rows,
    adapt: AdaptSettings,
) -> tuple[Array, Mask]:
    """As `_asked`; each sound asked of a head that learned all of `learned` but its fold."""
    likelihood = np.zeros((len(folds), len(corrections.sayings)), dtype=np.float32)
    right = np.zeros(len(folds), dtype=bool)
    for fold in np.unique(folds):
        away = folds == fold
        rest = learned & ~away
        head = fit_head(base, replay, corrections.part(rest), adapt) if rest.any() else base
        likelihood[away], right[away] = _asked(head, corrections.part(away))
    return likelihood, right


def _asked(head: Head, corrections: Corrections) -> tuple[Array, Mask]:
    """How likely each saying is of each sound, and which sounds `head` has right.

    A sound is right when the outputs that would do outweigh what any folder has of others.

    Returns:
        Logarithms, float32 [shape=(n, n_sayings)], and bool [shape=(n,)].
    """
    p = probabilities_on(head, corrections.embeddings, corrections.labels)
    folds = fold_matrix(corrections.folder_of)
    wanted = corrections.wanted[corrections.said]
    right = (p * wanted).sum(axis=1) > ((p * ~wanted) @ folds).max(axis=1)
    likely = p @ corrections.wanted.T.astype(np.float32)
    # Below this it is as good as ruled out, and one such sound shouldn't outweigh all the others.
    return np.log(np.maximum(likely, _RULED_OUT)), right


def _rounded(value: float) -> float:
    return round(value, 5)
