"""Where the configuration file is looked for, and what its paths mean."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from drumwatchd.errors import ConfigError

SYSTEM_PATH = Path("/etc/drumwatchd/config.toml")


def find_config(explicit: str | None, environ: Mapping[str, str] = os.environ) -> Path:
    """The file to read: `explicit`, ``$DRUMWATCHD_CONFIG``, the user's, the system's.

    The first two are taken at their word: a file that was asked for is not silently replaced.

    Raises:
        ConfigError: none was asked for, and none is there.
    """
    asked = explicit or environ.get("DRUMWATCHD_CONFIG")
    if asked:
        return absolute_path(asked, Path.cwd(), environ)
    places = (user_path(environ), SYSTEM_PATH)
    for place in places:
        if os.path.isfile(place):  # False too where the folder can't be read; Path's would raise
            return place
    raise ConfigError(
        f"no configuration found: neither {places[0]} nor {places[1]} is there",
        hint="make one with `drumwatchd init`, or name one with --config or $DRUMWATCHD_CONFIG",
    )


def user_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where a user's own configuration stands."""
    return xdg_folder("XDG_CONFIG_HOME", ".config", environ) / "drumwatchd" / "config.toml"


def xdg_folder(variable: str, default: str, environ: Mapping[str, str]) -> Path:
    """The folder that `variable` names, else `default` below home.

    References:
        XDG Base Directory Specification: relative values are ignored.
    """
    folder = Path(environ.get(variable) or ".")
    return folder if folder.is_absolute() else home_folder(environ) / default


def home_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's home; the system's user table knows it where `HOME` is not set."""
    return Path(environ.get("HOME") or os.path.expanduser("~"))


def absolute_path(text: str, base: Path, environ: Mapping[str, str]) -> Path:
    """Expand a leading ``~`` and start from `base` where relative; symbolic links stay."""
    if text == "~" or text.startswith("~/"):
        text = f"{home_folder(environ)}{text[1:]}"
    return Path(os.path.abspath(base / os.path.expanduser(text)))
