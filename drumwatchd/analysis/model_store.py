"""Where models live that learned from corrections, which one judges, and what became of the others.

Two kinds: *adapted* ones share their network with the model that they were made from, and have a head
of their own; *retrained* ones have a network of their own, from which others may be adapted.

    <store>/active.json     which one judges, and which did before; absent: the configured model
    <store>/<id>/           a model folder
    <store>/<id>/standing.json   when it was made, what was measured, whether it may judge

The pointer is one small file, replaced as a whole: at any moment one model is active. Whatever can't
be used is passed over for the one that was active before it, and at last for the configured model,
so that a broken folder costs what it had learned and never the daemon. Pure Python: workers look
here for every file, the daemon and the commands read along.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from drumwatchd.analysis.model_card import CARD_NAME, ModelCard, read_card, verify_model
from drumwatchd.errors import ModelError, UsageError
from drumwatchd.files import fsync_folder, make_folders, write_atomically

State = Literal["active", "candidate", "rejected", "retired"]
Stamp = tuple[int, int, int] | None

FOLDER_NAME = "models"
POINTER_NAME = "active.json"
STANDING_NAME = "standing.json"
SCHEMA = 1
# So many former models are remembered by the pointer.
MOST_BEFORE = 20


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which model judges.

    Attributes:
        active: id of an adapted model; None for the configured one.
        before: those that were active before, the newest last.
        left: those that were gone back from.
    """

    active: str | None = None
    before: tuple[str | None, ...] = ()
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one adapted model.

    Attributes:
        made: Unix time.
        passed: it proved itself and may judge.
        reason: why, or why not.
        figures: what was measured.
        learned: what it was made of: digest → what the owner said.
    """

    made: float
    passed: bool
    reason: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    learned: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that judges now.

    Attributes:
        card: of it.
        base: of the model that its network came with: what it was adapted from, or itself.
        problem: why it isn't the one that it should be; None if it is.
    """

    card: ModelCard
    base: ModelCard
    problem: str | None = None


def store_folder(index_path: str | os.PathLike[str]) -> str:
    """Where the adapted models of an index live: beside it."""
    return os.path.join(os.path.dirname(os.path.abspath(index_path)), FOLDER_NAME)


# -- which one judges ---------------------------------------------------------------------------


def choose(store: str, configured: str) -> Choice:
    """The model that judges now: the active one if it can be used, else the next best.

    Cheap enough to be asked for every file: nothing is read while nothing has changed.

    Args:
        store: folder of the adapted models; ``""`` for none.
        configured: folder of the configured or shipped model.

    Raises:
        ModelError: not even the configured model can be used.
    """
    if not store:
        return _choose("", configured, ())
    pointer = os.path.join(store, POINTER_NAME)
    stamps = [_stamp(pointer), _stamp(os.path.join(configured, CARD_NAME))]
    if stamps[0] is not None:
        with contextlib.suppress(ModelError):
            active = read_pointer(store).active
            if active is not None:
                stamps.append(_stamp(os.path.join(store, active, CARD_NAME)))
    return _choose(store, configured, tuple(stamps))


def learned(store: str, configured: str) -> Mapping[str, str]:
    """What the model that judges now has learned, network or head: digest → what the owner said.

    Raises:
        ModelError: as `choose`.
    """
    choice = choose(store, configured)
    known: dict[str, str] = {}
    for card in (choice.base, choice.card):
        standing = _read_standing(card.folder) if card.folder.parent == Path(store) else None
        known |= {} if standing is None else standing.learned
    return known


@functools.lru_cache(maxsize=4)
def _choose(store: str, configured: str, stamps: tuple[Stamp, ...]) -> Choice:
    base = read_card(configured)
    problem = None
    for folder, error in _candidates(store, configured):
        if folder is None:
            problem = problem or str(error)
            continue
        try:
            return Choice(card := usable(folder, base), network_of(card, base), problem)
        except ModelError as found:
            problem = problem or str(found)
    verify_model(base)
    return Choice(base, base, problem)


def _candidates(store: str, configured: str) -> Iterator[tuple[Path | None, ModelError | None]]:
    """Adapted models in the order in which they should judge, up to the configured one."""
    if not store:
        return
    try:
        pointer = read_pointer(store)
    except ModelError as error:
        yield None, error
        return
    for name in (pointer.active, *reversed(pointer.before)):
        if name is None:
            return
        yield Path(store, name), None


def usable(folder: Path, base: ModelCard) -> ModelCard:
    """The card of a stored model, everything checked that can be without loading it.

    Raises:
        ModelError: it is damaged, or goes back to another network than the configured model's.
    """
    card = read_card(folder)
    if not (card.is_adapted or card.is_retrained):
        raise ModelError("not an adapted model", path=str(folder))
    if base.backbone not in (card.backbone, card.root):
        raise ModelError(
            f"made of another network than {base.id} is now",
            path=str(folder),
            hint="drumwatchd-train adapt learns anew what was corrected",
        )
    verify_model(card)
    network_of(card, base)
    return card


def network_of(card: ModelCard, configured: ModelCard) -> ModelCard:
    """The model that the network of a stored model came with; adaptations start there.

    Args:
        card: of the stored model.
        configured: of the configured model.

    Raises:
        ModelError: it is gone, or has another network now.
    """
    if card.backbone == configured.backbone:
        return configured
    if card.head is None or card.head.base is None:
        return card
    base = read_card(card.folder.parent / card.head.base)
    if base.backbone != card.backbone:
        raise ModelError("has another network now", path=str(base.folder))
    return base


def read_pointer(store: str) -> Pointer:
    """Which model should judge; the configured one where nothing says otherwise.

    Raises:
        ModelError: the pointer is damaged.
    """
    path = os.path.join(store, POINTER_NAME)
    try:
        with open(path, encoding="utf-8") as stream:
            said = json.load(stream)
        pointer = Pointer(said["active"], tuple(said["before"]), tuple(said["left"]))
        names = (pointer.active, *pointer.before, *pointer.left)
        if not all(name is None or _is_name(name) for name in names):
            raise ValueError(names)
    except FileNotFoundError:
        return Pointer()
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "drumwatchd promote ID writes a new one"
        raise ModelError("which model is active can't be read", path=path, hint=hint) from error
    return pointer


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name == os.path.basename(name) and name not in ("", ".", "..")


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


# -- what there is ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredModel:
    """One adapted model.

    Attributes:
        id: its name.
        folder: where it lies.
        state: active, candidate (it may judge, but never did), rejected or retired.
        standing: what is known of it.
    """

    id: str
    folder: Path
    state: State
    standing: Standing


def stored_models(store: str) -> list[StoredModel]:
    """Every adapted model, the oldest first."""
    try:
        names = sorted(os.listdir(store))
    except OSError:
        return []
    try:
        pointer = read_pointer(store)
    except ModelError:
        pointer = Pointer()
    found = []
    for name in names:
        standing = _read_standing(Path(store, name))
        if standing is not None and not name.startswith("."):
            found.append(
                StoredModel(name, Path(store, name), _state(name, standing, pointer), standing)
            )
    return sorted(found, key=lambda model: (model.standing.made, model.id))


def _state(name: str, standing: Standing, pointer: Pointer) -> State:
    if name == pointer.active:
        return "active"
    if name in (*pointer.before, *pointer.left):
        return "retired"
    return "candidate" if standing.passed else "rejected"


def _read_standing(folder: Path) -> Standing | None:
    try:
        said = json.loads((folder / STANDING_NAME).read_text(encoding="utf-8"))
        return Standing(
            made=float(said["made"]),
            passed=bool(said["passed"]),
            reason=str(said["reason"]),
            figures=dict(said["figures"]),
            learned={str(digest): str(label) for digest, label in said["learned"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


# -- changes ------------------------------------------------------------------------------------


@contextlib.contextmanager
def alone(store: str, *, waits: bool = False) -> Iterator[None]:
    """Keep other changes of the store away meanwhile.

    Args:
        store: its folder.
        waits: until another process has ended that changes it.

    Raises:
        UsageError: another process changes it.
    """
    try:
        make_folders(os.path.abspath(store))
        descriptor = os.open(os.path.join(store, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"adapted models can't be kept ({error.strerror})", path=store) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        yield
    except BlockingIOError as error:
        hint = "wait until it has ended"
        raise UsageError("a model is being made just now", path=store, hint=hint) from error
    finally:
        os.close(descriptor)


def add(store: str, name: str, files: Mapping[str, bytes | Path], standing: Standing) -> Path:
    """Put a model into the store; it appears whole or not at all.

    Args:
        store: its folder.
        name: the new model's id.
        files: by name: bytes, or a file to link to (or to copy, across file systems).
        standing: what is known of it.
    """
    part, folder = Path(store, f".{name}.part"), Path(store, name)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    text = json.dumps({"schema": SCHEMA, **asdict(standing)}, indent=2)
    for file, content in {**files, STANDING_NAME: text.encode()}.items():
        if isinstance(content, bytes):
            (part / file).write_bytes(content)
        else:
            _link_or_copy(content, part / file)
        descriptor = os.open(part / file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    fsync_folder(str(part))
    os.rename(part, folder)
    fsync_folder(store)
    return folder


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or another owner
        shutil.copyfile(source, target)


def promote(store: str, name: str | None) -> None:
    """Let a model judge from now on; the one that did until now is remembered.

    Args:
        store: its folder.
        name: an adapted model's id; None for the configured model.
    """
    try:
        pointer = read_pointer(store)
    except ModelError:
        pointer = Pointer()  # to write a new one is the way out
    if name != pointer.active:
        before = (*pointer.before, pointer.active)[-MOST_BEFORE:]
        _write_pointer(store, Pointer(name, before, pointer.left))


def roll_back(store: str) -> Pointer:
    """Let the model judge again that did before; what it replaces is kept, but not gone back to.

    Raises:
        UsageError: none did.
    """
    pointer = read_pointer(store)
    if not pointer.before:
        raise UsageError("there is no model to go back to", path=store)
    left = pointer.left if pointer.active is None else (*pointer.left, pointer.active)
    back = Pointer(pointer.before[-1], pointer.before[:-1], left[-MOST_BEFORE:])
    _write_pointer(store, back)
    return back


def _write_pointer(store: str, pointer: Pointer) -> None:
    said = {"schema": SCHEMA, "since": time.time(), **asdict(pointer)}
    write_atomically(os.path.join(store, POINTER_NAME), json.dumps(said) + "\n")


def prune(store: str, keep: int) -> list[str]:
    """Remove the oldest models beyond `keep`; never the active one, nor the one before it.

    Nor the retrained ones that they were adapted from.
    """
    pointer, models = read_pointer(store), stored_models(store)
    needed = {pointer.active, *pointer.before[-1:]}
    # What was made last says what has been learned already, so it stays whatever `keep` is.
    needed |= {model.id for model in models[-1:]}
    needed |= {_adapted_from(model) for model in models if model.id in needed}
    spare = [model for model in models if model.id not in needed]
    kept = len(models) - len(spare)
    gone = spare[: max(0, len(spare) + kept - keep)]
    for model in gone:
        # Its standing first: what is half removed isn't listed.
        (model.folder / STANDING_NAME).unlink(missing_ok=True)
        shutil.rmtree(model.folder, ignore_errors=True)
    return [model.id for model in gone]


def _adapted_from(model: StoredModel) -> str | None:
    with contextlib.suppress(ModelError):
        head = read_card(model.folder).head
        return None if head is None else head.base
    return None
