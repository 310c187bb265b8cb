"""What `check-config` says of a sound configuration: what the machine makes of it today."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from drumwatchd.cli.context import judging_model
from drumwatchd.config.model import ArchiveConfig, ClassifyConfig, Config, InboxConfig
from drumwatchd.errors import ModelError


class Note(NamedTuple):
    """One remark: a ``note`` is worth knowing, a ``warning`` is worth a change."""

    level: Literal["note", "warning"]
    text: str


def notes_on(config: Config) -> list[Note]:
    """Everything worth saying about the folders and the model that `config` names."""
    notes: list[Note] = []
    for number, inbox in enumerate(config.inboxes):
        notes += _notes_on_inbox(number, inbox, config.archive)
    notes += _notes_on_archive(config.archive)
    notes += _notes_on_index(config.index.path)
    notes += _notes_on_model(config.classify)
    notes += _notes_on_adapted_models(config)
    return notes


def _notes_on_inbox(number: int, inbox: InboxConfig, archive: ArchiveConfig) -> Iterator[Note]:
    key = f"inbox[{number}].path"
    if not os.path.isdir(inbox.path):
        make = f"mkdir -p {shlex.quote(str(inbox.path))}"
        yield Note("warning", f"{key}: {inbox.path} is not there; make it: {make}")
        return
    if not os.access(inbox.path, os.R_OK | os.X_OK):
        yield Note("warning", f"{key}: {inbox.path} can't be read; let this user read it")
    elif archive.mode == "move" and not os.access(inbox.path, os.W_OK):
        text = 'can\'t be written, so moved samples stay there too; let this user write, or "copy"'
        yield Note("warning", f"{key}: {inbox.path} {text}")
    if archive.mode in ("move", "hardlink"):
        yield _way_of_filing(key, inbox.path, archive)


def _way_of_filing(key: str, inbox: Path, archive: ArchiveConfig) -> Note:
    if _device(inbox) == _device(archive.root):
        return Note("note", f"{key}: same file system as the archive, samples are linked over")
    if archive.mode == "move":
        text = "another file system than the archive, samples are copied, verified and removed"
        return Note("note", f"{key}: {text}")
    text = 'another file system than the archive, hard links can\'t work; write mode = "copy"'
    return Note("warning", f"{key}: {text}")


def _notes_on_archive(archive: ArchiveConfig) -> Iterator[Note]:
    if not os.path.isdir(archive.root):
        text = f"{archive.root} is not there yet; the daemon makes it"
        yield Note("note", f"archive.root: {text}")
    elif not os.access(archive.root, os.W_OK | os.X_OK):
        text = f"{archive.root} can't be written; let this user write there"
        yield Note("warning", f"archive.root: {text}")
    if not archive.name_template.endswith("{suffix}"):
        text = "doesn't end with {suffix}; programs may not know the files as audio"
        yield Note("warning", f"archive.name_template: {text}")


def _notes_on_index(path: Path) -> Iterator[Note]:
    if not os.path.exists(path):
        yield Note("note", f"index.path: {path} is not there yet; the daemon makes it")
    elif not os.access(path, os.R_OK | os.W_OK):
        yield Note("warning", f"index.path: {path} can't be written; let this user write it")


def _notes_on_model(classify: ClassifyConfig) -> Iterator[Note]:
    from drumwatchd.analysis.model_card import configured_model, read_card

    try:
        card = read_card(configured_model(classify.model))
    except ModelError as error:
        yield Note("warning", f"classify.model: {error}")
        return
    yield Note("note", f"classify.model: {card.id}, in {card.folder}")
    known = {*card.labels, *card.canonical_of.values()}
    if unknown := [label for label in classify.target_labels if label not in known]:
        text = f"this model never says {', '.join(unknown)}; nothing will be filed there"
        yield Note("warning", f"classify.target_labels: {text}")


def _notes_on_adapted_models(config: Config) -> Iterator[Note]:
    try:
        choice = judging_model(config)
    except ModelError:
        return  # said above
    if choice.problem is not None:
        yield Note("warning", f"retrain: {choice.problem}; {choice.card.id} judges instead")
    elif choice.card.is_adapted:
        yield Note("note", f"retrain: {choice.card.id} judges, adapted to your corrections")
    elif choice.card.is_retrained:
        yield Note("note", f"retrain: {choice.card.id} judges, trained on your corrections")


def _device(path: Path) -> int:
    """Device of `path`, or of the nearest folder above it that is there."""
    while not os.path.exists(path):
        path = path.parent
    return path.stat().st_dev
