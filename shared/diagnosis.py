"""What is made of the vitals: pure functions, from numbers to findings."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta

from shared.findings import FAIL, OK, WARN, Finding, count, in_words
from shared.messages import RUNS_QUEUE
from shared.processes import LiveWorker
from shared.tally import Count
from shared.vitals import RUNS_COUNTED, SCHEDULES_COUNTED, TICKS_WITHIN, Load, Pulse

MINUTE = timedelta(minutes=1)
# What was counted within this is worth a look.
RECENTLY = timedelta(hours=1)

START_SCHEDULER = "Start a scheduler: python -m scheduler"
START_WORKER = "Start a worker: python -m worker"
READ_SCHEDULER = "Read the scheduler's log: its ticks fail, or are too slow."

# Of what is counted, that which should not happen; resends and duplicates do where much is to do.
_TROUBLES = {
    Count.LOST_LEASES: "A worker died, or could not renew its leases in time; its log says which.",
    Count.LATE_WRITES_REFUSED: "A worker was silent for longer than AGENT_MANAGER_RUN_LEASE, and"
    " its runs were done again; if none stood still, make that longer.",
    Count.FAILED_SENDS: "Redis was away or full; what could not be sent waits in the database.",
    Count.CLOCK_STEPS: "Let NTP set the clocks, slowly; a host that sleeps wakes with a step.",
    Count.DATABASE_RETRIES: "The database was away or overloaded; its log says why.",
}


def ticking(pulse: Pulse) -> Finding:
    """Whether a scheduler looks at the clock, soon enough after each fire time."""
    name = "scheduler"
    if pulse.last_tick_at is None:
        return Finding(name, FAIL, "No scheduler has ever ticked.", START_SCHEDULER)
    ago = pulse.age(pulse.last_tick_at)
    says = f"The last tick was {in_words(ago)} ago."
    if ago > TICKS_WITHIN:
        return Finding(name, FAIL, says, START_SCHEDULER)
    if pulse.tick_duration is not None:
        says += f" Ticks take up to {in_words(pulse.tick_duration)}."
    if pulse.tick_lag:
        says += f" They record what is due up to {in_words(pulse.tick_lag)} late."
    if pulse.tick_lag is not None and pulse.tick_lag > MINUTE:
        return Finding(name, WARN, says, READ_SCHEDULER)
    return Finding(name, OK, says)


def punctual(pulse: Pulse) -> Finding:
    """Whether each fire time was seen when it came."""
    name = "schedules"
    waits = pulse.age(pulse.next_run_at)
    if not waits:
        return Finding(name, OK, "No schedule is overdue.")
    says = f"The schedule that is overdue longest has waited {in_words(waits)} for a tick."
    if waits > TICKS_WITHIN:
        return Finding(name, FAIL, says, READ_SCHEDULER)
    return Finding(name, OK, says)


def flowing(pulse: Pulse) -> Finding:
    """Whether queued runs start soon after their time has come."""
    waits = pulse.age(pulse.waiting_since)
    if not waits:
        return Finding("queue", OK, "No run waits.")
    says = f"The run that waits longest could have started {in_words(waits)} ago."
    if waits > MINUTE:
        cure = "Start more workers, unless it waits for its agent's maxConcurrency."
        return Finding("queue", WARN, says, cure)
    return Finding("queue", OK, says)


def manned(pulse: Pulse) -> Finding:
    """Whether there are workers, and all of each is alive."""
    name = "workers"
    if not pulse.workers:
        return Finding(name, FAIL, "No worker is alive.", START_WORKER)
    if not any(RUNS_QUEUE in each.queues for each in pulse.workers):
        says = "No worker is alive but those for batches: no schedule runs."
        return Finding(name, FAIL, says, START_WORKER)
    workers = count(len(pulse.workers), "worker")
    lame = [each for each in pulse.workers if each.alive != each.began_with]
    if not lame:
        threads = sum(each.alive.threads for each in pulse.workers)
        return Finding(name, OK, f"{workers} with {count(threads, 'thread')}, all alive.")
    nobody_fetches = not any(each.alive.consumers for each in pulse.workers)
    return Finding(
        name,
        FAIL if nobody_fetches else WARN,
        f"Of {workers}, {len(lame)} lack threads, or cannot fetch messages from Redis.",
        "Their logs say more. Restart those that are still there in a minute.",
        "; ".join(map(_lacks, lame)),
    )


def served(waiting: Collection[str], pulse: Pulse) -> Finding:
    """Whether each queue in which items of batches wait has a worker."""
    name = "batches"
    manned = {queue for worker in pulse.workers for queue in worker.queues}
    idle = sorted(set(waiting) - manned)
    if not idle:
        return Finding(name, OK, "None waits for a worker to be started.")
    return Finding(
        name,
        WARN,
        f"Items of batches wait in a queue without a worker: {', '.join(idle)}.",
        "Start one: AGENT_MANAGER_COMPUTE=<the compute profile> python -m worker",
    )


def _lacks(worker: LiveWorker) -> str:
    alive, began_with = worker.alive, worker.began_with
    return (
        f"worker {worker.id} has {alive.threads} of {began_with.threads} threads"
        f" and {alive.consumers} of {count(began_with.consumers, 'consumer')} at work"
    )


def reaped(pulse: Pulse, *, lease: timedelta) -> Finding:
    """Whether runs are taken from workers that are gone.

    A scheduler that has just started watches a lease for as long as one holds.
    """
    late = pulse.age(pulse.lease_until)
    if late <= lease + MINUTE:
        return Finding("leases", OK, "No run is held beyond its time.")
    says = f"A run's lease ran out {in_words(late)} ago."
    return Finding("leases", FAIL, says, f"{START_SCHEDULER} (it takes runs back)")


def sound(load: Load) -> Finding:
    """Whether the ticks can make sense of every enabled schedule."""
    if not load.schedules_set_aside:
        enabled = _counted(load.schedules_enabled, SCHEDULES_COUNTED, "schedule")
        return Finding("set aside", OK, f"{enabled} enabled, none set aside.")
    says = (
        f"{_counted(load.schedules_set_aside, SCHEDULES_COUNTED, 'schedule')} set aside by a tick."
    )
    return Finding("set aside", WARN, says, "Its `error` says why; mend it, and save it again.")


def busy(load: Load) -> Finding:
    """How much there is to do."""
    queued = _counted(load.queued, RUNS_COUNTED, "run")
    running = _at_least(load.running, RUNS_COUNTED, str(load.running))
    return Finding("runs", OK, f"{queued} queued, {running} running.")


def counted(pulse: Pulse) -> Finding:
    """All that has ever been counted."""
    ever = (f"{number} {_words(each)}" for each, number in pulse.counts.items())
    return Finding("ever counted", OK, f"{', '.join(ever)}.")


def recently(pulse: Pulse, latest: Mapping[Count, datetime]) -> Iterator[Finding]:
    """What went wrong lately; *latest* says when each was last counted."""
    troubled = False
    for each, cure in _TROUBLES.items():
        ago = pulse.now - latest[each] if each in latest else None
        if ago is not None and ago <= RECENTLY:
            troubled = True
            says = f"{pulse.counts[each]} in all, the last {in_words(ago)} ago."
            yield Finding(_words(each), WARN, says, cure)
    if not troubled:
        yield Finding("lately", OK, "Nothing that should not happen was counted in the last hour.")


def _counted(number: int, most: int, noun: str) -> str:
    return _at_least(number, most, count(number, noun))


def _at_least(number: int, most: int, says: str) -> str:
    return f"at least {says}" if number >= most else says


def _words(what: Count) -> str:
    return what.replace("_", " ")
