"""What names add to the ears, on sounds whose names are made up: some wrong, some empty.

    python -m benchmarks.names CORPUS [--fold N]

The corpus has its labels from names, so its own names can prove nothing; drawn ones show what
fusing does when a known part of them lies. The table is for `docs/how-to/names.md`.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from drumwatchd.analysis import audio
from drumwatchd.analysis.classifier import Classifier
from drumwatchd.analysis.features import FeatureExtractor
from drumwatchd.analysis.labels import CANONICAL_OF, judge
from drumwatchd.analysis.model_card import shipped_model
from drumwatchd.analysis.names import weigh
from drumwatchd.analysis.result import Verdict
from drumwatchd.training.corpus import read_corpus

EMPTY = 0.3  # part of the names that say nothing
WRONG = (0.0, 0.05, 0.2, 0.5, 1.0)  # part of the others that name an instrument of another folder
ROUNDS = 10  # of names drawn for all sounds
# How makers write them; labels that aren't here are written as they are.
SPELLINGS = {
    "Kick": ["Kick", "KICK", "BD", "kick", "Bassdrum", "Kik", "Grosse Caisse", "Bombo"],
    "Snare": ["Snare", "SNARE", "SD", "snare", "Snr", "SnareDrum", "Caisse Claire", "Rullante"],
    "Hihat": ["HiHat", "HH", "hat", "ClosedHat", "OHH", "Open Hat", "CHH", "Charley", "hihat"],
    "Tom": ["Tom", "FloorTom", "tom", "LT", "HT", "Hi Tom", "Rack Tom", "MT"],
    "Crash": ["Crash", "crash", "Crash Cymbal", "CRASH"],
    "Ride": ["Ride", "ride", "Ride Cymbal", "RideBell"],
    "Cymbal": ["Cymbal", "Cym", "Becken", "Piatto"],
    "Clap": ["Clap", "CP", "clap", "Handclap"],
    "Rim": ["Rimshot", "Rim", "RS", "Sidestick"],
    "Perc": ["Perc", "perc", "Percussion"],
}
EMPTIES = ["Sample", "Hit", "Audio", "Boom", "Thud", "Bounce", "Render", "Take", "Untitled"]
MAKERS = ["", "", "", "VintageBox ", "DR-5 ", "Dusty_", "Club ", "Tapehead - ", "808 "]
ENDINGS = ["", " {:02}", "_{:03}", "-{}", "{:02}", " {} dry", " Hard {}", "_v{}"]


class Sound(NamedTuple):
    """A sound of the corpus: its label, and the probabilities that were heard."""

    label: str
    heard: Mapping[str, float]


class Judged(NamedTuple):
    """One sound under one drawn name."""

    truth: str
    named: str | None  # the folder that the name leads to
    sound: Verdict
    both: Verdict


def main() -> None:
    """Hear the held-out sounds once, draw names for them many times, print a row a mixture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.names")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--fold", type=int, default=1, help="what the model never heard")
    asked = parser.parse_args()
    sounds = list(hear(asked.corpus, asked.fold))
    print(f"{len(sounds)} sounds, {ROUNDS} names for each, {EMPTY:.0%} of them empty\n")
    print("| names that lie | sound alone | sound and name | liars marked | honest names marked |")
    print("|---|---|---|---|---|")
    for wrong in WRONG:
        print(row(wrong, list(judge_all(sounds, wrong, random.Random(7)))))


def hear(corpus: Path, fold: int) -> Iterator[Sound]:
    """What the shipped network hears in one fold."""
    classifier = Classifier(shipped_model())
    features, known = classifier.card.features, classifier.card.labels
    extract = FeatureExtractor(features)
    for example in read_corpus(corpus):
        if example.fold == fold:
            y = audio.load(example.path, features).y
            heard = classifier.predict(extract(y)[None])[1][0].tolist()
            yield Sound(example.label, dict(zip(known, heard, strict=True)))


def judge_all(sounds: Sequence[Sound], wrong: float, rng: random.Random) -> Iterator[Judged]:
    """Judge every sound alone and with names that are drawn for it."""
    verdict = partial(judge, threshold=0.5, top_k=3)
    labels = [sound.label for sound in sounds]
    for sound in sounds * ROUNDS:
        truth = CANONICAL_OF[sound.label]
        label = None
        if rng.random() >= EMPTY:
            others = [other for other in labels if CANONICAL_OF[other] != truth]
            label = rng.choice(others) if rng.random() < wrong else sound.label
        both = weigh(draw_name(label, rng), sound.heard, verdict)
        yield Judged(truth, CANONICAL_OF.get(label or ""), verdict(sound.heard), both)


def draw_name(label: str | None, rng: random.Random) -> str:
    """A file name in the manner of sample packs."""
    words = SPELLINGS.get(label, [label]) if label else EMPTIES
    ending = rng.choice(ENDINGS).format(rng.randint(1, 30))
    return f"{rng.choice(MAKERS)}{rng.choice(words)}{ending}.wav"


def row(wrong: float, all_judged: Sequence[Judged]) -> str:
    """Accuracies before the threshold, and how many names are marked for review."""
    named = [one for one in all_judged if one.named]
    cells = (
        share(one.sound.folded == one.truth for one in all_judged),
        share(one.both.folded == one.truth for one in all_judged),
        share(one.both.review is not None for one in named if one.named != one.truth),
        share(one.both.review is not None for one in named if one.named == one.truth),
    )
    return f"| {wrong:.0%} | {' | '.join(cells)} |"


def share(answers: Iterable[bool]) -> str:
    """How many are true, in percent; a dash of none."""
    counted = list(answers)
    return f"{sum(counted) / len(counted):.1%}" if counted else "-"


if __name__ == "__main__":
    main()
