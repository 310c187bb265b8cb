"""What one key's type can't say: folders that lie in each other, labels, the name template."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from drumwatchd.analysis.labels import FINE_LABELS, MISC
from drumwatchd.bulletin import KINDS
from drumwatchd.config.faults import Faults, listed, nearest
from drumwatchd.config.model import (
    PLACEHOLDERS,
    ArchiveConfig,
    HookConfig,
    InboxConfig,
    IndexConfig,
)


def check_places(
    inboxes: Sequence[tuple[int, InboxConfig]],
    archive: ArchiveConfig | None,
    index: IndexConfig | None,
    faults: Faults,
) -> None:
    """No folder that is watched may hold what the daemon itself writes, nor the reverse."""
    if archive and os.path.exists(archive.root) and not os.path.isdir(archive.root):
        faults.add(("archive", "root"), "is not a folder", "name a folder")
    if index and os.path.isdir(index.path):
        fix = f'write path = "{index.path / "index.sqlite3"}"'
        faults.add(("index", "path"), "is a folder; the index is a file", fix)
    if index and archive and _relation(index.path, archive.root) == "lies inside":
        # With that disk unmounted, index and archive would begin anew on the bare mount point.
        problem = f"lies inside the archive: {archive.root}"
        faults.add(("index", "path"), problem, "keep the index outside the archive")
    for position, (number, inbox) in enumerate(inboxes):
        key = ("inbox", number, "path")
        for other_number, other in inboxes[:position]:
            if relation := _relation(inbox.path, other.path):
                problem = f"{relation} inbox[{other_number}]: {other.path}"
                faults.add(key, problem, "keep one; an inbox is watched with all its folders")
        if archive and (relation := _relation(inbox.path, archive.root)):
            problem = f"{relation} the archive: {archive.root}"
            faults.add(key, problem, "keep them apart, or filed samples would be filed again")
        if index and _relation(index.path, inbox.path) == "lies inside":
            problem = f"lies inside inbox[{number}]: {inbox.path}"
            faults.add(("index", "path"), problem, "keep the index outside every inbox")


def check_hook(hook: HookConfig, number: int, faults: Faults) -> None:
    """It must name events that there are; a program without a path is looked for on PATH."""
    for position, event in enumerate(hook.events):
        if event not in KINDS:
            close = nearest(event, KINDS)
            fix = f'write "{close}"' if close else f"choose of {listed(KINDS, 'and')}"
            faults.add(("hook", number, "events", position), f'"{event}" is no event', fix)
    if hook.events and not hook.command:
        fix = 'write command = ["/path/to/program", "an argument"]'
        faults.add(("hook", number, "command"), "names no program", fix)


def check_listen(listen: str, faults: Faults) -> None:
    """Host and port, or nothing."""
    host, colon, port = listen.rpartition(":")
    if listen and not (host and colon and port.isdecimal() and 0 < int(port) < 65_536):
        fix = 'write listen = "127.0.0.1:9469"'
        faults.add(("metrics", "listen"), f"{listen!r} is no host and port", fix)


def check_target_labels(target_labels: Sequence[str], faults: Faults) -> None:
    """Each must be one of the fine labels, once."""
    for number, label in enumerate(target_labels):
        key = ("classify", "target_labels", number)
        if label == MISC:
            faults.add(key, f'"{MISC}" is always there', "remove it")
        elif label not in FINE_LABELS:
            close = nearest(label, FINE_LABELS)
            fix = f'write "{close}"' if close else f"choose of {listed(FINE_LABELS, 'and')}"
            faults.add(key, f'"{label}" is no label', fix)
        elif label in target_labels[:number]:
            faults.add(key, f'"{label}" stands twice', "remove one")


def check_name_template(template: str, faults: Faults) -> None:
    """It must give every sample a name below its label's own folder."""
    key = ("archive", "name_template")
    for name in re.findall(r"\{([^{}]*)\}", template):
        if name not in PLACEHOLDERS:
            close = nearest(name, PLACEHOLDERS)
            known = listed((f"{{{placeholder}}}" for placeholder in PLACEHOLDERS), "and")
            fix = f"write {{{close}}}" if close else f"there are {known}"
            faults.add(key, f"{{{name}}} is no placeholder", fix)
    if re.search(r"[{}]", re.sub(r"\{[^{}]*\}", "", template)):
        faults.add(key, "has a brace without its partner", "keep braces for placeholders")
    first, _, rest = template.partition("/")
    if first != "{label}":
        name = re.sub(r"^(\{label\}|\.*/)*", "", template)
        faults.add(key, 'must begin with "{label}/"', f'write name_template = "{{label}}/{name}"')
        return
    *folders, name = rest.split("/")
    if any(part in ("", ".", "..") for part in folders) or name in (".", ".."):
        problem = 'must not have an empty part, "." or ".." between its slashes'
        faults.add(key, problem, "remove it")
    elif re.sub(r"\{(pack|suffix|tag)\}", "", name) in ("", ".", ".."):  # these may be empty
        faults.add(key, "names no file", 'write name_template = "{label}/{stem}{suffix}"')


def _relation(path: Path, other: Path) -> str | None:
    """How `path` stands to `other`, symbolic links followed, or None if they are apart."""
    here, there = os.path.realpath(path), os.path.realpath(other)
    if here == there:
        return "is the same folder as"
    if _is_below(here, there):
        return "lies inside"
    return "holds" if _is_below(there, here) else None


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")
