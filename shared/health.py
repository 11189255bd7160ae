"""What `/readyz` and `agent-manager doctor` look at."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import redis

from shared import db, diagnosis, reference, surroundings, tally, vitals, zone_data
from shared.batches import moves
from shared.findings import FAIL, Finding
from shared.vitals import Pulse


class Readiness(NamedTuple):
    """What was found; and the pulse, where the database could be asked for it."""

    findings: list[Finding]
    pulse: Pulse | None


def readiness(client: redis.Redis, clock: Callable[[], datetime]) -> Readiness:
    """Whether the system does its job: database, Redis, ticks, workers. Cheap, to be polled.

    What needs the database is left out where the database is away, or lacks tables.
    """
    findings = [surroundings.broker(client), *_database()]
    if findings[-1].status is FAIL:
        return Readiness(findings, None)
    with db.connection():
        pulse = vitals.pulse(reference.now(clock))
    return Readiness([*findings, *_vital_findings(pulse)], pulse)


def checkup(
    client: redis.Redis, clock: Callable[[], datetime], *, lease: timedelta
) -> Iterator[Finding]:
    """All that readiness looks at, and what only an operator would."""
    yield surroundings.zones_known(zone_data.system_release(), zone_data.package_release())
    yield surroundings.broker(client)
    found = list(_database())
    yield from found
    if found[-1].status is FAIL:
        return
    with db.connection():
        skew = surroundings.skew(clock)
        pulse, load, latest = vitals.pulse(reference.now(clock)), vitals.load(), tally.latest()
        of_batches = moves.queues()
    yield skew
    yield from _vital_findings(pulse)
    yield diagnosis.reaped(pulse, lease=lease)
    yield diagnosis.busy(load)
    yield diagnosis.served(of_batches, pulse)
    yield diagnosis.sound(load)
    yield diagnosis.counted(pulse)
    yield from diagnosis.recently(pulse, latest)


def _vital_findings(pulse: Pulse) -> Iterator[Finding]:
    yield diagnosis.ticking(pulse)
    yield diagnosis.punctual(pulse)
    yield diagnosis.flowing(pulse)
    yield diagnosis.manned(pulse)


def _database() -> Iterator[Finding]:
    """The database, and its tables if it can be used: if not, the last finding fails."""
    usable = surroundings.database()
    yield usable
    if usable.status is not FAIL:
        yield surroundings.migrated()
