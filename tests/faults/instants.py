"""The promises about instants: each that was named has one record, and no run is before its own."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from evidence import Evidence
from named import Order
from record import Row, Snapshot


def each_recorded_once(evidence: Evidence, *, settled: bool) -> Iterator[str]:
    """Complete and unique: a run, a `SKIPPED` or a place in a gap for each instant, and no more."""
    snapshot = evidence.snapshot
    by_schedule: dict[str | None, list[Row]] = defaultdict(list)
    for run in snapshot.runs.values():
        if run["trigger"] == "SCHEDULE":
            by_schedule[run["schedule_id"]].append(run)
    for order in evidence.orders:
        if order.schedule not in snapshot.schedules:
            yield f"Schedule {UUID(order.schedule)} was accepted, and is not there."
        yield from _instants_of(order, by_schedule.pop(order.schedule, []), snapshot, settled)
    for schedule, runs in by_schedule.items():
        yield f"Schedule {schedule and UUID(schedule)}, which nobody ordered, has {len(runs)} runs."


def _instants_of(order: Order, runs: list[Row], snapshot: Snapshot, settled: bool) -> Iterator[str]:
    name = f"schedule {UUID(order.schedule)}"
    recorded = Counter(run["scheduled_for"] for run in runs if run["status"] != "MISSED")
    gaps = [run for run in runs if run["status"] == "MISSED"]
    last = max([snapshot.taken_at, *recorded, *(gap["missed_until"] for gap in gaps)])
    possible = order.possible(last)
    certain = order.certain(snapshot.taken_at) if settled else set()
    for gap in gaps:
        first, until = gap["scheduled_for"], gap["missed_until"]
        inside = {instant for instant in possible if first <= instant <= until}
        surely = {instant for instant in order.certain(last) if first <= instant <= until}
        if not len(surely) <= gap["missed_count"] <= len(inside) or not {first, until} <= inside:
            yield (
                f"A gap of {name} from {first} to {until} counts {gap['missed_count']} instants,"
                f" of which it named {len(inside)}."
            )
        recorded.update(inside)
    for instant, times in sorted(recorded.items()):
        if times > 1:
            yield f"The instant {instant} of {name} is recorded {times} times."
        if instant not in possible:
            yield f"The instant {instant} is recorded for {name}, which did not name it."
    for instant in sorted(certain - recorded.keys()):
        yield f"The instant {instant} of {name} is not recorded."


def no_key_made_two(evidence: Evidence) -> Iterator[str]:
    """Unique: one run for one idempotency key."""
    runs = evidence.snapshot.runs.values()
    made = Counter(run["idempotency_key"] for run in runs if run["idempotency_key"] is not None)
    for key, count in made.items():
        if count > 1:
            yield f"The idempotency key {key!r} made {count} runs."


def never_early(evidence: Evidence) -> Iterator[str]:
    """Never early: outside, too, nothing begins before its instant."""
    for line in evidence.lines:
        run = evidence.snapshot.runs.get(line.run)
        meant_for = run and run["scheduled_for"]
        if line.what == "began" and meant_for is not None and line.at < meant_for:
            yield f"Run {UUID(line.run)} began at {line.at}, before its instant {meant_for}."
        if meant_for is not None and line.scheduled_for not in {None, meant_for}:
            yield f"Run {UUID(line.run)} was told {line.scheduled_for}, and is of {meant_for}."


def never_late(evidence: Evidence, on_time: timedelta) -> Iterator[str]:
    """On time: first attempts begin within *on_time*."""
    for run in evidence.snapshot.runs.values():
        first = evidence.tried(run).get(1)
        if run["scheduled_for"] is not None and first is not None and first.began:
            late = first.began[0].at - run["scheduled_for"]
            if late > on_time:
                yield f"Run {UUID(run['id'])} began {late.total_seconds():.2f} s after its instant."
