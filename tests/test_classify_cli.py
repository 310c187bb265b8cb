"""`classify`: the contract that other programs rely on."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import drums
from drumwatchd.analysis.labels import CANONICAL_LABELS, FINE_LABELS, MISC
from drumwatchd.analysis.model_card import shipped_model
from drumwatchd.cli.classify import list_files

pytestmark = pytest.mark.e2e


def classify(folder: Path, *arguments: str | Path, code: int = 0, text: bool = False) -> list[Any]:
    """Run the command where there is no configuration; return its records or lines."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DRUMWATCHD_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-m", "drumwatchd", "classify", *arguments, *([] if text else ["--json"])],
        capture_output=True,
        cwd=folder,
        env={**environment, "HOME": str(folder), "PYTHONPATH": str(Path(__file__).parent.parent)},
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr.decode()
    lines = done.stdout.splitlines()
    return [line if text else json.loads(line) for line in lines]


def configure(folder: Path, line: str) -> None:
    """Write a configuration for `classify`, with one line on how to judge."""
    settings = folder / ".config" / "drumwatchd" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        '[[inbox]]\npath = "/in"\n[archive]\nroot = "/out"\n[index]\npath = "/index"\n'
        f"[classify]\n{line}\n"
    )


def test_a_record_says_what_the_contract_says(tmp_path: Path) -> None:
    """Label, folded, fine, confidence, seven probabilities and the top of 34."""
    drums.write(tmp_path / "kick.wav", "kick")
    (record,) = classify(tmp_path, "kick.wav")
    assert (record["schema"], record["path"]) == (1, "kick.wav")
    assert (record["label"], record["folded"]) == ("Kick", "Kick")
    assert record["fine"] in FINE_LABELS
    assert set(record["probabilities"]) == {*CANONICAL_LABELS, MISC}
    assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert record["confidence"] == record["probabilities"]["Kick"]
    assert len(record["top"]) == 3
    assert record["top"][0]["label"] == record["fine"]


def test_the_text_says_why_a_file_would_go_to_misc(tmp_path: Path) -> None:
    """A loop is named as one; of what has a folder nothing more is said."""
    kick = np.pad(drums.synthesise("kick"), (0, 11_025))
    soundfile.write(tmp_path / "kick.wav", kick, 44_100)
    soundfile.write(tmp_path / "loop.wav", np.tile(kick, 6), 44_100)
    once, loop = classify(tmp_path, "kick.wav", "loop.wav", text=True)
    assert once.endswith(b")")
    assert loop.startswith(b"misc ")
    assert loop.endswith(b"); a loop: 6 hits in 5.1 s")


def test_folders_are_searched_and_the_order_is_the_arguments(tmp_path: Path) -> None:
    """Each folder in name order; other files are passed over."""
    for name in ("b/2.wav", "b/1.flac", "a.ogg", "b/deep/3.aiff"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        drums.write(tmp_path / name, "snare", seed=len(name))
    (tmp_path / "b" / "notes.txt").write_text("no audio")
    records = classify(tmp_path, "b", "a.ogg")
    assert [r["path"] for r in records] == ["b/1.flac", "b/2.wav", "b/deep/3.aiff", "a.ogg"]


def test_what_cannot_be_read_is_said_and_the_rest_goes_on(tmp_path: Path) -> None:
    """`path` and `error`, and the exit code 3."""
    (tmp_path / "bad.wav").write_bytes(b"no audio at all")
    drums.write(tmp_path / "good.wav", "kick")
    bad, missing, good = classify(tmp_path, "bad.wav", "missing.wav", "good.wav", code=3)
    assert set(bad) == set(missing) == {"schema", "path", "error"}
    assert good["label"] == "Kick"


def test_a_folder_that_cannot_be_searched_is_left_out_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its neighbours are searched all the same."""
    drums.write(tmp_path / "a" / "kick.wav", "kick")
    drums.write(tmp_path / "b" / "kick.wav", "kick")
    scandir = os.scandir

    def refuse(folder: str) -> object:
        if folder.endswith("/a"):
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    unreadable: dict[str, str] = {}
    assert list(list_files([str(tmp_path)], unreadable)) == [
        (str(tmp_path / "b" / "kick.wav"), os.path.join("b", "kick.wav"))
    ]
    assert unreadable == {str(tmp_path / "a"): "Permission denied"}


def test_names_count_where_the_configuration_says_so(tmp_path: Path) -> None:
    """Below a folder that is named, with its folders; of a file that is named, its name alone."""
    path = tmp_path / "Snares" / "Snares" / "a.wav"
    path.parent.mkdir(parents=True)
    drums.write(path, "kick")
    configure(tmp_path, "use_names = true")
    above, inside, file = classify(tmp_path, "Snares", "Snares/Snares", "Snares/Snares/a.wav")
    assert above["review"] == "its name says Snare, it sounds like Kick"
    assert (inside["review"], file["review"]) == (None, None)
    (line, *_) = classify(tmp_path, "Snares", text=True)
    assert line.endswith(b"; review: its name says Snare, it sounds like Kick")


def test_a_tag_is_said_where_the_model_has_some(tmp_path: Path) -> None:
    """Behind the labels, and in the record; nothing is said where there is none."""
    model = Path(shutil.copytree(shipped_model(), tmp_path / "model"))
    card = json.loads((model / "model.json").read_text())
    sure = {"classes": ["wet", "dry"], "weights": [[0.0] * 128] * 2, "biases": [0.0, 3.0]}
    (model / "model.json").write_text(json.dumps(card | {"tags": {"Kick": sure}}))
    configure(tmp_path, f'model = "{model}"')
    drums.write(tmp_path / "a.wav", "kick")
    drums.write(tmp_path / "b.wav", "snare")
    assert [record["tag"] for record in classify(tmp_path, "a.wav", "b.wav")] == ["dry", None]
    first, second = classify(tmp_path, "a.wav", "b.wav", text=True)
    assert first.endswith(b"); Kick, dry")
    assert second.endswith(b")")


def test_a_link_that_is_named_is_followed(tmp_path: Path) -> None:
    """It is shown under the name that was asked for."""
    drums.write(tmp_path / "kick.wav", "kick")
    (tmp_path / "link.wav").symlink_to("kick.wav")
    (record,) = classify(tmp_path, "link.wav")
    assert (record["path"], record["label"]) == ("link.wav", "Kick")


def test_any_name_survives_the_pipe(tmp_path: Path) -> None:
    """Raw bytes on plain output, surrogate escapes in JSON."""
    name = b"\xff\xe9 kick.wav"
    os.rename(drums.write(tmp_path / "kick.wav", "kick"), os.fsencode(tmp_path) + b"/" + name)
    (record,) = classify(tmp_path, os.fsdecode(name))
    assert os.fsencode(record["path"]) == name
    (line,) = classify(tmp_path, os.fsdecode(name), text=True)
    assert name in line
    assert line.startswith(b"Kick")
