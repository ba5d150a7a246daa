"""How the pages write times, amounts and what is not known, in one place.

Times are UTC and say so. Unknown is "not reported", never 0. Refuses to know what is written.
"""

from __future__ import annotations

from proofgap.records import instant

NOT_REPORTED = "not reported"
"""What is written where nobody ever stated or reported anything: never 0."""

_END_US = 253_402_300_800_000_000  # the end of the year 9999
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def known_moment(value: object) -> int | None:
    """Give a moment that a record holds; ``None`` for whatever is no time between the years 1970 and 9999."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < _END_US else None


def day(at_us: int) -> str:
    """Write a day, such as ``21 Nov 2026``."""
    when = instant(at_us)
    return f"{when.day} {_MONTHS[when.month - 1]} {when.year}"


def clock(at_us: int) -> str:
    """Write the time of day in UTC to the second, such as ``02:24:05``."""
    return instant(at_us).time().isoformat("seconds")


def moment(at_us: int | None) -> str:
    """Write a moment to the second."""
    return NOT_REPORTED if at_us is None else f"{day(at_us)}, {clock(at_us)} UTC"


def minute(at_us: int) -> str:
    """Write a moment to the minute, as it stands in running text."""
    return f"{day(at_us)} {instant(at_us):%H:%M} UTC"


def amount(number: int, noun: str) -> str:
    """Give a number with its noun, in the singular where there is one of it."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def known(number: int | None) -> str:
    """Give a number, or say that nobody reported one."""
    return NOT_REPORTED if number is None else f"{number:,}"


def plain(code: str) -> str:
    """Write a code as words: ``target_busy`` becomes ``target busy``."""
    return code.replace("_", " ")


def sentence(text: str) -> str:
    """Begin a text with a capital letter; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def short(text: str, length_max: int) -> str:
    """Cut a long text at its end, and say so with an ellipsis."""
    return text if len(text) <= length_max else text[: length_max - 1].rstrip() + "…"


def last_part(path: str) -> str:
    """Give what a path ends with, which is what people call it; whatever is no path stays as it is."""
    return path.rstrip("/").rpartition("/")[2] or path
