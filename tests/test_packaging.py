"""The wheel: complete enough to classify at once, and nothing in it that nobody needs."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

REPOSITORY = Path(__file__).parent.parent
MODEL = "drumwatchd/models/drumwatchd-1"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout; without the network where hatchling is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "wheel"]
    if importlib.util.find_spec("hatchling"):
        command.append("--no-build-isolation")
    subprocess.run([*command, "--no-deps", "-w", str(folder), str(REPOSITORY)], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files, as an installation lays them out."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_installed(site: Path, *arguments: str) -> str:
    """Run the unpacked package away from the checkout; return what it printed."""
    script = (
        "import sys; sys.path[0] = sys.argv.pop(1); "
        "import drumwatchd; assert drumwatchd.__file__.startswith(sys.path[0]); "
        "from drumwatchd.cli import main; main()"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-c", script, str(site), *arguments],
        cwd=site.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize(
    "name",
    [
        f"{MODEL}/model.tflite",
        f"{MODEL}/model.json",
        f"{MODEL}/label_mapping.json",
        f"{MODEL}/canonical_mapping.json",
        "drumwatchd/config.example.toml",
        "drumwatchd/py.typed",
        "drumwatchd/daemon.py",
    ],
)
def test_the_wheel_carries(name: str, unpacked: Path) -> None:
    """The model, the example configuration and the types travel with the program."""
    assert (unpacked / name).is_file()


def test_the_wheel_carries_the_model_of_the_checkout(unpacked: Path) -> None:
    """The network in the wheel is the one under models/."""
    source = REPOSITORY / "models" / "drumwatchd-1" / "model.tflite"
    assert (unpacked / MODEL / "model.tflite").read_bytes() == source.read_bytes()


def test_the_wheel_carries_what_adaptations_need(unpacked: Path) -> None:
    """What the card names beside the network comes along with it."""
    source = REPOSITORY / "models" / "drumwatchd-1"
    assert {path.name for path in (unpacked / MODEL).iterdir()} == {
        path.name for path in source.iterdir()
    }


def test_the_wheel_carries_nothing_else(wheel: Path) -> None:
    """No tests, no audio, no training checkpoints, no second top-level package."""
    with zipfile.ZipFile(wheel) as archive:
        names = [PurePosixPath(name) for name in archive.namelist()]
    tops = {name.parts[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"drumwatchd"}
    unwanted = {".wav", ".flac", ".aif", ".aiff", ".mp3", ".ogg", ".opus", ".keras", ".npz", ".pyc"}
    others = [name for name in names if str(name.parent) != MODEL]
    assert [name for name in others if name.suffix in unwanted] == []
    assert [name for name in names if "tests" in name.parts] == []


def test_the_wheel_is_small(wheel: Path) -> None:
    """A Raspberry Pi downloads it in a moment."""
    assert wheel.stat().st_size < 8_000_000


def test_the_wheel_names_its_commands_and_licence(unpacked: Path) -> None:
    """Installers find both commands, the licence and the Python versions."""
    (info,) = unpacked.glob("drumwatchd-*.dist-info")
    assert "drumwatchd = drumwatchd.cli:main" in (info / "entry_points.txt").read_text()
    metadata = (info / "METADATA").read_text()
    assert "License-Expression: MIT" in metadata
    assert "Requires-Python: >=3.11" in metadata
    assert (info / "licenses" / "LICENSE").is_file()


def test_the_installed_program_says_its_version(unpacked: Path) -> None:
    """The unpacked wheel runs and knows which version it is."""
    (info,) = unpacked.glob("drumwatchd-*.dist-info")
    version = info.name.removeprefix("drumwatchd-").removesuffix(".dist-info")
    assert version in run_installed(unpacked, "--version")


def test_the_installed_program_writes_a_configuration(unpacked: Path, tmp_path: Path) -> None:
    """`init` finds the example inside the package, and `check-config` accepts what it wrote."""
    run_installed(unpacked, "init", str(tmp_path))
    run_installed(unpacked, "--config", str(tmp_path / "config.toml"), "check-config")


def test_the_installed_program_classifies(unpacked: Path, tmp_path: Path) -> None:
    """The model inside the package is found and judges a sample."""
    import drums

    sample = drums.write(tmp_path / "kick.wav", "kick")
    assert '"label"' in run_installed(unpacked, "classify", "--json", sample)


def test_make_lists_its_targets() -> None:
    """Bare `make` names every target that is meant for people."""
    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    makefile = (REPOSITORY / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.M)
    assert phony is not None
    assert [line.split()[0] for line in listed.splitlines()] == phony[1].split()


def test_an_old_python_is_refused_with_a_reason(tmp_path: Path) -> None:
    """`make` says which Python is needed, and makes nothing with another."""
    old = tmp_path / "python2"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    command = ["make", f"PYTHON={old}", f"VENV={tmp_path}/venv", f"{tmp_path}/venv/bin/python"]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "Python 3.11 or newer is needed" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_the_guide_for_contributors_names_what_is_there() -> None:
    """Files, test modules and make targets in CONTRIBUTING.md exist."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    makefile = (REPOSITORY / "Makefile").read_text()
    paths = re.findall(r"(?:drumwatchd|tests|docs)/[\w/.-]+\.(?:py|md|json)", text)
    assert paths
    assert [path for path in paths if not (REPOSITORY / path).is_file()] == []
    targets = set(re.findall(r"`make (\w+)", text)) | set(re.findall(r"^make (\w+)", text, re.M))
    assert [target for target in targets if f"\n{target}:" not in makefile] == []


def test_continuous_integration_runs_the_same_command() -> None:
    """`.ci/run` can be executed, and ends in `make test`."""
    script = REPOSITORY / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1].startswith("exec make test")
