"""Teachers: who they are, what they hear, and what a student learns of it. Real, small networks."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import drums
from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.errors import UsageError
from drumwatchd.training.corpus import read_corpus, split, unit_of
from drumwatchd.training.settings import TrainingConfig

pytestmark = [
    pytest.mark.train,
    # Keras hands TensorFlow's tensors to numpy 2 the way of numpy 1.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

KINDS = ("kick", "snare", "hat")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainingConfig:
    """Settings of a small run on four sources, one of which is held out."""
    root = tmp_path_factory.mktemp("teachers")
    with (root / "corpus.csv").open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["path", "label", "source", "kit"])
        for source in range(4):
            for kind in KINDS:
                name = f"{source}-{kind}.wav"
                drums.write(root / name, kind, seed=source)
                rows.writerow([name, drums.FINE_LABEL_OF[kind], f"source {source}", f"k{source}"])
    return TrainingConfig(
        corpus=str(root), hold_out="sources:0/4", n_versions=2, n_synthetic=0, width=0.1,
        epochs=1, batch_size=4, teachers=4, teacher_width=0.1, teacher_epochs=1,
    )  # fmt: skip


def opinions(config: TrainingConfig) -> dict[str, np.ndarray]:
    """What the teachers of `config` hear, by path."""
    from drumwatchd.training.teachers import opinions_for

    heard = opinions_for(config, cache=Path(config.corpus) / "cache")
    return {example.path: opinion for example, opinion in heard.items()}


def test_a_student_hears_of_every_version_of_what_it_learns_from(config: TrainingConfig) -> None:
    """And of nothing else; a teacher that was trained once isn't trained again."""
    heard = opinions(config)
    training, _ = split(read_corpus(config.corpus), config.hold_out)
    assert set(heard) == {example.path for example in training}
    for opinion in heard.values():
        assert opinion.shape == (2, len(FINE_LABELS))
        np.testing.assert_allclose(opinion.sum(axis=1), 1.0, atol=2e-3)
    kept = {p: p.stat().st_mtime_ns for p in Path(config.corpus).glob("cache/teachers/*/*")}
    assert len([path for path in kept if path.suffix == ".keras"]) == 3
    opinions(config)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_no_teacher_meets_what_is_held_out(config: TrainingConfig) -> None:
    """Each also goes without one more group; two runs share the one that goes without both."""
    from drumwatchd.training.teachers import teachers_of

    examples = read_corpus(config.corpus)
    for one in teachers_of(config):
        training, held_out = split(examples, one.hold_out)
        assert len({unit_of(example) for example in training}) == 2
        assert {e.path for e in split(examples, config.hold_out)[1]} < {e.path for e in held_out}
    others = teachers_of(replace(config, hold_out="sources:2/4"))
    assert set(teachers_of(config)) & set(others)


def test_who_never_met_a_sound_contradicts_its_label(config: TrainingConfig) -> None:
    """Where only contradictions count, only the teacher that went without the sound is asked."""
    from drumwatchd.training.teachers import teacher, teachers_of

    cache = Path(config.corpus) / "cache"
    alone = opinions(replace(config, opinion_above=0.9))
    together = opinions(config)
    assert set(alone) == set(together)
    for one in teachers_of(config):
        heard = teacher(one, cache=cache)
        assert len(heard.rows) == len(heard.met) == 12
        for (*_, name, _recipe), row in heard.rows.items():
            path = str(Path(config.corpus) / name)
            if path in alone and not heard.met[row]:
                np.testing.assert_array_equal(alone[path], heard.probabilities[row])


def test_a_student_is_trained(config: TrainingConfig, tmp_path: Path) -> None:
    """Its record says that it had teachers."""
    from drumwatchd.training.artefacts import RunFiles
    from drumwatchd.training.runs import train_any

    files = RunFiles("student", tmp_path, tmp_path)
    run = train_any(replace(config, name="student"), files, cache=Path(config.corpus) / "cache")
    assert np.isfinite(run.history["loss"]).all()
    assert '"teachers": 4' in files.config.read_text()


def test_too_few_sources_are_said(tmp_path: Path) -> None:
    """A teacher that goes without one of one source would learn from nothing."""
    for kit in range(4):
        for kind in KINDS:
            drums.write(tmp_path / drums.FINE_LABEL_OF[kind] / f"k{kit}" / "a.wav", kind, seed=kit)
    with pytest.raises(UsageError, match=r"4 teachers need as many sources.*there are 1"):
        opinions(TrainingConfig(corpus=str(tmp_path), hold_out="none", teachers=4))
