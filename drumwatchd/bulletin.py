"""What happens, told to whoever listens: hooks, and counters.

Who tells doesn't wait and can't fail by it: a listener takes note and returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Kind = Literal["archived", "duplicate", "quarantined", "degraded", "retrained"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: what.
        at: Unix time.
        fields: what else is known of it, as JSON can say it.
    """

    kind: Kind
    at: float
    fields: dict[str, Any]


@dataclass(slots=True)
class Bulletin:
    """Passes events on; from any thread."""

    listeners: list[Callable[[Event], object]] = field(default_factory=list)

    def tell(self, kind: Kind, **fields: Any) -> None:
        """Something happened."""
        if self.listeners:
            event = Event(kind, time.time(), fields)
            for listener in self.listeners:
                listener(event)
