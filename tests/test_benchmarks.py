"""The benchmarks run, and their tables have a place; how fast anything is, is no test."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.__main__ import DOCUMENTS, NAMES, main
from benchmarks.measuring import Row, Table


def test_the_features_benchmark_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """It measures against librosa and prints Markdown; the numbers agree on any machine."""
    main(["features", "--quick"])
    printed = capsys.readouterr().out
    assert "**Features**" in printed
    header, rule, *rows = [line for line in printed.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in header.strip("|").split("|")] == list(report.HEADER)
    assert set(rule) == set("|-:")
    differences = [line for line in rows if "largest difference" in line]
    assert len(differences) == 4
    assert all("| yes " in line for line in differences)


def test_the_loops_benchmark_prints_three_tables(capsys: pytest.CaptureFixture[str]) -> None:
    """With or without a corpus, every recipe makes sounds that can be judged."""
    main(["loops", "--quick"])
    printed = capsys.readouterr().out
    assert "| drum loops, 1 to 4 bars " in printed
    assert [printed.count(f"**{title}") for title in ("One hit", "No single hit", "The cost")] == [
        1, 1, 1,
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_has_its_place_in_the_document(name: str) -> None:
    """`--write` finds its markers, once, and a table between them."""
    begin, end = report.markers(name)
    text = DOCUMENTS[name].read_text(encoding="utf-8")
    assert text.count(begin) == text.count(end) == 1
    assert "\n| what " in text.partition(begin)[2].partition(end)[0]


def test_writing_replaces_only_what_stands_between_the_markers(tmp_path: Path) -> None:
    """The text around it stays, and writing twice is writing once."""
    begin, end = report.markers("rest")
    document = tmp_path / "performance.md"
    document.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    table = Table("At rest", "", [Row("memory", "37 MB")], "Of a test")
    report.write(document, "rest", [table])
    written = document.read_text()
    assert written.startswith(f"before\n{begin}\n")
    assert written.endswith(f"{end}\nafter\n")
    assert "| memory | 37 MB |" in written
    assert "old" not in written
    report.write(document, "rest", [table])
    assert document.read_text() == written


def test_a_document_without_markers_is_left_as_it_is(tmp_path: Path) -> None:
    """Nothing is written where no place is marked."""
    document = tmp_path / "performance.md"
    document.write_text("nothing here\n")
    with pytest.raises(ValueError, match="no markers for rest"):
        report.write(document, "rest", [])
    assert document.read_text() == "nothing here\n"
