"""The file of what was corrected, written by the daemon, looked at by its workers. Pure Python."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import NamedTuple

FILE_NAME = "precedents.json"
_SCHEMA = 1


class Precedent(NamedTuple):
    """One correction.

    Attributes:
        label: what the owner says.
        embedding: of the sound, as little-endian float16.
        is_learned: the model that judges learned from it.
    """

    label: str
    embedding: bytes
    is_learned: bool = False


class Said(NamedTuple):
    """What was corrected.

    Attributes:
        corrections: of sounds that one network heard.
        folders: labels of the class folders that the owner made.
    """

    corrections: list[Precedent]
    folders: list[str]


def precedents_text(
    network: str, corrections: Sequence[Precedent], folders: Sequence[str] = ()
) -> str:
    """The file's content.

    Args:
        network: what made the embeddings.
        corrections: of sounds that it heard.
        folders: labels of the class folders that the owner made.
    """
    said = [
        {
            "label": label,
            "embedding": base64.b64encode(embedding).decode(),
            "learned": is_learned,
        }
        for label, embedding, is_learned in corrections
    ]
    content = {"schema": _SCHEMA, "network": network, "folders": list(folders)}
    return json.dumps({**content, "corrections": said})


def read_precedents(path: str, network: str) -> Said:
    """What `precedents_text` wrote; nothing, if embeddings are another network's.

    Raises:
        OSError, ValueError, KeyError, TypeError: the file can't be read.
    """
    with open(path, encoding="utf-8") as stream:
        content = json.load(stream)
    if content["schema"] != _SCHEMA or content["network"] != network:
        return Said([], [])
    corrections = [
        Precedent(
            str(one["label"]), base64.b64decode(one["embedding"]), bool(one.get("learned", False))
        )
        for one in content["corrections"]
    ]
    return Said(corrections, [str(label) for label in content["folders"]])
