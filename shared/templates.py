"""Messages of schedules with places to be filled in: `{{ scheduledFor.date }}` and the like.

Only names that are known are filled in; there is nothing to compute with, so no message can do
harm or take long. What begins with `{{` and is none of these is refused when it is saved.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.errors import Invalid
from shared.zones import load_zone

_PLACE = re.compile(r"\{\{([^{}]*)\}\}")
_OF_AN_INSTANT = ("", ".date", ".time", ".weekday")
NAMES = (
    *(f"scheduledFor{each}" for each in _OF_AN_INSTANT),
    *(f"previousSuccessAt{each}" for each in _OF_AN_INSTANT),
    *("lastOutput", "schedule.name", "run.id"),
)
#: What is filled in where there is nothing: no run has succeeded before, nothing was answered.
NOTHING = "none"
#: Characters that all places of a message can be filled with together.
MOST_FILLED = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Places:
    """What the places in the message of a run stand for."""

    run_id: UUID
    scheduled_for: datetime | None
    previous_success: datetime | None
    last_output: str | None
    schedule: str
    timezone: str

    def values(self) -> dict[str, str]:
        """What each name stands for. Raises `Invalid` if there is no such zone any more."""
        zone = load_zone(self.timezone)
        return {
            **_of_an_instant("scheduledFor", self.scheduled_for, zone),
            **_of_an_instant("previousSuccessAt", self.previous_success, zone),
            "lastOutput": self.last_output or NOTHING,
            "schedule.name": self.schedule,
            "run.id": str(self.run_id),
        }


def check(message: str) -> None:
    """Raise `Invalid` if there is a place in *message* that cannot be filled in."""
    rest = _PLACE.sub("", message)
    if "{{" in rest:
        raise Invalid({"message": ["After {{ there is no name and }}: write {{ scheduledFor }}."]})
    for found in _PLACE.finditer(message):
        if found[1].strip() not in NAMES:
            says = f"There is no {found[0][:80]}; there are {', '.join(NAMES)}."
            raise Invalid({"message": [says]})


def has_places(message: str) -> bool:
    """Whether there is anything to be filled in."""
    return _PLACE.search(message) is not None


def filled_in(message: str, values: Mapping[str, str]) -> str:
    """*message* with its places filled in; one of which nothing is known stays as it is.

    What is long is cut, so that however many places there are, the whole is not.
    """
    share = MOST_FILLED // max(1, len(_PLACE.findall(message)))

    def fill(found: re.Match[str]) -> str:
        value = values.get(found[1].strip(), found[0])
        return value if len(value) <= share else f"{value[:share]}…"

    return _PLACE.sub(fill, message)


def _of_an_instant(name: str, at: datetime | None, zone: ZoneInfo) -> dict[str, str]:
    """What *name* and its parts stand for, as the clocks of *zone* show it."""
    if at is None:
        return {f"{name}{part}": NOTHING for part in _OF_AN_INSTANT}
    local = at.astimezone(zone)
    return {
        name: local.isoformat(),
        f"{name}.date": local.date().isoformat(),
        f"{name}.time": local.strftime("%H:%M"),
        f"{name}.weekday": local.strftime("%A"),
    }
