"""The configuration: a TOML file, checked as a whole, and typed values ever after.

load.py         find, read, check
environment.py  variables that override keys
convert.py      one table to its Struct, key by key
checks.py       what a type can't say
lines.py        on which line a key stands
faults.py       what is wrong, collected
model.py        the keys, their defaults and bounds
render.py       back to TOML
"""

from __future__ import annotations

from drumwatchd.config.load import SYSTEM_PATH, find_config, load_config, user_path
from drumwatchd.config.model import (
    ArchiveConfig,
    ClassifyConfig,
    Config,
    InboxConfig,
    IndexConfig,
    LogConfig,
)

__all__ = [
    "SYSTEM_PATH",
    "ArchiveConfig",
    "ClassifyConfig",
    "Config",
    "InboxConfig",
    "IndexConfig",
    "LogConfig",
    "find_config",
    "load_config",
    "user_path",
]
