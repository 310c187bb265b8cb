"""What every command shares: which configuration was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drumwatchd.analysis.model_store import Choice
    from drumwatchd.config import ClassifyConfig, Config


@dataclass
class Context:
    """The ``--config`` option, and the configuration once a command asks for it."""

    config_path: str | None = None
    _config: Config | None = field(default=None, repr=False)

    def load(self) -> Config:
        """Find, read and check the configuration.

        Raises:
            ConfigError: none was found, or it has faults.
        """
        from drumwatchd.config import find_config, load_config

        if self._config is None:
            self._config = load_config(find_config(self.config_path))
        return self._config

    def classify_settings(self) -> ClassifyConfig:
        """How to judge; the defaults where there is no configuration to be found.

        Raises:
            ConfigError: the configuration has faults.
        """
        from drumwatchd.config import ClassifyConfig

        config = self._if_any()
        return ClassifyConfig() if config is None else config.classify

    def store(self) -> str:
        """Where adapted models live; nowhere, where there is no configuration to be found.

        Raises:
            ConfigError: the configuration has faults.
        """
        from drumwatchd.analysis.model_store import store_folder

        config = self._if_any()
        return "" if config is None else store_folder(config.index.path)

    def check_apart(self, out: Path) -> None:
        """Make sure that a folder for results is neither in the archive nor in an inbox.

        There its folders would be taken for classes, or its files for new samples.

        Raises:
            UsageError: it is.
            ConfigError: the configuration has faults.
        """
        from drumwatchd.errors import UsageError

        config, real = self._if_any(), out.expanduser().resolve()
        if config is None:
            return
        watched = {"the archive": config.archive.root} | {
            f"the inbox {inbox.path}": inbox.path for inbox in config.inboxes
        }
        for what, folder in watched.items():
            if real.is_relative_to(folder.expanduser().resolve()):
                hint = "name a folder elsewhere with --out"
                raise UsageError(f"results can't go into {what}", path=str(out), hint=hint)

    def algorithm(self) -> str:
        """Name of the digest; the default where there is no configuration to be found.

        Raises:
            ConfigError: the configuration has faults.
        """
        from drumwatchd.config.model import IndexConfig

        config = self._if_any()
        return (IndexConfig(path=Path("/")) if config is None else config.index).hash_algorithm

    def _if_any(self) -> Config | None:
        """The configuration; None where there is none to be found."""
        from drumwatchd.config import find_config
        from drumwatchd.errors import ConfigError

        try:
            find_config(self.config_path)
        except ConfigError:
            return None
        return self.load()


def judging_model(config: Config) -> Choice:
    """The model that judges now: an adapted one, or the configured one.

    Raises:
        ModelError: none can be used.
    """
    from drumwatchd.analysis.model_card import configured_model
    from drumwatchd.analysis.model_store import choose, store_folder

    return choose(store_folder(config.index.path), str(configured_model(config.classify.model)))
