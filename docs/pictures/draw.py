"""Draw the README's pictures: a real daemon files real samples, and rich draws what it says.

    python docs/pictures/draw.py CORPUS_FOLDER

The samples come from a corpus folder (docs/training.md says what that is); only their names show.
"""

from __future__ import annotations

import csv
import io
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, RenderableType
from rich.terminal_theme import MONOKAI
from rich.tree import Tree

from drumwatchd.cli.context import Context
from drumwatchd.cli.queries import _read_status
from drumwatchd.cli.views import status_view

HERE = Path(__file__).parent
HOME, SHOWN_HOME = Path("/tmp/drumkit"), "/srv/samples"  # of equal length, so that tables fit
PER_LABEL, FILES_SHOWN, HELD_OUT_FOLD = 24, 3, "1"
COMMAND = [sys.executable, "-m", "drumwatchd", "--config", str(HOME / "config.toml")]


def main(corpus: Path) -> None:
    """Make a home, let the daemon fill it, draw, and remove it."""
    shutil.rmtree(HOME, ignore_errors=True)
    subprocess.run([*COMMAND[:3], "init", str(HOME)], check=True, stdout=subprocess.DEVNULL)
    daemon = subprocess.Popen([*COMMAND, "run"], stderr=subprocess.DEVNULL)
    try:
        while not list((HOME / "state").glob("*.live.json")):
            time.sleep(0.1)
        for path, name in chosen(corpus):
            target = HOME / "inbox" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        status = Context(str(HOME / "config.toml"))
        while any((HOME / "inbox").rglob("*.flac")):
            time.sleep(0.2)
        time.sleep(1.5)  # the live file is written once a second
        draw("status", "drumwatchd status", status_view(_read_status(status.load())))
        draw("archive", "the archive", archive_tree())
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
        shutil.rmtree(HOME)


def chosen(corpus: Path) -> Iterator[tuple[Path, str]]:
    """Some sounds of each label from kits the shipped model never heard, with their names."""
    rows = list(csv.DictReader((corpus / "corpus.csv").open(encoding="utf-8")))
    random.Random(7).shuffle(rows)
    taken: dict[str, int] = {}
    for row in rows:
        label = row["canonical"]
        if row["fold"] == HELD_OUT_FOLD and taken.get(label, 0) < PER_LABEL:
            taken[label] = taken.get(label, 0) + 1
            path = corpus / row["path"]
            yield path, f"{path.parent.name}/{path.name}"


def archive_tree() -> Tree:
    """The archive as `tree` would show it, a few files a folder."""
    top = Tree(f"[bold]{SHOWN_HOME}/archive")
    folders = [path for path in (HOME / "archive").iterdir() if path.is_dir()]
    for folder in sorted(folders, key=lambda path: (path.name.startswith("_"), path.name)):
        files = sorted(path.name for path in folder.iterdir())
        branch = top.add(f"[bold cyan]{folder.name}[/]  [dim]{len(files)}")
        ours = folder.name.startswith("_")
        shown = files if ours else sorted(random.Random(1).sample(files, FILES_SHOWN))
        branch.add("\n".join(shown) + ("\n[dim]…" if len(shown) < len(files) else ""))
    return top


def draw(name: str, title: str, picture: RenderableType) -> None:
    """Write one SVG, without the web font that rich names."""
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    console.print(picture)
    svg = console.export_svg(title=title, theme=MONOKAI, unique_id=name)
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace(str(HOME), SHOWN_HOME)
    (HERE / f"{name}.svg").write_text(svg.replace("Fira Code", "monospace"), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
