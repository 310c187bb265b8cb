"""The notebook runs from top to bottom, as somebody without a corpus would run it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="the extra `test` isn't installed")
nbclient = pytest.importorskip("nbclient", reason="the extra `test` isn't installed")
pytest.importorskip("ipykernel", reason="the extra `test` isn't installed")

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "AllInOne_DrumClassifier.ipynb"


def test_it_is_committed_bare() -> None:
    """Eleven sections in order; no outputs, no counts."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    titles = [int(found[1]) for cell in cells if (found := re.match(r"## (\d+) · ", cell.source))]
    assert titles == list(range(1, 12))
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


@pytest.mark.train
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a corpus that it makes itself; it leaves models, pictures, a run and an organised archive."""
    monkeypatch.setenv("DRUMWATCHD_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("DRUMWATCHD_EPOCHS", "2")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    for name in ("DRUMWATCHD_CORPUS", "DRUMWATCHD_ARCHIVE"):
        monkeypatch.delenv(name, raising=False)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=200, kernel_name="python3")
    client.execute(cwd=str(tmp_path))
    work = tmp_path / "work"
    pictures = {path.name for path in (work / "results").glob("*.png")}
    assert pictures == {
        "model1_training.png", "model1_confusion_matrix.png", "model2_training.png",
        "model2_confusion_matrix.png", "model_comparison.png",
    }  # fmt: skip
    assert {"model1.keras", "model2.keras"} <= {path.name for path in (work / "models").iterdir()}
    (run,) = (work / "runs").glob("run_*")
    assert (run / "classification_results.json").exists()
    assert (run / "statistics.png").read_bytes().startswith(b"\x89PNG")
    organised = sorted((work / "organised").glob("Organized_*"))
    assert len(organised) == 3  # as judged, corrected, stricter
    assert all(any(folder.rglob("*.wav")) for folder in organised)
    shown = [
        output for cell in notebook.cells for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]  # fmt: skip
    assert len(shown) == 6
