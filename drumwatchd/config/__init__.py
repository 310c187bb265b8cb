"""The configuration: a TOML file, checked as a whole, and typed values ever after.

places.py       where the file is, what its paths mean
load.py         read it, check it
environment.py  variables that override keys
convert.py      one table to its Struct, key by key
checks.py       what a type can't say
lines.py        on which line a key stands
faults.py       what is wrong, collected
model.py        the keys, their defaults and bounds
render.py       back to TOML
example.py      the commented file that `init` writes
"""

from __future__ import annotations

from drumwatchd.config.load import load_config
from drumwatchd.config.model import (
    ArchiveConfig,
    ClassifyConfig,
    Config,
    InboxConfig,
    IndexConfig,
    LogConfig,
    RetrainConfig,
)
from drumwatchd.config.places import SYSTEM_PATH, find_config, user_path

__all__ = [
    "SYSTEM_PATH",
    "ArchiveConfig",
    "ClassifyConfig",
    "Config",
    "InboxConfig",
    "IndexConfig",
    "LogConfig",
    "RetrainConfig",
    "find_config",
    "load_config",
    "user_path",
]
