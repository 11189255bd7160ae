"""What a cron expression may look like: five fields, read strictly into sets of numbers."""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NoReturn

from shared.errors import CronError

LONGEST = 1000
SHOWN = 40
SPELLINGS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
ITEM = re.compile(r"(\*|[0-9A-Za-z]+)(?:-([0-9A-Za-z]+))?(?:/([0-9A-Za-z]+))?")
BLANKS = re.compile(r"[ \t]+")
LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class Dates:
    """The days an expression names; *either* if one of the two day fields is enough."""

    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    either: bool


@dataclass(frozen=True, slots=True)
class CronExpression:
    """The times and days an expression names, Sunday being 0.

    A *wildcard* job, whose minute or hour begins with `*`, follows the clock through its changes;
    any other keeps its fixed times.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    dates: Dates
    wildcard: bool


@dataclass(frozen=True, slots=True)
class Field:
    """One of the five: what it is called and what may stand in it."""

    name: str
    low: int
    high: int
    names: dict[str, int] = field(default_factory=dict)

    def read(self, text: str) -> tuple[int, ...]:
        """The numbers that *text* names, in order."""
        items = text.split(",")
        if "" in items:
            self.refuse(text, "a comma stands between two items")
        return tuple(sorted({number for item in items for number in self.item(item)}))

    def item(self, text: str) -> range:
        """One item of a list: `*`, a number or a range, the first and the last with a step."""
        match = ITEM.fullmatch(text)
        if match is None:
            hint = "write *" if "?" in text else "write a number, a range as in 1-5, * or */5"
            self.refuse(text, f"that is not cron; {hint}")
        first, last, step = match.groups()
        if first == "*":
            if last is not None:
                self.refuse(text, "* stands alone or takes a step, as in */5")
            return range(self.low, self.high + 1, self.step(text, step))
        low = self.number(text, first)
        if last is None:
            if step is not None:
                self.refuse(text, f"a step needs a range; write {first}-{self.high}/{step}")
            return range(low, low + 1)
        high = self.number(text, last)
        if low > high:
            self.refuse(text, f"the range runs backwards; write {self.turned(low, high)}")
        return range(low, high + 1, self.step(text, step))

    def number(self, text: str, word: str) -> int:
        """The number, or the name of one, that *word* is."""
        if word.isdigit():
            if self.low <= int(word) <= self.high:
                return int(word)
            self.refuse(text, f"it goes from {self.low} to {self.high}")
        name = word[:3].upper()
        if name not in self.names:
            names = f" or one of {' '.join(self.names)}" if self.names else ""
            self.refuse(text, f"write a number from {self.low} to {self.high}{names}")
        if len(word) > 3:
            self.refuse(text, f"names have three letters; write {name}")
        return self.names[name]

    def step(self, text: str, step: str | None) -> int:
        """How far apart the numbers of a range are."""
        if step is None:
            return 1
        if not step.isdigit() or int(step) == 0:
            self.refuse(text, "a step is a number from 1")
        return int(step)

    def turned(self, low: int, high: int) -> str:
        """A range that runs backwards, as the two that it must have meant."""
        # Saturday to Sunday is 6-7: a week may end with Sunday as well as begin with it.
        if self.high == 7 and high == 0:
            return f"{low}-7" if low < 7 else "7"
        start = f"{self.low}-{high}" if high > self.low else f"{high}"
        return f"{low}-{self.high},{start}" if low < self.high else f"{low},{start}"

    def refuse(self, text: str, why: str) -> NoReturn:
        """Say where the expression is wrong, and why."""
        raise CronError(f"The {self.name} field has {_shown(text)}: {why}.")


MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
DAY = Field("day of month", 1, 31)
MONTH = Field("month", 1, 12, {name: number for number, name in enumerate(MONTHS, 1)})
WEEKDAY = Field("day of week", 0, 7, {name: number for number, name in enumerate(WEEKDAYS)})
FIELDS = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)


@lru_cache(maxsize=4096)
def parse(expression: str) -> CronExpression:
    """Read five fields as Debian's cron does. Raises `CronError`, also if it would never fire."""
    texts = _split(expression)
    minutes, hours, days, months, weekdays = (
        each.read(text) for each, text in zip(FIELDS, texts, strict=True)
    )
    minute, hour, day, _, weekday = (text.startswith("*") for text in texts)
    return CronExpression(
        minutes,
        hours,
        _dates(days, months, tuple(sorted({number % 7 for number in weekdays})), day or weekday),
        wildcard=minute or hour,
    )


def _split(expression: str) -> list[str]:
    """The texts of the five fields, apart by any run of blanks and tabs."""
    if len(expression) > LONGEST:
        raise CronError(
            f"A cron expression has at most {LONGEST} characters; this one has {len(expression)}."
        )
    for character in expression:
        if character != "\t" and not character.isprintable():
            raise CronError(f"A cron expression is plain text; this one has {character!r} in it.")
    text = expression.strip(" \t")
    if text.startswith("@") and text not in SPELLINGS:
        raise CronError(
            f"There is no {_shown(text)}; write one of {' '.join(SPELLINGS)}, or five fields."
        )
    texts = BLANKS.split(SPELLINGS.get(text, text)) if text else []
    if len(texts) != len(FIELDS):
        names = ", ".join(each.name for each in FIELDS)
        extra = " Seconds and years are not among them." if len(texts) > len(FIELDS) else ""
        raise CronError(f"A cron expression has five fields ({names}), not {len(texts)}.{extra}")
    return texts


def _dates(
    days: tuple[int, ...], months: tuple[int, ...], weekdays: tuple[int, ...], both: bool
) -> Dates:
    """The rule for the day, freed of what would change nothing."""
    comes = days[0] <= max(LONGEST_MONTHS[month - 1] for month in months)
    if both:
        if not comes:
            raise CronError(
                "It would never fire: the day of month and month fields name no day that exists."
            )
        return Dates(days, months, weekdays, either=False)
    every_day, every_weekday = tuple(range(1, 32)), tuple(range(7))
    if every_day == days or every_weekday == weekdays:
        return Dates(every_day, months, every_weekday, either=False)
    if not comes:
        return Dates(every_day, months, weekdays, either=False)
    return Dates(days, months, weekdays, either=True)


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")
