"""Which model judges, whatever happens to the others."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import drums
from drumwatchd.analysis import model_store
from drumwatchd.analysis.analyse import analyse
from drumwatchd.analysis.head import Head
from drumwatchd.analysis.model_card import read_card, shipped_model
from drumwatchd.analysis.model_store import Standing
from drumwatchd.analysis.settings import AnalysisSettings
from drumwatchd.errors import ModelError, UsageError
from lessons import shipped_head
from test_head import adapted

CONFIGURED = str(shipped_model())
FILES = ("model.json", "label_mapping.json", "canonical_mapping.json")


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store with the models a, b and c, none of them active."""
    folder = str(tmp_path / "models")
    os.mkdir(folder)
    for made, name in enumerate("abc"):
        put(folder, tmp_path / "work" / name, name, made)
    return folder


def put(
    store: str,
    work: Path,
    name: str,
    made: float,
    *,
    passed: bool = True,
    head: Head | None = None,
) -> None:
    """Add an adapted model that hears as the shipped one, or by `head`."""
    source = adapted(work, head or shipped_head(), id=name)
    files: dict[str, bytes | Path] = {file: (source / file).read_bytes() for file in FILES}
    files |= {"head.npz": (source / "head.npz").read_bytes()}
    files |= {"model.tflite": shipped_model() / "model.tflite"}
    with model_store.alone(store):
        model_store.add(store, name, files, Standing(float(made), passed, "because"))


def judges(store: str) -> str:
    return model_store.choose(store, CONFIGURED).card.id


def states(store: str) -> dict[str, str]:
    return {model.id: model.state for model in model_store.stored_models(store)}


def test_where_nothing_is_said_the_configured_model_judges(store: str, tmp_path: Path) -> None:
    """No store, an empty one, and one whose models nobody promoted."""
    for folder in ("", str(tmp_path / "none"), store):
        choice = model_store.choose(folder, CONFIGURED)
        assert (choice.card.id, choice.problem) == (shipped_model().name, None)


def test_promotions_can_be_taken_back(store: str) -> None:
    """One by one, down to the configured model, and no further."""
    for name in ("a", "b", None, "c"):
        model_store.promote(store, name)
    assert states(store) == {"a": "retired", "b": "retired", "c": "active"}
    gone_back = []
    for _ in range(4):
        model_store.roll_back(store)
        gone_back.append(judges(store))
    assert gone_back == [shipped_model().name, "b", "a", shipped_model().name]
    assert set(states(store).values()) == {"retired"}
    with pytest.raises(UsageError, match="no model to go back to"):
        model_store.roll_back(store)


def test_what_is_active_already_is_no_promotion(store: str) -> None:
    """Else a rollback would lead to the same model."""
    model_store.promote(store, "a")
    model_store.promote(store, "a")
    assert model_store.read_pointer(store).before == (None,)


def test_a_model_that_failed_is_rejected(store: str, tmp_path: Path) -> None:
    """Until somebody promotes it all the same."""
    put(store, tmp_path / "work" / "d", "d", 9, passed=False)
    assert states(store)["d"] == "rejected"
    model_store.promote(store, "d")
    assert states(store)["d"] == "active"


def damage_head(folder: Path) -> None:
    (folder / "head.npz").write_bytes(b"not a head")


def damage_network(folder: Path) -> None:
    path = folder / "model.tflite"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.unlink()  # it is a link to everybody's
    path.write_bytes(content)


def damage_card(folder: Path) -> None:
    (folder / "model.json").write_text("{")


def remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def of_another_network(folder: Path) -> None:
    damage_network(folder)
    card = json.loads((folder / "model.json").read_text())
    card["sha256"] = hashlib.sha256((folder / "model.tflite").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    "damage", [damage_head, damage_network, damage_card, remove, of_another_network]
)
def test_a_broken_model_is_passed_over(
    damage: Callable[[Path], None], store: str, tmp_path: Path
) -> None:
    """The one before it judges on, at last the configured one; what is wrong is said."""
    model_store.promote(store, "a")
    model_store.promote(store, "b")
    damage(Path(store, "b"))
    choice = model_store.choose(store, CONFIGURED)
    assert choice.card.id == "a"
    assert choice.problem is not None
    assert os.path.join(store, "b") in choice.problem
    damage(Path(store, "a"))
    model_store.promote(store, "c")
    remove(Path(store, "c"))
    assert judges(store) == shipped_model().name
    path = drums.write(tmp_path / "kick.wav", "kick")
    settings = AnalysisSettings(CONFIGURED, store=store)
    assert analyse(path, settings).model == shipped_model().name


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"active": "../x", "before": [], "left": []}', '{"active": 3}']
)
def test_a_damaged_pointer_points_nowhere(text: str, store: str) -> None:
    """The configured model judges, and it is said; a promotion writes a new one."""
    Path(store, "active.json").write_text(text)
    choice = model_store.choose(store, CONFIGURED)
    assert choice.card.id == shipped_model().name
    assert "active.json" in str(choice.problem)
    model_store.promote(store, "a")
    assert judges(store) == "a"


def test_without_a_configured_model_nothing_judges(store: str, tmp_path: Path) -> None:
    """An adapted one is no stand-in: nobody could say whether it fits."""
    model_store.promote(store, "a")
    with pytest.raises(ModelError, match="no model folder"):
        model_store.choose(store, str(tmp_path / "none"))


def test_a_worker_takes_the_new_model_between_two_files(store: str, tmp_path: Path) -> None:
    """In one process, without being told; and the old one, where the new one is broken."""
    path = drums.write(tmp_path / "kick.wav", "kick")
    settings = AnalysisSettings(CONFIGURED, store=store)
    heard = [analyse(path, settings)]
    model_store.promote(store, "a")
    heard.append(analyse(path, settings))
    damage_head(Path(store, "b"))
    model_store.promote(store, "b")
    heard.append(analyse(path, settings))
    model_store.roll_back(store)
    model_store.roll_back(store)
    heard.append(analyse(path, settings))
    assert [analysis.model for analysis in heard] == [
        read_card(CONFIGURED).id,
        "a",
        "a",
        read_card(CONFIGURED).id,
    ]
    assert {analysis.verdict.label for analysis in heard} == {"Kick"}
    assert len({analysis.embedding for analysis in heard}) == 1


def test_to_choose_is_cheap(store: str) -> None:
    """A thousand files cost less than one network."""
    model_store.promote(store, "a")
    judges(store)
    started = time.monotonic()
    for _ in range(1000):
        judges(store)
    assert time.monotonic() - started < 1.0


def test_old_models_are_removed(store: str, tmp_path: Path) -> None:
    """The oldest first, down to `keep`; never the active one, the one before it, or the newest."""
    put(store, tmp_path / "work" / "d", "d", 9, passed=False)
    model_store.promote(store, "a")
    assert model_store.prune(store, 4) == []
    assert model_store.prune(store, 3) == ["b"]
    assert model_store.prune(store, 1) == ["c"]
    assert states(store) == {"a": "active", "d": "rejected"}


def test_a_promotion_is_whole_whenever_it_is_killed(store: str) -> None:
    """SIGKILL at any moment leaves a model that can be used, the old one or the new one."""
    script = (
        "import itertools, sys; from drumwatchd.analysis import model_store as m\n"
        "print(flush=True)\n"
        "for name in itertools.cycle(['a', 'b', 'c', None]): m.promote(sys.argv[1], name)\n"
    )
    model_store.promote(store, "a")
    for attempt in range(25):
        with subprocess.Popen(
            [sys.executable, "-c", script, store], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.0007 * attempt)
            process.send_signal(signal.SIGKILL)
        choice = model_store.choose(store, CONFIGURED)
        assert choice.problem is None
        assert choice.card.id in {"a", "b", "c", shipped_model().name}


def test_a_model_appears_whole_whenever_it_is_killed(store: str, tmp_path: Path) -> None:
    """What is listed can be used; what was begun isn't listed, and is in nobody's way."""
    script = (
        "import itertools, sys; from pathlib import Path; "
        "from drumwatchd.analysis import model_store as m\n"
        "source, store, n = Path(sys.argv[1]), sys.argv[2], sys.argv[3]\n"
        "files = {p.name: p for p in source.iterdir() if p.name != 'standing.json'}\n"
        "print(flush=True)\n"
        "for i in itertools.count(): m.add(store, f'{n}-{i}', files, m.Standing(1.0, True, ''))\n"
    )
    base = read_card(CONFIGURED)
    for attempt in range(12):
        command = [sys.executable, "-c", script, os.path.join(store, "a"), store, f"n{attempt}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.002 * attempt)
            process.send_signal(signal.SIGKILL)
        for model in model_store.stored_models(store):
            model_store.usable(model.folder, base)
    put(store, tmp_path / "work" / "z", "z", 99)
    assert "z" in states(store)
