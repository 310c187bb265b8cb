"""Pictures of a `Tally`, with matplotlib: the one module that draws, and only when asked to.

matplotlib comes with the extra `report`: with what it needs it is 60 MB installed, more than all
the rest of drumwatchd but LiteRT and scipy, for pictures that a server without a screen seldom makes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drumwatchd.batch.tally import CONFIDENCE_BINS, DURATION_EDGES, Tally
from drumwatchd.errors import UsageError

COLOUR, SECOND = "#3b6ea5", "#c2703d"
HINT = 'install it with: pip install "drumwatchd[report]"'


def draw_overview(path: Path, tally: Tally, title: str) -> None:
    """Everything about a run in one picture, `statistics.png`.

    Raises:
        UsageError: matplotlib isn't installed.
        OSError: the picture can't be written.
    """
    figure = _figure(12, 8)
    figure.suptitle(title, x=0.02, ha="left", fontsize=13)
    axes = figure.subplots(2, 2)
    _labels(axes[0][0], tally)
    _confidence(axes[0][1], tally)
    _durations(axes[1][0], tally)
    _sums(axes[1][1], tally)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def draw_all(folder: Path, tally: Tally, confusion: Mapping[tuple[str, str], int]) -> list[Path]:
    """One picture each, into a folder; return which.

    Args:
        folder: is made if it isn't there.
        tally: what to draw.
        confusion: how often a file that the model filed as the first was corrected to the second.

    Raises:
        UsageError: matplotlib isn't installed.
        OSError: a picture can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    pictures = {"distribution": _labels, "confidence": _confidence, "duration": _durations}
    for name, draw in pictures.items():
        figure = _figure(8, 5)
        draw(figure.subplots(), tally)
        drawn.append(folder / f"{name}.png")
        figure.savefig(drawn[-1], dpi=100, metadata={"Software": None})
    if confusion:
        figure = _figure(7, 6)
        _confusion(figure, confusion)
        drawn.append(folder / "confusion.png")
        figure.savefig(drawn[-1], dpi=100, metadata={"Software": None})
    return drawn


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("there is no matplotlib to draw with", hint=HINT) from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _bare(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _labels(axes: Any, tally: Tally) -> None:
    labels = [label for label, _ in tally.labels.most_common()][::-1]
    counts = [tally.labels[label] for label in labels]
    bars = axes.barh(labels, counts, color=COLOUR)
    axes.bar_label(bars, [f"{count:,}" for count in counts], padding=3, fontsize=9)
    axes.margins(x=0.12)
    axes.set(title="Files by label", xlabel="files")
    _bare(axes)


def _confidence(axes: Any, tally: Tally) -> None:
    """For each label its histogram as a row of shades, and its mean as a mark."""
    labels = [label for label, _ in tally.labels.most_common()]
    axes.set(title="Confidence by label", xlabel="confidence", xlim=(0, 1))
    if not labels:
        return
    rows = [
        [n / max(tally.confidences[label]) for n in tally.confidences[label]] for label in labels
    ]
    extent = (0, 1, len(labels) - 0.5, -0.5)
    axes.imshow(rows, aspect="auto", cmap="Blues", extent=extent, vmin=0, vmax=1)
    means = [tally.mean_confidence(label) for label in labels]
    axes.plot(means, range(len(labels)), "o", color=SECOND, label="mean")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xticks([n / 5 for n in range(6)])
    axes.legend(loc="lower left", frameon=False)
    axes.set_xlim(0, 1)
    assert len(rows[0]) == CONFIDENCE_BINS


def _durations(axes: Any, tally: Tally) -> None:
    names = [f"{edge:g}" for edge in DURATION_EDGES]
    axes.bar(range(len(names)), tally.durations, color=COLOUR, width=1.0, align="edge", ec="white")
    axes.set_xticks(range(len(names)), names)
    axes.set(title="Durations", xlabel="seconds, from", ylabel="files")
    _bare(axes)


def _sums(axes: Any, tally: Tally) -> None:
    axes.axis("off")
    judged = sum(tally.labels.values())
    lines = [
        ("files", tally.files), ("judged", judged), ("duplicates", tally.duplicates),
        ("to be reviewed", tally.review), ("left out", sum(tally.errors.values())),
        *((f"  {kind}", count) for kind, count in sorted(tally.errors.items())),
    ]  # fmt: skip
    for number, (what, count) in enumerate(lines):
        y = 0.95 - 0.09 * number
        axes.text(0.05, y, what, fontsize=12, va="top")
        axes.text(0.7, y, f"{count:,}", fontsize=12, va="top", ha="right")
    hours = tally.seconds / 3600
    axes.text(0.05, 0.02, f"{hours:,.1f} hours of sound, {tally.size / 1e9:,.2f} GB", fontsize=11)


def _confusion(figure: Any, confusion: Mapping[tuple[str, str], int]) -> None:
    said = _by_count(Counter({pair[0]: 0 for pair in confusion}), confusion, 0)
    meant = _by_count(Counter({pair[1]: 0 for pair in confusion}), confusion, 1)
    rows = [[confusion.get((a, b), 0) for b in meant] for a in said]
    axes = figure.subplots()
    axes.imshow(rows, cmap="Oranges", vmin=0)
    axes.set_xticks(range(len(meant)), meant, rotation=45, ha="right")
    axes.set_yticks(range(len(said)), said)
    most = max(map(max, rows))
    for y, row in enumerate(rows):
        for x, count in enumerate(row):
            if count:
                shade = "white" if count > most / 2 else "black"
                axes.text(x, y, f"{count:,}", ha="center", va="center", color=shade)
    axes.set(title="Corrections", xlabel="what you said", ylabel="what the model said")


def _by_count(
    totals: Counter[str], confusion: Mapping[tuple[str, str], int], side: int
) -> Sequence[str]:
    for pair, count in confusion.items():
        totals[pair[side]] += count
    return [label for label, _ in sorted(totals.items(), key=lambda item: (-item[1], item[0]))]
