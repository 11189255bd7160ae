"""The figures that /metrics and /readyz show: their names, what they mean, where they come from.

The README's table is tested against these.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from shared.queues import Queue
from shared.tally import Count
from shared.vitals import RUNS_COUNTED, SCHEDULES_COUNTED, Load, Pulse


class Figure(NamedTuple):
    """A number that rises and falls. None: nothing is known of it."""

    name: str
    meaning: str
    read: Callable[[Pulse], float | None]


class Amount(NamedTuple):
    """Something that takes counting, and so is left to whoever has the time."""

    name: str
    meaning: str
    read: Callable[[Load], float]


class Crowd(NamedTuple):
    """A number of each queue, for whoever scales its workers."""

    name: str
    meaning: str
    read: Callable[[Queue, datetime], float]


def _since_last_tick(pulse: Pulse) -> float | None:
    return None if pulse.last_tick_at is None else _seconds(pulse.age(pulse.last_tick_at))


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()


FIGURES = (
    Figure(
        "oldest_due_schedule_age_seconds",
        "How long the fire time that is overdue longest has waited for a tick; 0 when none does.",
        lambda pulse: _seconds(pulse.age(pulse.next_run_at)),
    ),
    Figure(
        "oldest_queued_run_age_seconds",
        "How long the run that waits longest could have been started; 0 when none waits. Items of"
        " batches do not count.",
        lambda pulse: _seconds(pulse.age(pulse.waiting_since)),
    ),
    Figure(
        "oldest_lease_overdue_seconds",
        "How long the lease that ran out first has been out; 0 when all hold.",
        lambda pulse: _seconds(pulse.age(pulse.lease_until)),
    ),
    Figure(
        "last_tick_age_seconds",
        "How long ago a scheduler last ticked; none when none ever did.",
        _since_last_tick,
    ),
    Figure(
        "last_tick_duration_seconds",
        "How long the slowest of the schedulers' last ticks took; none when none ticks.",
        lambda pulse: _seconds(pulse.tick_duration),
    ),
    Figure(
        "last_tick_lag_seconds",
        "How late the latest of those ticks was: from the first fire time that it recorded until it"
        " had recorded all; 0 when nothing was due, none when none ticks.",
        lambda pulse: _seconds(pulse.tick_lag),
    ),
    Figure("workers", "Worker processes that are alive.", lambda pulse: len(pulse.workers)),
    Figure(
        "worker_threads",
        "Threads that those workers began with, each for one run.",
        lambda pulse: sum(each.began_with.threads for each in pulse.workers),
    ),
    Figure(
        "worker_threads_alive",
        "Of those threads, the ones that are alive.",
        lambda pulse: sum(each.alive.threads for each in pulse.workers),
    ),
    Figure(
        "worker_consumers_alive",
        "Threads that fetch messages for those workers, one in each, that are alive.",
        lambda pulse: sum(each.alive.consumers for each in pulse.workers),
    ),
)

AMOUNTS = (
    Amount(
        "runs_queued",
        f"Runs that wait for a worker or for their time; {RUNS_COUNTED} stands for more.",
        lambda load: load.queued,
    ),
    Amount(
        "runs_running",
        f"Runs that a worker holds; {RUNS_COUNTED} stands for more.",
        lambda load: load.running,
    ),
    Amount(
        "schedules_enabled",
        f"Schedules that are enabled; {SCHEDULES_COUNTED} stands for more.",
        lambda load: load.schedules_enabled,
    ),
    Amount(
        "schedules_set_aside",
        "Enabled schedules that a tick could make no sense of.",
        lambda load: load.schedules_set_aside,
    ),
)

CROWDS = (
    Crowd(
        "queue_depth",
        f"What could run now and does not, of each queue: runs ({RUNS_COUNTED} stands for more) or"
        " items of batches.",
        lambda queue, now: queue.depth,
    ),
    Crowd(
        "queue_oldest_age_seconds",
        "How long the oldest of that has waited; 0 when nothing does.",
        lambda queue, now: queue.oldest_age(now).total_seconds(),
    ),
    Crowd("queue_running", "What runs, of each queue.", lambda queue, now: queue.running),
    Crowd(
        "queue_workers",
        "Worker processes of each queue that are alive.",
        lambda queue, now: queue.workers,
    ),
    Crowd(
        "queue_wanted_workers",
        "How many workers would run at once all that waits and runs; at most what the compute"
        " profile allows.",
        lambda queue, now: queue.wanted_workers,
    ),
)

COUNTS = {
    Count.LOST_LEASES: "Runs taken from a worker that no longer renewed its lease.",
    Count.DUPLICATE_DELIVERIES: "Messages for runs that were no longer to be had; harmless.",
    Count.RESENDS: "Messages sent again, for runs that nobody had claimed in time.",
    Count.FAILED_SENDS: "Messages that Redis did not take; they are sent later.",
    Count.LATE_WRITES_REFUSED: "Outcomes dropped, because another worker had taken the run over.",
    Count.CLOCK_STEPS: "Times that a process saw its host's clock set, or its host asleep.",
    Count.DATABASE_RETRIES: "Times that work was left for later because the database was away.",
}
