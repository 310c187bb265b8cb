"""Every choice of a training run, with the values that the shipped model was made with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from drumwatchd.analysis.model_card import FeatureSpec

LOG_MEL = FeatureSpec(
    kind="log_mel",
    sr=44_100,
    n_samples=50_000,
    n_fft=2_048,
    hop_length=512,
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
FEATURES_OF = {"residual_cnn": LOG_MEL, "model1": MFCC}


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Every choice of one run; written beside its weights.

    Attributes:
        name: of the run's files.
        arch: a key of `networks.NETWORKS`.
        corpus: folder with `corpus.csv` or `<Label>/…`.
        hold_out: what is never trained on; the figures are measured there (`corpus.split`).
        n_versions: versions of each sound, the plain one included.
        n_synthetic: synthesised examples per recipe.
        epochs: passes; one pass draws as many examples as there are.
        batch_size: examples per step.
        learning_rate: at its highest, after one epoch of warm-up; falls to zero as a cosine.
        weight_decay: of AdamW.
        label_smoothing: share of the target spread over all labels.
        fold_weight: weight of the loss on the six folders and misc beside the one on the labels.
        label_balance: examples are drawn ∝ (count of their label)^-label_balance.
        kit_balance: and ∝ (size of their kit)^-kit_balance.
        mixup: Beta parameter of mixup; 0 for none.
        ema: momentum of the averaged weights, the ones that are kept; 0 for none.
        initial: `.keras` file to start from instead of random weights; empty for none.
        precision: Keras policy while training; `mixed_bfloat16` is faster where the processor has it.
        seed: of everything random.
        features: the network's input.
    """

    name: str = "drumwatchd-1"
    arch: str = "residual_cnn"
    corpus: str = ""
    hold_out: str = "fold:1"
    n_versions: int = 10
    n_synthetic: int = 150
    epochs: int = 42
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.03
    label_smoothing: float = 0.05
    fold_weight: float = 1.0
    label_balance: float = 0.5
    kit_balance: float = 0.25
    mixup: float = 0.3
    ema: float = 0.998
    initial: str = ""
    precision: str = "float32"
    seed: int = 1
    features: FeatureSpec = field(default=LOG_MEL)
