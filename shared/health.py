"""What `/readyz` and `agent-manager doctor` look at, and what they make of it."""

from collections.abc import Callable, Generator, Iterator
from datetime import datetime, timedelta

import redis

from shared import db, surroundings, vitals, zone_data
from shared.findings import FAIL, OK, WARN, Finding, count, in_words
from shared.vitals import Load, Pulse

MINUTE = timedelta(minutes=1)

# A tick comes every minute; that two of them did not come is no coincidence.
TICK_OVERDUE = 2 * MINUTE
# A reaper comes every few seconds.
LEASE_OVERDUE = MINUTE
LONG_WAIT = MINUTE

START_SCHEDULER = "Start a scheduler: python -m scheduler"
START_WORKER = "Start a worker: python -m worker"


def readiness(client: redis.Redis, clock: Callable[[], datetime]) -> Iterator[Finding]:
    """Whether the system does its job: database, Redis, ticks. Cheap enough to be polled.

    What needs the database is left out where the database is away, or lacks tables.
    """
    yield surroundings.broker(client)
    if (yield from _usable_database()):
        with db.connection():
            pulse = vitals.pulse()
        yield ticking(pulse, clock())
        yield punctual(pulse, clock())


def checkup(client: redis.Redis, clock: Callable[[], datetime]) -> Iterator[Finding]:
    """All that readiness looks at, and what only an operator would."""
    yield surroundings.zones_known(zone_data.system_release(), zone_data.package_release())
    yield surroundings.broker(client)
    if (yield from _usable_database()):
        with db.connection():
            skew = surroundings.skew(clock)
            pulse, load = vitals.pulse(), vitals.load(clock())
        yield skew
        yield ticking(pulse, clock())
        yield punctual(pulse, clock())
        yield sound(load)
        yield manned(load)
        yield flowing(load, clock())
        yield reaped(load, clock())


def _usable_database() -> Generator[Finding, None, bool]:
    for check in (surroundings.database, surroundings.migrated):
        finding = check()
        yield finding
        if finding.status is FAIL:
            return False
    return True


def ticking(pulse: Pulse, now: datetime) -> Finding:
    """Whether a scheduler looks at the clock."""
    name = "scheduler"
    if pulse.last_tick_at is None:
        return Finding(name, FAIL, "No scheduler has ever ticked.", START_SCHEDULER)
    says = f"The last tick was {in_words(now - pulse.last_tick_at)} ago."
    if now - pulse.last_tick_at > TICK_OVERDUE:
        return Finding(name, FAIL, says, START_SCHEDULER)
    return Finding(name, OK, says)


def punctual(pulse: Pulse, now: datetime) -> Finding:
    """Whether each fire time was seen when it came."""
    name = "schedules"
    if pulse.next_run_at is None or pulse.next_run_at > now:
        return Finding(name, OK, "No schedule is overdue.")
    waits = now - pulse.next_run_at
    says = f"The schedule that is overdue longest has waited {in_words(waits)} for a tick."
    if waits > TICK_OVERDUE:
        cure = "Read the scheduler's log: its ticks fail, or are too slow."
        return Finding(name, FAIL, says, cure)
    return Finding(name, OK, says)


def sound(load: Load) -> Finding:
    """Whether the ticks can make sense of every enabled schedule."""
    if not load.schedules_set_aside:
        says = f"{count(load.schedules_enabled, 'schedule')} enabled, none set aside."
        return Finding("set aside", OK, says)
    says = f"{count(load.schedules_set_aside, 'schedule')} set aside by a tick."
    return Finding("set aside", WARN, says, "Its `error` says why; mend it, and save it again.")


def manned(load: Load) -> Finding:
    """Whether there are workers."""
    if not load.workers:
        says = f"No worker was seen in the last {in_words(vitals.SEEN_WITHIN)}."
        return Finding("workers", FAIL, says, START_WORKER)
    says = f"{count(load.workers, 'worker')} with {count(load.threads, 'thread')}."
    return Finding("workers", OK, says)


def flowing(load: Load, now: datetime) -> Finding:
    """Whether queued runs start soon after their time has come."""
    if load.waiting_since is None:
        return Finding("queue", OK, "No run waits.")
    waits = now - load.waiting_since
    says = f"{count(load.queued, 'run')} queued; the first has waited {in_words(waits)}."
    if waits > LONG_WAIT:
        cure = "Start more workers, unless it waits for its agent's maxConcurrency."
        return Finding("queue", WARN, says, cure)
    return Finding("queue", OK, says)


def reaped(load: Load, now: datetime) -> Finding:
    """Whether runs are taken from workers that are gone."""
    if load.lease_until is None or now - load.lease_until <= LEASE_OVERDUE:
        return Finding("leases", OK, f"{count(load.running, 'run')} held by live workers.")
    says = f"A run's lease ran out {in_words(now - load.lease_until)} ago."
    return Finding("leases", FAIL, says, f"{START_SCHEDULER} (it takes runs back)")
