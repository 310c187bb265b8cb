"""Corpora, augmentation and the feature cache; no TensorFlow."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import drums
from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.errors import AnalysisCrashError, UsageError
from drumwatchd.training import augment
from drumwatchd.training.corpus import (
    Example,
    read_corpus,
    sound_of,
    source_groups,
    split,
    thin_labels,
    unit_of,
)
from drumwatchd.training.evaluate import calibration_error, measure, report
from drumwatchd.training.feature_cache import FeatureSet, cached_features, synthetic_examples
from drumwatchd.training.preparation import apart
from drumwatchd.training.settings import CHANGES
from test_features import LOG_MEL


def write_tree(root: Path, kinds: tuple[str, ...] = ("kick", "snare"), n_kits: int = 6) -> Path:
    """A labelled tree of synthesised drums: <Label>/<kit>/<kind>.wav."""
    for kit in range(n_kits):
        for kind in kinds:
            label = drums.FINE_LABEL_OF[kind]
            drums.write(root / label / f"kit {kit}" / f"{kind}.wav", kind, seed=kit)
    return root


def test_a_tree_of_labels_is_read(tmp_path: Path) -> None:
    """The folder is the label, the one below it the kit; other files are left alone."""
    write_tree(tmp_path / "c")
    (tmp_path / "c" / "Kick" / "kit 0" / "readme.txt").write_text("hello")
    examples = read_corpus(tmp_path / "c")
    assert len(examples) == 12
    assert {e.label for e in examples} == {"Kick", "Snare"}
    assert {e.kit for e in examples} == {f"kit {n}" for n in range(6)}
    assert read_corpus(tmp_path / "c") == examples


def test_files_without_a_kit_are_split_one_by_one(tmp_path: Path) -> None:
    """Files right under a label share no kit, so any fold may be held out."""
    for seed in range(9):
        drums.write(tmp_path / "Kick" / f"{seed}.wav", "rim", seed=seed)
    examples = read_corpus(tmp_path)
    assert len({e.kit for e in examples}) == 9
    for fold in range(5):
        split(examples, f"fold:{fold}")


def test_a_table_is_read(tmp_path: Path) -> None:
    """`corpus.csv` names paths relative to itself, with source, kit and fold."""
    (tmp_path / "corpus.csv").write_text(
        "path,source,kit,label,fold\na/b.flac,maker,kit,Kick,3\nc.flac,maker,other,Tom,\n"
    )
    first, second = read_corpus(tmp_path)
    assert first == Example(str(tmp_path / "a/b.flac"), "Kick", "maker", "kit", 3)
    assert 0 <= second.fold < 5


def test_a_table_may_say_more_than_the_label(tmp_path: Path) -> None:
    """The detail of a label is read; with or without it, it is the same example."""
    rows = "path,source,kit,label,fold"
    (tmp_path / "corpus.csv").write_text(f"{rows}\na.flac,maker,kit,Hihat,3\n")
    (plain,) = read_corpus(tmp_path)
    (tmp_path / "corpus.csv").write_text(f"{rows},detail\na.flac,maker,kit,Hihat,3,hihat_open\n")
    (detailed,) = read_corpus(tmp_path)
    assert (plain.detail, detailed.detail) == ("", "hihat_open")
    assert plain == detailed


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"path,label,fold\na.wav,Kick,first\n", "line 2 can't be read"),
        (b"path,label\n\xff\xfe.wav,Kick\n", "can't be read"),
        (b"path,label\na.wav\n", "label is missing"),
        (b"path\na.wav\n", "columns missing: label"),
        (b"", "columns missing"),
    ],
)
def test_a_table_that_cannot_be_read_says_where(table: bytes, message: str, tmp_path: Path) -> None:
    """No traceback for a slip in a spreadsheet."""
    (tmp_path / "corpus.csv").write_bytes(table)
    with pytest.raises(UsageError, match=message):
        read_corpus(tmp_path)


def test_an_unknown_label_names_the_nearest(tmp_path: Path) -> None:
    """A typo is an error that says what was probably meant."""
    drums.write(tmp_path / "Snair" / "a.wav", "snare")
    with pytest.raises(UsageError, match=r"Snair \(nearest: Snare\)"):
        read_corpus(tmp_path)


def test_an_empty_corpus_is_an_error(tmp_path: Path) -> None:
    """Nothing to train on is said, with what a corpus looks like."""
    with pytest.raises(UsageError, match="no labelled sounds"):
        read_corpus(tmp_path)


def test_a_kit_never_stands_on_both_sides(tmp_path: Path) -> None:
    """Folds are by kit, across labels; a table that breaks that is refused."""
    examples = read_corpus(write_tree(tmp_path))
    for fold in range(5):
        training, held_out = split(examples, f"fold:{fold}")
        assert len(training) + len(held_out) == len(examples)
        assert not {e.kit for e in training} & {e.kit for e in held_out}
    torn = [Example("a", "Kick", "s", "k", 0), Example("b", "Kick", "s", "k", 1)]
    with pytest.raises(UsageError, match="both sides"):
        split(torn, "fold:1")


def test_where_a_corpus_stands_does_not_matter(tmp_path: Path) -> None:
    """A corpus that was moved is found in the cache, and parted at random as before."""
    parted, caches = [], []
    for place in ("here", "there"):
        examples = read_corpus(write_tree(tmp_path / place / "corpus"))
        for example in examples:
            os.utime(example.path, ns=(10**18, 10**18))
        cached_features(examples, LOG_MEL, n_versions=1, seed=1, folder=tmp_path / "cache")
        parted.append([sound_of(e) for e in split(examples, "random:0/5")[1]])
        caches.append(sorted(path.name for path in (tmp_path / "cache").glob("*.npy")))
    assert parted[0] == parted[1]
    assert caches[0] == caches[1]


def test_whole_sources_are_held_out() -> None:
    """Groups of sources part the corpus, none stands on both sides, and each sound is in one."""
    examples = [
        Example(f"{source}{n}", label, f"s{source}", f"k{n}", n % 5)
        for source in range(9)
        for n, label in enumerate(["Kick", "Snare", "Ride", "Kick"])
    ]
    groups = [split(examples, f"sources:{number}/3")[1] for number in range(3)]
    assert sorted(e.path for group in groups for e in group) == sorted(e.path for e in examples)
    for number, group in enumerate(groups):
        assert len({e.source for e in group}) == 3
        training, _ = split(examples, f"sources:{number}/3")
        assert not {e.source for e in training} & {e.source for e in group}
    assert source_groups(reversed(examples), 3) == source_groups(examples, 3)


def test_several_parts_are_held_out_together() -> None:
    """What any of them names; more corpora lose their kits, and where sources go, their sources."""
    examples = [
        Example(f"{source}{kit}", "Kick", f"s{source}", f"k{source}{kit}", kit)
        for source in range(4)
        for kit in range(3)
    ]
    training, held_out = split(examples, "fold:1+sources:2/4")
    groups = source_groups(examples, 4)
    assert {e.path for e in held_out} == {
        e.path for e in examples if e.fold == 1 or groups[e.source] == 2
    }
    assert len(training) + len(held_out) == len(examples)
    more = [*examples, Example("x", "FX", "other", "k", -1)]
    assert apart(more, examples, "fold:1+sources:2/4") == [*training, more[-1]]


def test_a_maker_of_machines_is_a_unit() -> None:
    """In collections of machines the maker is held out, however the collection writes it."""
    written = [
        ("gh-147-drum-machines", "Roland TR-808"),
        ("gh-tidal-drum-machines", "RolandTR909"),
        ("gh-147-drum-machines", "MXR 185"),
        ("gh-muldjordkit", "Roland"),
    ]
    units = [unit_of(Example("a", "Kick", source, kit, 0)) for source, kit in written]
    assert units == ["maker roland", "maker roland", "maker mxr", "gh-muldjordkit"]


@pytest.mark.parametrize("hold_out", ["fold:x", "sources:4/4", "sources:1", "random", "all", ""])
def test_what_to_hold_out_must_be_said_plainly(hold_out: str) -> None:
    """Anything else than the four ways is an error that shows them."""
    with pytest.raises(UsageError, match="can't hold out") as error:
        split([Example("a", "Kick", "s", "k", 0)], hold_out)
    assert "sources:0/4" in str(error.value)


def test_thin_labels_are_counted(tmp_path: Path) -> None:
    """Labels with few examples, or none, are told with their counts."""
    thin = thin_labels(read_corpus(write_tree(tmp_path, n_kits=3)), wanted=3)
    assert "Kick" not in thin
    assert thin["Metal"] == 0


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([*augment.CHANGES, "all", "shift_onset", "reverse"]),
    st.sampled_from(drums.KINDS),
    st.integers(0, 99),
    st.integers(1, 9_000),
)
def test_augmentation_gives_sound_from_sound(change: str, kind: str, seed: int, n: int) -> None:
    """Every change is finite, float32, not empty, and repeats with its seed, at any length."""
    y = drums.synthesise(kind)[:n]
    makers = {name: make for name, (_, make) in augment.CHANGES.items()} | {
        "all": lambda *given: augment.augment(*given, tuple(augment.CHANGES)),
        "shift_onset": augment.shift_onset,
        "reverse": augment.reverse,
    }
    made = [makers[change](y, 44_100, np.random.default_rng(seed)) for _ in range(2)]
    np.testing.assert_array_equal(made[0], made[1])
    assert made[0].dtype == np.float32
    assert np.isfinite(made[0]).all()


@pytest.mark.parametrize("semitones", [-4.0, 0.0, 3.0])
def test_speed_changes_length_and_pitch_together(semitones: float) -> None:
    """Slower is longer, by the ratio of the interval."""
    y = drums.synthesise("tom")
    made = augment.speed(y, semitones)
    assert made.size / y.size == pytest.approx(2 ** (-semitones / 12), rel=0.01)


def test_augmented_versions_differ(tmp_path: Path) -> None:
    """Version 0 is the plain sound, the others are others; the cache repeats itself."""
    examples = read_corpus(write_tree(tmp_path / "c", n_kits=2))
    made = cached_features(
        examples, LOG_MEL, n_versions=3, changes=CHANGES, seed=1, folder=tmp_path / "cache"
    )
    assert made.x.shape == (4, 3, *LOG_MEL.shape)
    assert np.isfinite(made.x).all()
    assert np.abs(made.x[:, 0] - made.x[:, 1]).max() > 0.1
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    examples = [dataclasses.replace(example, detail="known since") for example in examples]
    again = cached_features(
        examples, LOG_MEL, n_versions=3, changes=CHANGES, seed=1, folder=tmp_path / "cache"
    )
    np.testing.assert_array_equal(made.x, again.x)
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}


def test_a_killed_computation_goes_on_from_its_last_block(tmp_path: Path) -> None:
    """What was finished before isn't computed again, and the features are the same."""
    examples = synthetic_examples([], 9)
    seen: list[int] = []

    def features(folder: str, stop: int | None = None) -> np.ndarray:
        def progress(done: int, total: int) -> None:
            seen.append(done)
            if done == stop:
                raise KeyboardInterrupt

        place = tmp_path / folder
        return cached_features(
            examples, LOG_MEL, n_versions=1, seed=1, folder=place, progress=progress
        ).x

    with pytest.raises(KeyboardInterrupt):
        features("killed", stop=280)
    seen.clear()
    resumed = features("killed")
    assert seen[0] == 257
    np.testing.assert_array_equal(resumed, features("whole"))


def test_unreadable_files_are_listed_and_left_out(tmp_path: Path) -> None:
    """A damaged file costs itself, nothing else."""
    write_tree(tmp_path / "c", n_kits=2)
    bad = tmp_path / "c" / "Kick" / "kit 1" / "bad.wav"
    bad.write_bytes(b"not audio")
    examples = read_corpus(tmp_path / "c")
    made = cached_features(examples, LOG_MEL, n_versions=1, seed=1, folder=tmp_path / "cache")
    assert len(made.x) == len(made.examples) == len(examples) - 1
    assert [path for path, _ in made.skipped] == [str(bad)]


def test_a_file_that_was_changed_is_heard_again(tmp_path: Path) -> None:
    """A repaired or replaced sound isn't taken for what it was; a deleted array is made again."""
    write_tree(tmp_path / "c", n_kits=2)
    path = tmp_path / "c" / "Kick" / "kit 0" / "kick.wav"
    whole = path.read_bytes()
    examples = read_corpus(tmp_path / "c")

    def features() -> FeatureSet:
        return cached_features(examples, LOG_MEL, n_versions=1, seed=1, folder=tmp_path / "cache")

    first = features()
    path.write_bytes(b"not audio")
    damaged = features()
    assert [name for name, _ in damaged.skipped] == [str(path)]
    # What is left lies in the file without a gap, mapped and not copied.
    assert isinstance(damaged.x, np.memmap)
    np.testing.assert_array_equal(damaged.x, first.x[1:])
    path.write_bytes(whole)
    np.testing.assert_array_equal(features().x, first.x)
    for array in (tmp_path / "cache").glob("*.npy"):
        array.unlink()
    np.testing.assert_array_equal(features().x, first.x)


def test_a_process_that_dies_is_said(tmp_path: Path) -> None:
    """The system kills for want of memory; what was done until then is kept."""
    examples = synthetic_examples([], 12)

    def kill(done: int, total: int) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(AnalysisCrashError, match="fewer --processes"):
        cached_features(
            *(examples, LOG_MEL),
            n_versions=1,
            seed=1,
            folder=tmp_path,
            processes=2,
            progress=kill,
        )


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """Before anything is computed: a mapped file that can't grow would end the process."""
    examples = synthetic_examples([], 9)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(UsageError, match=r"no room for features.*MB are needed"):
            cached_features(examples, LOG_MEL, n_versions=1, seed=1, folder=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_labels_without_sounds_are_synthesised(tmp_path: Path) -> None:
    """The drum machine and reversed cymbals stand in where too few files do."""
    examples = read_corpus(write_tree(tmp_path / "c", ("crash", "kick"), n_kits=4))
    made = synthetic_examples(examples, 2)
    assert {e.label for e in made} == set(FINE_LABELS)
    assert sum(e.path.startswith("reverse:") for e in made) == 2
    features = cached_features(made, LOG_MEL, n_versions=1, seed=1, folder=tmp_path / "cache")
    assert len(features.x) == 2 * len(FINE_LABELS) + 2
    assert not features.skipped


def test_figures_of_a_perfect_and_of_a_blind_judge() -> None:
    """All right is 1 everywhere; always the same answer is right for its share."""
    examples = [
        Example("", label, "s", str(number % 3), 0) for number, label in enumerate(FINE_LABELS)
    ]
    perfect = measure(np.eye(34, dtype=np.float32), examples)
    assert perfect.accuracy == perfect.fine_accuracy == perfect.kit_accuracy == 1.0
    assert perfect.calibration_error == pytest.approx(0.0)
    blind = np.zeros((34, 34), np.float32)
    blind[:, FINE_LABELS.index("Kick")] = 1.0
    figures = measure(blind, examples)
    assert figures.accuracy == pytest.approx(1 / 34)
    assert figures.recall["Kick"] == 1.0
    assert figures.misc_recall == 0.0
    assert "averaged over kits" in report(figures)


def test_accuracy_over_kits_weighs_each_kit_alike() -> None:
    """A kit with one sound counts as much as one with nine."""
    examples = [Example("", "Kick", "s", "big", 0)] * 9 + [Example("", "Snare", "s", "small", 0)]
    kick = np.zeros((10, 34), np.float32)
    kick[:, FINE_LABELS.index("Kick")] = 1.0
    figures = measure(kick, examples)
    assert (figures.accuracy, figures.kit_accuracy) == (pytest.approx(0.9), pytest.approx(0.5))


def test_calibration_error_is_the_gap() -> None:
    """Nine tenths sure and half right is off by four tenths."""
    confidence = np.full(100, 0.9, np.float32)
    right = np.arange(100) % 2 == 0
    assert calibration_error(confidence, right) == pytest.approx(0.4, abs=1e-6)
