"""What a fresh process imports: the daemon and the quick commands stay light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from drumwatchd.index.store import open_index

REPOSITORY = Path(__file__).parent.parent

AUDIO = ("numpy", "scipy", "soundfile", "soxr", "ai_edge_litert", "cffi")
TRAINING = ("tensorflow", "keras", "librosa", "numba", "matplotlib", "sklearn", "pandas")
DRAWING = ("rich",)

CONFIG = """\
[[inbox]]
path = "inbox"
[archive]
root = "archive"
[index]
path = "state/index.sqlite3"
"""


def imported_by(code: str, cwd: Path | None = None) -> set[str]:
    """Names of the top-level packages in a fresh process after it ran `code`."""
    report = (
        "\nimport json, sys\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})), "
        "file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code + report],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stderr.splitlines()[-1]))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A configured folder with an empty index."""
    (tmp_path / "config.toml").write_text(CONFIG)
    for name in ("inbox", "archive", "state"):
        (tmp_path / name).mkdir()
    open_index(str(tmp_path / "state" / "index.sqlite3"), "sha256").close()
    return tmp_path


@pytest.mark.parametrize(
    "module",
    [
        "drumwatchd",
        "drumwatchd.daemon",
        "drumwatchd.pipeline",
        "drumwatchd.config",
        "drumwatchd.cli",
        "drumwatchd.cli.run",
        "drumwatchd.cli.classify",
        "drumwatchd.cli.queries",
        "drumwatchd.cli.retry",
        "drumwatchd.cli.correct",
        "drumwatchd.cli.reclassify",
        "drumwatchd.cli.review",
        "drumwatchd.desk",
        "drumwatchd.cli.setup",
        "drumwatchd.cli.mapping",
        "drumwatchd.cli.models",
        "drumwatchd.learning",
        "drumwatchd.analysis.model_store",
        "drumwatchd.analysis.workers",
        "drumwatchd.analysis.model_card",
    ],
)
def test_the_daemons_own_process_imports_no_audio_no_model_and_no_rich(module: str) -> None:
    """numpy, decoders and the network belong to the workers; rich, to what draws."""
    assert imported_by(f"import {module}").isdisjoint(AUDIO + TRAINING + DRAWING)


@pytest.mark.parametrize(
    "command",
    [["status", "--json"], ["ls", "--json"], ["check-config"], ["validate-mapping"], ["models"]],
)
def test_quick_commands_import_only_what_they_need(command: list[str], home: Path) -> None:
    """A question is answered without numpy, a model, a logger or the watcher."""
    code = (
        "import sys\n"
        "from drumwatchd.cli import main\n"
        f"sys.argv = {['drumwatchd', '--config', 'config.toml', *command]!r}\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
    )
    unwanted = AUDIO + TRAINING + DRAWING + ("structlog", "watchdog", "pebble")
    assert imported_by(code, cwd=home).isdisjoint(unwanted)


def test_help_imports_no_command() -> None:
    """`drumwatchd --help` lists the commands from a table."""
    code = (
        "import sys\n"
        "from drumwatchd.cli import main\n"
        "sys.argv = ['drumwatchd', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert 'drumwatchd.cli.run' not in sys.modules\n"
        "assert 'drumwatchd.config' not in sys.modules\n"
    )
    unwanted = AUDIO + TRAINING + DRAWING + ("structlog", "watchdog", "pebble", "msgspec")
    assert imported_by(code).isdisjoint(unwanted)


def test_nobody_but_training_imports_tensorflow() -> None:
    """The worker side decodes, computes features and infers without the training libraries."""
    code = "import drumwatchd.analysis.audio, drumwatchd.analysis.features"
    assert imported_by(code).isdisjoint(TRAINING)
