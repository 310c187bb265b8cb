"""How fast, how small, and how well loops are told from hits: ``make bench``.

measuring.py   what a table is, and how time, memory and starts are measured
samples.py     what is measured with: the corpus where there is one, else the tests' drum machine
stock.py       the files of an index that was made on the fly
report.py      tables as text, and their places in the docs
and one module per benchmark, each with a `measure(quick)` that returns its tables.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# The home server and the drum machine of the tests serve here too.
if str(ROOT / "tests") not in sys.path:
    sys.path.append(str(ROOT / "tests"))
