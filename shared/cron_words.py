"""Cron expressions in words, written by cron-descriptor."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from cron_descriptor import ExpressionDescriptor, Options

from shared.cron_syntax import parse

OPTIONS = Options(use_24hour_time_format=True, locale_code="en_US")


@lru_cache(maxsize=4096)
def describe(expression: str, timezone: str) -> str:
    """Say in words when *expression* fires: "At 08:00, only on Monday (Europe/Berlin)"."""
    cron = parse(expression)
    dates = cron.dates
    descriptor = ExpressionDescriptor(
        " ".join(
            [
                _stepped(cron.minutes, 60),
                _stepped(cron.hours, 24),
                _listed(dates.days, 31),
                _listed(dates.months, 12),
                _listed(dates.weekdays, 7),
            ]
        ),
        OPTIONS,
    )
    words: str = descriptor.get_full_description()
    if len(dates.days) < 31 and len(dates.weekdays) < 7:
        # cron-descriptor does not know of "both", and says "either" only of single days.
        said: str = descriptor.get_day_of_week_description()
        days = said.removeprefix(", ").removeprefix("or on ")
        words = words.replace(said, f", or on {days}" if dates.either else f", if it is {days}")
    return words if timezone == "UTC" else f"{words} ({timezone})"


def _stepped(numbers: Sequence[int], size: int) -> str:
    """The field that names *numbers*, as a step where they go round the clock evenly."""
    step = size // len(numbers)
    if len(numbers) > 2 and step > 1 and list(numbers) == list(range(0, size, step)):
        return f"*/{step}"
    return _listed(numbers, size)


def _listed(numbers: Sequence[int], size: int) -> str:
    """The field that names *numbers*, as a list of numbers and ranges."""
    return "*" if len(numbers) == size else ",".join(_runs(numbers))


def _runs(numbers: Sequence[int]) -> Iterator[str]:
    """The runs of three and more among *numbers* as ranges, and the others one by one."""
    run: list[int] = []
    for number in [*numbers, None]:
        if number is not None and (not run or number == run[-1] + 1):
            run.append(number)
            continue
        yield from [f"{run[0]}-{run[-1]}"] if len(run) > 2 else map(str, run)
        run = [number] if number is not None else []
