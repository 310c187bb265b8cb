"""What was tried: each trial is one change to a small network, measured on the same held-out sources.

A trial takes minutes, so that many can be compared; what wins is then trained at full size. Judgements
are kept in one file per run, so that a killed comparison goes on and a report costs no training.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from drumwatchd.errors import UsageError
from drumwatchd.training.corpus import Example, read_corpus, sound_of, split
from drumwatchd.training.evaluate import Judged
from drumwatchd.training.progress import Progress
from drumwatchd.training.settings import (
    CHANGES,
    LOG_MEL,
    MFCC,
    WARPED_LOG_MEL,
    RunConfig,
    TrainingConfig,
    settings_of,
)

# Whole sources held out in turn; trials make do with two of the four groups.
ALL_GROUPS = tuple(f"sources:{number}/4" for number in range(4))
TRIAL_GROUPS = (ALL_GROUPS[1], ALL_GROUPS[3])

BASE = TrainingConfig(
    width=0.5,
    epochs=8,
    draws=8_192,
    temperature=1.0,
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One idea.

    Attributes:
        name: of its files.
        idea: what is different from the base.
        change: the settings that make it so.
        extra: whether it trains on the extra corpora, if there are any.
    """

    name: str
    idea: str
    change: Mapping[str, Any] = field(default_factory=dict)
    extra: bool = True

    def config(self, extra: tuple[str, ...]) -> TrainingConfig:
        """The whole configuration, with those corpora if it is to have them."""
        return dataclasses.replace(
            BASE,
            name=f"trial-{self.name}",
            extra=extra if self.extra else (),
            **self.change,
        )


def _audio(*changes: str, **settings: Any) -> Mapping[str, Any]:
    """Fewer versions, since each of these has features of its own."""
    return {"n_versions": 3, "changes": changes, **settings}


def _without(change: str) -> Mapping[str, Any]:
    return _audio(*(name for name in CHANGES if name != change))


# Part of the report → its trials; the first is what the others are compared with.
TRIALS: Mapping[str, tuple[Trial, ...]] = {
    "trials": (
        Trial("base", "the base: everything below that isn't marked *with*"),
        Trial("plain", "no augmentation at all", {"n_versions": 1, "masks": False, "mixup": 0.0}),
        Trial("no-versions", "no augmentation of the audio", {"n_versions": 1}),
        Trial("no-masks", "without masks (SpecAugment)", {"masks": False}),
        Trial("no-mixup", "without mixup", {"mixup": 0.0}),
        Trial("no-ema", "without averaged weights", {"ema": 0.0}),
        Trial("half-balance", "rare labels drawn more often, by the root", {"label_balance": 0.5}),
        Trial("label-balance", "all labels drawn equally often", {"label_balance": 1.0}),
        Trial("no-kit-balance", "kits drawn as often as they have sounds", {"kit_balance": 0.0}),
        Trial(
            "half-kit-balance",
            "sounds of large kits drawn less, by the root",
            {"kit_balance": 0.5},
        ),
        Trial("no-fold-loss", "loss on the 34 labels alone", {"fold_weight": 0.0}),
        Trial("no-smoothing", "without label smoothing", {"label_smoothing": 0.0}),
        Trial("generalised", "with generalised cross-entropy, q = 0.5", {"loss": "generalised"}),
        Trial("taught", "labels blended, half and half, with what teachers heard", {"teachers": 4}),
        Trial(
            "relabel",
            "labels that a teacher new to the sound contradicts for at least 0.9 replaced",
            {"teachers": 4, "opinion_weight": 1.0, "opinion_above": 0.9},
        ),
        Trial(
            "cepstra",
            "with the cepstrum (MFCC) beside the spectrogram",
            {"arch": "cepstral_cnn"},
        ),
        Trial("no-synthetic", "without synthesised sounds", {"n_synthetic": 0}),
        Trial("no-extra", "without melodic notes and words", extra=False),
        Trial("small-batches", "with batches of 64 in place of 128", {"batch_size": 64}),
        Trial("longer", "with twice the draws", {"epochs": 16}),
        Trial("wider", "with twice the channels", {"width": 1.0}),
    ),
    "audio": (
        Trial("three", "the base: everything below that isn't marked *with*", _audio(*CHANGES)),
        Trial(
            "envelope",
            "with loudness over time and durations beside what the convolutions hear",
            _audio(*CHANGES, arch="envelope_cnn"),
        ),
        Trial(
            "long-window",
            "with windows of 93 ms in place of 46: twice as fine in frequency",
            _audio(*CHANGES, features=dataclasses.replace(WARPED_LOG_MEL, n_fft=4_096)),
        ),
        Trial(
            "mfcc",
            "40 MFCC on an even time axis in place of the spectrogram",
            _audio(*CHANGES, features=MFCC),
        ),
        Trial(
            "even",
            "an even time axis: 98 frames of 11.6 ms",
            _audio(*CHANGES, features=LOG_MEL),
        ),
        *(Trial(f"no-{name}", f"without *{name}*", _without(name)) for name in CHANGES),
        Trial("truncate", "with *truncate*", _audio(*CHANGES, "truncate")),
        Trial("code", "with *code* (MP3)", _audio(*CHANGES, "code")),
    ),
}


def judge_sources(
    config: RunConfig,
    hold_outs: tuple[str, ...],
    *,
    folder: Path,
    cache: Path,
    networks: bool = False,
    processes: int = 1,
    progress: Progress | None = None,
) -> Judged:
    """Train `config` once for each of `hold_outs`, unless `folder` holds the outcome already.

    With `networks`, unless it holds the networks, too.

    Raises:
        UsageError: if what `folder` holds was judged on another corpus.
    """
    progress = progress or Progress()
    examples = read_corpus(config.corpus)
    parts = []
    for hold_out in hold_outs:
        run = dataclasses.replace(config, hold_out=hold_out)
        path = _kept_at(run, folder)
        if not path.is_file() or (networks and not path.with_suffix(".keras").is_file()):
            progress.say(f"{run.name}, holding out {hold_out}")
            _train_and_judge(run, path, cache, processes, progress)
        judged = _read(path)
        _check_same_sounds(judged, split(examples, hold_out)[1], path)
        parts.append(judged)
    return joined(parts)


def kept_network(
    config: RunConfig,
    hold_out: str,
    *,
    folder: Path,
    cache: Path,
    processes: int = 1,
    progress: Progress | None = None,
) -> Path:
    """The `.keras` file of `config` trained without `hold_out`; trained first if there is none."""
    judge_sources(
        config,
        (hold_out,),
        folder=folder,
        cache=cache,
        networks=True,
        processes=processes,
        progress=progress,
    )
    run = dataclasses.replace(config, hold_out=hold_out)
    return _kept_at(run, folder).with_suffix(".keras")


def joined(parts: Sequence[Judged]) -> Judged:
    """What was judged part by part, as one."""
    return Judged(
        [example for part in parts for example in part.examples],
        np.concatenate([part.probabilities for part in parts]),
        ", ".join(part.hold_out for part in parts),
        parts[0].threshold,
        [reason for part in parts for reason in part.skipped],
    )


def check_trials(names: Collection[str]) -> None:
    """Check that there are trials of these names.

    Raises:
        UsageError: if one isn't there.
    """
    known = [trial.name for trials in TRIALS.values() for trial in trials]
    for name in names:
        if name not in known:
            raise UsageError(f"no trial is called {name}", hint=", ".join(known))


def trials_of(part: str, names: Collection[str] = ()) -> list[Trial]:
    """A part's base and those of its trials that are named; all, if none are named at all."""
    base, *others = TRIALS[part]
    return [base, *(trial for trial in others if not names or trial.name in names)]


def _train_and_judge(
    config: RunConfig, path: Path, cache: Path, processes: int, progress: Progress
) -> None:
    from drumwatchd.training.artefacts import RunFiles
    from drumwatchd.training.runs import train_any
    from drumwatchd.training.train import judge_held_out

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".run.", dir=path.parent) as place:
        files = RunFiles(config.name, Path(place), Path(place))
        run = train_any(config, files, cache=cache, processes=processes, progress=progress)
        judged = judge_held_out(run)
        if judged is None:
            raise UsageError(f"nothing can be judged in {config.hold_out}", path=config.corpus)
        kept = dataclasses.asdict(judged)
        probabilities = kept.pop("probabilities")
        np.savez(files.results / path.name, judged=json.dumps(kept), probabilities=probabilities)
        files.keras.replace(path.with_suffix(".keras"))  # first: it counts with both
        (files.results / path.name).replace(path)


def _check_same_sounds(judged: Judged, held_out: Sequence[Example], path: Path) -> None:
    """Settings name no corpus: one that was changed would be judged by what was said of the old."""
    sounds, wanted = (
        {sound_of(example) for example in side} for side in (judged.examples, held_out)
    )
    unread = {Path(name).name for name, _ in judged.skipped}
    if sounds <= wanted and all(name in unread for *_, name in wanted - sounds):
        return
    hint = "take another --results, or remove it"
    raise UsageError("judged on other sounds than the corpus holds", path=str(path), hint=hint)


def _read(path: Path) -> Judged:
    with np.load(path) as file:
        kept = json.loads(str(file["judged"]))
        examples = [Example(**values) for values in kept.pop("examples")]
        skipped = [(name, reason) for name, reason in kept.pop("skipped")]
        return Judged(examples, file["probabilities"], skipped=skipped, **kept)


def _kept_at(config: RunConfig, folder: Path) -> Path:
    settings = json.dumps(settings_of(config), sort_keys=True)
    key = hashlib.sha256(settings.encode()).hexdigest()[:12]
    return folder / f"{config.name}_{key}.npz"
