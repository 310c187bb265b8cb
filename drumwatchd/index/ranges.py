"""Ranges in query terms: numbers with units, dates, and ages, each as a half-open or closed span.

Pure: the present comes in as `now`. Dates are local time, as a person at the keyboard means them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

NUMBER = re.compile(
    r"(?P<number>\d{1,18}(?:\.(?P<decimals>\d{1,30}))?|\.(?P<only>\d{1,30}))(?P<unit>[A-Za-z%]*)"
)
CLOCK = re.compile(r"(?P<minutes>\d{1,9}):(?P<seconds>[0-5]?\d(?:\.\d+)?)")
AGE = re.compile(r"-?(?P<number>\d{1,9})(?P<unit>[A-Za-z]+)")
DATE = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d{1,2})(?:-(?P<day>\d{1,2})"
    r"(?:[Tt ](?P<hour>\d{1,2})(?::(?P<minute>\d{1,2})(?::(?P<second>\d{1,2}))?)?)?)?)?"
)

FRACTION_UNITS = {"": 1.0, "%": 0.01}
SECOND_UNITS = {"": 1.0, "s": 1.0, "ms": 0.001}
BYTE_UNITS = {
    "": 1.0, "b": 1.0, "k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9,
    "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30,
}  # fmt: skip
# A month is 30 days and a year 365, as in beets.
AGE_UNITS = {
    "s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800, "m": 2_592_000, "y": 31_536_000,
}  # fmt: skip


class RangeError(ValueError):
    """A range that can't be read.

    Attributes:
        position: characters before the fault.
        hint: what to write instead.
    """

    def __init__(self, message: str, position: int, hint: str) -> None:
        super().__init__(message)
        self.position = position
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Span:
    """From `low` to `high`, None where it is open; `high` itself belongs to it if `closed`."""

    low: float | None
    high: float | None
    closed: bool


def number_span(text: str, units: Mapping[str, float]) -> Span:
    """Read ``LOW..HIGH``, ``..HIGH``, ``LOW..`` (both ends belong to it) or one number.

    One number with decimals stands for all that round to it: ``0.87`` is 0.865 to 0.875.

    Raises:
        RangeError: it isn't a number or a range of numbers.
    """
    low_text, dots, high_text = text.partition("..")
    if not dots:
        value, precision = _number(text, 0, units)
        if precision == 0.0:
            return Span(value, value, closed=True)
        return Span(value - precision, value + precision, closed=False)
    low = _number(low_text, 0, units)[0] if low_text else None
    high = _number(high_text, len(low_text) + 2, units)[0] if high_text else None
    _refuse_backwards(low, high, low_text, high_text)
    return Span(low, high, closed=True)


def time_span(text: str, now: float) -> Span:
    """Read dates, ages and ranges of them as Unix times.

    A date stands for the whole of it (``2026-10`` is October); an age for the time since then
    (``7d`` is the last seven days), and for that moment at either end of a range.

    Raises:
        RangeError: it isn't a date, an age or a range of them.
    """
    low_text, dots, high_text = text.partition("..")
    if not dots:
        first, end = _moment(text, 0, now)
        return Span(first, end if first != end else None, closed=False)
    low_end = _moment(low_text, 0, now) if low_text else None
    high_end = _moment(high_text, len(low_text) + 2, now) if high_text else None
    low = None if low_end is None else low_end[0]
    high = None if high_end is None else high_end[1]
    _refuse_backwards(low, high, low_text, high_text)
    # An age ends at that very moment; a date with the last moment of it.
    return Span(low, high, closed=high_end is not None and high_end[0] == high_end[1])


def _refuse_backwards(low: float | None, high: float | None, low_text: str, high_text: str) -> None:
    if low is not None and high is not None and low > high:
        raise RangeError("the range runs backwards", 0, f"write {high_text}..{low_text}")


def _number(text: str, position: int, units: Mapping[str, float]) -> tuple[float, float]:
    """Value and half the last decimal place, 0 for a whole number."""
    if "s" in units and (clock := CLOCK.fullmatch(text)):
        return int(clock["minutes"]) * 60 + float(clock["seconds"]), 0.0
    found = NUMBER.fullmatch(text)
    if found is None:
        begun = NUMBER.match(text)
        at = position + (begun.end() if begun else 0)
        raise RangeError(f"{text!r} is not a number", at, "numbers are written 2, 0.5 or 0.4..0.6")
    factor = units.get(found["unit"].lower())
    if factor is None:
        known = ", ".join(unit for unit in units if unit) or "none"
        at = position + found.start("unit")
        raise RangeError(f"there is no unit {found['unit']!r} here", at, f"units: {known}")
    decimals = found["decimals"] or found["only"]
    precision = 0.5 * 10.0 ** -len(decimals) if decimals else 0.0
    return float(found["number"]) * factor, precision * factor


def _moment(text: str, position: int, now: float) -> tuple[float, float]:
    """First moment of a date and the first after it; twice the same moment for an age."""
    midnight = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
    if text in ("today", "yesterday"):
        first = midnight if text == "today" else midnight - timedelta(days=1)
        return first.timestamp(), (first + timedelta(days=1)).timestamp()
    if age := AGE.fullmatch(text):
        seconds = AGE_UNITS.get(age["unit"].lower())
        if seconds is None:
            raise RangeError(
                f"there is no unit {age['unit']!r} of time",
                position + age.start("unit"),
                f"units: {', '.join(AGE_UNITS)}",
            )
        moment = now - int(age["number"]) * seconds
        return moment, moment
    return _calendar(text, position)


def _calendar(text: str, position: int) -> tuple[float, float]:
    found = DATE.fullmatch(text)
    if found is None:
        begun = DATE.match(text)
        raise RangeError(
            f"{text!r} is neither a date nor an age",
            position + (begun.end() if begun else 0),
            "write 2026-10-31, 2026-10, 2026-10-31T18:00, today, 7d or 2h",
        )
    parts = [int(part) for part in found.groups() if part is not None]
    # The parts that are left out are the first month, the first day, midnight.
    fields = [*parts, *[1, 1, 1, 0, 0, 0][len(parts) :]]
    after = fields.copy()
    after[len(parts) - 1] += 1
    try:
        first = datetime(*fields).timestamp()  # type: ignore[arg-type]
        # mktime carries what overflows: the 32nd of October is the first of November.
        end = time.mktime((*after, 0, 0, -1))  # type: ignore[arg-type]
    except (ValueError, OverflowError) as error:
        raise RangeError(f"{text!r} is no date ({error})", position, "write 2026-10-31") from error
    return first, end
