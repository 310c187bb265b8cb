"""The tables of a model folder: checked as a whole, and written fresh."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from drumwatchd.analysis.labels import CANONICAL_LABELS, CANONICAL_OF, FINE_LABELS
from drumwatchd.analysis.mappings import check_tables, write_stubs
from drumwatchd.analysis.model_card import shipped_model
from drumwatchd.cli import cli
from drumwatchd.errors import UsageError

Change = Callable[[dict[str, Any]], object]


def remarks_after(folder: Path, name: str, change: Change) -> list[tuple[str, str]]:
    """Level and text of what is said once `change` was made to a fresh table."""
    write_stubs(folder)
    path = folder / name
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))
    return [(level, text) for level, _, text in check_tables(folder, CANONICAL_LABELS)]


def invoke(*arguments: str) -> Result:
    """Run one command without a configuration."""
    return CliRunner().invoke(cli, arguments, env={"DRUMWATCHD_CONFIG": ""})


@pytest.mark.parametrize("targets", [CANONICAL_LABELS, FINE_LABELS])
def test_the_shipped_tables_are_sound(targets: tuple[str, ...]) -> None:
    """Nothing is to be said of what comes with drumwatchd, even if every label has a folder."""
    assert check_tables(shipped_model(), targets) == []


def test_fresh_tables_are_sound(tmp_path: Path) -> None:
    """What create-stub writes is the 34 labels with their fold, and passes."""
    labels, canonical = write_stubs(tmp_path / "new")
    assert list(json.loads(labels.read_text()).values()) == list(FINE_LABELS)
    assert json.loads(canonical.read_text()) == CANONICAL_OF
    assert check_tables(tmp_path / "new", CANONICAL_LABELS) == []


def test_fresh_tables_name_the_labels_of_the_card(tmp_path: Path) -> None:
    """A network of two outputs gets two; a label that nothing is known of goes to misc."""
    (tmp_path / "model.json").write_text('{"labels": ["Kick", "Zap"]}')
    labels, canonical = write_stubs(tmp_path)
    assert json.loads(labels.read_text()) == {"0": "Kick", "1": "Zap"}
    assert json.loads(canonical.read_text()) == {"Kick": "Kick", "Zap": "misc"}


def test_tables_are_not_overwritten(tmp_path: Path) -> None:
    """Somebody's edits are worth more than a stub, unless --force is given."""
    (tmp_path / "canonical_mapping.json").write_text("mine")
    with pytest.raises(UsageError, match="--force"):
        write_stubs(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["canonical_mapping.json"]
    write_stubs(tmp_path, force=True)
    assert check_tables(tmp_path, CANONICAL_LABELS) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("3"), ("fault", "no name for output 3")),
        (lambda t: t.update({"34": "Zap"}), ("fault", "'34' is no output; they go from 0 to 33")),
        (lambda t: t.update({"0": None}), ("fault", "output 0 should have a name, not null")),
        (lambda t: t.update({"0": "Bell"}), ("fault", "Bell is the name of outputs 0, 1")),
        (lambda t: t.update({"15": "Kik"}), ("warning", "output 15 is called Kik, but learned as Kick")),
    ],
)  # fmt: skip
def test_every_output_has_one_name(change: Change, said: tuple[str, str], tmp_path: Path) -> None:
    """Missing, foreign, empty and repeated names are faults; another name than the learned is odd."""
    assert said in remarks_after(tmp_path, "label_mapping.json", change)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("Rim"), ("fault", "no folder for Rim")),
        (lambda t: t.update(Rim=7), ("fault", "Rim should fold to a name, not 7")),
        (lambda t: t.update(Snair="Snare"),
         ("warning", "Snair is no label that the network says (nearest: Snare)")),
        (lambda t: t.update(Rim="Snares"),
         ("warning", "Snares, where Rim should go, is no target label (nearest: Snare); they will go to misc")),
    ],
)  # fmt: skip
def test_every_label_has_a_folder(change: Change, said: tuple[str, str], tmp_path: Path) -> None:
    """Missing folders are faults; unknown labels and folders that aren't there name the nearest."""
    assert said in remarks_after(tmp_path, "canonical_mapping.json", change)


def test_a_folder_that_nothing_reaches_is_said(tmp_path: Path) -> None:
    """A target label that no label folds to stays empty for ever."""
    write_stubs(tmp_path)
    (remark,) = check_tables(tmp_path, (*CANONICAL_LABELS, "Percussion"))
    assert remark[0::2] == ("warning", "nothing folds to the target label Percussion")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "isn't valid JSON"),
        ("[" * 100_000, "isn't valid JSON"),
        ("[]", "should be one JSON object"),
        ('{"Kick": "Kick", "Kick": "Tom"}', "Kick stands there more than once"),
    ],
)
def test_a_table_that_cannot_be_read_is_a_fault(text: str, said: str, tmp_path: Path) -> None:
    """So is a key that stands there twice, which JSON readers hide."""
    write_stubs(tmp_path)
    (tmp_path / "canonical_mapping.json").write_text(text)
    remarks = check_tables(tmp_path, CANONICAL_LABELS)
    assert any(remark.level == "fault" and said in remark.text for remark in remarks)


def test_the_commands_say_so_and_exit(tmp_path: Path) -> None:
    """create-stub, validate-mapping, a slip, validate-mapping again: 0, 0, 1."""
    made = invoke("create-stub", str(tmp_path))
    assert (made.exit_code, len(made.stdout.splitlines())) == (0, 2)
    sound = invoke("validate-mapping", str(tmp_path))
    assert (sound.exit_code, sound.stdout) == (0, f"both tables can be used: {tmp_path}\n")
    (tmp_path / "label_mapping.json").unlink()
    faulty = invoke("validate-mapping", str(tmp_path))
    assert faulty.exit_code == 1
    assert "fault: label_mapping.json: can't be read (No such file or directory)" in faulty.stdout
    printed = json.loads(invoke("validate-mapping", str(tmp_path), "--json").stdout)
    assert (printed["sound"], printed["remarks"][0]["level"]) == (False, "fault")


def test_the_configured_model_and_targets_are_checked(tmp_path: Path) -> None:
    """Without a folder it is the configured model's; target_labels are the configured ones."""
    assert invoke("init", str(tmp_path / "home")).exit_code == 0
    config = tmp_path / "home" / "config.toml"
    config.write_text(config.read_text().replace('"Snare", "Tom"]', '"Snare"]'))
    result = CliRunner().invoke(cli, ["--config", str(config), "validate-mapping"])
    assert result.exit_code == 0
    assert "Tom, where Timbale, Timpani, Tom should go, is no target label" in result.stdout
    assert str(shipped_model()) in result.stdout
