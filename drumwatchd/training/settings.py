"""Every choice of a training run; those of the shipped one are in its `_training.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, ClassVar

from drumwatchd.analysis.model_card import FeatureSpec
from drumwatchd.errors import UsageError

LOG_MEL = FeatureSpec(
    kind="log_mel",
    sr=44_100,
    n_samples=50_000,
    n_fft=2_048,
    hop_length=512,
    warp_frames=0,
    warp_seconds=0.0,
    n_mels=64,
    n_mfcc=0,
    fmin=30.0,
    fmax=18_000.0,
    # HTK's scale spends more of 64 bands below 300 Hz, where kicks and toms differ.
    htk=True,
    top_db=80.0,
    relative=True,
    offset=40.0,
    scale=40.0,
    onset_db=-40.0,
    onset_margin=64,
    onset_search_seconds=1.0,
)
# Where drums of different makers differ least: the attack drawn large, the tail small.
WARPED_LOG_MEL = dataclasses.replace(LOG_MEL, warp_frames=64, warp_seconds=0.02)
MFCC = dataclasses.replace(
    LOG_MEL,
    kind="mfcc",
    n_mels=128,
    n_mfcc=40,
    fmin=0.0,
    fmax=22_050.0,
    htk=False,
    relative=False,
    offset=0.0,
    scale=100.0,
)
# 128 bands by 128 frames: the hop is the shortest with which the window ends within 128 frames.
SQUARE_LOG_MEL = dataclasses.replace(
    LOG_MEL,
    hop_length=391,
    n_mels=128,
    fmin=0.0,
    fmax=22_050.0,
    htk=False,
    offset=80.0,
    scale=80.0,
)
FEATURES_OF = {"residual_cnn": WARPED_LOG_MEL, "model1": MFCC, "model2": SQUARE_LOG_MEL}
REFERENCE_DESIGNS = ("model1", "model2")


CHANGES = ("speed", "saturate", "equalise", "reverberate", "crush", "noise", "shift_onset")


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Every choice of one run; written beside its weights.

    Attributes:
        name: of the run's files.
        arch: a key of `networks.NETWORKS`.
        corpus: folder with `corpus.csv` or `<Label>/…`.
        hold_out: what is never trained on; the figures are measured there (`corpus.split`).
        extra: more corpora to train on; what is held out is held out of them as well.
        n_versions: versions of each sound, the plain one included.
        changes: how versions may differ, keys of `augment.CHANGES` and ``shift_onset``.
        n_synthetic: synthesised examples per label, at most.
        width: factor on the network's channels.
        epochs: passes.
        draws: examples drawn per pass; 0 for as many as there are.
        batch_size: examples per step.
        learning_rate: at its highest, after one epoch of warm-up; falls to zero as a cosine.
        weight_decay: of AdamW.
        label_smoothing: share of the target spread over all labels.
        fold_weight: weight of the loss on the six folders and misc beside the one on the labels.
        label_balance: examples are drawn ∝ (count of their label)^-label_balance.
        kit_balance: and ∝ (size of their kit)^-kit_balance.
        correction_weight: what an owner corrected is drawn so many times as often.
        mixup: Beta parameter of mixup; 0 for none.
        masks: hide bands and frames (SpecAugment).
        loss: ``cross_entropy``, or ``generalised`` (Zhang & Sabuncu, 2018), which heeds wrong labels
            less.
        teachers: networks that are trained first, each without one of as many groups of whole sources;
            what they hear is blended into the targets (`teachers`). 0 for none.
        teacher_width: factor on their channels.
        teacher_epochs: their passes.
        opinion_weight: share of what they hear in the targets.
        opinion_above: heed only teachers who never met the sound, and only where they hold another
            folder than the label's for at least so likely; 0 to heed all, always.
        temperature: the network's logits are divided by it on export (`calibrate`).
        doubt: added to the logit of "no drum" on export.
        ema: momentum of the averaged weights, the ones that are kept; 0 for none.
        initial: `.keras` file to start from instead of random weights; empty for none.
        precision: Keras policy while training; `mixed_bfloat16` is faster where the processor has it.
        seed: of everything random.
        features: the network's input.
    """

    name: str = "drumwatchd-1"
    arch: str = "residual_cnn"
    corpus: str = ""
    extra: tuple[str, ...] = ()
    hold_out: str = "fold:1"
    n_versions: int = 12
    changes: tuple[str, ...] = CHANGES
    n_synthetic: int = 60
    width: float = 1.0
    epochs: int = 42
    draws: int = 0
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.03
    label_smoothing: float = 0.05
    fold_weight: float = 1.0
    label_balance: float = 0.0
    kit_balance: float = 0.25
    correction_weight: float = 1.0
    mixup: float = 0.3
    masks: bool = True
    loss: str = "cross_entropy"
    teachers: int = 0
    teacher_width: float = 1.5
    teacher_epochs: int = 16
    opinion_weight: float = 0.5
    opinion_above: float = 0.0
    temperature: float = 1.1
    doubt: float = 0.0
    ema: float = 0.998
    initial: str = ""
    precision: str = "float32"
    seed: int = 1
    features: FeatureSpec = field(default=WARPED_LOG_MEL)


@dataclass(frozen=True, slots=True)
class ReferenceConfig:
    """Every choice of a run of one of the reference designs; written beside its weights.

    Attributes:
        name: of the run's files.
        arch: one of `REFERENCE_DESIGNS`.
        corpus: folder with `corpus.csv` or `<Label>/…`.
        extra: more corpora to train on; what is held out is held out of them as well.
        hold_out: what is never trained on; the figures are measured there (`corpus.split`).
        batch_size: examples per step.
        epochs: at most; each of the two stages of Model 2 has as many.
        learning_rate: of Adam, at the start.
        validation_split: share of the training sounds, whole kits, that is only looked at.
        early_stopping_patience: epochs without a better validation loss after which it ends.
        reduce_lr_patience: and after which the learning rate is halved.
        seed: of everything random.
        features: the network's input.
    """

    # Plain sounds of the corpus only.
    n_versions: ClassVar[int] = 1
    changes: ClassVar[tuple[str, ...]] = ()
    n_synthetic: ClassVar[int] = 0

    name: str = "model1"
    arch: str = "model1"
    corpus: str = ""
    extra: tuple[str, ...] = ()
    hold_out: str = "fold:1"
    batch_size: int = 32
    epochs: int = 50
    learning_rate: float = 5e-4
    validation_split: float = 0.2
    early_stopping_patience: int = 5
    reduce_lr_patience: int = 3
    seed: int = 1
    features: FeatureSpec = field(default=MFCC)


RunConfig = TrainingConfig | ReferenceConfig


def config_kind(arch: str) -> type[TrainingConfig] | type[ReferenceConfig]:
    """The settings that a run of `arch` has."""
    return ReferenceConfig if arch in REFERENCE_DESIGNS else TrainingConfig


def settings_of(config: RunConfig) -> dict[str, Any]:
    """The configuration as plain values, without the paths of one machine."""
    settings = {key: value for key, value in dataclasses.asdict(config).items() if key != "corpus"}
    settings["extra"] = [PurePath(root).name for root in config.extra]
    if isinstance(config, TrainingConfig):
        settings["initial"] = PurePath(config.initial).name
    return settings


def config_from(settings: Mapping[str, Any]) -> RunConfig:
    """The configuration that `settings_of` gave.

    Raises:
        KeyError, TypeError, AttributeError: `settings` are something else.
    """
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }
    values["features"] = FeatureSpec(**settings["features"])
    return config_kind(settings["arch"])(**values)


def check_extra(config: RunConfig, given: Sequence[str]) -> None:
    """Check that `given` are folders of the corpora that `config` names: settings keep no paths.

    Raises:
        UsageError: if one is missing.
    """
    here = {PurePath(root).name for root in given}
    names = (PurePath(root).name for root in config.extra)
    missing = [name for name in names if name not in here]
    if missing:
        raise UsageError(
            f"{config.name} was also trained on {', '.join(missing)}",
            hint="name the folder of each with --extra",
        )
