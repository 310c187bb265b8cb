"""The model report: every figure that is claimed, measured again by one command.

Networks that were trained already are not trained again; what they said of the sounds held out from
them is kept (`experiments`). The figures are those of networks trained like the shipped one, each on
the sources that the others are judged on; no single network is judged on what it was trained on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from drumwatchd.analysis.labels import CANONICAL_OF, FINE_LABELS
from drumwatchd.analysis.model_card import SHIPPED_ID
from drumwatchd.errors import UsageError
from drumwatchd.files import write_atomically
from drumwatchd.training import calibrate
from drumwatchd.training.calibrate import Calibration
from drumwatchd.training.evaluate import FOLD, FOLDERS, Figures, Judged, kit_means, measure
from drumwatchd.training.experiments import (
    ALL_GROUPS,
    BASE,
    TRIAL_GROUPS,
    TRIALS,
    check_trials,
    joined,
    judge_sources,
    trials_of,
)
from drumwatchd.training.progress import Progress
from drumwatchd.training.settings import (
    FEATURES_OF,
    ReferenceConfig,
    RunConfig,
    TrainingConfig,
)

PARTS = ("designs", *TRIALS)
RANDOM = ("random:0/5",)
N_RESAMPLES = 2_000

# The shipped network's settings, not calibrated.
SHIPPED = TrainingConfig(
    name=SHIPPED_ID,
    epochs=40,
    draws=16_384,
    teachers=4,
    temperature=1.0,
    precision="mixed_bfloat16",
)

_Judge = Callable[[RunConfig, tuple[str, ...]], Judged]

DESIGNS: dict[str, RunConfig] = {
    "model1": ReferenceConfig(name="model1", arch="model1", features=FEATURES_OF["model1"]),
    "model2": ReferenceConfig(name="model2", arch="model2", features=FEATURES_OF["model2"]),
    SHIPPED_ID: SHIPPED,
}


def write_report(
    corpus: str,
    out: Path,
    *,
    parts: Collection[str] = PARTS,
    extra: tuple[str, ...] = (),
    leave_out: Collection[str] = (),
    trials: tuple[str, ...] = (),
    results: Path,
    cache: Path,
    processes: int = 1,
    progress: Progress | None = None,
) -> None:
    """Train what isn't trained yet, measure, and write those `parts` of `out`, a Markdown page.

    Args:
        corpus: labelled sounds with their sources.
        out: the page; its other parts stay as they are.
        parts: of `PARTS`: what is measured anew.
        extra: more corpora that all but the reference designs train on.
        leave_out: keys of `DESIGNS`, neither Model 1 nor the shipped one.
        trials: names of trials beside the base of their part; all, if there are none.
        results: where judgements are kept, so that nothing is trained twice.
        cache: of features.
        processes: for the features.
        progress: told what is done.
    """

    def judge(config: RunConfig, hold_outs: tuple[str, ...]) -> Judged:
        return judge_sources(
            dataclasses.replace(config, corpus=corpus),
            hold_outs,
            folder=results / "trials",
            cache=cache,
            processes=processes,
            progress=progress,
        )

    check_trials(trials)
    page = out.read_text(encoding="utf-8") if out.is_file() else _EMPTY_PAGE
    if "designs" in parts:
        names = [name for name in DESIGNS if name not in leave_out]
        page = with_part(page, "designs", render_designs(*_judge_designs(judge, names, extra)))
    for part in TRIALS:
        if part in parts:
            wanted = trials_of(part, trials)
            tried = {trial.name: judge(trial.config(extra), TRIAL_GROUPS) for trial in wanted}
            page = with_part(page, part, render_trials(part, tried))
    write_atomically(str(out), page)


def _judge_designs(
    judge: _Judge, names: Sequence[str], extra: tuple[str, ...]
) -> tuple[dict[str, list[Judged]], dict[str, Judged]]:
    """Each design, group of sources by group of sources; and in a random split."""
    configs = {
        name: config
        if isinstance(config, ReferenceConfig)
        else dataclasses.replace(config, extra=extra)
        for name in names
        for config in (DESIGNS[name],)
    }
    groups = {
        name: [judge(config, (group,)) for group in ALL_GROUPS] for name, config in configs.items()
    }
    return groups, {name: judge(config, RANDOM) for name, config in configs.items()}


def with_part(page: str, part: str, text: str) -> str:
    """`page` with what stands between the markers of `part` replaced.

    Raises:
        UsageError: if it has no such markers.
    """
    begin, end = f"<!-- {part} -->", f"<!-- end of {part} -->"
    before, found, rest = page.partition(begin)
    _, found_too, after = rest.partition(end)
    if not (found and found_too):
        raise UsageError(f"the page has no place for {part}", hint="remove it, or restore it")
    return f"{before}{begin}\n\n{text}\n{end}{after}"


def render_designs(groups: Mapping[str, Sequence[Judged]], at_random: Mapping[str, Judged]) -> str:
    """The designs side by side, and what the shipped one does, as Markdown.

    Args:
        groups: per design, what was judged group of sources by group of sources.
        at_random: per design, what was judged in a random split.
    """
    held_out = {name: joined(parts) for name, parts in groups.items()}
    sections = [
        _DESIGNS_TEXT.format(shipped=SHIPPED_ID, draws=SHIPPED.epochs * SHIPPED.draws),
        _designs(held_out, at_random),
        _classes(held_out[SHIPPED_ID]),
        _calibration(groups[SHIPPED_ID]),
    ]
    return "\n".join(sections)


def calibration_of(judgements: Sequence[Judged]) -> Calibration:
    """The calibration fitted on all that was held out."""
    judged = joined(judgements)
    return calibrate.fit(judged.probabilities, judged.examples)


def kit_interval(judged: Judged, other: Judged | None = None, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the accuracy averaged over kits, by bootstrap over kits.

    With `other`, judged on the same sounds, that of how much better `judged` is.

    References:
        Efron & Tibshirani, "An Introduction to the Bootstrap", 1993 (percentile interval).
    """
    means = _kit_means(judged)
    if other is not None:
        means = means - _kit_means(other)
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(means), size=(N_RESAMPLES, len(means)))
    low, high = np.percentile(means[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _kit_means(judged: Judged) -> npt.NDArray[np.float64]:
    """Accuracy kit by kit, in the same order for the same kits."""
    true = [FOLDERS.index(CANONICAL_OF[example.label]) for example in judged.examples]
    right = (judged.probabilities @ FOLD).argmax(axis=1) == true
    return np.array(list(kit_means(right, judged.examples).values()))


def _designs(held_out: Mapping[str, Judged], random: Mapping[str, Judged]) -> str:
    baseline = held_out["model1"]
    rows = []
    for name, judged in held_out.items():
        figures = measure(judged.probabilities, judged.examples)
        at_random = measure(random[name].probabilities, random[name].examples)
        low, high = kit_interval(judged)
        better = (
            ""
            if judged is baseline
            else "{:+.3f} … {:+.3f}".format(*kit_interval(judged, baseline))
        )
        rows.append(
            [
                name,
                f"{figures.accuracy:.3f}",
                f"{figures.kit_accuracy:.3f} ({low:.3f} to {high:.3f})",
                better,
                f"{figures.six_accuracy:.3f}",
                f"{figures.fine_accuracy:.3f}",
                f"{at_random.accuracy:.3f}",
                f"{at_random.fine_accuracy:.3f}",
            ]
        )
    heads = [
        "", "six + misc", "over kits (95 %)", "kits: against model1", "six only", "34 labels",
        "random: six + misc", "random: 34",
    ]  # fmt: skip
    sounds = f"{len(baseline.examples):,} sounds of {len(_kit_means(baseline))} kits"
    return f"## Sources never met\n\n{sounds}.\n\n{_table(heads, rows)}\n"


def _classes(judged: Judged) -> str:
    figures = measure(judged.probabilities, judged.examples)
    rows = [
        [folder, f"{figures.recall[folder]:.3f}", f"{figures.precision[folder]:.3f}", *counts]
        for folder, counts in zip(
            FOLDERS, ([str(n) for n in row] for row in figures.confusion), strict=True
        )
    ]
    table = _table(["true ↓ judged →", "recall", "precision", *FOLDERS], rows)
    true = np.array([FINE_LABELS.index(example.label) for example in judged.examples])
    hit = judged.probabilities.argmax(axis=1) == true
    fine = [
        [label, str(int((true == number).sum())), f"{hit[true == number].mean():.2f}"]
        for number, label in enumerate(FINE_LABELS)
        if (true == number).any()
    ]
    fine_table = _table(["label", "sounds", "recall"], fine)
    return f"## Folder by folder\n\n{table}\n\n### Label by label\n\n{fine_table}\n"


def _calibration(groups: Sequence[Judged]) -> str:
    """Each group is calibrated by what was found on the others."""
    whole = joined(groups)
    examples, raw = whole.examples, whole.probabilities
    fitted = [calibration_of([other for other in groups if other is not part]) for part in groups]
    calibrated = np.concatenate(
        [one.apply(part.probabilities) for one, part in zip(fitted, groups, strict=True)]
    )
    warmed = np.concatenate(
        [
            Calibration(one.temperature).apply(part.probabilities)
            for one, part in zip(fitted, groups, strict=True)
        ]
    )
    rows = [
        [name, *_certainty(measure(probabilities, examples))]
        for name, probabilities in (
            ("as trained", raw), ("with the temperature", warmed), ("with both", calibrated),
        )
    ]  # fmt: skip
    heads = [
        "", "calibration error", "≥ 0.50", "of these right", "non-drums → misc",
        "six filed right", "six + misc",
    ]  # fmt: skip
    at_all = calibration_of(groups)
    lines = "\n".join(
        f"- {name}: temperature {one.temperature:.2f}, doubt {one.doubt:.1f}"
        for name, one in [
            *zip([f"without group {n}" for n in range(len(groups))], fitted, strict=True),
            ("with all", at_all),
        ]
    )
    thresholds = _table(
        ["threshold", "filed", "of these right"],
        [
            [f"{threshold:.2f}", f"{figures.coverage:.3f}", f"{figures.covered_accuracy:.3f}"]
            for threshold in (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9)
            for figures in (measure(calibrated, examples, threshold),)
        ],
    )
    return (
        f"## How sure\n\n{_table(heads, rows)}\n\n{lines}\n\n"
        f"### What another threshold does\n\n{thresholds}\n"
    )


def _certainty(figures: Figures) -> list[str]:
    values = (
        figures.calibration_error, figures.coverage, figures.covered_accuracy,
        figures.non_drums_in_misc, figures.six_filed, figures.accuracy,
    )  # fmt: skip
    return [f"{value:.3f}" for value in values]


def render_trials(part: str, judged: Mapping[str, Judged]) -> str:
    """The trials of a part side by side, its base first, as Markdown."""
    first, *_ = trials = trials_of(part, judged)
    base, config = judged[first.name], first.config(())
    reference = measure(base.probabilities, base.examples)
    rows = []
    for trial in trials:
        figures = measure(judged[trial.name].probabilities, base.examples)
        low, high = kit_interval(judged[trial.name], base)
        rows.append(
            [
                trial.idea,
                f"{figures.accuracy:.3f}",
                f"{figures.kit_accuracy:.3f}",
                "" if trial is first else f"{low:+.3f} … {high:+.3f}",
                f"{figures.six_accuracy:.3f}",
                f"{figures.fine_accuracy:.3f}",
                f"{figures.misc_recall:.3f}",
            ]
        )
    heads = ["", "six + misc", "over kits", "kits: against the base", "six only", "34", "misc"]
    text = _TRIALS_TEXTS[part].format(
        draws=round(config.epochs * config.draws, -3),
        versions=config.n_versions,
        usual=BASE.n_versions,
        n=reference.n_sounds,
        kits=reference.n_kits,
    )
    return f"{text}\n\n{_table(heads, rows)}\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_EMPTY_PAGE = """# Model report

Written by `drumwatchd-train report CORPUS`; every figure below is measured by that command.

<!-- designs -->
<!-- end of designs -->

<!-- trials -->
<!-- end of trials -->

<!-- audio -->
<!-- end of audio -->
"""
_DESIGNS_TEXT = """Four groups of whole sources are held out in turn; in the two collections of drum machines a source is
a maker. A network is judged only on sources that it never met: other recordings by other people, though
some drum machines stand in several sources. Beside it stands what a random split gives, where a network
meets the other hits of the very drum it is asked about: the figure that is usually published.

The networks called {shipped} are trained exactly as the shipped weights were, {draws:,} sounds drawn and
half of each target from four teachers, who met nothing of what is held out either; only what is held out
differs. The shipped weights themselves are measured on the [model card](model-card.md).
"""
_TRIALS_TEXTS = {
    "trials": """## What was tried

One change at a time to a small network (a quarter of the multiplications, {draws:,} sounds
drawn), on two of the four groups: {n:,} sounds of {kits} kits. The interval is that of the kits, not that of
chance in training, as each was trained once; one that holds zero says that nothing was shown. Of twenty
ideas that change nothing, one will still seem to.""",
    "audio": """## What is done to the audio, and what is seen of it

The same network and groups; as each idea needs features of its own, with {versions} versions of a sound
in place of {usual}. {draws:,} draws, {n:,} sounds of {kits} kits.""",
}
