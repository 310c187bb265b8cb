"""The file of what was corrected, written by the daemon, looked at by its workers. Pure Python."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

FILE_NAME = "precedents.json"
_SCHEMA = 1


def precedents_text(network: str, said: Sequence[tuple[str, bytes]]) -> str:
    """The file's content, of (label, embedding as little-endian float16) that `network` made."""
    corrections = [
        {"label": label, "embedding": base64.b64encode(embedding).decode()}
        for label, embedding in said
    ]
    return json.dumps({"schema": _SCHEMA, "network": network, "corrections": corrections})


def read_precedents(path: str, network: str) -> list[tuple[str, bytes]]:
    """What `precedents_text` wrote; nothing, if embeddings are another network's.

    Raises:
        OSError, ValueError, KeyError, TypeError: the file can't be read.
    """
    with open(path, encoding="utf-8") as stream:
        content = json.load(stream)
    if content["schema"] != _SCHEMA or content["network"] != network:
        return []
    return [
        (str(said["label"]), base64.b64decode(said["embedding"])) for said in content["corrections"]
    ]
