"""The configuration as typed values: every key, its default and what it may be.

Field names are the keys of the file. A field without a default must be written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from drumwatchd.analysis.labels import CANONICAL_LABELS

# Hidden files, sync tools' and browsers' unfinished ones, NAS thumbnails and version folders.
DEFAULT_IGNORE = (
    ".*", "._*", "@eaDir", ".stversions", ".syncthing.*.tmp",
    "*.part", "*.partial", "*.crdownload", "*.filepart", "*.tmp", "~*",
)  # fmt: skip

PLACEHOLDERS = ("label", "fine", "confidence", "stem", "suffix", "pack", "digest8", "tag")

NO_NUL = r"^[^\0]*$"  # the system takes none in a path
Text = Annotated[str, Meta(min_length=1, pattern=NO_NUL)]
UpToAnHour = Annotated[float, Meta(ge=0.1, le=3_600)]
UpToADay = Annotated[float, Meta(ge=0, le=86_400)]


class InboxConfig(Struct, frozen=True, kw_only=True):
    """``[[inbox]]``: one folder that samples are dropped into; there may be many."""

    path: Path
    watch: Literal["auto", "native", "poll"] = "auto"
    settle_seconds: UpToADay = 2.0
    rescan_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 300.0
    poll_seconds: UpToAnHour = 5.0
    duplicates: Literal["keep", "quarantine", "delete"] = "keep"
    ignore: tuple[Text, ...] = DEFAULT_IGNORE


class ArchiveConfig(Struct, frozen=True, kw_only=True):
    """``[archive]``: where samples are filed, and how."""

    root: Path
    mode: Literal["move", "copy", "hardlink", "symlink", "none"] = "move"
    name_template: Text = "{label}/{stem}{suffix}"
    rescan_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 300.0
    own_folders: bool = True


class IndexConfig(Struct, frozen=True, kw_only=True):
    """``[index]``: the SQLite file that remembers every sample."""

    path: Path
    hash_algorithm: Literal["sha256", "md5", "blake2b"] = "sha256"


class ClassifyConfig(Struct, frozen=True, kw_only=True):
    """``[classify]``: the model, its threshold and the workers that run it.

    `model` is ``""`` for the shipped model, else the absolute path of a model folder.
    `worker_count` is 0 for one per core, at most four.
    """

    confidence_threshold: Annotated[float, Meta(ge=0, le=1)] = 0.5
    top_k: Annotated[int, Meta(ge=1, le=34)] = 3
    target_labels: Annotated[tuple[str, ...], Meta(min_length=1)] = CANONICAL_LABELS
    use_names: bool = False
    model: Annotated[str, Meta(pattern=NO_NUL)] = ""
    worker_count: Annotated[int, Meta(ge=0, le=256)] = 0
    worker_idle_seconds: UpToADay = 60.0
    worker_timeout_seconds: UpToAnHour = 30.0
    worker_memory_mb: Annotated[int, Meta(ge=256, le=1_048_576)] = 1024


class RetrainConfig(Struct, frozen=True, kw_only=True):
    """``[retrain]``: when a model is adapted to what was corrected, and how many are kept."""

    schedule: Literal["daily", "off"] = "daily"
    min_corrections: Annotated[int, Meta(ge=1, le=100_000)] = 30
    keep: Annotated[int, Meta(ge=1, le=1_000)] = 5


class HookConfig(Struct, frozen=True, kw_only=True):
    """``[[hook]]``: a program to start when something happened; there may be many."""

    events: tuple[Text, ...] = ()
    command: tuple[Text, ...] = ()
    timeout_seconds: UpToAnHour = 30.0


class MetricsConfig(Struct, frozen=True, kw_only=True):
    """``[metrics]``: figures for Prometheus; nowhere by default.

    `textfile` is ``""``, or an absolute path.
    """

    textfile: Annotated[str, Meta(pattern=NO_NUL)] = ""
    listen: Annotated[str, Meta(pattern=NO_NUL)] = ""


class LogConfig(Struct, frozen=True, kw_only=True):
    """``[log]``: how much is said on stderr, and in which form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Config(Struct, frozen=True, kw_only=True):
    """A whole, sound configuration; every path in it is absolute.

    `path` is the file it came from.
    """

    path: Path | None
    inboxes: tuple[InboxConfig, ...]
    archive: ArchiveConfig
    index: IndexConfig
    classify: ClassifyConfig = ClassifyConfig()
    retrain: RetrainConfig = RetrainConfig()
    hooks: tuple[HookConfig, ...] = ()
    metrics: MetricsConfig = MetricsConfig()
    log: LogConfig = LogConfig()


# Table names as the file and the DRUMWATCHD_<TABLE>_<KEY> variables spell them.
TABLES: dict[str, type[Struct]] = {
    "inbox": InboxConfig,
    "archive": ArchiveConfig,
    "index": IndexConfig,
    "classify": ClassifyConfig,
    "retrain": RetrainConfig,
    "hook": HookConfig,
    "metrics": MetricsConfig,
    "log": LogConfig,
}
# Of these there may be many.
ARRAYS = ("inbox", "hook")
