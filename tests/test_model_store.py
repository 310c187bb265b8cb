"""Which model judges, whatever happens to the others."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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


def put_network(store: str, work: Path, made: float, *, root: str | None = None) -> str:
    """Add a retrained model: one byte of its network is another; its id."""
    base = read_card(CONFIGURED)
    shutil.copytree(CONFIGURED, work)
    damage_network(work)
    content = (work / "model.tflite").read_bytes()
    card = json.loads((work / "model.json").read_text())
    sha256 = hashlib.sha256(content).hexdigest()
    card |= {"sha256": sha256, "root": root or base.backbone}
    card |= {"id": f"{base.id}-retrained-{sha256[:6]}"}
    (work / "model.json").write_text(json.dumps(card))
    files = {path.name: path for path in work.iterdir()}
    model_store.add(store, card["id"], files, Standing(made, True, "because"))
    return str(card["id"])


def put_adapted_from(store: str, network: str, made: float) -> str:
    """Add a model that shares the network of a retrained one."""
    folder = Path(store, network)
    card = json.loads((folder / "model.json").read_text())
    name = f"{read_card(folder).family}1"
    card |= {"id": name, "head": card["head"] | {"base": network}}
    files: dict[str, bytes | Path] = {
        path.name: path for path in folder.iterdir() if path.name != "standing.json"
    }
    files["model.json"] = json.dumps(card).encode()
    model_store.add(store, name, files, Standing(made, True, "because"))
    return name


def test_a_retrained_network_judges_and_is_adapted_in_turn(store: str, tmp_path: Path) -> None:
    """Adaptations start at the network of the model that judges, whichever that is."""
    base = read_card(CONFIGURED)
    assert model_store.choose(store, CONFIGURED).base.id == base.id
    network = put_network(store, tmp_path / "network", 5)
    head = put_adapted_from(store, network, 6)
    for name, card, of in ((network, network, network), (head, head, network), ("a", "a", base.id)):
        model_store.promote(store, name)
        choice = model_store.choose(store, CONFIGURED)
        assert (choice.card.id, choice.base.id, choice.problem) == (card, of, None)


def test_what_was_adapted_from_a_network_that_is_gone_is_passed_over(
    store: str, tmp_path: Path
) -> None:
    """It could judge, but nothing could be learned any more."""
    network = put_network(store, tmp_path / "network", 5)
    model_store.promote(store, "a")
    model_store.promote(store, put_adapted_from(store, network, 6))
    remove(Path(store, network))
    choice = model_store.choose(store, CONFIGURED)
    assert choice.card.id == "a"
    assert network in str(choice.problem)


def test_a_network_that_goes_back_to_another_one_is_passed_over(store: str, tmp_path: Path) -> None:
    """As when drumwatchd brings a new one: it was trained further from the old one."""
    model_store.promote(store, put_network(store, tmp_path / "network", 5, root="another"))
    choice = model_store.choose(store, CONFIGURED)
    assert choice.card.id == shipped_model().name
    assert "another network" in str(choice.problem)


def test_networks_stay_while_something_adapted_from_them_does(store: str, tmp_path: Path) -> None:
    """However old they are."""
    network = put_network(store, tmp_path / "network", -1)
    head = put_adapted_from(store, network, 6)
    model_store.promote(store, head)
    assert model_store.prune(store, 1) == ["a", "b", "c"]
    assert set(states(store)) == {network, head}


def test_the_id_of_a_retrained_network_tells_its_embeddings(store: str, tmp_path: Path) -> None:
    """No date is needed: no other network has that id, nor what is adapted from it."""
    base = read_card(CONFIGURED)
    network = read_card(Path(store, put_network(store, tmp_path / "network", 5)))
    head = network.id + "-1"
    assert head.startswith(network.family)
    for judged in (network.id, head):
        assert network.has_heard(judged, 1.0, None)
        assert not base.has_heard(judged, 1.0, "0.0")
    for judged in (base.id, f"{base.family}1"):
        assert not network.has_heard(judged, 1.0, "0.0")


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


def test_who_waits_gets_its_turn(store: str) -> None:
    """Hours of training don't end because a timer looks for something to learn just then."""
    with ThreadPoolExecutor() as pool:
        with model_store.alone(store):
            with pytest.raises(UsageError, match="just now"), model_store.alone(store):
                pass

            def wait() -> str:
                with model_store.alone(store, waits=True):
                    return "mine"

            waiting = pool.submit(wait)
            assert not waiting.done()
        assert waiting.result(30) == "mine"


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
