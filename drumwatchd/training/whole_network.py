"""From a corpus and the corrections to a network of its own: train, judge, train again, keep, promote.

Every retraining starts at the network that was configured and learns all corrections there are, as
every adaptation does: errors don't add up, and a correction that was taken back is gone.

A first network learns all but a fifth of the corrections, whole packs, and is asked about those, as the
model that judges is. If it proves better, a second one learns all of them; that is the one that judges.
What is done is kept in a working folder until the end, and a run that was killed goes on from there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drumwatchd.analysis import model_card, model_store
from drumwatchd.analysis.head import read_head
from drumwatchd.analysis.labels import FINE_LABELS
from drumwatchd.analysis.model_card import ModelCard, card_text, read_card
from drumwatchd.analysis.model_store import Standing
from drumwatchd.errors import ModelError, UsageError
from drumwatchd.files import write_atomically
from drumwatchd.index.lessons import usable_lessons
from drumwatchd.index.reader import open_reader
from drumwatchd.training.artefacts import classification_report
from drumwatchd.training.corpus import CORRECTIONS
from drumwatchd.training.evaluate import Judged
from drumwatchd.training.export import export
from drumwatchd.training.gate import Judgement
from drumwatchd.training.hearing import hear_again
from drumwatchd.training.network_judging import judge_final, judge_trial
from drumwatchd.training.network_training import DRAWS, N_MEASURED, NetworkSettings, Task, trained
from drumwatchd.training.progress import Progress
from drumwatchd.training.replay import add_to_model, make_replay
from drumwatchd.training.retrain import Report, RetrainSettings, retrain
from drumwatchd.training.settings import TrainingConfig, config_from
from drumwatchd.training.tags import learn_tags
from drumwatchd.training.taught import Taught, teach
from drumwatchd.training.train import TrainingRun, judge_held_out

FOLDER_NAME = "retrain"
_EVERYTHING = 1_000_000
KEY_DIGITS = 16
_KEY = re.compile(f"[0-9a-f]{{{KEY_DIGITS}}}")


@dataclass(frozen=True, slots=True)
class NetworkReport:
    """What a retraining came to.

    Attributes:
        model: id of the new model.
        state: active, candidate or rejected.
        reason: in one phrase.
        n_taught: corrections that it was trained on.
        n_absent: corrections whose files aren't in their place.
        n_unusable: corrections that the network couldn't hear.
        own: labels of the owner's own, which only a head can learn.
        figures: what was measured.
        head: what became of the head that knows those.
    """

    model: str
    state: str
    reason: str
    n_taught: int
    n_absent: int
    n_unusable: int
    own: tuple[str, ...]
    figures: dict[str, Any] = field(default_factory=dict)
    head: Report | None = None


def retrain_network(
    settings: NetworkSettings, adapting: RetrainSettings, now: float, progress: Progress
) -> NetworkReport:
    """Train the configured network further on a corpus and on all corrections.

    Args:
        settings: of the training.
        adapting: where index, archive and model are, and what is asked of a candidate.
        now: Unix time.
        progress: told how far it is.

    Raises:
        UsageError: there are too few corrections, the corpus can't be used, or another retraining
            is under way.
        ModelError: the configured model can't be trained further.
        IndexStoreError: the index can't be read.
    """
    base, config = _trainable(adapting.configured, settings)
    lessons, n_unusable = _heard_lessons(adapting, base, progress)
    assert base.head is not None
    assert adapting.root is not None
    head = read_head(base, base.head)
    taught = teach(lessons, base, head, adapting.root, adapting.target_labels)
    _say_what_is_taught(taught, n_unusable, progress)
    _say_what_is_missing(base, settings.extra, progress)
    _check_enough(taught, adapting.min_corrections)
    with _working_folder(settings, base, taught) as work:
        task = Task(settings, adapting, base, head, config, taught, work, progress)
        return dataclasses.replace(_retrain(task, now), n_unusable=n_unusable)


def _retrain(task: Task, now: float) -> NetworkReport:
    asked = task.taught.asked()
    count = f"{int(asked.sum())} of the {len(asked)} corrections"
    task.progress.say(f"first a network without {count}, which it is then asked about")
    run = trained(task, "trial", task.taught.part(~asked))
    judgement, learned = judge_trial(task, run, asked), task.taught.part(~asked).learned
    if judgement.passed:
        task.progress.say(f"{judgement.reason}; now one with all corrections")
        run, learned = trained(task, "final", task.taught), task.taught.learned
        judgement = judge_final(task, run, judgement)
    standing = Standing(now, judgement.passed, judgement.reason, judgement.figures, learned)
    card = _keep(task, run, standing)
    state, reason, head = _promote(task, card, judgement, now)
    return NetworkReport(
        model=card.id,
        state=state,
        reason=reason,
        n_taught=len(learned),
        n_absent=task.taught.absent,
        n_unusable=0,
        own=tuple(sorted(task.taught.own)),
        figures=dict(judgement.figures),
        head=head,
    )


# -- what there is to learn -----------------------------------------------------------------------


def _trainable(configured: Path, settings: NetworkSettings) -> tuple[ModelCard, TrainingConfig]:
    """The card of the network that is trained further, and how."""
    base = read_card(configured)
    try:
        config = config_from(
            {**base.details["training"], "features": dataclasses.asdict(base.features)}
        )
    except (KeyError, TypeError, AttributeError) as error:
        problem = "its card doesn't say how it was trained"
        raise ModelError(problem, path=str(base.folder)) from error
    labels = tuple(base.details["labels"])
    if not isinstance(config, TrainingConfig) or labels != FINE_LABELS or base.is_adapted:
        raise ModelError("this network can't be trained further", path=str(base.folder))
    if base.head is None or base.replay is None:
        hint = "drumwatchd-train replay CORPUS MODEL makes one"
        raise ModelError("it brings no head of its own", path=str(base.folder), hint=hint)
    if config.hold_out == "none":
        hint = "train it with --hold-out first"
        raise ModelError("nothing was held out of its training", path=str(base.folder), hint=hint)
    return base, dataclasses.replace(
        config,
        corpus=settings.corpus,
        extra=settings.extra,
        epochs=settings.epochs,
        draws=DRAWS,
        learning_rate=settings.learning_rate,
        teachers=0,
        precision="float32",
    )


def _heard_lessons(
    adapting: RetrainSettings, base: ModelCard, progress: Progress
) -> tuple[list[Any], int]:
    assert adapting.root is not None
    hear_again(
        adapting.index_path,
        adapting.root,
        base,
        algorithm=adapting.algorithm,
        most=_EVERYTHING,
        progress=lambda done, total: progress.step("corrected samples", done, total),
    )
    with open_reader(adapting.index_path) as reader:
        return usable_lessons(reader, base)


def _say_what_is_taught(taught: Taught, n_unusable: int, progress: Progress) -> None:
    if taught.own:
        counts = ", ".join(f"{label} {count}" for label, count in sorted(taught.own.items()))
        progress.say(f"labels of your own, which only the head can learn: {counts}")
    if taught.absent:
        progress.say(f"{taught.absent} corrected samples are not in their place and are left out")
    if n_unusable:
        progress.say(f"{n_unusable} corrections are of samples that are gone or can't be heard")


def _say_what_is_missing(base: ModelCard, extra: Sequence[str], progress: Progress) -> None:
    """Corpora that the network was trained on and now isn't; it forgets some of them."""
    here = {Path(root).name for root in extra}
    missing = [name for name in base.details["training"].get("extra", ()) if name not in here]
    if missing:
        names = ", ".join(missing)
        progress.say(f"{base.id} was also trained on {names}; name the folder of each with --extra")


def _check_enough(taught: Taught, wanted: int) -> None:
    wanted = max(2, wanted)  # a network learns some, and is asked about others
    if len(taught.lessons) < wanted:
        there = f"{len(taught.lessons)} corrections" if taught.lessons else "no corrections"
        raise UsageError(
            f"there are {there} that a network can learn from, {wanted} are wanted",
            hint="drumwatchd review says which samples to correct",
        )


@contextlib.contextmanager
def _working_folder(settings: NetworkSettings, base: ModelCard, taught: Taught) -> Iterator[Path]:
    """Where an unfinished run is kept; another one's, with other corrections, is of no use any more.

    Raises:
        UsageError: another retraining is under way.
    """
    wanted = [
        base.backbone, taught.learned, settings.corpus, settings.extra, settings.epochs,
        settings.learning_rate, settings.correction_weight, settings.most_weight,
    ]  # fmt: skip
    key = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:KEY_DIGITS]
    parent = settings.cache / FOLDER_NAME
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message, hint = "another retraining is under way", "wait until it has ended"
            raise UsageError(message, path=str(parent), hint=hint) from error
        for other in parent.iterdir():
            # The cache is a folder that somebody named: what isn't ours stays.
            if other.is_dir() and _KEY.fullmatch(other.name) and other.name != key:
                shutil.rmtree(other)
        work = parent / key
        work.mkdir(exist_ok=True)
        yield work
        shutil.rmtree(work)


# -- keeping --------------------------------------------------------------------------------------


def _keep(task: Task, run: TrainingRun, standing: Standing) -> ModelCard:
    """Export a network and put it into the store; promoted it isn't yet."""
    folder = _exported(task, run, n_corrections=len(standing.learned))
    name = read_card(folder).id
    files: dict[str, bytes | Path] = {path.name: path.read_bytes() for path in folder.iterdir()}
    with model_store.alone(task.store, waits=True):
        place = Path(task.store, name)
        if not place.exists():  # else an earlier run was killed right here
            model_store.add(task.store, name, files, standing)
        model_store.prune(task.store, task.adapting.keep)
    return model_store.usable(place, task.base)


def _exported(task: Task, run: TrainingRun, n_corrections: int) -> Path:
    folder, progress = task.work / "model", task.progress
    judged: Judged | None = judge_held_out(run)
    assert judged is not None
    export(
        run.model,
        run.config,
        folder,
        figures=classification_report(task.base.id, judged).figures,
        training=run.training,
        check_x=run.held_out_x[:N_MEASURED],
        tags=learn_tags(run, cache=task.settings.cache, progress=progress),
        confidence_threshold=task.base.confidence_threshold,
    )
    for name in (model_card.LABEL_MAPPING_NAME, model_card.CANONICAL_MAPPING_NAME):
        shutil.copyfile(task.base.folder / name, folder / name)  # a person may have edited them
    replay = make_replay(
        folder,
        [example for example in run.training if example.source != CORRECTIONS],
        run.held_out.examples,
        processes=task.settings.processes,
        progress=lambda done, total: progress.step("embeddings", done, total),
    )
    add_to_model(folder, replay)
    card = read_card(folder)
    details = {
        **card.details,
        "id": f"{task.base.id}-retrained-{card.backbone[:6]}",
        "root": task.base.backbone,
        "n_corrections": n_corrections,
    }
    write_atomically(str(folder / model_card.CARD_NAME), card_text(details))
    return folder


def _promote(
    task: Task, card: ModelCard, judgement: Judgement, now: float
) -> tuple[str, str, Report | None]:
    """Let a network judge that passed, with a head that knows the owner's own labels where there are some.

    Returns:
        Its state, the reason, and what became of that head.
    """
    if not judgement.passed:
        return "rejected", judgement.reason, None
    if not task.adapting.promotes:
        return "candidate", judgement.reason, None
    adapting, head = task.adapting, None
    assert adapting.root is not None
    task.progress.say("the new network hears what was corrected")
    hear_again(
        adapting.index_path,
        adapting.root,
        card,
        algorithm=adapting.algorithm,
        most=_EVERYTHING,
        progress=lambda done, total: task.progress.step("corrected samples, again", done, total),
    )
    if task.taught.own:
        head = retrain(dataclasses.replace(adapting, min_corrections=1), now, card)
        if head.state != "active":
            own = ", ".join(sorted(task.taught.own))
            return "candidate", f"no head was found for it that knows {own}: {head.reason}", head
        return "active", judgement.reason, head
    with model_store.alone(task.store, waits=True):
        model_store.promote(task.store, card.id)
        model_store.prune(task.store, adapting.keep)
    return "active", judgement.reason, None
